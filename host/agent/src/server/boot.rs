//! Writes what the server reads at its start.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hera_core::acl::AclUser;
use hera_core::digest::sha256_hex;

use crate::agent::{Agent, Work};
use crate::apply::append::Saving;
use crate::apply::conf::{self, Start};
use crate::apply::config_state::APPEND_ONLY;
use crate::apply::metrics_user::metrics_user;
use crate::role::follow;
use crate::server::{leftover, listen};
use crate::settings::Settings;
use crate::state::durable::{self, FileError};
use crate::state::remembered::Source;
use crate::volume::dump;

/// Whether a server starts from an append-only file that ends in the middle of a command.
const LOAD_TRUNCATED: &str = "aof-load-truncated";

/// The files that a server reads at its start: what a person goes by who has to choose between copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataFiles {
    /// Bytes in all.
    pub bytes: u64,
    /// When one of them was last written, in milliseconds since 1970; 0 if there are none.
    pub written_unix_ms: u64,
}

impl DataFiles {
    /// Those of a server that starts from `source`.
    fn of(data: &Path, source: Source) -> Self {
        let files = match source {
            Source::Rdb => vec![data.join("dump.rdb")],
            Source::Aof => {
                let mut files = within(&data.join("appendonlydir"));
                files.push(data.join("appendonly.aof"));
                files
            }
        };
        let found = files.iter().filter_map(|path| path.metadata().ok());
        found.fold(Self::default(), |all, file| {
            let written = file.modified().ok();
            let since_1970 = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let millis = since_1970.map_or(0, |since| since.as_millis());
            Self {
                bytes: all.bytes.saturating_add(file.len()),
                written_unix_ms: all.written_unix_ms.max(u64::try_from(millis).unwrap_or(0)),
            }
        })
    }
}

/// Writes configuration and ACL file. What the agent knows of the server starts anew.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare(agent: &Agent, work: &mut Work) -> Result<(), FileError> {
    let settings = &agent.settings;
    leftover::remove_unfinished(&settings.data);
    let remembered = agent.state_file.get();
    if settings.volatile && !remembered.unread {
        leftover::remove_received(&settings.data);
    }
    let wanted = work.held.wants_append() == Some(true);
    let source = source(&settings.data, remembered.source, wanted);
    if source == Source::Aof {
        dump::put_aside(&settings.data, remembered.dump);
    }
    let mut directives = work.held.good();
    let append = source == Source::Aof;
    let whole = append && remembered.has_whole_log();
    if whole {
        // What the configuration says of it is in force only once it is brought to the server.
        directives.remove(LOAD_TRUNCATED);
    }
    let mut at_start = listen::at_start(work.acl.as_ref(), &work.listening);
    // The others of a cluster reach it at a port that goes with the other. Who is no user yet is refused.
    at_start.listens |= settings.shard.is_some();
    let login = login(settings);
    let start = Start {
        login: &login,
        settings,
        directives: &directives,
        append,
        whole,
        listens: at_start.listens,
    };
    durable::write(
        &settings.run.join("server.conf"),
        conf::data_server(&start).as_bytes(),
    )?;
    // From the first moment on, as long as users are in the file at all: a server that does not start with them gets
    // them live, this one among them.
    let own = metrics_user(agent)
        .filter(|own| !at_start.users.is_empty() && !work.listening.is_refused(&own.name));
    let users = at_start.users.iter().copied().chain(&own);
    let users: Vec<&AclUser> = users.collect();
    let users = conf::acl_file(&sha256_hex(agent.password.as_bytes()), &users);
    durable::write(&settings.run.join("users.acl"), users.as_bytes())?;
    let revision = work.acl.as_ref().map_or(0, |set| set.revision);
    work.listening.starts(&at_start, revision);
    agent.note(|state| {
        state.is_held_by(&settings.pod_uid);
        state.starts(&settings.object_uid);
        state.source = Some(source);
        state.log_due = wanted && source == Source::Rdb;
    })?;
    directives.insert(
        APPEND_ONLY.to_owned(),
        if append { "yes" } else { "no" }.to_owned(),
    );
    work.run += 1;
    work.files = DataFiles::of(&settings.data, source);
    work.in_force = directives;
    work.at_start.clear();
    work.from_spec = work.held.config.from_spec.clone();
    work.saving = Saving::Idle;
    work.acl_due = true;
    work.applied.clear();
    work.login_known = false;
    match &agent.cluster {
        Some(cluster) => cluster.login.starts(agent, &login),
        None => follow::tell_login(agent, work),
    }
    work.pauses.end();
    work.server = None;
    agent.board.change(|status| {
        status.config.revision = work.held.config.revision;
        status.config.rejected.clone_from(&work.held.rejected);
        status.config.pending_restart.clear();
    });
    Ok(())
}

