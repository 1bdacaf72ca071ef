//! What is said to the server on a link of a replica's kind before data comes: a line each way (redis-facts §3.1).

use std::io;
use std::path::Path;
use std::time::Duration;

use hera_core::acl::AGENT_USER;
use hera_redis::command;
use thiserror::Error;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a server may take for an answer.
pub const ANSWERS: Duration = Duration::from_secs(5);
/// Bytes of the longest line that a server says here.
const LINE: u64 = 1024;

/// Why a link gives nothing.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No connection, or it broke.
    #[error("the link to the server broke: {0}")]
    Broken(#[from] io::Error),
    /// No answer in time.
    #[error("the server did not answer {0} in time")]
    Silent(&'static str),
    /// It does not want to.
    #[error("the server refused {command}: {words}")]
    Refused {
        /// What was said.
        command: &'static str,
        /// Its own words.
        words: String,
    },
    /// It says something else than servers do.
    #[error("the server's answer to {command} is not understood: {words}")]
    Odd {
        /// What was said.
        command: &'static str,
        /// The answer.
        words: String,
    },
    /// It ended too early.
    #[error("the server closed the link in the middle: it, or its child that wrote, ended")]
    Short,
    /// It would begin anew.
    #[error("the server does not have what follows offset {0} any more")]
    Overrun(u64),
}

impl LinkError {
    /// True of a server that may do it later.
    pub fn is_not_now(&self) -> bool {
        let Self::Refused { words, .. } = self else {
            return matches!(self, Self::Silent(_));
        };
        let first = words.split(' ').next();
        first.is_some_and(|code| ["NOMASTERLINK", "LOADING", "BUSY", "MASTERDOWN"].contains(&code))
    }
}

/// A place in a history of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The history.
    pub replication_id: String,
    /// How much of it.
    pub offset: u64,
}

impl Place {
    /// `+FULLRESYNC <id> <offset>`.
    pub fn of_full_sync(answer: &str) -> Option<Self> {
        let (id, offset) = answer.strip_prefix("+FULLRESYNC ")?.split_once(' ')?;
        Some(Self {
            replication_id: id.to_owned(),
            offset: offset.parse().ok()?,
        })
    }
}

/// A connection as the agent's user, on which nothing but lines was said so far.
pub struct Line<S = UnixStream>(pub BufReader<S>);

impl Line {
    /// To the server that listens at `socket`.
    ///
    /// # Errors
    /// There is none, or it does not know the password.
    pub async fn open(socket: &Path, password: &str) -> Result<Self, LinkError> {
        let connecting = timeout(ANSWERS, UnixStream::connect(socket)).await;
        let stream = connecting.map_err(|_| LinkError::Silent("a connection"))??;
        Self::begin(stream, password).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// The same over any stream.
    ///
    /// # Errors
    /// The server does not know the password, or does not answer.
    pub async fn begin(stream: S, password: &str) -> Result<Self, LinkError> {
        // What stands before the data; that goes around this where it is read in larger pieces.
        let mut line = Self(BufReader::with_capacity(4096, stream));
        line.say("AUTH", &[AGENT_USER, password]).await?;
        Ok(line)
    }

    /// Says what is answered with `OK`.
    ///
    /// # Errors
    /// It is not.
    pub async fn say(&mut self, command: &'static str, words: &[&str]) -> Result<(), LinkError> {
        match self.ask(command, words, ANSWERS).await? {
            answer if answer == "+OK" => Ok(()),
            words => Err(LinkError::Odd { command, words }),
        }
    }

    /// Asks what is answered with a line within `limit`.
    ///
    /// # Errors
    /// It is not, or with a refusal.
    pub async fn ask(
        &mut self,
        name: &'static str,
        words: &[&str],
        limit: Duration,
    ) -> Result<String, LinkError> {
        let mut said = command(name);
        said.arg(words);
        let answer = timeout(limit, async {
            self.0.write_all(&said.get_packed_command()).await?;
            self.0.flush().await?;
            self.next(name).await
        });
        let answer = answer.await.map_err(|_| LinkError::Silent(name))??;
        match answer.strip_prefix('-') {
            Some(words) => Err(LinkError::Refused {
                command: name,
                words: words.to_owned(),
            }),
            None => Ok(answer),
        }
    }

    /// The next line that says something: empty ones say that the server is at work. There is no time limit.
    ///
    /// # Errors
    /// It does not come.
    pub async fn next(&mut self, command: &'static str) -> Result<String, LinkError> {
        loop {
            let mut line = Vec::new();
            let mut limited = (&mut self.0).take(LINE);
            limited.read_until(b'\n', &mut line).await?;
            let words = String::from_utf8_lossy(&line).trim().to_owned();
            match line.last() {
                None => return Err(LinkError::Short),
                Some(b'\n') if words.is_empty() => {}
                Some(b'\n') => return Ok(words),
                Some(_) => return Err(LinkError::Odd { command, words }),
            }
        }
    }
}
