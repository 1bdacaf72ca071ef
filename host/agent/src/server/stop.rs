//! Stops the server for good, with its data saved.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hera_core::agent::ServerState;
use hera_redis::{Answer, Error, Probe, Server, ServerInfo, Shutdown};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::apply::config_state::APPEND_ONLY;
use crate::role::look::short;
use crate::role::settle::Seen;
use crate::server::process::Process;
use crate::server::reaper::Ended;
use crate::state::remembered::Source;

/// Between two attempts to make a server leave.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Bytes of memory that a snapshot takes in within a second, at the least: a slow volume's speed.
const SLOW_SAVE: u64 = 50_000_000;

/// What is known of the way in which the server leaves.
#[derive(Clone, Copy, Default)]
struct Leave {
    /// It was told by a signal, or had not read its data: nobody knows what the volume has.
    unknown: bool,
    /// It leaves only once all its data is in a snapshot, and writes no append-only file any more.
    snapshot: bool,
}

/// Why a server was not asked to leave.
enum Unasked {
    /// Nobody answers, or nobody is let in.
    Unreachable(Error),
    /// It is busy with a script.
    Busy(Answer),
    /// It will not.
    Refused(Error),
}

/// Asks the server to leave, then tells it to, then kills it.
pub async fn stop(agent: &Agent, process: &Process) -> Ended {
    agent.board.change(|status| {
        status.server = ServerState::Stopping;
        status.waiting_for = Some("the pod ends".to_owned());
    });
    let leave = Mutex::new(Leave::default());
    let asking = async {
        while let Err(unasked) = ask(agent, &leave).await {
            match unasked {
                Unasked::Unreachable(error) => {
                    warn!(%error, "the server cannot be asked to stop, it gets a signal");
                    lock(&leave).unknown = true;
                    process.signal(Signal::SIGTERM);
                }
                Unasked::Busy(answer) => info!(?answer, "the server cannot stop yet"),
                // One that writes its first append-only file refuses until that is done.
                Unasked::Refused(error) => warn!(%error, "the server does not stop yet"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        info!("the server was asked to stop");
        process.signal(Signal::SIGTERM);
        std::future::pending::<()>().await;
    };
    let limit = agent.stop_limit();
    let ended = tokio::select! {
        ended = agent.reaper.wait(process.pid) => ended,
        () = asking => return agent.reaper.wait(process.pid).await,
        () = tokio::time::sleep(limit) => {
            error!("the server does not stop: it is killed");
            process.kill_all();
            return agent.reaper.wait(process.pid).await;
        }
    };
    let leave = *lock(&leave);
    let clean = ended == Ended::Code(0) && !leave.unknown;
    let saved = clean && !agent.settings.volatile;
    let noted = agent.note(|state| {
        state.clean = clean;
        if saved {
            state.on_disk = None;
        }
        if saved && leave.snapshot {
            state.source = Some(Source::Rdb);
        }
    });
    if let Err(error) = noted {
        warn!(%error, "the clean stop cannot be noted");
    }
    ended
}

fn lock(leave: &Mutex<Leave>) -> MutexGuard<'_, Leave> {
    leave.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(agent: &Agent, leave: &Mutex<Leave>) -> Result<(), Unasked> {
    let server = agent.connect(short()).await.map_err(Unasked::Unreachable)?;
    let info = match server.probe().await.map_err(Unasked::Unreachable)? {
        Probe::Info(info) => info,
        // It would not save either.
        Probe::Refused(Answer::Loading) => return leave_unread(agent, &server, leave).await,
        Probe::Refused(answer) => return Err(Unasked::Busy(answer)),
    };
    if info.loading {
        return leave_unread(agent, &server, leave).await;
    }
    let source = {
        // A switch of the append-only file is not in the middle of a step.
        let _work = agent.work.lock().await;
        note(agent, &info);
        agent.state_file.get().source
    };
    let limit = agent.stop_limit();
    let how = how(agent.settings.volatile, source, &info, limit);
    if how == Shutdown::Save {
        if info.append.enabled {
            server
                .config_set(APPEND_ONLY, "no")
                .await
                .map_err(Unasked::Refused)?;
        }
        lock(leave).snapshot = true;
    }
    let asked = server.with_response_timeout(limit).shutdown(how).await;
    asked.map_err(|error| {
        lock(leave).snapshot = false;
        Unasked::Refused(error)
    })
}

/// A server that still reads its data, or its primary's, has nothing to save: the volume stays as it is.
async fn leave_unread(agent: &Agent, server: &Server, leave: &Mutex<Leave>) -> Result<(), Unasked> {
    lock(leave).unknown = true;
    let asked = server
        .with_response_timeout(agent.stop_limit())
        .shutdown(Shutdown::NoSave)
        .await;
    asked.map_err(Unasked::Refused)
}

/// An append-only file is complete by itself. Where the next start reads the snapshot, only a new
/// one holds what was written since the last; and a server that still writes the first append-only
/// file would not leave.
///
/// A replica with an append-only file leaves a snapshot as well, because only that tells the next
/// server how far the stream of its primary was taken in: it goes on from there, where one that
/// reads an append-only file takes in everything anew (redis-facts §2.1). Until it has left, the
/// next start would read the append-only file, which has all but what came in meanwhile.
fn how(volatile: bool, source: Option<Source>, info: &ServerInfo, limit: Duration) -> Shutdown {
    let is_log = source == Some(Source::Aof) && info.append.enabled;
    let follows = Seen::of(info).link_is_up();
    let in_time = Duration::from_secs(info.used_memory / SLOW_SAVE) <= limit / 2;
    match (volatile, is_log, follows && in_time) {
        (true, ..) => Shutdown::NoSave,
        (false, true, false) => Shutdown::AsConfigured,
        (false, true, true) | (false, false, _) => Shutdown::Save,
    }
}

fn note(agent: &Agent, info: &ServerInfo) {
    let noted = agent.note(|state| {
        state.replication_id.clone_from(&info.replication.replid);
        state.offset = info.replication.offset;
    });
    if let Err(error) = noted {
        warn!(%error, "the last offset cannot be noted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(lines: &str) -> ServerInfo {
        let head = "redis_version:7.0.15\nprocess_id:1\nrun_id:r\nmaxmemory:0\n\
            rdb_changes_since_last_save:0\nmaster_repl_offset:0\nmaster_replid:a\n\
            connected_slaves:0\nslave_repl_offset:0\n";
        ServerInfo::parse(&format!("{head}{lines}")).unwrap()
    }

    const LOG: &str = "aof_enabled:1\nused_memory:1000\n";
    const LINKED: &str = "role:slave\nmaster_host:h\nmaster_port:2\nmaster_link_status:up";
    const LONG: Duration = Duration::from_secs(45);

    #[test]
    fn a_linked_replica_leaves_a_snapshot_and_others_their_log() {
        let how = |lines: &str| how(false, Some(Source::Aof), &info(lines), LONG);
        assert_eq!(how(&format!("{LOG}{LINKED}")), Shutdown::Save);
        assert_eq!(how(&format!("{LOG}role:master")), Shutdown::AsConfigured);
        let alone = "role:slave\nmaster_host:127.0.0.1\nmaster_port:1";
        assert_eq!(how(&format!("{LOG}{alone}")), Shutdown::AsConfigured);
        // A log that is not whole yet is of no use.
        let off = format!("aof_enabled:0\nused_memory:1000\n{LINKED}");
        assert_eq!(how(&off), Shutdown::Save);
    }

    #[test]
    fn what_cannot_be_saved_in_time_stays_in_the_log() {
        let large = format!("aof_enabled:1\nused_memory:2000000000\n{LINKED}");
        let how = |limit| how(false, Some(Source::Aof), &info(&large), limit);
        assert_eq!(how(LONG), Shutdown::AsConfigured);
        assert_eq!(how(LONG * 2), Shutdown::Save);
    }

    #[test]
    fn a_volatile_server_saves_nothing_and_a_snapshot_is_always_renewed() {
        let server = info(&format!("{LOG}role:master"));
        let of = |volatile, source| how(volatile, source, &server, LONG);
        assert_eq!(of(true, Some(Source::Aof)), Shutdown::NoSave);
        assert_eq!(of(false, Some(Source::Rdb)), Shutdown::Save);
    }
}
