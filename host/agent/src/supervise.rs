//! Keeps the server running until the pod ends.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hera_core::agent::{Role, ServerExit, ServerState};
use hera_redis::{Answer, Probe, Server, ServerRole, Shutdown, Timeouts};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use crate::agent::{Agent, Work};
use crate::boot::{self, Boot};
use crate::durable::FileError;
use crate::process::{Process, refused_directive, summary};
use crate::push_acl;
use crate::push_config;
use crate::reaper::Ended;
use crate::state::Source;

/// Between looks at a server that is not promoted yet, and at one that serves.
const LOOK_STARTING: Duration = Duration::from_millis(50);
const LOOK_SERVING: Duration = Duration::from_secs(1);
/// Back-off between starts: none at first, then doubling from here.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A server that ran this long starts again at once.
const RAN_WELL: Duration = Duration::from_secs(30);
/// A server that is to stop and does not is killed after this; within the pod's 60 s.
const STOP_LIMIT: Duration = Duration::from_secs(45);

/// Runs servers, one after another, until the pod ends.
///
/// # Errors
/// When the files that a server needs cannot be written.
pub async fn run(agent: Arc<Agent>) -> Result<(), FileError> {
    let mut failures: u32 = 0;
    while !agent.is_stopping() {
        let boot = {
            let mut work = agent.work.lock().await;
            boot::prepare(&agent, &mut work)?
        };
        agent.board.change(|status| {
            status.server = ServerState::Starting;
            status.role = Role::Unknown;
            status.acl.confirmed = false;
            status.waiting_for = Some("the server starts".to_owned());
        });
        let started = Instant::now();
        let config = agent.settings.run.join("server.conf");
        let program = agent.settings.server_program();
        match Process::start(&program, &config, &agent.settings.data, true) {
            Ok(process) => attend(&agent, process, boot).await,
            Err(cause) => {
                error!(program = %program.display(), %cause, "the server cannot be started");
                exited(
                    &agent,
                    None,
                    None,
                    format!("{}: {cause}", program.display()),
                );
            }
        }
        if agent.is_stopping() {
            break;
        }
        if started.elapsed() >= RAN_WELL {
            failures = 0;
        }
        wait(&agent, failures).await;
        failures = failures.saturating_add(1);
        agent
            .board
            .change(|status| status.restarts = status.restarts.saturating_add(1));
    }
    Ok(())
}

async fn wait(agent: &Agent, failures: u32) {
    if failures == 0 {
        return;
    }
    let delay = (FIRST_WAIT * 2u32.saturating_pow(failures.min(8) - 1)).min(LONGEST_WAIT);
    let until = unix_ms().saturating_add(u64::try_from(delay.as_millis()).unwrap_or(0));
    agent.board.change(|status| {
        status.server = ServerState::BackOff {
            until_unix_ms: until,
        };
        status.waiting_for = Some("the server stopped and is started again soon".to_owned());
    });
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = agent.retry.notified() => {}
        () = agent.until_stopping() => {}
    }
}

/// Looks after one server process until it ended.
async fn attend(agent: &Agent, mut process: Process, boot: Boot) {
    let pid = process.pid;
    let looking = look_after(agent, pid.as_raw(), boot);
    let ended = tokio::select! {
        ended = agent.reaper.wait(pid) => ended,
        () = looking => agent.reaper.wait(pid).await,
        () = agent.until_stopping() => stop(agent, &process).await,
    };
    // What it left behind must not meet the next one.
    process.kill_all();
    agent.work.lock().await.server = None;
    let words = process.last_words();
    let (code, signal) = match ended {
        Ended::Code(code) => (Some(code), None),
        Ended::Signal(signal) => (None, Some(signal)),
    };
    if agent.is_stopping() {
        info!(?ended, "the server stopped");
        return;
    }
    warn!(?ended, "the server ended");
    let mut work = agent.work.lock().await;
    if let Some((name, reason)) = refused_directive(&words) {
        push_config::set_aside(agent, &mut work, &name, &reason);
    }
    let message = if ended == Ended::Code(0) {
        String::new()
    } else {
        summary(&words)
    };
    exited(agent, code, signal, message);
}

fn exited(agent: &Agent, code: Option<i32>, signal: Option<i32>, message: String) {
    let exit = ServerExit {
        code,
        signal,
        at_unix_ms: unix_ms(),
        message,
    };
    agent.board.change(|status| {
        status.role = Role::Unknown;
        status.acl.confirmed = false;
        status.last_exit = Some(exit);
        status.server = ServerState::Starting;
    });
}

