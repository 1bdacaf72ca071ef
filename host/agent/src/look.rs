//! Looks at the running server, and brings it to what it is to be.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use hera_core::agent::{Role, ServerState};
use hera_redis::{Answer, Probe, Server, ServerInfo, ServerRole, Timeouts};
use nix::unistd::Pid;
use tracing::{error, info, warn};

use crate::agent::{Agent, Work};
use crate::{push_acl, push_config};

/// Between looks at a server that just started, at one that takes longer, and at one that serves.
const LOOK_AT_FIRST: Duration = Duration::from_millis(3);
const LOOK_STARTING: Duration = Duration::from_millis(50);
const LOOK_SERVING: Duration = Duration::from_secs(1);
const AT_FIRST: Duration = Duration::from_secs(2);

/// Time limits of the agent's own calls.
pub fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        response: Duration::from_secs(2),
    }
}

/// What is known of one server process.
struct Watch {
    pid: u32,
    started: Instant,
    link: Option<Server>,
    ready: Option<Instant>,
    serves: bool,
}

impl Watch {
    fn pause(&self) -> Duration {
        match self.serves {
            true => LOOK_SERVING,
            false if self.started.elapsed() < AT_FIRST => LOOK_AT_FIRST,
            false => LOOK_STARTING,
        }
    }
}

/// Looks at the server again and again.
pub async fn look_after(agent: &Agent, pid: Pid) -> Infallible {
    let mut watch = Watch {
        pid: u32::try_from(pid.as_raw()).unwrap_or(0),
        started: Instant::now(),
        link: None,
        ready: None,
        serves: false,
    };
    loop {
        tokio::time::sleep(watch.pause()).await;
        look(agent, &mut watch).await;
    }
}

async fn look(agent: &Agent, watch: &mut Watch) {
    let server = match &watch.link {
        Some(server) => server.clone(),
        None => match agent.connect(short()).await {
            Ok(server) => watch.link.insert(server).clone(),
            Err(error) => {
                if error.is_answer() {
                    agent.board.answered();
                    loading(agent, watch.pid);
                }
                return;
            }
        },
    };
    match server.probe().await {
        Ok(Probe::Info(info)) if !info.loading => {
            agent.board.answered();
            attend(agent, watch, &server, &info).await;
        }
        Ok(Probe::Info(_) | Probe::Refused(Answer::Loading)) => {
            agent.board.answered();
            loading(agent, watch.pid);
        }
        Ok(Probe::Refused(_)) => agent.board.answered(),
        Err(error) if error.is_broken() => watch.link = None,
        Err(error) if error.is_answer() => agent.board.answered(),
        Err(_) => {}
    }
}

/// The server has read its data and answers.
async fn attend(agent: &Agent, watch: &mut Watch, server: &Server, info: &ServerInfo) {
    let users_in_force = {
        let mut work = agent.work.lock().await;
        if watch.ready.is_none() {
            push_config::note_proven(agent, &mut work);
            agent.settle.notify_one();
        }
        // Also after a broken connection.
        work.server = Some(server.clone());
        if work.acl_due {
            push_acl::apply_due(agent, &mut work).await;
        }
        !work.acl_due
    };
    let since = *watch.ready.get_or_insert_with(Instant::now);
    let is_primary = info.replication.role == ServerRole::Primary;
    agent.board.change(|status| {
        status.engine = Some(info.engine.as_str().to_owned());
        status.version = Some(info.version.clone());
        status.server = ServerState::Running {
            pid: watch.pid,
            run_id: info.run_id.clone(),
        };
        status.role = match is_primary {
            true => Role::Primary,
            false => Role::Held,
        };
        if is_primary {
            status.waiting_for = None;
        }
    });
    watch.serves = is_primary || (users_in_force && promote_if_due(agent, server, since).await);
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
        wait_for(agent, "the operator promotes a server");
        return false;
    }
    let confirmed = agent.board.status().acl.confirmed;
    if !confirmed && since.elapsed() < agent.settings.confirm_limit() {
        wait_for(agent, "the operator confirms the users");
        return false;
    }
    if !confirmed {
        warn!("the operator did not confirm the users in time: serving with those that are known");
    }
    let mut work = agent.work.lock().await;
    promote(agent, &mut work, server).await
}

fn wait_for(agent: &Agent, what: &str) {
    agent
        .board
        .change(|status| status.waiting_for = Some(what.to_owned()));
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
