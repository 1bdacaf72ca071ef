//! From what the store has to what is loaded for an instant. In two steps, as names have no evidence: [`plan`] names the
//! pieces whose headers decide, [`Plan::cut`] takes what they say.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{Evidence, Index, NotCovered, PieceName};
use crate::backup::BaseManifest;

/// How far around the instant headers are read, in milliseconds: the next of these where the one before gave no answer
/// or not both nearest instants.
pub const AROUND_MS: [u64; 3] = [10_000, 600_000, u64::MAX];

/// What somebody wants to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The instant, in milliseconds since 1970; none for the latest that is covered.
    pub unix_ms: Option<u64>,
    /// The history that ends there, instead of the one that went on.
    pub branch: Option<String>,
}

/// Nothing can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no log.
    #[error("the store has no log of it: name a backup, without an instant")]
    NoLog,
    /// There is no such history.
    #[error("the log has no history {id}: it has {}", .known.join(", "))]
    NoBranch {
        /// What was asked for.
        id: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no base that the log goes on from.
    #[error("the store has no base that its log goes on from: name a backup, without an instant")]
    NoBase,
}

/// What decides about an instant.
#[derive(Clone, Debug)]
pub struct Plan {}

/// What is loaded for an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log is loaded up to this offset.
    pub until: u64,
    /// The instant that this is, in milliseconds since 1970: the one that was asked for, or the latest.
    pub unix_ms: u64,
    /// From which base, and with which pieces: that of the newest base first. The others are for when that is damaged.
    /// At least one.
    pub loads: Vec<Load>,
}

/// A base and the log from it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The base.
    pub base: BaseManifest,
    /// The bytes behind its offset up to [`Cut::until`], in order, without a gap. Empty if the base has all.
    pub stretches: Vec<Stretch>,
}

/// Part of a log in one history: the bytes behind `from` up to and with `to`. Offsets go on from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The history.
    pub id: String,
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// All pieces that have some of it, by their offsets. They overlap where several agents read.
    pub pieces: Vec<PieceName>,
}

/// What decides about an instant.
///
/// # Errors
/// There is nothing to decide about.
pub fn plan(index: &Index, wanted: &Wanted) -> Result<Plan, Refusal> {}

impl Plan {
    /// The pieces whose headers are to be read, so far around the instant (one of [`AROUND_MS`]).
    pub fn headers(&self, around_ms: u64) -> Vec<PieceName> {}

    /// What is loaded, by the evidence in these headers. Headers that are missing never make a wrong answer, only none.
    ///
    /// # Errors
    /// The instant is not covered, or no base leads to it. The nearest instants are those that these headers know.
    pub fn cut(&self, headers: &BTreeMap<PieceName, Evidence>) -> Result<Cut, NotCovered> {}
}

impl Load {
    /// Bytes of the log that are loaded.
    pub fn log_bytes(&self) -> u64 {}
}

impl Stretch {
    /// The piece that has the byte behind `at` and the most after it, of those that are not `damaged`. None if there is
    /// none: that byte is lost.
    pub fn next(&self, at: u64, damaged: &BTreeSet<PieceName>) -> Option<&PieceName> {}
}
