use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Login;

/// How long a server that is well may take to let it in.
const LOGIN: Duration = Duration::from_secs(5);

/// A client that waits for its answers as long as its connection stands.
pub struct Patient {
    stream: TcpStream,
}

impl Patient {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When it is not let in.
    pub async fn connect(login: &Login) -> Result<Self> {
        let mut stream = TcpStream::connect((login.host.as_str(), 6379)).await?;
        let user = login.user.as_deref().unwrap_or("default");
        let line = format!("AUTH {user} {}\r\n", login.password);
        stream.write_all(line.as_bytes()).await?;
        let mut answer = [0; 5];
        timeout(LOGIN, stream.read_exact(&mut answer))
            .await
            .context("no answer to the login")??;
        if &answer != b"+OK\r\n" {
            bail!("it is not let in: {}", String::from_utf8_lossy(&answer));
        }
        Ok(Self { stream })
    }

    /// Sends a command so many times.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, command: &str, times: usize) -> Result<()> {
        let lines = format!("{command}\r\n").repeat(times);
        Ok(self.stream.write_all(lines.as_bytes()).await?)
    }

    /// How many were acknowledged when the server closes the connection.
    ///
    /// # Errors
    /// When it stands longer than `bound`.
    pub async fn answers(mut self, bound: Duration) -> Result<usize> {
        let mut text = Vec::new();
        // A server that is killed resets it: what came before counts.
        let end = timeout(bound, self.stream.read_to_end(&mut text)).await;
        let _ = end.context("the server keeps the connection")?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter(|line| *line == "+OK").count())
    }
}
