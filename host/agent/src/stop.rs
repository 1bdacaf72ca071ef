//! Stops the server for good, with its data saved.

use std::time::Duration;

use hera_core::agent::ServerState;
use hera_redis::{Error, Probe, ServerInfo, Shutdown};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::held::APPEND_ONLY;
use crate::look::short;
use crate::process::Process;
use crate::reaper::Ended;
use crate::state::Source;

/// Between two attempts to make a server leave.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Asks the server to leave, then tells it to, then kills it.
pub async fn stop(agent: &Agent, process: &Process) -> Ended {
    agent.board.change(|status| {
        status.server = ServerState::Stopping;
        status.waiting_for = Some("the pod ends".to_owned());
    });
    let asking = async {
        while let Err(error) = ask(agent).await {
            warn!(%error, "the server cannot be asked to stop, it gets a signal");
            process.signal(Signal::SIGTERM);
            // One that writes its first append-only file refuses both until that is done.
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
    let clean = ended == Ended::Code(0);
    let saved = clean && !agent.settings.volatile;
    let noted = agent.note(|state| {
        state.clean = clean;
        if saved {
            state.on_disk = None;
        }
    });
    if let Err(error) = noted {
        warn!(%error, "the clean stop cannot be noted");
    }
    ended
}

async fn ask(agent: &Agent) -> Result<(), Error> {
    let server = agent.connect(short()).await?;
    let Probe::Info(info) = server.probe().await? else {
        return Ok(());
    };
    let source = {
        // A switch of the append-only file is not in the middle of a step.
        let _work = agent.work.lock().await;
        if !info.loading {
            note(agent, &info);
        }
        agent.keeper.get().source
    };
    // An append-only file is complete by itself. Where the next start reads the snapshot, only a
    // new one holds what was written since the last; and a server that still writes the first
    // append-only file would not leave.
    let how = if agent.settings.volatile {
        Shutdown::NoSave
    } else if source == Some(Source::Aof) && info.append.enabled {
        Shutdown::AsConfigured
    } else {
        if info.append.enabled && !info.loading {
            server.config_set(APPEND_ONLY, "no").await?;
        }
        Shutdown::Save
    };
    let limit = agent.stop_limit();
    server.with_response_timeout(limit).shutdown(how).await
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