/// The mounted password with which servers of a cluster log in at one another; empty if there is none.
pub fn login(settings: &Settings) -> String {
    let text = std::fs::read_to_string(&settings.login).unwrap_or_default();
    text.trim().to_owned()
}

/// What the next server reads at its start: a log, or a snapshot of some time; none if there is nothing.
pub fn next_data(agent: &Agent, wants_append: bool) -> Option<(Source, SystemTime)> {
    let data = &agent.settings.data;
    let source = source(data, agent.state_file.get().source, wants_append);
    let changed = match source {
        Source::Aof => append_changed(data),
        Source::Rdb => changed(&data.join("dump.rdb")),
    };
    changed.map(|at| (source, at))
}

/// Reading the wrong file loses data: with `appendonly yes` and only a snapshot the server starts
/// empty (redis-facts §3.2), and with `appendonly no` it reads an old snapshot beside a newer
/// append-only file.
fn source(data: &Path, remembered: Option<Source>, wants_append: bool) -> Source {
    let append = append_changed(data);
    let snapshot = changed(&data.join("dump.rdb"));
    match (append, snapshot, remembered) {
        (Some(_), Some(_), Some(remembered)) => remembered,
        (Some(_), Some(_), None) if wants_append => Source::Aof,
        // Nobody remembers: the file that is written on and on is the newer one if it is in use.
        (Some(append), Some(snapshot), None) if append < snapshot => Source::Rdb,
        (Some(_), _, _) => Source::Aof,
        (None, Some(_), _) => Source::Rdb,
        (None, None, _) if wants_append => Source::Aof,
        (None, None, _) => Source::Rdb,
    }
}

/// When the append-only file last changed, if there is a whole one.
fn append_changed(data: &Path) -> Option<SystemTime> {
    let paths = within(&data.join("appendonlydir"));
    let manifest = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "manifest");
    // Before 7.0 it is one file.
    paths
        .iter()
        .find(manifest)
        .and_then(|_| paths.iter().filter_map(|path| changed(path)).max())
        .or_else(|| changed(&data.join("appendonly.aof")))
}

fn within(folder: &Path) -> Vec<PathBuf> {
    let names = folder.read_dir().into_iter().flatten().flatten();
    names.map(|entry| entry.path()).collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
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
        std::fs::write(data.join("appendonlydir/temp-appendonly.aof.incr"), b"x").unwrap();
        assert_eq!(source(data, None, true), Source::Rdb, "not whole yet");
        std::fs::write(data.join("appendonlydir/appendonly.aof.manifest"), b"x").unwrap();
        assert_eq!(source(data, None, false), Source::Aof);
        assert_eq!(source(data, Some(Source::Rdb), true), Source::Rdb);
        std::fs::remove_file(data.join("dump.rdb")).unwrap();
        assert_eq!(source(data, Some(Source::Aof), false), Source::Aof);
    }

    #[test]
    fn a_copy_is_as_large_and_as_old_as_the_files_that_its_server_reads() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(DataFiles::of(data, Source::Aof), DataFiles::default());
        std::fs::write(data.join("dump.rdb"), b"older").unwrap();
        std::fs::create_dir(data.join("appendonlydir")).unwrap();
        let at = |name: &str, seconds| {
            let file = std::fs::File::create(data.join("appendonlydir").join(name)).unwrap();
            file.set_len(7).unwrap();
            let at = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(at).unwrap();
        };
        at("appendonly.aof.1.base.rdb", 50);
        at("appendonly.aof.1.incr.aof", 60);
        let files = DataFiles::of(data, Source::Aof);
        assert_eq!((files.bytes, files.written_unix_ms), (14, 60_000));
        assert_eq!(DataFiles::of(data, Source::Rdb).bytes, 5);
    }

    #[test]
    fn without_memory_a_snapshot_newer_than_an_append_only_file_that_is_off_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        std::fs::create_dir(data.join("appendonlydir")).unwrap();
        std::fs::write(data.join("appendonlydir/appendonly.aof.manifest"), b"x").unwrap();
        let dump = std::fs::File::create(data.join("dump.rdb")).unwrap();
        dump.set_modified(SystemTime::now() + std::time::Duration::from_secs(60))
            .unwrap();
        assert_eq!(source(data, None, false), Source::Rdb);
        assert_eq!(source(data, None, true), Source::Aof);
        assert_eq!(source(data, Some(Source::Aof), false), Source::Aof);
    }
}
