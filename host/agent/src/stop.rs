//! Stops the server for good, with its data saved.

use hera_core::agent::ServerState;
use hera_redis::{Error, Probe, ServerInfo, Shutdown};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use crate::agent::{Agent, Work};
use crate::held::APPEND_ONLY;
use crate::look::short;
use crate::process::Process;
use crate::reaper::Ended;
use crate::state::Source;

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
        () = tokio::time::sleep(agent.settings.stop_limit()) => {
            error!("the server does not stop: it is killed");
            process.kill_all();
            return agent.reaper.wait(process.pid).await;
        }
    };
    let clean = ended == Ended::Code(0);
    if let Err(error) = agent
        .work
        .lock()
        .await
        .keeper
        .change(|state| state.clean = clean)
    {
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
        let mut work = agent.work.lock().await;
        if !info.loading {
            note(&mut work, &info);
        }
        work.keeper.get().source
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
    let limit = agent.settings.stop_limit();
    server.with_response_timeout(limit).shutdown(how).await
}

fn note(work: &mut Work, info: &ServerInfo) {
    let noted = work.keeper.change(|state| {
        state.replication_id.clone_from(&info.replication.replid);
        state.offset = info.replication.offset;
    });
    if let Err(error) = noted {
        warn!(%error, "the last offset cannot be noted");
    }
}
