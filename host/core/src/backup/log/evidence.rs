//! What is known of when the bytes of a history were written, and of which instants that says all.

use thiserror::Error;

/// So long before an instant a write may have been acknowledged and not be in what is loaded for it; in milliseconds.
/// Looks come each second: one may be lost.
pub const SLACK_MS: u64 = 2_500;

/// An offset and a time that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// How much of the history.
    pub offset: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// Bytes of a history that write nothing: those behind `from` up to and with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quiet {
    /// Offset before them.
    pub from: u64,
    /// Offset with the last of them.
    pub to: u64,
}

/// When bytes of a history were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// All bytes up to the offset had been written by then: upper bounds, each of which holds alone.
    pub marks: Vec<Mark>,
    /// Every write that was acknowledged before then is at or before the offset.
    pub looks: Vec<Mark>,
    /// Where nothing but noise is: offsets in it are as good as the one before it.
    pub quiet: Vec<Quiet>,
}

/// What of a history is of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Nothing up to this offset was written after the instant.
    pub offset: u64,
    /// The instant, in milliseconds since 1970: what was acknowledged [`SLACK_MS`] before it is at or before the offset.
    pub unix_ms: u64,
}

/// Nothing says what the data was at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Error)]
#[error("what is stored does not say what the data was at that instant")]
pub struct NotCovered {
    /// The nearest earlier instant that is covered, in milliseconds since 1970.
    pub before: Option<u64>,
    /// The nearest later one.
    pub after: Option<u64>,
}

impl Evidence {
    /// What several pieces of one history say together.
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {}

    /// What of the history is of this instant.
    ///
    /// # Errors
    /// It is not covered.
    pub fn cut(&self, unix_ms: u64) -> Result<Until, NotCovered> {}

    /// The latest instant that is covered.
    pub fn latest(&self) -> Option<Until> {}

    /// Where what was written up to an instant ends: the largest offset with a mark at or before it.
    pub fn until(&self, unix_ms: u64) -> Option<u64> {}

    /// The first instant at which [`Self::until`] is at or beyond this offset.
    pub fn stamp(&self, offset: u64) -> Option<u64> {}

    /// The instants that are covered: first and last of each interval, in order.
    pub fn covered(&self) -> Vec<(u64, u64)> {}

    /// Time of the first mark: the first part of a piece's name.
    pub fn first_unix_ms(&self) -> Option<u64> {}

    /// The latest time in it.
    pub fn last_unix_ms(&self) -> Option<u64> {}
}
