//! The agent's memory of its own, on the data volume.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::durable::{self, FileError};

/// Which file holds the data after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The append-only file.
    Aof,
    /// The snapshot.
    Rdb,
}

/// What is remembered over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Highest term seen.
    pub term: u64,
    /// Term at the last promotion.
    pub promoted_term: u64,
    /// True if the server was last promoted and not demoted since.
    pub primary: bool,
    /// Replication id at the last clean stop.
    pub replication_id: String,
    /// Replication offset at the last clean stop.
    pub offset: u64,
    /// True if the last stop was clean.
    pub clean: bool,
    /// Uid of the object for which the server last ran.
    pub owner: String,
    /// Which file holds the data; unknown on a volume that no agent has seen.
    pub source: Option<Source>,
    /// What a later version wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The state and where it is kept.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    state: State,
}

impl Keeper {
    /// Reads the state; a damaged file counts as none.
    pub fn open(path: PathBuf) -> Self {
        let state = durable::read_json(&path).unwrap_or_default();
        Self { path, state }
    }

    /// The state.
    pub fn get(&self) -> &State {
        &self.state
    }

    /// Changes the state, durably, before anything is done that it tells about.
    ///
    /// # Errors
    /// The state is as before.
    pub fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), FileError> {
        let mut next = self.state.clone();
        change(&mut next);
        if next != self.state {
            durable::write_json(&self.path, &next)?;
            self.state = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_wrote_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, br#"{"term": 4, "fence": {"until": 9}}"#).unwrap();
        let mut keeper = Keeper::open(path.clone());
        keeper.change(|state| state.term = 5).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("\"fence\"") && text.contains("\"term\": 5"),
            "{text}"
        );
    }
}
