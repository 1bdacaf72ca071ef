use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError,
    RedisResult, ServerErrorKind,
};

/// How long kube-proxy may take, on two busy cores, to follow an EndpointSlice.
const PROXY_LIMIT: Duration = Duration::from_secs(5);

/// How to reach a server as one of its users.
#[derive(Clone)]
pub struct Login {
    /// The server's address.
    pub host: String,
    /// The user; none sends the password alone, as old clients do.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

impl Login {
    /// A user's login.
    pub fn new(host: &str, user: &str, password: &str) -> Self {
        let user = Some(user.to_owned());
        Self {
            host: host.to_owned(),
            user,
            password: password.to_owned(),
        }
    }

    /// The same user at another address.
    pub fn at(&self, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ..self.clone()
        }
    }

    /// The same user with another password.
    pub fn with_password(&self, password: &str) -> Self {
        Self {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// Connects, for interactive use. A refused connection is tried again for a few seconds:
    /// kube-proxy leads to a new primary a moment after its endpoint is written.
    ///
    /// # Errors
    /// As the server or the network has it.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let deadline = Instant::now() + PROXY_LIMIT;
        loop {
            let connection = self
                .connect_within(Duration::from_secs(2), Duration::from_secs(5))
                .await;
            match connection {
                Err(error) if error.is_connection_refusal() && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                other => return other,
            }
        }
    }

    /// Connects once, within these limits for the connection and for each answer.
    ///
    /// # Errors
    /// As the server or the network has it.
    pub async fn connect_within(
        &self,
        connect: Duration,
        answer: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let mut settings = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        settings = settings.set_password(&self.password);
        let address = redis::ConnectionAddr::Tcp(self.host.clone(), 6379);
        let client = Client::open(address.into_connection_info()?.set_redis_settings(settings))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(answer));
        // The library's own limit leaves out the login.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        tokio::time::timeout(connect, connecting)
            .await
            .unwrap_or_else(|_| Err((ErrorKind::Io, "no connection in time").into()))
    }

    /// Connects, asks one thing and hangs up.
    ///
    /// # Errors
    /// As the server or the network has it, with the command.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let mut connection = self.connect().await.context("connecting")?;
        ask(&mut connection, words)
            .await
            .with_context(|| words.join(" "))
    }
}

async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    words: &[&str],
) -> RedisResult<T> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await
}

/// Sends one command and gives the answer as text.
///
/// # Errors
/// As the server or the network has it.
pub async fn text(connection: &mut MultiplexedConnection, words: &[&str]) -> RedisResult<String> {
    let value: redis::Value = ask(connection, words).await?;
    Ok(match value {
        redis::Value::Int(number) => number.to_string(),
        redis::Value::Nil => String::new(),
        redis::Value::Okay => "OK".to_owned(),
        other => String::from_redis_value(other)?,
    })
}

/// True for the server's "you may not".
pub fn is_denied(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) || error.code() == Some("NOPERM")
}

/// True for a wrong user or password.
pub fn is_wrong_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.to_string().contains("WRONGPASS")
}
