//! What was read of a stream and is in no piece yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hera_core::backup::FORMAT;
use hera_core::backup::log::{Alive, Evidence, EvidenceBuilder, Mark, NotACommand, Walker};
use thiserror::Error;

use super::history::Program;
use super::looks::Seen;
use crate::backup::memory::Memory;

/// A piece has no more bytes than this and the rest of a command.
const PIECE: usize = 4 << 20;
/// As much noise makes one.
const NOISE: u64 = 64 << 10;
/// A longer command is not kept: it is in memory twice while it is packed, in the server's container. A sixteenth of
/// what that may take, between these.
const COMMAND_PART: u64 = 16;
const COMMAND_LEAST: u64 = 16 << 20;
const COMMAND_MOST: u64 = 64 << 20;
/// Answers of the primary that wait until the link has read so far.
const LOOKS: usize = 64;

/// Bytes of a history, from one end of a command to another.
#[derive(Debug)]
pub struct Piece {
    /// Of what it was read.
    pub program: Program,
    /// The history.
    pub id: String,
    /// Offset before the first.
    pub from: u64,
    /// Offset with the last.
    pub to: u64,
    /// The bytes.
    pub raw: Vec<u8>,
    /// When they were written.
    pub evidence: Evidence,
    /// When the first of them was read.
    pub read: Instant,
}

/// The stream cannot be kept: the log has a gap.
#[derive(Debug, Error)]
pub enum Unkept {
    /// It is no stream of commands.
    #[error("what the server sends is not understood: {0}")]
    NotACommand(#[from] NotACommand),
    /// A command is too long.
    #[error("a command behind offset {at} has more than {mib} MiB, which the log does not keep", mib = .most >> 20)]
    TooLong {
        /// Where it begins.
        at: u64,
        /// So many bytes it may have.
        most: u64,
    },
}

/// So long a command is kept in a container with this memory.
pub fn longest(memory: Option<Memory>) -> u64 {
    memory.map_or(COMMAND_MOST, |memory| {
        let part = memory.limit() / COMMAND_PART;
        part.clamp(COMMAND_LEAST, COMMAND_MOST)
    })
}

/// What was read and is in no piece yet.
pub struct Reading {
    program: Program,
    id: String,
    walker: Walker,
    evidence: EvidenceBuilder,
    /// Offset before the first byte in `open`.
    from: u64,
    open: Vec<u8>,
    /// When the first byte of it was read.
    since: Option<Instant>,
    /// Answers of the primary about what was not read yet.
    ahead: VecDeque<Seen>,
    /// The most that the primary said it has written; more than it ever will, once it said less.
    told: u64,
    /// A longer command is not kept.
    longest: u64,
}

impl Reading {
    /// Of a history of this server's behind an offset. `stored_unix_ms` is the latest time that the store has of it.
    pub fn new(program: Program, id: &str, at: u64, unix_ms: u64, stored_unix_ms: u64) -> Self {
        Self {
            program,
            id: id.to_owned(),
            walker: Walker::new(at),
            evidence: EvidenceBuilder::new(at, unix_ms, stored_unix_ms),
            from: at,
            open: Vec::new(),
            since: None,
            ahead: VecDeque::new(),
            told: 0,
            longest: COMMAND_MOST,
        }
    }

    /// It keeps no command that has more bytes.
    pub fn keeping(self, longest: u64) -> Self {
        Self { longest, ..self }
    }

    /// The history.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Offset up to which it is in pieces.
    pub fn kept(&self) -> u64 {
        self.from
    }

    /// These bytes come next: they were read by `unix_ms`.
    ///
    /// # Errors
    /// They cannot be kept. What was read before can.
    pub fn take(&mut self, bytes: &[u8], unix_ms: u64, now: Instant) -> Result<(), Unkept> {
        self.open.extend_from_slice(bytes);
        self.since.get_or_insert(now);
        let fed = self.walker.feed(bytes, |_| {});
        let (written, boundary) = (self.walker.last_write_end(), self.walker.boundary());
        self.evidence.note_read(written, boundary, unix_ms);
        self.note_looks();
        fed?;
        match self.walker.at().saturating_sub(boundary) > self.longest {
            true => Err(Unkept::TooLong {
                at: boundary,
                most: self.longest,
            }),
            false => Ok(()),
        }
    }

    /// The primary answered how much it has written. That of another history says nothing of this one. Nor does any
    /// more once it has written less than before: it lost some, and what it writes now is not what is read.
    pub fn sees(&mut self, seen: Seen) {
        if seen.look.id != self.id {
            return;
        }
        if seen.look.offset < self.told {
            self.told = u64::MAX;
            return;
        }
        self.told = seen.look.offset;
        // What comes next is as good, once so much has been read.
        if self.ahead.len() < LOOKS {
            self.ahead.push_back(seen);
        }
        self.note_looks();
    }