/// Looks at the server again and again; never completes.
async fn look_after(agent: &Agent, pid: i32, boot: Boot) {
    let pid = u32::try_from(pid).unwrap_or(0);
    let mut link: Option<Server> = None;
    let mut ready: Option<Instant> = None;
    let mut serving = false;
    loop {
        tokio::time::sleep(if serving { LOOK_SERVING } else { LOOK_STARTING }).await;
        let server = match &link {
            Some(server) => server.clone(),
            None => match agent.connect(short()).await {
                Ok(server) => link.insert(server).clone(),
                Err(error) => {
                    if error.is_answer() {
                        agent.board.answered();
                        loading(agent, pid);
                    }
                    continue;
                }
            },
        };
        match server.probe().await {
            Ok(Probe::Info(info)) if !info.loading => {
                agent.board.answered();
                let is_primary = info.replication.role == ServerRole::Primary;
                let first = ready.is_none();
                let since = *ready.get_or_insert_with(Instant::now);
                if first {
                    let mut work = agent.work.lock().await;
                    work.server = Some(server.clone());
                    settle_append(agent, &mut work, &server, boot).await;
                    push_acl::apply_known(agent, &mut work).await;
                }
                agent.board.change(|status| {
                    status.engine = Some(info.engine.as_str().to_owned());
                    status.version = Some(info.version.clone());
                    status.server = ServerState::Running {
                        pid,
                        run_id: info.run_id.clone(),
                    };
                    status.role = if is_primary {
                        Role::Primary
                    } else {
                        Role::Held
                    };
                    if is_primary {
                        status.waiting_for = None;
                    }
                });
                serving = is_primary;
                if !is_primary {
                    serving = promote_if_due(agent, &server, since).await;
                }
            }
            Ok(Probe::Info(_) | Probe::Refused(Answer::Loading)) => {
                agent.board.answered();
                loading(agent, pid);
            }
            Ok(Probe::Refused(_)) => agent.board.answered(),
            Err(error) if error.is_broken() => link = None,
            Err(_) => {}
        }
    }
}

fn loading(agent: &Agent, pid: u32) {
    agent.board.change(|status| {
        if !matches!(status.server, ServerState::Running { .. }) {
            status.server = ServerState::Loading { pid };
            status.waiting_for = Some("the server reads its data".to_owned());
        }
    });
}

/// A lone pod promotes itself once the operator confirmed the users, or has not for a while.
async fn promote_if_due(agent: &Agent, server: &Server, since: Instant) -> bool {
    if !agent.settings.lone {
        return false;
    }
    let confirmed = agent.board.status().acl.confirmed;
    let late = since.elapsed() >= agent.settings.confirm_limit();
    if !confirmed && !late {
        agent.board.change(|status| {
            status.waiting_for = Some("the operator confirms the users".to_owned());
        });
        return false;
    }
    if !confirmed {
        warn!("the operator did not confirm the users in time: serving with those that are known");
    }
    let mut work = agent.work.lock().await;
    promote(agent, &mut work, server).await
}

/// Makes the server the primary; true if it is one now. The state tells of it before it happens.
pub async fn promote(agent: &Agent, work: &mut Work, server: &Server) -> bool {
    let noted = work.keeper.change(|state| {
        state.primary = true;
        state.promoted_term = state.term;
    });
    if let Err(error) = noted {
        error!(%error, "the promotion cannot be noted, so it does not happen");
        return false;
    }
    match server.promote().await {
        Ok(()) => {
            info!("the server is the primary now");
            agent.board.change(|status| {
                status.role = Role::Primary;
                status.waiting_for = None;
            });
            true
        }
        Err(error) => {
            warn!(%error, "the server refuses the promotion");
            false
        }
    }
}

/// Switches the append-only file once the data is read, if the configuration wants it otherwise.
async fn settle_append(agent: &Agent, work: &mut Work, server: &Server, boot: Boot) {
    let switched = match (boot.source, boot.wants_append) {
        (Source::Rdb, true) => push_config::append_on(work, server).await,
        (Source::Aof, false) => push_config::append_off(work, server).await,
        _ => return,
    };
    if let Err(why) = switched {
        warn!(%why, "the append-only file cannot be switched now");
        agent.board.change(|status| {
            status.config.rejected.insert("appendonly".to_owned(), why);
        });
    }
}

/// Stops the server with its data saved.
async fn stop(agent: &Agent, process: &Process) -> Ended {
    agent.board.change(|status| {
        status.server = ServerState::Stopping;
        status.waiting_for = Some("the pod ends".to_owned());
    });
    let ended = agent.reaper.wait(process.pid);
    tokio::pin!(ended);
    let asking = async {
        let asked = async {
            let mut work = agent.work.lock().await;
            let server = agent.connect(short()).await?;
            if let Probe::Info(info) = server.probe().await? {
                let noted = work.keeper.change(|state| {
                    state.replication_id.clone_from(&info.replication.replid);
                    state.offset = info.replication.offset;
                });
                if let Err(error) = noted {
                    warn!(%error, "the last offset cannot be noted");
                }
                // An append-only file is complete by itself; without one only a snapshot holds
                // what was written since the last.
                let how = if info.append.enabled {
                    Shutdown::AsConfigured
                } else {
                    Shutdown::Save
                };
                return server.with_response_timeout(STOP_LIMIT).shutdown(how).await;
            }
            Ok(())
        };
        match asked.await {
            Ok::<(), hera_redis::Error>(()) => info!("the server was asked to stop"),
            Err(error) => warn!(%error, "the server cannot be asked to stop, it gets a signal"),
        }
        process.signal(Signal::SIGTERM);
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = &mut ended => Some(ended),
        () = asking => None,
        () = tokio::time::sleep(STOP_LIMIT) => None,
    };
    match ended {
        Some(ended) => {
            let mut work = agent.work.lock().await;
            if let Err(error) = work
                .keeper
                .change(|state| state.clean = ended == Ended::Code(0))
            {
                warn!(%error, "the clean stop cannot be noted");
            }
            ended
        }
        None => {
            error!("the server does not stop: it is killed");
            process.kill_all();
            agent.reaper.wait(process.pid).await
        }
    }
}

fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        response: Duration::from_secs(2),
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
