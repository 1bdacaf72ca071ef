//! The agent's memory of its own, on the data volume.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::state::durable::{self, FileError};
use crate::state::remembered::State;

/// The state and where it is kept.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

impl StateFile {
    /// Reads the state; a damaged file counts as none.
    pub fn open(path: PathBuf) -> Self {
        let state = Mutex::new(durable::read_json(&path).unwrap_or_default());
        Self { path, state }
    }

    /// The state.
    pub fn get(&self) -> State {
        self.lock().clone()
    }

    /// Changes the state, durably, before anything is done that it tells about; then `tell`s it. True if
    /// it was written for that.
    ///
    /// # Errors
    /// The state is as before.
    pub fn change(
        &self,
        change: impl FnOnce(&mut State),
        tell: impl FnOnce(&State),
    ) -> Result<bool, FileError> {
        let mut state = self.lock();
        let mut next = state.clone();
        change(&mut next);
        let changes = next != *state;
        if changes {
            durable::keep_json(&self.path, &next)?;
            *state = next;
        }
        tell(&state);
        Ok(changes)
    }

    /// Writes the state as it is: whether that works is seen.
    ///
    /// # Errors
    /// It does not.
    pub fn write_again(&self) -> Result<(), FileError> {
        durable::keep_json(&self.path, &*self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let state_file = StateFile::open(path.clone());
        state_file.change(|state| state.term = 5, |_| {}).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("\"fence\"") && text.contains("\"term\": 5"),
            "{text}"
        );
    }
}
