//! Keeps the server running until the pod ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hera_core::agent::{Role, ServerExit, ServerState};
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::apply::push_config;
use crate::backup::recovery;
use crate::cluster::{self, hold};
use crate::fence::clock;
use crate::role::look;
use crate::server::process::Process;
use crate::server::reaper::Ended;
use crate::server::server_log::{refused_directive, summary};
use crate::server::{boot, leftover, stop};
use crate::volume::dump::Dump;
use crate::volume::room;

/// Back-off between starts: none at first, then doubling from here.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A server that ran this long starts again at once.
const RAN_WELL: Duration = Duration::from_secs(30);

/// What follows the end of a server.
enum After {
    /// It starts again, later each time.
    Failure,
    /// What made it give up is set aside: it starts again at once.
    Mended,
}

/// Runs servers, one after another, until the pod ends.
pub async fn run(agent: Arc<Agent>) {
    recovery::hold::wait(&agent).await;
    if agent.is_stopping() {
        return;
    }
    let mut failures: u32 = 0;
    loop {
        if agent.fence.is_down() {
            stay_down(&agent).await;
            failures = 0;
            if agent.is_stopping() {
                return;
            }
            continue;
        }
        if let Some(cluster) = &agent.cluster {
            cluster::hold::wait(&agent, cluster).await;
            if agent.is_stopping() {
                return;
            }
            if agent.fence.is_down() {
                continue;
            }
        }
        let started = Instant::now();
        let after = run_once(&agent).await;
        if agent.is_stopping() {
            return;
        }
        if started.elapsed() >= RAN_WELL {
            failures = 0;
        }
        if matches!(after, After::Failure) {
            wait(&agent, failures).await;
            failures = failures.saturating_add(1);
        }
        if agent.is_stopping() {
            return;
        }
        agent
            .board
            .change(|status| status.restarts = status.restarts.saturating_add(1));
    }
}

/// No server, until one may start again.
async fn stay_down(agent: &Agent) {
    let mut down = agent.fence.down();
    {
        // No order lifts it meanwhile.
        let _work = agent.work.lock().await;
        let Some(why) = down.borrow_and_update().clone() else {
            return;
        };
        let dump = Dump::of(&agent.settings.data);
        let noted = agent.note(|state| {
            state.is_fenced();
            state.dump = Some(dump);
        });
        if let Err(error) = noted {
            error!(%error, "the fence cannot be noted");
        }
        agent.board.change(|status| {
            status.server = ServerState::Fenced;
            status.role = Role::Unknown;
            status.waiting_for = Some(why);
        });
    }
    tokio::select! {
        _ = down.wait_for(Option::is_none) => info!("the server starts again"),
        () = agent.until_stopping() => {}
    }
}

/// One server, from the files that it reads to its end.
async fn run_once(agent: &Agent) -> After {
    agent.board.change(|status| {
        status.server = ServerState::Starting;
        status.role = Role::Unknown;
        status.link = None;
        status.hangs = false;
        status.connections = None;
        status.script = None;
        status.waiting_for = Some("the server starts".to_owned());
    });
    // Its silence is counted from here.
    agent.board.answered();
    let prepared = boot::prepare(agent, &mut *agent.work.lock().await);
    if let Err(error) = prepared {
        error!(%error, "the server's files cannot be written");
        return exited(agent, None, error.to_string());
    }
    let (run, data) = (&agent.settings.run, &agent.settings.data);
    let program = agent.settings.server_program();
    match Process::start(
        &agent.reaper,
        &program,
        &run.join("server.conf"),
        data,
        true,
    ) {
        Ok(process) => {
            leftover::note(run, process.pid);
            if let Some(cluster) = &agent.cluster {
                cluster.runs();
            }
            attend(agent, process).await
        }
        Err(cause) => {
            error!(program = %program.display(), %cause, "the server cannot be started");
            exited(agent, None, format!("{}: {cause}", program.display()))
        }
    }
}

async fn wait(agent: &Agent, failures: u32) {
    if failures == 0 {
        return;
    }
    let delay = (FIRST_WAIT * 2u32.saturating_pow(failures.min(8) - 1)).min(LONGEST_WAIT);
    let until = clock::unix_ms().saturating_add(u64::try_from(delay.as_millis()).unwrap_or(0));
    agent.board.change(|status| {
        status.server = ServerState::BackOff {
            until_unix_ms: until,
        };
        status.waiting_for = Some("the server stopped and is started again soon".to_owned());
    });
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = agent.retry.notified() => {}
        () = agent.fence.until_down() => {}
        () = agent.until_stopping() => {}
    }
}

/// Looks after one server process until it ended.
async fn attend(agent: &Agent, mut process: Process) -> After {
    agent.fence.note_server(Some(process.pid));
    let ended = tokio::select! {
        ended = agent.reaper.wait(process.pid) => ended,
        () = agent.fence.until_down() => {
            process.kill_all();
            agent.reaper.wait(process.pid).await
        }
        never = look::look_after(agent, process.pid) => match never {},
        () = agent.until_stopping() => stop::stop(agent, &process).await,
    };
    // What it left behind must not meet the next one.
    process.kill_all();
    if let Some(cluster) = &agent.cluster {
        cluster.ended();
    }
    let words = process.last_words().await;
    let mut work = agent.work.lock().await;
    work.server = None;
    if let Some(led_to) = work.leads_to.take() {
        agent.board.change(|status| status.led_to = Some(led_to));
    }
    agent.fence.note_server(None);
    // The next one may have less than this said it had.
    agent.tokens().void();
    if agent.is_stopping() {
        info!(?ended, "the server stopped");
        let dump = Dump::of(&agent.settings.data);
        if let Err(error) = agent.note(|state| state.dump = Some(dump)) {
            error!(%error, "which snapshot there is cannot be noted");
        }
        // Proof for the operator, also of a copy without a volume, which nobody will remember.
        agent.board.change(|status| {
            status.role = Role::Unknown;
            status.link = None;
        });
        return After::Failure;
    }
    warn!(?ended, "the server ended");
    room::server_ended(agent, &words);
    let unheard = agent.board.status().server == ServerState::Starting;
    let mended = match refused_directive(&words) {
        Some((name, why)) => push_config::set_aside(agent, &mut work, &name, &why),
        None if agent.cluster.is_some() && unheard && hold::mend(agent, &words) => true,
        None => unheard && matches!(ended, Ended::Code(_)) && work.listening.ended_unheard(),
    };
    drop(work);
    let message = if ended == Ended::Code(0) {
        String::new()
    } else {
        summary(&words)
    };
    let after = exited(agent, Some(ended), message);
    if mended { After::Mended } else { after }
}

fn exited(agent: &Agent, ended: Option<Ended>, message: String) -> After {
    let (code, signal) = match ended {
        Some(Ended::Code(code)) => (Some(code), None),
        Some(Ended::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    let exit = ServerExit {
        code,
        signal,
        at_unix_ms: clock::unix_ms(),
        message,
    };
    agent.board.change(|status| {
        status.role = Role::Unknown;
        status.link = None;
        status.hangs = false;
        status.connections = None;
        status.script = None;
        status.last_exit = Some(exit);
        status.server = ServerState::Starting;
        status.waiting_for = Some("the server starts".to_owned());
    });
    After::Failure
}