    fn note_looks(&mut self) {
        let read = self.walker.boundary();
        while let Some(seen) = self.ahead.pop_front_if(|seen| seen.look.offset <= read) {
            self.evidence
                .note_look(seen.look.offset, seen.asked_unix_ms, seen.answered_unix_ms);
        }
    }

    /// True once the open piece is to be stored.
    pub fn is_due(&self, half: Duration, now: Instant) -> bool {
        let whole = self.walker.boundary().saturating_sub(self.from);
        let writes = self.walker.last_write_end() > self.from;
        let waited = self.since.map(|since| now.saturating_duration_since(since));
        match writes {
            true => self.open.len() >= PIECE || waited.is_some_and(|waited| waited >= half),
            false => whole >= NOISE,
        }
    }

    /// What was read up to the last whole command; none if there is none.
    pub fn seal(&mut self, now: Instant) -> Option<Piece> {
        let (from, to) = (self.from, self.walker.boundary());
        let whole = usize::try_from(to.checked_sub(from)?).ok()?;
        if whole == 0 || whole > self.open.len() {
            return None;
        }
        let rest = self.open.split_off(whole);
        let raw = std::mem::replace(&mut self.open, rest);
        let next = (!self.open.is_empty()).then_some(now);
        let read = std::mem::replace(&mut self.since, next);
        self.from = to;
        Some(Piece {
            program: self.program.clone(),
            id: self.id.clone(),
            from,
            to,
            raw,
            evidence: self.evidence.take_up_to(to),
            read: read.unwrap_or(now),
        })
    }

    /// What is known while nothing is written since the last piece: an offset, and that all that was acknowledged
    /// before this time is at or before it.
    pub fn quiet(&self) -> Option<Mark> {
        let written = self.walker.last_write_end();
        let look = self.evidence.last_look()?;
        (written <= self.from && look.offset == written).then_some(look)
    }

    /// The same, for the store.
    pub fn alive(&self) -> Option<Alive> {
        let look = self.quiet()?;
        Some(Alive {
            v: FORMAT,
            id: self.id.clone(),
            offset: look.offset,
            read: self.walker.boundary(),
            unix_ms: look.unix_ms,
        })
    }
}

#[cfg(test)]
impl Program {
    fn of_a_test() -> Self {
        Self {
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
        }
    }
}

#[cfg(test)]
impl Piece {
    /// One whose bytes are these.
    pub fn of_bytes(raw: Vec<u8>, read: Instant) -> Self {
        Self {
            program: Program::of_a_test(),
            id: "a".to_owned(),
            from: 0,
            to: u64::try_from(raw.len()).unwrap(),
            raw,
            evidence: Evidence::default(),
            read,
        }
    }
}

#[cfg(test)]
mod tests {
    use hera_core::agent::Look;

    use super::*;

    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
    const HALF: Duration = Duration::from_millis(2_500);

    fn set(value: &str) -> Vec<u8> {
        let length = value.len();
        format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${length}\r\n{value}\r\n").into_bytes()
    }

    fn begun(at: u64) -> Reading {
        Reading::new(Program::of_a_test(), "a", at, 1_000, 0)
    }

    fn size(bytes: &[u8]) -> u64 {
        u64::try_from(bytes.len()).unwrap()
    }

    fn seen(offset: u64, asked_unix_ms: u64) -> Seen {
        Seen {
            look: Look {
                id: "a".to_owned(),
                offset,
                since_unix_ms: None,
            },
            asked_unix_ms,
            answered_unix_ms: asked_unix_ms + 1,
        }
    }

    #[test]
    fn a_piece_has_whole_commands_and_what_is_left_begins_the_next() {
        let start = Instant::now();
        let mut reading = begun(100);
        assert!(reading.seal(start).is_none());
        let (one, two) = (set("1"), set("22"));
        let (front, back) = two.split_at(7);
        reading
            .take(&[&one[..], front].concat(), 1_010, start)
            .unwrap();
        assert!(!reading.is_due(HALF, start + HALF / 2));
        assert!(reading.is_due(HALF, start + HALF));
        let piece = reading.seal(start + HALF).unwrap();
        assert_eq!((piece.from, piece.to), (100, 100 + size(&one)));
        assert_eq!((&piece.raw, piece.read), (&one, start));
        assert!(!piece.evidence.marks.is_empty());
        assert!(reading.seal(start + HALF).is_none());
        reading.take(back, 2_000, start + HALF).unwrap();
        let next = reading.seal(start + HALF).unwrap();
        assert_eq!((next.from, &next.raw), (piece.to, &two));
        assert_eq!(reading.kept(), next.to);
    }

