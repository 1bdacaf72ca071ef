//! What a server loads of a log: the part up to an offset, between commands and outside of transactions.

use super::{Kind, NotACommand, Unit, Walker};

/// Turns the stream of a history into what a server loads. Its output is whole only up to [`Self::whole`]: who writes it
/// truncates it to that in the end.
#[derive(Debug)]
pub struct Cutter {}

/// The command that selects a database: a server that loads a log is told the one of its base first.
pub fn select(db: u32) -> Vec<u8> {}

impl Cutter {
    /// The next byte is the one behind `at`, where a command begins that is in no transaction; nothing behind `until` is
    /// loaded. `at` continues over parents and children: one cutter takes all [`Stretch`](super::Stretch)es.
    pub fn new(at: u64, until: u64) -> Self {}

    /// Takes the bytes behind [`Self::at`], in any parts, and appends to `out` what of them is loaded: commands without
    /// [`Kind::Noise`] and [`Kind::Dropped`]. The last ones may be too much: see [`Self::whole`].
    ///
    /// # Errors
    /// The bytes are no commands.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NotACommand> {}

    /// Offset up to which bytes came.
    pub fn at(&self) -> u64 {}

    /// True once nothing that comes is loaded any more.
    pub fn is_over(&self) -> bool {}

    /// How many bytes of all that was appended are whole: commands that end at or before `until`, and no transaction
    /// without its end. What was written before the first [`Self::take`] is not counted.
    pub fn whole(&self) -> u64 {}

    /// Commands in the whole part.
    pub fn commands(&self) -> u64 {}
}
