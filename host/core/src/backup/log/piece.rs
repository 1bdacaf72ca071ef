//! Files of a log. Later releases read them: fields are added and never change their meaning.

use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::walk::count;
use super::{Evidence, Mark, Quiet};
use crate::backup::FORMAT;
use crate::digest::sha256_hex;

/// What each piece begins with.
const MAGIC: &[u8; 8] = b"HERALOG1";

/// Name of [`Parent`] in the folder of a history.
pub const PARENT: &str = "parent.json";
/// Name of [`Alive`] in the folder of a log.
pub const ALIVE: &str = "alive.json";
/// So many bytes at the beginning of a piece tell how long its header is: see [`header_end`].
pub const HEADER_AT: usize = 12;

/// `parent.json`: a history goes on from another one. Written once, before the first piece of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// [`FORMAT`](crate::backup::FORMAT).
    pub v: u32,
    /// The history that it goes on from.
    pub id: String,
    /// How much of that it has: offsets go on from there.
    pub at: u64,
    /// When the history began, in milliseconds since 1970, or when that was found out: not before it began.
    pub unix_ms: u64,
}

/// `alive.json`: how far a log is that nothing is written to. Written over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alive {
    /// [`FORMAT`](crate::backup::FORMAT).
    pub v: u32,
    /// The history.
    pub id: String,
    /// Where the last write in it ends; the store has it up to there.
    pub offset: u64,
    /// How much of it was read: noise from `offset` on.
    pub read: u64,
    /// All that was acknowledged before is at or before `offset`; in milliseconds since 1970.
    pub unix_ms: u64,
}

/// What stands before the bytes of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceHeader {
    /// [`FORMAT`](crate::backup::FORMAT).
    pub v: u32,
    /// Uid of the object.
    pub uid: String,
    /// The shard.
    pub shard: String,
    /// Program of the server that it was read of: `redis` or `valkey`.
    pub engine: String,
    /// Version of that server.
    pub version: String,
    /// The history.
    pub id: String,
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// When they were written.
    pub evidence: Evidence,
    /// How many bytes they are: `to` − `from`.
    pub raw_bytes: u64,
    /// Their SHA-256 before they were packed, in hex.
    pub sha256: String,
}

/// What the name of a piece tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceName {
    /// The history.
    pub id: String,
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// Time of its first mark, in milliseconds since 1970.
    pub t0: u64,
    /// The latest time in it.
    pub t1: u64,
}

/// What is stored is no piece, or not the one that its name says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PieceError {
    /// It does not begin as a piece does.
    #[error("it is no piece of a log")]
    NoPiece,
    /// It ends in its header.
    #[error("it is cut off")]
    CutOff,
    /// Its header cannot be read.
    #[error("its header cannot be read: {0}")]
    Header(String),
    /// A later release wrote it.
    #[error("a later release wrote it, in format {0}: recover with that release")]
    Later(u32),
    /// Its bytes are not those that were stored.
    #[error("its bytes are not those that were stored")]
    Changed,
    /// It is another one than its name says.
    #[error("it is another one than its name says")]
    Misnamed,
}

/// A header as it is written. Of offsets and times only how far they are from the ones before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    v: u32,
    uid: String,
    shard: String,
    engine: String,
    version: String,
    id: String,
    from: u64,
    to: u64,
    marks: Vec<(u64, u64)>,
    looks: Vec<(u64, u64)>,
    quiet: Vec<(u64, u64)>,
    raw_bytes: u64,
    sha256: String,
}

/// What any header has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl PieceHeader {
    /// Its name.
    pub fn name(&self) -> PieceName {
        PieceName {
            id: self.id.clone(),
            from: self.from,
            to: self.to,
            t0: self.evidence.first_unix_ms().unwrap_or(0),
            t1: self.evidence.last_unix_ms().unwrap_or(0),
        }
    }

    /// Whether these unpacked bytes are those that were stored.
    ///
    /// # Errors
    /// [`PieceError::Changed`].
    pub fn check(&self, raw: &[u8]) -> Result<(), PieceError> {
        let is_same = count(raw) == self.raw_bytes && sha256_hex(raw) == self.sha256;
        is_same.then_some(()).ok_or(PieceError::Changed)
    }

    /// Whether it is the header of what has this name, of this object and shard.
    ///
    /// # Errors
    /// [`PieceError::Misnamed`].
    pub fn check_name(&self, name: &PieceName, uid: &str, shard: &str) -> Result<(), PieceError> {
        let is_of = (self.uid.as_str(), self.shard.as_str()) == (uid, shard);
        let is_whole = self.from.checked_add(self.raw_bytes) == Some(self.to);
        let is_right = is_of && is_whole && self.name() == *name;
        is_right.then_some(()).ok_or(PieceError::Misnamed)
    }
}

