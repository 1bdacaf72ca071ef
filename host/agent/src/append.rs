//! Switches the append-only file, step by step: a rewrite takes as long as the data is large.
//!
//! Which file the next start reads is noted durably, after the file holds all data and before the
//! other one stops to: a crash in between reads a file that is whole.

use std::time::{Duration, Instant};

use hera_redis::{ConfigSet, Error, Server, ServerInfo};
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::held::APPEND_ONLY;
use crate::state::Source;

/// Before a switch that failed is tried again: each try may fork a large process.
const AGAIN: Duration = Duration::from_secs(30);

/// How far a switch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saving {
    /// Nothing is under way.
    #[default]
    Idle,
    /// A snapshot of everything is being written.
    Snapshot,
    /// It failed.
    Failed(Instant),
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// All is as wanted.
    Done,
    /// Look again.
    Wait,
    /// The append-only file is complete.
    NoteAppend,
    TurnOn,
    Save,
    /// The snapshot is complete.
    NoteSnapshot,
    TurnOff,
    GiveUpForNow,
}

/// Takes the next step, if there is one; true if there may be another soon.
pub async fn settle(agent: &Agent, work: &mut Work, server: &Server, info: &ServerInfo) -> bool {
    if matches!(work.saving, Saving::Failed(since) if since.elapsed() < AGAIN) {
        return false;
    }
    let source = work.keeper.get().source.unwrap_or(Source::Rdb);
    let result = match next(work.held.wants_append(), source, work.saving, info) {
        Step::Done => {
            show(agent, false, None);
            return false;
        }
        Step::Wait => Ok(()),
        Step::NoteAppend => note(work, Source::Aof),
        Step::NoteSnapshot => note(work, Source::Rdb),
        Step::TurnOn => set(server, "yes").await,
        Step::TurnOff => set(server, "no").await,
        Step::Save => save(work, server).await,
        Step::GiveUpForNow => Err("no snapshot can be saved: check the volume's space".to_owned()),
    };
    if let Err(why) = &result {
        warn!(%why, "the append-only file cannot be switched now");
        work.saving = Saving::Failed(Instant::now());
    }
    show(agent, true, result.as_ref().err().cloned());
    result.is_ok()
}

fn next(wanted: bool, source: Source, saving: Saving, info: &ServerInfo) -> Step {
    let on = info.append.enabled;
    match (wanted, source) {
        (true, _) if !on => Step::TurnOn,
        (true, Source::Aof) => Step::Done,
        (true, Source::Rdb) if info.append.rewriting => Step::Wait,
        (true, Source::Rdb) => Step::NoteAppend,
        (false, Source::Rdb) if on => Step::TurnOff,
        (false, Source::Rdb) => Step::Done,
        (false, Source::Aof) if info.snapshot.saving => Step::Wait,
        (false, Source::Aof) if saving != Saving::Snapshot => Step::Save,
        (false, Source::Aof) if info.snapshot.last_ok => Step::NoteSnapshot,
        (false, Source::Aof) => Step::GiveUpForNow,
    }
}

async fn save(work: &mut Work, server: &Server) -> Result<(), String> {
    match server.save_in_background().await {
        Ok(()) => {
            work.saving = Saving::Snapshot;
            Ok(())
        }
        // Another snapshot or a rewrite just began.
        Err(Error::Refused { message, .. }) if message.contains("in progress") => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn note(work: &mut Work, source: Source) -> Result<(), String> {
    info!(?source, "all data is in this file now");
    work.saving = Saving::Idle;
    work.keeper.change(|state| state.source = Some(source)).map_err(|error| error.to_string())
}

async fn set(server: &Server, value: &str) -> Result<(), String> {
    match server.config_set(APPEND_ONLY, value).await {
        Ok(ConfigSet::Applied) => Ok(()),
        Ok(ConfigSet::NeedsRestart) => Err("this server cannot switch it live".to_owned()),
        Ok(ConfigSet::Refused(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

/// Tells on the board whether a switch is under way, and why it does not succeed.
pub fn show(agent: &Agent, under_way: bool, why: Option<String>) {
    agent.board.change(|status| {
        status.config.in_progress.retain(|name| name != APPEND_ONLY);
        status.config.rejected.remove(APPEND_ONLY);
        if under_way {
            status.config.in_progress.push(APPEND_ONLY.to_owned());
        }
        if let Some(why) = why {
            status.config.rejected.insert(APPEND_ONLY.to_owned(), why);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(lines: &[&str]) -> ServerInfo {
        let head = "redis_version:7.0.15\nprocess_id:1\nrun_id:r\nused_memory:1\nmaxmemory:0\n\
            rdb_changes_since_last_save:0\nrole:master\nmaster_repl_offset:0\nmaster_replid:a\n\
            connected_slaves:0\n";
        ServerInfo::parse(&format!("{head}{}", lines.join("\n"))).unwrap()
    }

    const OFF: &str = "aof_enabled:0";
    const ON: &str = "aof_enabled:1";
    const SAVED: &str = "rdb_last_bgsave_status:ok";

    #[test]
    fn the_append_only_file_counts_only_once_its_rewrite_is_done() {
        let step = |lines: &[&str]| next(true, Source::Rdb, Saving::Idle, &info(lines));
        assert_eq!(step(&[OFF]), Step::TurnOn);
        assert_eq!(step(&[ON, "aof_rewrite_in_progress:1"]), Step::Wait);
        assert_eq!(step(&[ON, "aof_rewrite_scheduled:1"]), Step::Wait);
        assert_eq!(step(&[ON]), Step::NoteAppend);
        assert_eq!(next(true, Source::Aof, Saving::Idle, &info(&[ON])), Step::Done);
    }

    #[test]
    fn it_goes_off_only_after_a_snapshot_of_our_own() {
        let step = |saving, lines: &[&str]| next(false, Source::Aof, saving, &info(lines));
        assert_eq!(step(Saving::Idle, &[ON, SAVED]), Step::Save);
        assert_eq!(step(Saving::Idle, &[ON, SAVED, "rdb_bgsave_in_progress:1"]), Step::Wait);
        assert_eq!(step(Saving::Snapshot, &[ON, "rdb_bgsave_in_progress:1"]), Step::Wait);
        assert_eq!(step(Saving::Snapshot, &[ON]), Step::GiveUpForNow);
        assert_eq!(step(Saving::Snapshot, &[ON, SAVED]), Step::NoteSnapshot);
        assert_eq!(next(false, Source::Rdb, Saving::Idle, &info(&[ON])), Step::TurnOff);
        assert_eq!(next(false, Source::Rdb, Saving::Idle, &info(&[OFF])), Step::Done);
    }
}
