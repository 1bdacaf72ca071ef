//! Evidence as it comes while a stream is read.

use super::{Evidence, Mark, Quiet};

/// What was seen of a stream and is in no piece yet.
#[derive(Clone, Debug)]
pub struct EvidenceBuilder {}

impl EvidenceBuilder {
    /// Reading begins behind `at`, now. `stored_unix_ms` is the latest time that the store has of this history or its
    /// parent (0 if it has none): a clock that is a little behind it waits for it.
    pub fn new(at: u64, unix_ms: u64, stored_unix_ms: u64) -> Self {}

    /// Bytes were read by now: whole commands up to `boundary`, of which the last that is no noise ends at `written`
    /// ([`Walker::boundary`](super::Walker::boundary), [`Walker::last_write_end`](super::Walker::last_write_end)). To be
    /// called after each read, before [`Self::note_look`] of what that read brought.
    pub fn note_read(&mut self, written: u64, boundary: u64, unix_ms: u64) {}

    /// The primary was asked at `asked_unix_ms` and answered by `answered_unix_ms` that it had written up to `offset`,
    /// which has been read since (the boundary is at or beyond it).
    pub fn note_look(&mut self, offset: u64, asked_unix_ms: u64, answered_unix_ms: u64) {}

    /// What belongs to a piece that ends at `to`; the rest stays. There is at least one mark in it.
    pub fn take_up_to(&mut self, to: u64) -> Evidence {}

    /// The last look that was noted, whatever became of it: what [`Alive`](super::Alive) says.
    pub fn last_look(&self) -> Option<Mark> {}
}
