//! Switches the append-only file, step by step: a rewrite takes as long as the data is large.
//!
//! Which file the next start reads is noted durably, after that file holds all data: a crash in
//! between reads a file that is whole.

use std::time::Duration;

use hera_redis::{ConfigSet, Error, Probe, Server, ServerInfo};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::apply::config_state::APPEND_ONLY;
use crate::state::remembered::Source;

const LOOK: Duration = Duration::from_millis(50);

/// How far a switch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saving {
    /// Nothing is under way.
    #[default]
    Idle,
    /// A snapshot of everything is being written.
    Snapshot,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Wait,
    TurnOn,
    /// The append-only file is complete.
    NoteAppend,
    Save,
    /// The snapshot is complete.
    TurnOff,
    Failed,
}

/// Brings the append-only file to what is wanted, as far as it comes within `limit`.
///
/// # Errors
/// Words for people: it failed, or is not done yet. It is taken up again where it stands.
pub async fn switch(agent: &Agent, run: u64, limit: Duration) -> Result<(), String> {
    let until = Instant::now() + limit;
    while !step(agent, run).await? {
        if Instant::now() >= until {
            return Err("the server still saves its data for it".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Takes one step; true if all is done.
async fn step(agent: &Agent, run: u64) -> Result<bool, String> {
    let server = agent.work.lock().await.server.clone();
    let Some(server) = server else {
        return Err("the server does not run".to_owned());
    };
    let Ok(Probe::Info(info)) = server.probe().await else {
        return Ok(false);
    };
    let mut work = agent.work.lock().await;
    if agent.is_stopping() {
        return Err("the pod ends".to_owned());
    }
    if work.run != run {
        return Err("the server was started again meanwhile".to_owned());
    }
    let Some(wanted) = work.held.wants_append() else {
        return Ok(true);
    };
    let source = agent.state_file.get().source.unwrap_or(Source::Rdb);
    let saves = !agent.settings.volatile;
    match next(wanted, source, saves, work.saving, &info) {
        Step::Done => {
            let value = if wanted { "yes" } else { "no" };
            work.in_force
                .insert(APPEND_ONLY.to_owned(), value.to_owned());
            return Ok(true);
        }
        Step::Wait => {}
        Step::TurnOn => set(&server, "yes").await?,
        Step::NoteAppend => note(agent, &mut work, Source::Aof)?,
        Step::Save => save(&mut work, &server).await?,
        Step::TurnOff => turn_off(agent, &mut work, &server).await?,
        Step::Failed => {
            work.saving = Saving::Idle;
            return Err("no snapshot can be saved: check the volume's space".to_owned());
        }
    }
    Ok(false)
}

/// A server that saves nothing has data in a file only because that came from a backup: it needs none of what follows.
fn next(wanted: bool, source: Source, saves: bool, saving: Saving, info: &ServerInfo) -> Step {
    let on = info.append.enabled;
    match (wanted, source) {
        (true, _) if !on => Step::TurnOn,
        (true, Source::Aof) => Step::Done,
        (true, Source::Rdb) if info.append.rewriting => Step::Wait,
        (true, Source::Rdb) => Step::NoteAppend,
        (false, Source::Rdb) if on => Step::TurnOff,
        (false, Source::Rdb) => Step::Done,
        (false, Source::Aof) if !saves => Step::TurnOff,
        (false, Source::Aof) if info.snapshot.saving => Step::Wait,
        (false, Source::Aof) if saving != Saving::Snapshot => Step::Save,
        (false, Source::Aof) if info.snapshot.last_ok => Step::TurnOff,
        (false, Source::Aof) => Step::Failed,
    }
}

async fn save(work: &mut Work, server: &Server) -> Result<(), String> {
    match server.save_in_background().await {
        Ok(()) => {
            work.saving = Saving::Snapshot;
            Ok(())
        }
        // Another snapshot or a rewrite just began.
        Err(Error::Refused { message, .. })
            if message.contains("in progress") || message.contains("child process") =>
        {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Until the note is made the append-only file counts: it has more than the snapshot, everything
/// up to its end.
async fn turn_off(agent: &Agent, work: &mut Work, server: &Server) -> Result<(), String> {
    set(server, "no").await?;
    let noted = note(agent, work, Source::Rdb);
    if noted.is_err()
        && let Err(why) = set(server, "yes").await
    {
        warn!(%why, "the append-only file cannot be turned on again");
    }
    noted
}

fn note(agent: &Agent, work: &mut Work, source: Source) -> Result<(), String> {
    info!(?source, "all data is in this file now");
    work.saving = Saving::Idle;
    agent
        .note(|state| {
            state.source = Some(source);
            state.log_due = false;
        })
        .map_err(|error| error.to_string())
}

async fn set(server: &Server, value: &str) -> Result<(), String> {
    match server.config_set(APPEND_ONLY, value).await {
        Ok(ConfigSet::Applied) => Ok(()),
        Ok(ConfigSet::NeedsRestart) => Err("this server cannot switch it live".to_owned()),
        Ok(ConfigSet::Refused(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
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
        let step = |lines: &[&str]| next(true, Source::Rdb, true, Saving::Idle, &info(lines));
        assert_eq!(step(&[OFF]), Step::TurnOn);
        assert_eq!(step(&[ON, "aof_rewrite_in_progress:1"]), Step::Wait);
        assert_eq!(step(&[ON, "aof_rewrite_scheduled:1"]), Step::Wait);
        assert_eq!(step(&[ON]), Step::NoteAppend);
        let done = next(true, Source::Aof, true, Saving::Idle, &info(&[ON]));
        assert_eq!(done, Step::Done);
    }

    #[test]
    fn it_goes_off_only_after_a_snapshot_of_our_own() {
        let step = |saving, lines: &[&str]| next(false, Source::Aof, true, saving, &info(lines));
        let saving = "rdb_bgsave_in_progress:1";
        assert_eq!(step(Saving::Idle, &[ON, SAVED]), Step::Save);
        assert_eq!(step(Saving::Idle, &[ON, SAVED, saving]), Step::Wait);
        assert_eq!(step(Saving::Snapshot, &[ON, saving]), Step::Wait);
        assert_eq!(step(Saving::Snapshot, &[ON]), Step::Failed);
        assert_eq!(step(Saving::Snapshot, &[ON, SAVED]), Step::TurnOff);
        let done = next(false, Source::Rdb, true, Saving::Idle, &info(&[OFF]));
        assert_eq!(done, Step::Done);
        let unsaved = next(false, Source::Aof, false, Saving::Idle, &info(&[ON]));
        assert_eq!(unsaved, Step::TurnOff);
    }
}
