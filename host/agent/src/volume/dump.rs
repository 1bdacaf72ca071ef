//! A snapshot that a person puts on the volume.
//!
//! Where the append-only file holds the data, a `dump.rdb` beside it is not read, and the server's own
//! next snapshot would overwrite it. Put there while the server was down, it is kept under another name
//! and told of.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

/// Name of a snapshot that was not read.
pub const NOT_READ: &str = "dump.rdb.not-read";
const DUMP: &str = "dump.rdb";

/// Tells one snapshot from another; all zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dump {
    inode: u64,
    bytes: u64,
    written_unix_ns: i64,
}

impl Dump {
    /// The one that is there.
    pub fn of(data: &Path) -> Self {
        let found = data.join(DUMP).metadata();
        found.map_or(Self::default(), |file| Self {
            inode: file.ino(),
            bytes: file.len(),
            written_unix_ns: file
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(file.mtime_nsec()),
        })
    }

    fn is_there(&self) -> bool {
        *self != Self::default()
    }
}

/// Puts a snapshot aside that is another than when the last server ended, where that is known.
pub fn put_aside(data: &Path, at_the_end: Option<Dump>) {
    let found = Dump::of(data);
    if !found.is_there() || at_the_end.is_none_or(|known| known == found) {
        return;
    }
    let (from, to) = (data.join(DUMP), data.join(NOT_READ));
    // The one before may be wanted as well.
    if let Ok(older) = to.metadata() {
        keep(&to, &data.join(format!("{NOT_READ}.{}", older.mtime())));
    }
    keep(&from, &to);
}

fn keep(from: &Path, to: &Path) {
    match std::fs::rename(from, to) {
        Ok(()) => {
            info!(to = %to.display(), "a snapshot that somebody put there is kept, and not read")
        }
        Err(error) => {
            warn!(%error, from = %from.display(), "a snapshot that is not read stays where it is")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_snapshot_that_came_while_no_server_ran_is_kept_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let write = |text: &str| std::fs::write(data.join(DUMP), text).unwrap();
        let none = Dump::of(data);
        put_aside(data, Some(none));
        write("its own");
        put_aside(data, None);
        put_aside(data, Some(Dump::of(data)));
        assert_eq!(names(data), [DUMP], "it is the server's, or nobody knows");

        let own = Dump::of(data);
        write("somebody's");
        put_aside(data, Some(own));
        assert_eq!(names(data), [NOT_READ]);
        write("another of somebody's");
        put_aside(data, Some(none));
        let kept = names(data);
        assert_eq!((kept.len(), kept[0].as_str()), (2, NOT_READ));
        let newest = std::fs::read_to_string(data.join(NOT_READ)).unwrap();
        assert_eq!(newest, "another of somebody's");
    }
}
