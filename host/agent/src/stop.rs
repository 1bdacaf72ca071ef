//! Stops the server for good, with its data saved.

use std::time::Duration;

use hera_core::agent::ServerState;
use hera_redis::{Error, Probe, ServerInfo, Shutdown};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::look::short;
use crate::process::Process;
use crate::reaper::Ended;

/// A server that is to stop and does not is killed after this; within the pod's 60 s.
const LIMIT: Duration = Duration::from_secs(45);

/// Asks the server to leave, then tells it to, then kills it.
pub async fn stop(agent: &Agent, process: &Process) -> Ended {
    agent.board.change(|status| {
        status.server = ServerState::Stopping;
        status.waiting_for = Some("the pod ends".to_owned());
    });
    let asking = async {
        match ask(agent).await {
            Ok(()) => info!("the server was asked to stop"),
            Err(error) => warn!(%error, "the server cannot be asked to stop, it gets a signal"),
        }
        process.signal(Signal::SIGTERM);
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = agent.reaper.wait(process.pid) => ended,
        () = asking => return agent.reaper.wait(process.pid).await,
        () = tokio::time::sleep(LIMIT) => {
            error!("the server does not stop: it is killed");
            process.kill_all();
            return agent.reaper.wait(process.pid).await;
        }
    };
    let clean = ended == Ended::Code(0);
    if let Err(error) = agent.work.lock().await.keeper.change(|state| state.clean = clean) {
        warn!(%error, "the clean stop cannot be noted");
    }
    ended
}

async fn ask(agent: &Agent) -> Result<(), Error> {
    let server = agent.connect(short()).await?;
    let Probe::Info(info) = server.probe().await? else { return Ok(()) };
    if !info.loading {
        note(agent, &info).await;
    }
    // An append-only file is complete by itself; without one only a snapshot holds what was
    // written since the last. A server that still loads saves nothing, whatever it is asked.
    let how = if info.append.enabled { Shutdown::AsConfigured } else { Shutdown::Save };
    server.with_response_timeout(LIMIT).shutdown(how).await
}

async fn note(agent: &Agent, info: &ServerInfo) {
    let noted = agent.work.lock().await.keeper.change(|state| {
        state.replication_id.clone_from(&info.replication.replid);
        state.offset = info.replication.offset;
    });
    if let Err(error) = noted {
        warn!(%error, "the last offset cannot be noted");
    }
}