    #[test]
    fn a_large_piece_is_due_at_once_and_noise_when_there_is_much_of_it() {
        let now = Instant::now();
        let mut reading = begun(0);
        reading.take(PING, 1_010, now).unwrap();
        assert!(!reading.is_due(HALF, now + HALF * 9));
        for _ in 0..NOISE / size(PING) {
            reading.take(PING, 1_020, now).unwrap();
        }
        assert!(reading.is_due(HALF, now));
        reading.seal(now).unwrap();
        let value = "x".repeat(PIECE);
        reading.take(&set(&value), 1_030, now).unwrap();
        assert!(reading.is_due(HALF, now));
    }

    #[test]
    fn a_primary_that_has_written_less_than_before_says_nothing() {
        let now = Instant::now();
        let mut reading = begun(0);
        let both = [set("1"), set("2")].concat();
        reading.take(&both, 2_000, now).unwrap();
        reading.seal(now).unwrap();
        reading.sees(seen(size(&both), 2_100));
        let known = reading.quiet().unwrap();
        // With the same name of its history: it started anew from an earlier snapshot.
        reading.sees(seen(size(&set("1")), 3_100));
        assert_eq!(reading.quiet(), Some(known));
        let none = reading.evidence.take_up_to(size(&both)).looks;
        assert!(none.iter().all(|look| look.unix_ms <= 2_100), "{none:?}");
        reading.sees(seen(size(&both), 4_100));
        assert_eq!(reading.quiet(), Some(known));
    }

    #[test]
    fn an_answer_counts_once_so_much_was_read_and_only_of_this_history() {
        let now = Instant::now();
        let mut reading = begun(0);
        let one = set("1");
        reading.sees(seen(size(&one), 2_000));
        let mut other = seen(0, 2_000);
        other.look.id = "b".to_owned();
        reading.sees(other);
        assert_eq!(reading.quiet(), None);
        reading.take(&one, 2_100, now).unwrap();
        assert_eq!(reading.quiet(), None, "the write is in no piece yet");
        let piece = reading.seal(now).unwrap();
        let looks: Vec<_> = piece
            .evidence
            .looks
            .iter()
            .map(|look| look.offset)
            .collect();
        assert_eq!(looks, [size(&one)]);
        // Noise is no write.
        reading.take(PING, 3_000, now).unwrap();
        reading.sees(seen(piece.to + size(PING), 4_000));
        let quiet = reading.quiet().unwrap();
        assert_eq!((quiet.offset, quiet.unix_ms), (piece.to, 4_000));
        let alive = reading.alive().unwrap();
        assert_eq!(
            (alive.offset, alive.read, alive.unix_ms),
            (piece.to, piece.to + size(PING), 4_000)
        );
        // One that another write has overtaken says nothing of now.
        reading.take(&one, 5_000, now).unwrap();
        assert_eq!(reading.alive(), None);
        reading.seal(now).unwrap();
        assert_eq!(reading.alive(), None);
    }

    #[test]
    fn what_is_no_command_or_too_long_a_one_ends_the_log_behind_what_came_before() {
        let now = Instant::now();
        let mut reading = begun(0);
        let one = set("1");
        reading.take(&one, 1_010, now).unwrap();
        let broken = reading.take(b"no command\r\n", 1_020, now);
        assert!(matches!(broken, Err(Unkept::NotACommand(_))));
        assert_eq!(reading.seal(now).unwrap().raw, one);

        let longest = longest(Some(Memory::of_a_large_container(1)));
        let mut reading = begun(0).keeping(longest);
        let head = format!("*2\r\n$3\r\nGET\r\n${}\r\n", longest * 2);
        let mut long = [one.clone(), head.into_bytes()].concat();
        long.resize(usize::try_from(longest).unwrap(), b'x');
        reading.take(&long, 1_010, now).unwrap();
        let too_long = reading.take(&long, 1_020, now).unwrap_err();
        assert!(too_long.to_string().contains("64 MiB"), "{too_long}");
        assert_eq!(reading.seal(now).unwrap().raw, one);
    }

    #[test]
    fn a_small_container_keeps_no_command_that_would_fill_it() {
        let mib = |limit: u64| {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, bytes: u64| {
                std::fs::write(folder.path().join(name), bytes.to_string()).unwrap();
            };
            write("memory.max", limit << 20);
            write("memory.current", 1);
            longest(Memory::of(folder.path())) >> 20
        };
        assert_eq!([64, 256, 512, 1_024, 4_096].map(mib), [16, 16, 32, 64, 64]);
        assert_eq!(longest(None) >> 20, 64);
    }
}
