//! What a recovery leaves on the volume.
//!
//! The note is the commit: with it, and not before it, what came is the server's data, also where the agent ended
//! before that took its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use hera_core::backup::{BaseManifest, Failure, FailureReason, RecoveryNews};
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::append_only;
use crate::backup::failed;
use crate::settings::Settings;
use crate::state::durable::{self, FileError};
use crate::state::remembered::Source;
use crate::volume::dump::NOT_READ;

const MIB: u64 = 1 << 20;
const DUMP: &str = "dump.rdb";

/// What a volume is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filling {
    /// The base.
    pub base: Box<BaseManifest>,
    /// The instant to which the log behind the base leads, in milliseconds since 1970; none where there is no log.
    pub reached_unix_ms: Option<u64>,
}

impl Filling {
    /// Which file of the server it becomes.
    fn source(&self) -> Source {
        match self.reached_unix_ms {
            Some(_) => Source::Aof,
            None => Source::Rdb,
        }
    }

    /// The volume has it.
    pub fn done(&self) -> RecoveryNews {
        RecoveryNews::Done {
            taken_unix_ms: self.reached_unix_ms.unwrap_or(self.base.taken_unix_ms),
            base: self.base.path.clone(),
        }
    }
}

/// The recovery of this volume is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Uid of the object for which it was made.
    uid: String,
    /// What the volume was filled with; none if the server was to start without.
    base: Option<Box<BaseManifest>>,
    /// [`Filling::reached_unix_ms`].
    #[serde(default)]
    reached_unix_ms: Option<u64>,
}

impl Note {
    /// What the volume was filled with; none if the server was to start without.
    pub fn filling(self) -> Option<Filling> {
        Some(Filling {
            base: self.base?,
            reached_unix_ms: self.reached_unix_ms,
        })
    }
}

fn note_path(settings: &Settings) -> PathBuf {
    settings.own().join("recovered.json")
}

/// Where a base comes to that is the data alone, before it is whole.
pub fn incoming(settings: &Settings) -> PathBuf {
    settings.own().join("incoming.rdb")
}

/// The note on this volume, if it was made for this object.
pub fn noted(settings: &Settings) -> Option<Note> {
    let note: Option<Note> = durable::read_json(&note_path(settings));
    note.filter(|note| note.uid == settings.object_uid)
}

/// Notes durably that the recovery is over.
///
/// # Errors
/// It is not noted.
pub fn note(settings: &Settings, filling: Option<&Filling>) -> Result<(), FileError> {
    let note = Note {
        uid: settings.object_uid.clone(),
        base: filling.map(|filling| filling.base.clone()),
        reached_unix_ms: filling.and_then(|filling| filling.reached_unix_ms),
    };
    durable::write_json(&note_path(settings), &note)
}

/// Data of a server on the volume: the first file of it that is found. What cannot be looked at may be data.
pub fn data(data: &Path) -> Option<PathBuf> {
    let files = [DUMP, NOT_READ, "appendonly.aof"].map(|name| data.join(name));
    let mut files = files.into_iter();
    files
        .find(|file| file.try_exists().unwrap_or(true))
        .or_else(|| {
            let log = append_only::folder(data);
            match log.read_dir() {
                Ok(mut files) => files
                    .next()
                    .map(|file| file.map_or(log, |file| file.path())),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(_) => Some(log),
            }
        })
}

/// The volume has data, and keeps it.
pub fn present(file: &Path) -> Failure {
    let words = format!(
        "the volume has data already ({}) and keeps it: recover into an object of another name, or remove that \
         data",
        file.display()
    );
    failed(FailureReason::DataPresent, words)
}

/// Checks the room for data of a server.
///
/// # Errors
/// [`FailureReason::TooSmall`] if the volume has no room for so many bytes, and a tenth more.
pub fn has_room(data: &Path, bytes: u64) -> Result<(), Failure> {
    let volume = statvfs(data).map_err(|error| of_volume(&io::Error::from(error)))?;
    let free = volume.blocks_available() * volume.fragment_size();
    let needed = bytes.saturating_add(bytes / 10);
    if needed <= free {
        return Ok(());
    }
    let words = format!(
        "the volume has {} MiB free, and the data takes {} MiB: make it larger",
        free / MIB,
        needed.div_ceil(MIB)
    );
    Err(failed(FailureReason::TooSmall, words))
}

/// The volume does not take what is written.
pub fn of_volume(error: &io::Error) -> Failure {
    let words = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make it larger",
        _ => "see what is wrong with it",
    };
    let words = format!("the volume does not take the data: {error}; {words}");
    failed(FailureReason::TooSmall, words)
}

