//! The link on which the stream of the server's history comes (redis-facts §3.1): it says what a replica says that has
//! the data up to an offset. It acknowledges nothing while the server serves, so nobody counts it as one that has what
//! was written.

use std::io;
use std::time::Duration;

use hera_redis::command;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::backup::line::{ANSWERS, Line, LinkError};
use crate::backup::link::Link;

/// Bytes that are read at once.
pub const CHUNK: usize = 64 << 10;
/// How long a server may take for a snapshot of nothing: it waits for a child that runs.
const EMPTY_FOR: Duration = Duration::from_secs(60);
/// Bytes of such a snapshot: what it tells of itself.
const EMPTY: usize = 64 << 10;
/// A server that takes no line for so long takes nothing.
const TAKES: Duration = Duration::from_secs(1);

/// A link on which a stream comes.
pub struct Stream<S = UnixStream> {
    line: Line<S>,
    /// The history.
    pub id: String,
    /// Offset up to which it was read.
    pub at: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// What follows an offset of a history.
    ///
    /// # Errors
    /// The server does not send it. [`LinkError::Overrun`] if it would only begin anew.
    pub async fn go_on(mut line: Line<S>, id: &str, at: u64) -> Result<Self, LinkError> {
        line.say("REPLCONF", &["capa", "eof", "capa", "psync2"])
            .await?;
        let next = at.saturating_add(1).to_string();
        let words = line.ask("PSYNC", &[id, &next], ANSWERS).await?;
        let id = match words.strip_prefix("+CONTINUE").map(str::trim) {
            Some("") => id.to_owned(),
            Some(told) => told.to_owned(),
            None if words.starts_with("+FULLRESYNC") => return Err(LinkError::Overrun(at)),
            None => {
                let command = "PSYNC";
                return Err(LinkError::Odd { command, words });
            }
        };
        Ok(Self { line, id, at })
    }

    /// What a lone primary writes from now on. It keeps a history for nobody, and begins one: its snapshot comes first,
    /// with no data in it.
    ///
    /// # Errors
    /// The server does not.
    pub async fn anew(mut line: Line<S>) -> Result<Self, LinkError> {
        line.say("REPLCONF", &["rdb-filter-only", ""]).await?;
        line.say("REPLCONF", &["capa", "eof", "capa", "psync2"])
            .await?;
        let (mut link, place) = Link::full(line).await?;
        let mut bytes = 0;
        let passes = timeout(EMPTY_FOR, async {
            while let Some(chunk) = link.next().await? {
                bytes += chunk.len();
                if bytes > EMPTY {
                    let words = "a snapshot with data, where none was to be in it".to_owned();
                    let command = "PSYNC";
                    return Err(LinkError::Odd { command, words });
                }
            }
            Ok(())
        });
        passes.await.map_err(|_| LinkError::Silent("PSYNC"))??;
        let mut stream = Self {
            line: link.behind(),
            id: place.replication_id,
            at: place.offset,
        };
        // From here on the stream is sent.
        stream.acknowledge(0).await?;
        Ok(stream)
    }

    /// What comes next, in place of what is in `chunk`; nothing once the server has closed the link. Nothing is lost if
    /// this is dropped before it completes.
    ///
    /// # Errors
    /// The link broke.
    pub async fn read(&mut self, chunk: &mut Vec<u8>) -> io::Result<usize> {
        chunk.clear();
        let read = self.line.0.read_buf(chunk).await?;
        self.at += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }

    /// Tells the server that we live, and have the data up to an offset.
    ///
    /// # Errors
    /// It does not take that.
    pub async fn acknowledge(&mut self, offset: u64) -> Result<(), LinkError> {
        let mut said = command("REPLCONF");
        said.arg("ACK").arg(offset);
        let said = said.get_packed_command();
        let says = timeout(TAKES, async {
            self.line.0.write_all(&said).await?;
            self.line.0.flush().await
        });
        Ok(says.await.map_err(|_| LinkError::Silent("REPLCONF"))??)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    const MARK: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A server that says this, whatever it is told, and what it was told.
    fn server(words: &str) -> (DuplexStream, tokio::task::JoinHandle<String>) {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let words = words.to_owned();
        let said = tokio::spawn(async move {
            let _ = far.write_all(words.as_bytes()).await;
            let mut said = String::new();
            let _ = far.read_to_string(&mut said).await;
            said
        });
        (near, said)
    }

    async fn goes_on(words: &str) -> (Result<Stream<DuplexStream>, LinkError>, String) {
        let (near, said) = server(&format!("+OK\r\n+OK\r\n{words}"));
        let line = Line::begin(near, "secret").await.unwrap();
        let mut stream = Stream::go_on(line, "1f", 76).await;
        if let Ok(stream) = &mut stream {
            let mut chunk = Vec::with_capacity(CHUNK);
            stream.read(&mut chunk).await.unwrap();
            assert_eq!(chunk, b"abc");
            assert_eq!(stream.at, 79);
        }
        // The other end hears no more once this is gone.
        let stream = stream.map(|stream| Stream {
            line: Line(tokio::io::BufReader::new(tokio::io::duplex(1).0)),
            id: stream.id,
            at: stream.at,
        });
        (stream, said.await.unwrap())
    }

    #[tokio::test]
    async fn a_history_goes_on_behind_an_offset_under_its_name_or_under_another() {
        for (words, id) in [("+CONTINUE\r\nabc", "1f"), ("+CONTINUE 2a\r\nabc", "2a")] {
            let (stream, said) = goes_on(words).await;
            assert_eq!(stream.unwrap().id, id);
            assert!(said.contains("PSYNC\r\n$2\r\n1f\r\n$2\r\n77"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_server_that_would_begin_anew_is_not_let() {
        let (stream, _) = goes_on("+FULLRESYNC 2a 900\r\n").await;
        assert!(matches!(stream, Err(LinkError::Overrun(76))));
        let (stream, _) = goes_on("-NOMASTERLINK no\r\n").await;
        assert!(stream.is_err_and(|error| error.is_not_now()));
    }

    #[tokio::test]
    async fn behind_a_snapshot_of_nothing_is_the_stream_and_one_with_data_is_refused() {
        let anew = async |data: &str| {
            let oks = "+OK\r\n".repeat(3);
            let words =
                format!("{oks}+FULLRESYNC 2a 900\r\n\n$EOF:{MARK}\r\nREDIS0011{data}{MARK}");
            let (near, _said) = server(&words);
            let line = Line::begin(near, "secret").await.unwrap();
            Stream::anew(line).await
        };
        let stream = anew("").await.unwrap();
        assert_eq!((stream.id.as_str(), stream.at), ("2a", 900));
        let data = "x".repeat(EMPTY);
        assert!(matches!(anew(&data).await, Err(LinkError::Odd { .. })));
    }
}
