//! Files of a log. Later releases read them: fields are added and never change their meaning.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Evidence;

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
    /// When that was found out, in milliseconds since 1970.
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

impl PieceHeader {
    /// Its name.
    pub fn name(&self) -> PieceName {}

    /// Whether these unpacked bytes are those that were stored.
    ///
    /// # Errors
    /// [`PieceError::Changed`].
    pub fn check(&self, raw: &[u8]) -> Result<(), PieceError> {}

    /// Whether it is the header of what has this name, of this object and shard.
    ///
    /// # Errors
    /// [`PieceError::Misnamed`].
    pub fn check_name(&self, name: &PieceName, uid: &str, shard: &str) -> Result<(), PieceError> {}
}

impl PieceName {
    /// Its file in the folder of the history.
    pub fn file_name(&self) -> String {}

    /// What a file in the folder of a history is called; none if it is no piece.
    pub fn parse(id: &str, file_name: &str) -> Option<Self> {}
}

/// A piece as it is stored: the header, and the packed bytes.
pub fn encode(header: &PieceHeader, packed: &[u8]) -> Vec<u8> {}

/// Where the header ends that begins so: at least the first [`HEADER_AT`] bytes of a piece.
///
/// # Errors
/// [`PieceError::NoPiece`], [`PieceError::CutOff`].
pub fn header_end(start: &[u8]) -> Result<usize, PieceError> {}

/// The header of a piece, and its packed bytes: what is given of them, none of them is looked at. The first
/// [`header_end`] bytes of a piece suffice.
///
/// # Errors
/// It is none.
pub fn decode(bytes: &[u8]) -> Result<(PieceHeader, &[u8]), PieceError> {}
