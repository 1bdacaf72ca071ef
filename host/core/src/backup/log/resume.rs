//! Where the reading of a server's stream begins: where the store ends, if the server goes on from there.

use std::collections::BTreeMap;

use super::{Parent, PieceName};

/// What a server says of its history (INFO).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHistory {
    /// `master_replid`.
    pub id: String,
    /// `master_repl_offset`.
    pub offset: u64,
    /// `master_replid2`, unless it is all zeros.
    pub id2: Option<String>,
    /// `second_repl_offset`, unless it is negative: the first offset that the two do not share.
    pub second_offset: Option<u64>,
    /// `repl_backlog_first_byte_offset`, if `repl_backlog_active` is 1: the first byte that the server can send still.
    pub backlog_from: Option<u64>,
}

/// What the store has of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {}

/// Where reading begins: `PSYNC <id> <at + 1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The store has this history up to `at`.
    GoOn {
        /// The history.
        id: String,
        /// From behind this offset on.
        at: u64,
    },
    /// The store has the history that this one goes on from: `parent` is written before the first piece.
    Child {
        /// The history.
        id: String,
        /// From behind this offset on: it may be before `parent.at`, as far as the store has the parent.
        at: u64,
        /// What is to be written.
        parent: Parent,
    },
    /// The store has nothing that this history goes on from, or the server cannot send it any more.
    Anew {
        /// The history. A server without a backlog begins another one when it is asked.
        id: String,
        /// From behind this offset on.
        at: u64,
        /// There is a log already.
        after_gap: bool,
    },
}

impl Reached {
    /// What the store has of a history whose folder lists these pieces and this parent.
    pub fn new<'a>(
        pieces: impl IntoIterator<Item = &'a PieceName>,
        parent: Option<&Parent>,
    ) -> Self {}

    /// The largest offset that the store has; none if it has nothing.
    pub fn end(&self) -> Option<u64> {}

    /// The latest time in its pieces, in milliseconds since 1970; 0 if there are none.
    pub fn latest_unix_ms(&self) -> u64 {}
}

impl Start {
    /// The history that is asked for.
    pub fn id(&self) -> &str {}

    /// The offset that is known.
    pub fn at(&self) -> u64 {}
}

/// Where reading begins. `stored` has at least the histories `id` and `id2` of the server, where the store has a folder
/// of them, and any other that shows that there was a log.
pub fn resume(server: &ServerHistory, stored: &BTreeMap<String, Reached>, unix_ms: u64) -> Start {}

/// The log begins anew at the server's offset, though the store may have what came before: the server refused to go on
/// from there.
pub fn anew(server: &ServerHistory, stored: &BTreeMap<String, Reached>) -> Start {}
