use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo as _};

use crate::{Address, Answer, Credentials, Error, ServerInfo, Timeouts};

/// A connection to one server. Cheap to clone; clones share the connection.
///
/// # Caveats
/// It does not reconnect by itself: after [`Error::is_broken`] a new one is needed, so that
/// nobody speaks to another process than he thinks.
#[derive(Clone)]
pub struct Server {
    address: String,
    connection: MultiplexedConnection,
}

/// What a server told about itself.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Its `INFO`.
    Info(Box<ServerInfo>),
    /// It is alive, and too busy for more than this.
    Refused(Answer),
}

impl Server {
    /// Connects and, with credentials, logs in.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Silent`], or [`Error::Refused`] for a wrong login.
    pub async fn connect(
        address: &Address,
        credentials: Option<&Credentials>,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        let shown = address.to_string();
        let failed = |error: redis::RedisError| Error::from_redis("CONNECT", &shown, &error);
        let mut settings = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(credentials) = credentials {
            settings = settings
                .set_username(credentials.username())
                .set_password(credentials.password());
        }
        let info = address
            .to_redis()
            .into_connection_info()
            .map_err(failed)?
            .set_redis_settings(settings);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeouts.connect))
            .set_response_timeout(Some(timeouts.response));
        let client = Client::open(info).map_err(failed)?;
        // The library's own limit leaves out the login, and a stopped process accepts connections.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(timeouts.connect, connecting).await {
            Ok(connection) => Ok(Self {
                connection: connection.map_err(failed)?,
                address: shown,
            }),
            Err(_) => Err(Error::Silent {
                command: "CONNECT".to_owned(),
                address: shown,
            }),
        }
    }

    /// The same connection with another time limit for answers.
    #[must_use]
    pub fn with_response_timeout(&self, limit: std::time::Duration) -> Self {
        let mut other = self.clone();
        other.connection.set_response_timeout(limit);
        other
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// Only when nothing came back: every answer of the server is an [`Answer`].
    pub async fn ping(&self) -> Result<Answer, Error> {
        match self.ask::<String>("PING", &redis::cmd("PING")).await {
            Ok(_) => Ok(Answer::Pong),
            Err(error) => Answer::from_error(error),
        }
    }

    /// Asks what the server is and does.
    ///
    /// # Errors
    /// When nothing came back, or an `INFO` that is not understood.
    pub async fn probe(&self) -> Result<Probe, Error> {
        match self.info(&[]).await {
            Ok(text) => match ServerInfo::parse(&text) {
                Ok(info) => Ok(Probe::Info(Box::new(info))),
                Err(error) => Err(Error::unexpected("INFO", error.to_string())),
            },
            Err(error) => Ok(Probe::Refused(Answer::from_error(error)?)),
        }
    }

    /// The text of `INFO`: of these sections, or of those that the server tells by itself. What is no text in it
    /// is replaced, as scripts call their errors what they like.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn info(&self, sections: &[&str]) -> Result<String, Error> {
        let mut command = redis::cmd("INFO");
        command.arg(sections);
        let text: Vec<u8> = self.ask("INFO", &command).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Has the server forget its statistics, of which scripts can make any number.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn forget_statistics(&self) -> Result<(), Error> {
        let mut command = redis::cmd("CONFIG");
        command.arg("RESETSTAT");
        self.ask("CONFIG RESETSTAT", &command).await
    }

    /// Sends any command. `name` stands for it in errors, in place of arguments that may be secret.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn ask<T: FromRedisValue>(&self, name: &str, command: &Cmd) -> Result<T, Error> {
        let mut connection = self.connection.clone();
        command
            .query_async(&mut connection)
            .await
            .map_err(|error| Error::from_redis(name, &self.address, &error))
    }

    /// The error that stands among the answers to a pipeline.
    pub(crate) fn refused(&self, name: &str, error: redis::ServerError) -> Error {
        Error::from_redis(name, &self.address, &error.into())
    }

    pub(crate) async fn ask_all<T: FromRedisValue>(
        &self,
        name: &str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, Error> {
        let mut connection = self.connection.clone();
        pipeline
            .query_async(&mut connection)
            .await
            .map_err(|error| Error::from_redis(name, &self.address, &error))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}
