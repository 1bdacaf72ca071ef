use combine::parser::combinator::AnySendSyncPartialState;
use combine::stream::{Decoder, PointerOffset};
use redis::{Value, parse_redis_value_async};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::{Credentials, Error};

/// What a person says to a server, over any stream: one command after the other, any command, any
/// answer.
///
/// # Caveats
/// It sets no time limit: some commands wait for as long as they are told, or go on for ever
/// (`BLPOP`, `SUBSCRIBE`, `MONITOR`). After an error it is of no more use.
pub struct Session<S> {
    stream: S,
    decoder: Decoder<AnySendSyncPartialState, PointerOffset<[u8]>>,
    /// What the stream leads to, for errors.
    shown: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Speaks over `stream`; `shown` says in errors where it leads.
    pub fn new(stream: S, shown: impl Into<String>) -> Self {
        Self {
            stream,
            decoder: Decoder::new(),
            shown: shown.into(),
        }
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`Error::Refused`] for a wrong login, or as [`Self::next`].
    pub async fn log_in(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let words = ["AUTH", credentials.username(), credentials.password()];
        match self.ask(&words).await? {
            Value::ServerError(refused) => {
                Err(Error::from_redis("AUTH", &self.shown, &refused.into()))
            }
            _ => Ok(()),
        }
    }

    /// Sends a command and awaits its answer, which may be an error of the server's. An empty
    /// command is none.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value, Error> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        let sent = async {
            self.stream.write_all(&command.get_packed_command()).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Error::Unreachable {
            address: self.shown.clone(),
            reason: error.to_string(),
        })?;
        self.next().await
    }

    /// Awaits what the server says next.
    ///
    /// # Errors
    /// [`Error::Unreachable`] once the stream ended, [`Error::Unexpected`] if it is no server's.
    pub async fn next(&mut self) -> Result<Value, Error> {
        parse_redis_value_async(&mut self.decoder, &mut self.stream)
            .await
            .map_err(|error| Error::from_redis("the command", &self.shown, &error))
    }
}
