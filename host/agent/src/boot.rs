//! Writes what the server reads at its start.

use std::collections::BTreeMap;
use std::path::Path;

use hera_core::digest::sha256_hex;

use crate::agent::{Agent, Work};
use crate::conf::{self, Start};
use crate::durable::{self, FileError};
use crate::state::Source;

/// What was decided for one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The file from which the data is read.
    pub source: Source,
    /// The append-only file that the configuration wants once the data is read.
    pub wants_append: bool,
}

/// Writes configuration and ACL file; says from which file the data is read.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare(agent: &Agent, work: &mut Work) -> Result<Boot, FileError> {
    let settings = &agent.settings;
    let boot = Boot {
        source: source(
            &settings.data,
            work.keeper.get().source,
            wants_append(&work.held.good),
        ),
        wants_append: wants_append(&work.held.good),
    };
    let start = Start {
        settings,
        directives: &work.held.good,
        append: boot.source == Source::Aof,
    };
    durable::write(
        &settings.run.join("server.conf"),
        conf::data_server(&start).as_bytes(),
    )?;
    let users = conf::acl_file(&sha256_hex(agent.password.as_bytes()));
    durable::write(&settings.run.join("users.acl"), users.as_bytes())?;
    let owner = settings.object_uid.clone();
    work.keeper.change(|state| {
        state.clean = false;
        state.owner = owner;
        state.source = Some(boot.source);
    })?;
    work.in_force = work.held.good.clone();
    work.applied.clear();
    work.server = None;
    Ok(boot)
}

/// True if the configuration wants an append-only file.
pub fn wants_append(directives: &BTreeMap<String, String>) -> bool {
    directives
        .get("appendonly")
        .is_some_and(|value| value == "yes")
}

/// Reading the wrong file loses data: with `appendonly yes` and only a snapshot the server starts
/// empty (redis-facts §3.2), and with `appendonly no` it reads an old snapshot beside a newer
/// append-only file.
fn source(data: &Path, remembered: Option<Source>, wants_append: bool) -> Source {
    let has_append = data
        .join("appendonlydir")
        .read_dir()
        .is_ok_and(|mut dir| dir.next().is_some())
        || data.join("appendonly.aof").exists();
    let has_snapshot = data.join("dump.rdb").exists();
    match (has_append, has_snapshot, remembered) {
        (true, true, Some(remembered)) => remembered,
        (true, _, _) => Source::Aof,
        (false, true, _) => Source::Rdb,
        (false, false, _) if wants_append => Source::Aof,
        (false, false, _) => Source::Rdb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_holds_the_data_is_read_whatever_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(source(data, None, true), Source::Aof);
        assert_eq!(source(data, None, false), Source::Rdb);
        std::fs::write(data.join("dump.rdb"), b"x").unwrap();
        assert_eq!(source(data, None, true), Source::Rdb);
        std::fs::create_dir(data.join("appendonlydir")).unwrap();
        std::fs::write(data.join("appendonlydir/appendonly.aof.manifest"), b"x").unwrap();
        assert_eq!(source(data, None, false), Source::Aof);
        assert_eq!(source(data, Some(Source::Rdb), true), Source::Rdb);
    }
}
