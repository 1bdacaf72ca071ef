//! Files that survive a crash at any point.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::warn;

/// Files that are written in place are padded to whole blocks of this many bytes.
const BLOCK: usize = 4096;

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

/// [`write_json`] that goes on where the volume has no space left: the file before the last one is
/// kept beside it, and its blocks are written anew. The first two writes need space.
///
/// # Errors
/// The old file stays.
pub fn keep_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| FileError::Json {
        path: path.to_owned(),
        source,
    })?;
    // So that a somewhat longer one fits into the same blocks.
    text.resize(text.len().next_multiple_of(BLOCK), b'\n');
    keep(path, &text).map_err(io_at(path))
}

fn keep(path: &Path, content: &[u8]) -> io::Result<()> {
    let (aside, spare) = (path.with_extension("new"), path.with_extension("spare"));
    // After a crash in the middle both names may be one file: that is not written to.
    match fs::metadata(&spare) {
        Ok(kept) if kept.nlink() == 1 => fs::rename(&spare, &aside)?,
        Ok(_) => fs::remove_file(&spare)?,
        Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(content)?;
    file.set_len(u64::try_from(content.len()).unwrap_or(u64::MAX))?;
    file.sync_all()?;
    // Without links, or without a file yet, none is kept.
    let _ = fs::hard_link(path, &spare);
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
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
    fn a_file_that_is_kept_is_whole_whatever_a_crash_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        for number in 0..4 {
            keep_json(&path, &number).unwrap();
            assert_eq!(read_json::<u32>(&path), Some(number));
        }
        let spare = path.with_extension("spare");
        // Before the new one took the name.
        fs::remove_file(&spare).unwrap();
        fs::hard_link(&path, &spare).unwrap();
        fs::write(path.with_extension("new"), "half").unwrap();
        keep_json(&path, &7).unwrap();
        assert_eq!(read_json::<u32>(&path), Some(7));
        assert_ne!(
            fs::metadata(&path).unwrap().ino(),
            fs::metadata(&spare).unwrap().ino()
        );
    }

    #[test]
    fn a_file_that_is_kept_needs_no_more_space_from_the_third_time_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let inodes = |names: &[&str]| {
            let mut all: Vec<_> = names
                .iter()
                .map(|name| fs::metadata(path.with_extension(name)).unwrap().ino())
                .collect();
            all.sort_unstable();
            all
        };
        keep_json(&path, &1).unwrap();
        keep_json(&path, &2).unwrap();
        let before = inodes(&["", "spare"]);
        keep_json(&path, &"a longer one".repeat(100)).unwrap();
        assert_eq!(inodes(&["", "spare"]), before);
        assert_eq!(fs::metadata(&path).unwrap().len(), 4096);
    }

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
