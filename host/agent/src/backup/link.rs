//! The link by which the agent draws the dataset of its server: it says what a replica says, up to the end of the
//! snapshot (redis-facts §3.1). It acknowledges nothing, so it counts as no replica that has the data.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::UnixStream;

use super::line::{Line, LinkError, Place};

/// How long it may take to begin: it waits for a child that runs, or as long as it is told to wait for more replicas.
const BEGINS: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// Bytes of what stands before a snapshot whose length is not known, and behind it.
const MARK: usize = 40;

/// A link on which a snapshot comes.
pub struct Link<S = UnixStream> {
    line: Line<S>,
    rest: Rest,
}

/// How the end of the snapshot is known.
enum Rest {
    /// It has not begun.
    All,
    /// There are so many bytes more.
    Bytes(u64),
    /// It ends before this mark. What may be the mark's beginning is held back.
    Until { mark: [u8; MARK], held: Vec<u8> },
}

impl Link {
    /// Has the server that listens at `socket` begin a snapshot. `version` is what a Valkey is told that we read.
    ///
    /// # Errors
    /// It does not.
    pub async fn open(
        socket: &Path,
        password: &str,
        version: Option<&str>,
    ) -> Result<(Self, Place), LinkError> {
        Self::begin(Line::open(socket, password).await?, version).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// The same on any connection.
    ///
    /// # Errors
    /// The server does not begin.
    pub async fn begin(
        mut line: Line<S>,
        version: Option<&str>,
    ) -> Result<(Self, Place), LinkError> {
        if let Some(version) = version {
            // Later Valkey writes what the reader knows; earlier does not know the question, and refuses it.
            match line.say("REPLCONF", &["version", version]).await {
                Ok(()) | Err(LinkError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let only_a_snapshot = ["rdb-only", "1", "capa", "eof", "capa", "psync2"];
        line.say("REPLCONF", &only_a_snapshot).await?;
        Self::full(line).await
    }

    /// Has the server begin with its dataset, as was said what of it is wanted.
    ///
    /// # Errors
    /// It does not.
    pub async fn full(mut line: Line<S>) -> Result<(Self, Place), LinkError> {
        let answer = line.ask("PSYNC", &["?", "-1"], BEGINS).await?;
        let place = Place::of_full_sync(&answer).ok_or(LinkError::Odd {
            command: "PSYNC",
            words: answer,
        })?;
        let rest = Rest::All;
        Ok((Self { line, rest }, place))
    }

    /// What comes behind the snapshot, once that is over.
    pub fn behind(self) -> Line<S> {
        self.line
    }

    /// What comes next of the snapshot; none after its end. There is no time limit.
    ///
    /// # Errors
    /// It does not come.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK + MARK);
            match &mut self.rest {
                Rest::All => {
                    self.rest = rest(&self.line.next("PSYNC").await?)?;
                    continue;
                }
                Rest::Bytes(0) => return Ok(None),
                Rest::Bytes(left) => {
                    let stream = &mut self.line.0;
                    let read = stream.take(*left).read_buf(&mut chunk).await?;
                    *left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                    if read == 0 {
                        return Err(LinkError::Short);
                    }
                }
                Rest::Until { mark, held } => {
                    chunk.append(held);
                    if self.line.0.read_buf(&mut chunk).await? == 0 {
                        return Err(LinkError::Short);
                    }
                    match chunk.strip_suffix(mark.as_slice()).map(<[u8]>::len) {
                        Some(length) => {
                            chunk.truncate(length);
                            self.rest = Rest::Bytes(0);
                        }
                        None => *held = chunk.split_off(chunk.len().saturating_sub(MARK)),
                    }
                }
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

/// `$EOF:<mark>` of what is sent as it is written, `$<length>` of a file.
fn rest(line: &str) -> Result<Rest, LinkError> {
    let read = |line: &str| {
        let text = line.strip_prefix('$')?;
        match text.strip_prefix("EOF:") {
            Some(mark) => Some(Rest::Until {
                mark: mark.as_bytes().try_into().ok()?,
                held: Vec::new(),
            }),
            None => Some(Rest::Bytes(text.parse().ok()?)),
        }
    };
    match (read(line), line.strip_prefix('-')) {
        (Some(rest), _) => Ok(rest),
        (None, Some(words)) => Err(LinkError::Refused {
            command: "PSYNC",
            words: words.to_owned(),
        }),
        (None, None) => Err(LinkError::Odd {
            command: "PSYNC",
            words: line.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, DuplexStream};

    use super::*;

    const MARKED: &[u8] = b"0123456789abcdef0123456789abcdef01234567";
    const BEGUN: &str = "+OK\r\n+OK\r\n\n\n+FULLRESYNC 1f 77\r\n";

    /// What a link reads of a server that says `words`, then `data` in pieces, and closes.
    async fn reads(words: &str, data: &[u8], step: usize) -> Result<(Place, Vec<u8>), LinkError> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (words, data) = (words.to_owned(), data.to_vec());
        let server = tokio::spawn(tells(far, words, data, step));
        let line = Line::begin(near, "secret").await?;
        let (mut link, place) = Link::begin(line, None).await?;
        let mut all = Vec::new();
        while let Some(chunk) = link.next().await? {
            assert!(!chunk.is_empty());
            all.extend(chunk);
        }
        drop(link);
        server.await.unwrap();
        Ok((place, all))
    }

    async fn tells(mut far: DuplexStream, words: String, data: Vec<u8>, step: usize) {
        // A link that has heard enough is closed.
        let _ = far.write_all(words.as_bytes()).await;
        for piece in data.chunks(step) {
            let _ = far.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = far.shutdown().await;
        let mut said = Vec::new();
        let _ = far.read_to_end(&mut said).await;
    }

    fn joined(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[tokio::test]
    async fn a_snapshot_ends_at_its_mark_in_whatever_pieces_it_comes() {
        let data: Vec<u8> = (0..=255).collect();
        let sent = joined(&[b"\n$EOF:", MARKED, b"\r\n", &data, MARKED]);
        for step in [1, 7, 39, 40, 41, 300, 1000] {
            let (place, all) = reads(BEGUN, &sent, step).await.unwrap();
            assert_eq!((place.replication_id.as_str(), place.offset), ("1f", 77));
            assert_eq!(all, data, "pieces of {step}");
        }
    }

    #[tokio::test]
    async fn a_snapshot_that_was_written_to_a_file_has_a_length() {
        let (_, all) = reads(BEGUN, b"\n\n\n$5\r\nREDIS+more", 4).await.unwrap();
        assert_eq!(all, b"REDIS");
    }

    #[tokio::test]
    async fn a_link_that_is_closed_before_the_end_gives_no_snapshot() {
        let marked = joined(&[b"$EOF:", MARKED, b"\r\nREDIS0011", &MARKED[..39]]);
        let all: [&[u8]; 4] = [&marked, b"$10\r\nREDIS", b"", b"\n\n"];
        for sent in all {
            let read = reads(BEGUN, sent, 5).await;
            assert!(matches!(read, Err(LinkError::Short)), "{read:?}");
        }
    }

    #[tokio::test]
    async fn what_a_server_refuses_is_told_in_its_words() {
        let words = "+OK\r\n+OK\r\n-NOMASTERLINK Can't SYNC while not connected with my master\r\n";
        let refused = reads(words, b"", 1).await.unwrap_err();
        assert!(refused.is_not_now());
        assert!(refused.to_string().contains("refused PSYNC: NOMASTERLINK"));
        let denied = reads("-WRONGPASS no\r\n", b"", 1).await.unwrap_err();
        assert!(!denied.is_not_now());
        let odd = reads("+OK\r\n+OK\r\n+CONTINUE\r\n", b"", 1).await;
        assert!(matches!(odd, Err(LinkError::Odd { .. })));
    }
}
