//! Files that survive a crash at any point.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::warn;

/// Why a file could not be kept.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system.
    #[error("{path}: {source}; check the volume's free space and rights")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not writable as JSON.
    #[error("{path} cannot be written as JSON: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// Another agent has the folder.
    #[error("another agent already runs on {0}: two pods may not share a data volume")]
    Locked(PathBuf),
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { path, source }
}

/// Writes `content` aside, syncs, renames and syncs the folder; readable by the owner alone.
///
/// # Errors
/// The old file stays.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let aside = path.with_extension("new");
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    attempt().map_err(io_at(path))
}

/// [`write`] of JSON.
///
/// # Errors
/// The old file stays.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let text = serde_json::to_vec_pretty(value).map_err(|source| FileError::Json {
        path: path.to_owned(),
        source,
    })?;
    write(path, &text)
}

/// Reads JSON; a file that is missing or damaged counts as absent, the latter is logged.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(path = %path.display(), %error, "file cannot be read and counts as absent");
            return None;
        }
    };
    serde_json::from_slice(&text)
        .map_err(|error| {
            warn!(path = %path.display(), %error, "file is damaged and counts as absent");
        })
        .ok()
}

/// Makes a folder for the owner alone.
///
/// # Errors
/// When it cannot be made.
pub fn folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_at(path))
}

/// Holds the data folder for this process; released when dropped or when the process ends.
///
/// # Errors
/// [`FileError::Locked`] when another process holds it.
pub fn lock(folder: &Path) -> Result<Flock<File>, FileError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_at(&path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| FileError::Locked(folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(&path, b"{\"te").unwrap();
        assert_eq!(read_json::<serde_json::Value>(&path), None);
        write_json(&path, &serde_json::json!({"term": 3})).unwrap();
        assert_eq!(read_json::<serde_json::Value>(&path).unwrap()["term"], 3);
    }

    #[test]
    fn a_folder_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(FileError::Locked(_))));
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }
}
