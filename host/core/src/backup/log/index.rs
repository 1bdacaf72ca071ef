//! What the store has of a shard, by the names of its files.

use std::collections::BTreeMap;

use super::{Alive, Parent, PieceName};
use crate::backup::BaseManifest;

/// A file in the folder of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A piece.
    Piece(PieceName),
    /// `parent.json` of this history, to be read.
    Parent(String),
    /// `alive.json`, to be read.
    Alive,
}

/// What the store has of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its pieces, by their offsets.
    pub pieces: Vec<PieceName>,
    /// What it goes on from.
    pub parent: Option<Parent>,
}

/// What the store has of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Its bases, in any order.
    pub bases: Vec<BaseManifest>,
    /// The histories in its log.
    pub histories: BTreeMap<String, History>,
    /// How far the log is.
    pub alive: Option<Alive>,
}

impl Listed {
    /// What a path below the folder of a log ([`Paths::log`](crate::backup::Paths::log)) is, without that folder: such as
    /// `<id>/<piece>`. None if it is nothing of a log.
    pub fn parse(path: &str) -> Option<Self> {}
}

impl Index {
    /// Of these bases, pieces, parents (by the history that has it) and `alive.json`.
    pub fn new(
        bases: Vec<BaseManifest>,
        pieces: impl IntoIterator<Item = PieceName>,
        parents: BTreeMap<String, Parent>,
        alive: Option<Alive>,
    ) -> Self {}
}
