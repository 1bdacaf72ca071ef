//! Commands in a replication stream: where each begins and ends, and what it is by its name.

use thiserror::Error;

/// What a command is, as far as the log cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It keeps the link alive and writes nothing: PING, REPLCONF, a lone line end.
    Noise,
    /// A transaction begins.
    Multi,
    /// A transaction ends.
    Exec,
    /// The commands after it are for another database.
    Select,
    /// It is of no use to a server that loads the log: PUBLISH, SPUBLISH, CLUSTER.
    Dropped,
    /// Anything else.
    Data,
}

/// A whole command of a stream: the bytes behind `from` up to and with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// What it is.
    pub kind: Kind,
}

/// What was read is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at offset {offset} of the log is no command: {words}")]
pub struct NotACommand {
    /// Offset before the byte that is wrong.
    pub offset: u64,
    /// What is wrong.
    pub words: String,
}

/// Walks a stream by the lengths that it tells, whatever parts it comes in. It keeps nothing of it but the name of the
/// command that it is in.
#[derive(Clone, Debug)]
pub struct Walker {}

impl Walker {
    /// A stream whose next byte is the one behind this offset, where a command begins.
    pub fn new(at: u64) -> Self {}

    /// Goes on over these bytes, and tells each command that ends in them.
    ///
    /// # Errors
    /// The bytes are no commands. The walker is of no use then.
    pub fn feed(&mut self, bytes: &[u8], on: impl FnMut(Unit)) -> Result<(), NotACommand> {}

    /// Offset up to which bytes came.
    pub fn at(&self) -> u64 {}

    /// Offset with the last byte of the last whole command.
    pub fn boundary(&self) -> u64 {}

    /// Offset with the last byte of the last whole command that is no [`Kind::Noise`]; where the walk began, if none
    /// came.
    pub fn last_write_end(&self) -> u64 {}

    /// What the command is that is not whole yet; none if there is none, or if its name is not whole.
    pub fn unfinished(&self) -> Option<Kind> {}
}