fn unwritten(error: FileError) -> Failure {
    failed(FailureReason::TooSmall, error.to_string())
}

/// Makes what came the data of the server. `remember` notes, durably, which file of a server holds it.
///
/// # Errors
/// Once it is noted, what was not done is done by [`take_up`], or undone by [`discard`].
pub fn put_in_place(
    settings: &Settings,
    filling: &Filling,
    remember: impl FnOnce(Source) -> Result<(), FileError>,
) -> Result<(), Failure> {
    note(settings, Some(filling)).map_err(unwritten)?;
    move_in(settings, filling.source(), remember)
}

/// What came and was noted takes its place, if an agent ended before it did.
///
/// # Errors
/// It does not.
pub fn take_up(
    settings: &Settings,
    filling: &Filling,
    remember: impl FnOnce(Source) -> Result<(), FileError>,
) -> Result<(), Failure> {
    let source = filling.source();
    let (came, _) = way(settings, source);
    match came.exists() {
        true => move_in(settings, source, remember),
        false => Ok(()),
    }
}

/// One step, whatever came: a file, or a folder of files, takes another place.
fn move_in(
    settings: &Settings,
    source: Source,
    remember: impl FnOnce(Source) -> Result<(), FileError>,
) -> Result<(), Failure> {
    // Somebody may have put data there meanwhile.
    if let Some(file) = data(&settings.data) {
        return Err(present(&file));
    }
    remember(source).map_err(unwritten)?;
    let (from, to) = way(settings, source);
    let moved = fs::rename(from, to)
        .and_then(|()| sync(&settings.data))
        .and_then(|()| sync(&settings.own()));
    moved.map_err(|error| of_volume(&error))
}

/// Where it came to, and where a server reads it.
fn way(settings: &Settings, source: Source) -> (PathBuf, PathBuf) {
    match source {
        Source::Rdb => (incoming(settings), settings.data.join(DUMP)),
        Source::Aof => (
            append_only::incoming(settings),
            append_only::folder(&settings.data),
        ),
    }
}

/// Removes what came and what was noted of it: the volume is as before.
pub fn discard(settings: &Settings) {
    // The note first: without the file it would tell of data that is not there.
    let removed = remove(&note_path(settings))
        .and_then(|()| sync(&settings.own()))
        .and_then(|()| remove(&incoming(settings)))
        .and_then(|()| append_only::remove(settings));
    if let Err(error) = removed {
        warn!(%error, "what is left of a recovery stays");
    }
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Makes what was done to the names in a folder durable.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_server_are_data_and_what_the_agent_keeps_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for own in [".hera", "lost+found", "appendonlydir"] {
            fs::create_dir(at(own)).unwrap();
        }
        fs::write(at(".hera/state"), "{}").unwrap();
        fs::write(at("nodes.conf"), "vars").unwrap();
        assert_eq!(data(folder.path()), None);
        for name in [
            "appendonlydir/appendonly.aof.1.base.rdb",
            "appendonly.aof",
            "dump.rdb.not-read",
            "dump.rdb",
        ] {
            fs::write(at(name), "x").unwrap();
            assert_eq!(data(folder.path()), Some(at(name)));
            fs::remove_file(at(name)).unwrap();
        }
    }

    /// Notes of an earlier release have no instant.
    #[test]
    fn a_note_without_an_instant_is_of_a_base_alone() {
        let base = serde_json::json!({
            "v": 1, "uid": "old", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "r", "offset": 7, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5, "storedBytes": 5,
            "sha256": "", "crc64": "0", "usedMemory": 1, "path": "shop.cache/old/base/0/r-7"
        });
        let note =
            |note: serde_json::Value| serde_json::from_value::<Note>(note).unwrap().filling();
        let alone = note(serde_json::json!({"uid": "o", "base": base})).unwrap();
        assert_eq!(alone.source(), Source::Rdb);
        let taken = |filling: &Filling| match filling.done() {
            RecoveryNews::Done { taken_unix_ms, .. } => taken_unix_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(taken(&alone), 9);
        let with_log = serde_json::json!({"uid": "o", "base": base, "reachedUnixMs": 20});
        let with_log = note(with_log).unwrap();
        assert_eq!((with_log.source(), taken(&with_log)), (Source::Aof, 20));
        assert_eq!(note(serde_json::json!({"uid": "o", "base": null})), None);
    }

    #[test]
    fn a_volume_without_room_is_too_small() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(has_room(folder.path(), 0), Ok(()));
        let refused = has_room(folder.path(), u64::MAX).unwrap_err();
        assert_eq!(refused.reason, FailureReason::TooSmall);
        assert!(refused.message.contains("make it larger"), "{refused:?}");
    }
}