impl PieceName {
    /// Its file in the folder of the history.
    pub fn file_name(&self) -> String {
        let Self {
            id: _,
            from,
            to,
            t0,
            t1,
        } = self;
        format!("{from:016x}-{to:016x}-{t0:016x}-{t1:016x}")
    }

    /// What a file in the folder of a history is called; none if it is no piece.
    pub fn parse(id: &str, file_name: &str) -> Option<Self> {
        let mut numbers = file_name.split('-');
        let mut next = || u64::from_str_radix(numbers.next()?, 16).ok();
        let name = Self {
            id: id.to_owned(),
            from: next()?,
            to: next()?,
            t0: next()?,
            t1: next()?,
        };
        // Signs, other digits and more numbers are no names of ours.
        (name.from < name.to && name.file_name() == file_name).then_some(name)
    }
}

/// A piece as it is stored: the header, and the packed bytes.
pub fn encode(header: &PieceHeader, packed: &[u8]) -> Vec<u8> {
    let mut piece = head(header);
    piece.extend_from_slice(packed);
    piece
}

/// What stands before the packed bytes of a piece.
pub fn head(header: &PieceHeader) -> Vec<u8> {
    let PieceHeader {
        v,
        uid,
        shard,
        engine,
        version,
        id,
        from,
        to,
        evidence,
        raw_bytes,
        sha256,
    } = header;
    let quiet = evidence.quiet.iter().map(|quiet| (quiet.from, quiet.to));
    let header = json!({
        "v": v,
        "uid": uid,
        "shard": shard,
        "engine": engine,
        "version": version,
        "id": id,
        "from": from,
        "to": to,
        "marks": steps(evidence.marks.iter().map(pair)),
        "looks": steps(evidence.looks.iter().map(pair)),
        "quiet": steps(quiet),
        "rawBytes": raw_bytes,
        "sha256": sha256,
    });
    let header = header.to_string();
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    [MAGIC.as_slice(), &length.to_le_bytes(), header.as_bytes()].concat()
}

/// Where the header ends that begins so: at least the first [`HEADER_AT`] bytes of a piece.
///
/// # Errors
/// [`PieceError::NoPiece`], [`PieceError::CutOff`].
pub fn header_end(start: &[u8]) -> Result<usize, PieceError> {
    let (magic, rest) = start.split_first_chunk::<8>().ok_or(PieceError::CutOff)?;
    if magic != MAGIC {
        return Err(PieceError::NoPiece);
    }
    let length = rest.first_chunk::<4>().ok_or(PieceError::CutOff)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| PieceError::NoPiece)?;
    HEADER_AT.checked_add(length).ok_or(PieceError::NoPiece)
}

/// The header of a piece, and its packed bytes: what is given of them, none of them is looked at. The first
/// [`header_end`] bytes of a piece suffice.
///
/// # Errors
/// It is none.
pub fn decode(bytes: &[u8]) -> Result<(PieceHeader, &[u8]), PieceError> {
    let end = header_end(bytes)?;
    let (header, packed) = bytes.split_at_checked(end).ok_or(PieceError::CutOff)?;
    let header = header.get(HEADER_AT..).unwrap_or_default();
    let unread = |error: serde_json::Error| PieceError::Header(error.to_string());
    let Version { v } = serde_json::from_slice(header).map_err(unread)?;
    if v > FORMAT {
        return Err(PieceError::Later(v));
    }
    let wire: Wire = serde_json::from_slice(header).map_err(unread)?;
    let mark = |(offset, unix_ms)| Mark { offset, unix_ms };
    let quiet = |(from, to)| Quiet { from, to };
    let header = PieceHeader {
        v: wire.v,
        uid: wire.uid,
        shard: wire.shard,
        engine: wire.engine,
        version: wire.version,
        id: wire.id,
        from: wire.from,
        to: wire.to,
        evidence: Evidence {
            marks: sums(wire.marks).map(mark).collect(),
            looks: sums(wire.looks).map(mark).collect(),
            quiet: sums(wire.quiet).map(quiet).collect(),
        },
        raw_bytes: wire.raw_bytes,
        sha256: wire.sha256,
    };
    Ok((header, packed))
}

