//! A base and the log behind it as the append-only files of a server (redis-facts §3.2).
//!
//! They come to a folder of the agent's own and take their place with it, in one step: a server never finds one without
//! the other.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::files::sync;
use crate::settings::Settings;

/// What begins the names of the files.
const NAME: &str = "appendonly.aof";

/// Where a server reads them.
pub fn folder(data: &Path) -> PathBuf {
    data.join("appendonlydir")
}

/// Where they come to, before they are whole.
pub fn incoming(settings: &Settings) -> PathBuf {
    settings.own().join("incoming")
}

/// The base among those that come.
pub fn base(settings: &Settings) -> PathBuf {
    incoming(settings).join(format!("{NAME}.1.base.rdb"))
}

/// The log among those that come.
pub fn log(settings: &Settings) -> PathBuf {
    incoming(settings).join(format!("{NAME}.1.incr.aof"))
}

/// Makes the folder to which they come.
///
/// # Errors
/// The volume does not take it.
pub fn begin(settings: &Settings) -> io::Result<()> {
    remove(settings)?;
    fs::create_dir(incoming(settings))
}

/// Base and log are whole: writes which is which, and makes all of it durable.
///
/// # Errors
/// The volume does not take it.
pub fn finish(settings: &Settings) -> io::Result<()> {
    let folder = incoming(settings);
    let mut manifest = File::create(folder.join(format!("{NAME}.manifest")))?;
    write!(
        manifest,
        "file {NAME}.1.base.rdb seq 1 type b\nfile {NAME}.1.incr.aof seq 1 type i\n"
    )?;
    manifest.sync_all()?;
    sync(&folder)?;
    sync(&settings.own())
}

/// Removes what came.
///
/// # Errors
/// It stays.
pub fn remove(settings: &Settings) -> io::Result<()> {
    fs::remove_dir_all(incoming(settings)).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_finds_a_base_and_a_log_and_which_is_which() {
        let data = tempfile::tempdir().unwrap();
        let mut settings = Settings::of_a_pod();
        settings.data = data.path().to_owned();
        fs::create_dir(settings.own()).unwrap();
        for _ in 0..2 {
            begin(&settings).unwrap();
            fs::write(base(&settings), "REDIS0011").unwrap();
            fs::write(log(&settings), "").unwrap();
        }
        finish(&settings).unwrap();
        let manifest = fs::read_to_string(incoming(&settings).join("appendonly.aof.manifest"));
        let manifest = manifest.unwrap();
        for line in manifest.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(incoming(&settings).join(words[1]).exists(), "{line}");
        }
        assert_eq!(manifest.lines().count(), 2);
        remove(&settings).unwrap();
        remove(&settings).unwrap();
        assert!(!incoming(&settings).exists());
    }
}
