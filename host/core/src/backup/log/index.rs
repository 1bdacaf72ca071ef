//! What the store has of a shard, by the names of its files.

use std::collections::BTreeMap;

use super::{ALIVE, Alive, PARENT, Parent, PieceName};
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
    /// What a path below the folder of a log ([`Paths::log`](crate::backup::Paths::log)) is, without that folder: such
    /// as `<id>/<piece>`. None if it is nothing of a log.
    pub fn parse(path: &str) -> Option<Self> {
        if path == ALIVE {
            return Some(Self::Alive);
        }
        let (id, file) = path.split_once('/')?;
        if file == PARENT {
            return Some(Self::Parent(id.to_owned()));
        }
        PieceName::parse(id, file).map(Self::Piece)
    }
}

impl Index {
    /// Of these bases, pieces, parents (by the history that has it) and `alive.json`.
    pub fn new(
        bases: Vec<BaseManifest>,
        pieces: impl IntoIterator<Item = PieceName>,
        parents: BTreeMap<String, Parent>,
        alive: Option<Alive>,
    ) -> Self {
        let mut histories: BTreeMap<String, History> = BTreeMap::new();
        for piece in pieces {
            let history = histories.entry(piece.id.clone()).or_default();
            history.pieces.push(piece);
        }
        for (id, parent) in parents {
            histories.entry(id).or_default().parent = Some(parent);
        }
        // Nothing was written to it yet.
        if let Some(alive) = &alive {
            histories.entry(alive.id.clone()).or_default();
        }
        for history in histories.values_mut() {
            history.pieces.sort_unstable();
            history.pieces.dedup();
        }
        Self {
            bases,
            histories,
            alive,
        }
    }

    /// When a history began, as far as its files tell.
    pub(super) fn first_unix_ms(&self, id: &str) -> Option<u64> {
        let history = self.histories.get(id)?;
        let pieces = history.pieces.iter().map(|piece| piece.t0);
        let parent = history.parent.as_ref().map(|parent| parent.unix_ms);
        let alive = self.alive.as_ref().filter(|alive| alive.id == id);
        let alive = alive.map(|alive| alive.unix_ms);
        pieces.chain(parent).chain(alive).min()
    }

    /// The latest time in its files, as far as their names tell.
    pub(in crate::backup) fn last_unix_ms(&self, id: &str) -> Option<u64> {
        let history = self.histories.get(id)?;
        let pieces = history.pieces.iter().map(|piece| piece.t1);
        let parent = history.parent.as_ref().map(|parent| parent.unix_ms);
        let alive = self.alive.as_ref().filter(|alive| alive.id == id);
        let alive = alive.map(|alive| alive.unix_ms);
        pieces.chain(parent).chain(alive).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_log_are_told_apart() {
        let name = PieceName {
            id: "ab".to_owned(),
            from: 1,
            to: 2,
            t0: 3,
            t1: 4,
        };
        let path = format!("ab/{}", name.file_name());
        assert_eq!(Listed::parse(&path), Some(Listed::Piece(name)));
        let parent = Listed::Parent("ab".to_owned());
        assert_eq!(Listed::parse("ab/parent.json"), Some(parent));
        assert_eq!(Listed::parse("alive.json"), Some(Listed::Alive));
        for other in ["", "ab", "ab/", "ab/notes.txt", "ab/cd/parent.json"] {
            assert_eq!(Listed::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_history_that_nothing_was_written_to_is_known_by_what_is_alive() {
        let alive = Alive {
            v: 1,
            id: "ab".to_owned(),
            offset: 5,
            read: 9,
            unix_ms: 77,
        };
        let index = Index::new(Vec::new(), [], BTreeMap::new(), Some(alive));
        assert_eq!(index.histories.len(), 1);
        assert_eq!(index.first_unix_ms("ab"), Some(77));
        assert_eq!(index.first_unix_ms("cd"), None);
    }
}