fn pair(mark: &Mark) -> (u64, u64) {
    (mark.offset, mark.unix_ms)
}

/// How far each is from the one before.
fn steps(pairs: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut last = (0_u64, 0_u64);
    let step = |pair: (u64, u64)| {
        let before = std::mem::replace(&mut last, pair);
        (pair.0.wrapping_sub(before.0), pair.1.wrapping_sub(before.1))
    };
    pairs.map(step).collect()
}

/// What [`steps`] were made of.
fn sums(steps: Vec<(u64, u64)>) -> impl Iterator<Item = (u64, u64)> {
    let sum = |last: &mut (u64, u64), step: (u64, u64)| {
        *last = (last.0.wrapping_add(step.0), last.1.wrapping_add(step.1));
        Some(*last)
    };
    steps.into_iter().scan((0, 0), sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> PieceHeader {
        let mark = |offset, unix_ms| Mark { offset, unix_ms };
        PieceHeader {
            v: FORMAT,
            uid: "u-1".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            id: "ab".repeat(20),
            from: 100,
            to: 104,
            evidence: Evidence {
                marks: vec![mark(90, 1_700_000_000_000), mark(104, 1_700_000_000_020)],
                looks: vec![mark(90, 1_700_000_000_001), mark(104, 1_700_000_001_000)],
                quiet: vec![Quiet { from: 90, to: 100 }],
            },
            raw_bytes: 4,
            sha256: sha256_hex(b"PING"),
        }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let header = header();
        let stored = encode(&header, b"packed");
        assert_eq!(&stored[..8], b"HERALOG1");
        let (read, packed) = decode(&stored).unwrap();
        assert_eq!((&read, packed), (&header, b"packed".as_slice()));
        read.check(b"PING").unwrap();
        assert_eq!(read.check(b"PONG"), Err(PieceError::Changed));
        let end = header_end(&stored[..HEADER_AT]).unwrap();
        assert_eq!(decode(&stored[..end]).unwrap().0, header);
        let text = std::str::from_utf8(&stored[HEADER_AT..end]).unwrap();
        let marks = r#""marks":[[90,1700000000000],[14,20]]"#;
        assert!(text.contains(marks), "{text}");
    }

    #[test]
    fn a_name_tells_offsets_and_times() {
        let header = header();
        let name = header.name();
        let file = name.file_name();
        assert_eq!(
            file,
            "0000000000000064-0000000000000068-0000018bcfe56800-0000018bcfe56be8"
        );
        assert_eq!(PieceName::parse(&header.id, &file), Some(name.clone()));
        header.check_name(&name, "u-1", "0").unwrap();
        let misnamed = Err(PieceError::Misnamed);
        assert_eq!(header.check_name(&name, "u-2", "0"), misnamed);
        let other = PieceName { to: 105, ..name };
        assert_eq!(header.check_name(&other, "u-1", "0"), misnamed);
        for wrong in ["parent.json", "0-1-2-3", &file.to_uppercase(), &file[1..]] {
            assert_eq!(PieceName::parse("a", wrong), None, "{wrong}");
        }
        let more = format!("{file}-{file}");
        assert_eq!(PieceName::parse("a", &more), None);
    }

    #[test]
    fn what_is_no_piece_is_told_apart_from_what_is_damaged() {
        let stored = encode(&header(), b"");
        assert_eq!(decode(b"REDIS0011...").unwrap_err(), PieceError::NoPiece);
        assert_eq!(decode(&stored[..10]).unwrap_err(), PieceError::CutOff);
        assert_eq!(decode(&stored[..99]).unwrap_err(), PieceError::CutOff);
        let mut damaged = stored.clone();
        damaged[20] = 0;
        assert!(matches!(decode(&damaged), Err(PieceError::Header(_))));
        let later = encode(&PieceHeader { v: 2, ..header() }, b"");
        assert_eq!(decode(&later).unwrap_err(), PieceError::Later(2));
    }
}
