//! Before the pod ends: no slot is left half moved. Who takes over does not know of it on every server, and would say
//! of keys that moved that there are none (redis-facts §1.3).

use std::time::Duration;

use hera_core::cluster::Server as Seen;
use tracing::warn;

use crate::agent::Agent;
use crate::cluster::state::{Cluster, now};

/// A slot that another gives to this server, or the server's own job, is done by then; what stands open for longer
/// waits for an operator.
const SETTLES: Duration = Duration::from_secs(3);
/// Between two questions to the server.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Completes once no slot of this server moves, within half of the time for a handover. No other begins to: the pod
/// is asked to end.
pub async fn settle(agent: &Agent, cluster: &Cluster) {
    cluster.moves.stop();
    let limit = agent.settings.handover_limit() / 2;
    let ends = cluster.moves.until_none_runs();
    if tokio::time::timeout(limit, ends).await.is_err() {
        warn!("the pod ends while slots move");
    }
    let closed = until_closed(agent, cluster);
    if tokio::time::timeout(limit.min(SETTLES), closed)
        .await
        .is_err()
    {
        warn!("the pod ends while a slot is half moved");
    }
}

async fn until_closed(agent: &Agent, cluster: &Cluster) {
    loop {
        let state = now(agent, cluster).await;
        if state.dead_ms.is_some() || state.held.is_some() {
            return;
        }
        if let Some(own) = state.server
            && (own.replica_of().is_some() || (!has_open_slots(&own) && !has_job(agent).await))
        {
            return;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn has_open_slots(own: &Seen) -> bool {
    own.own().is_some_and(|entry| !entry.open_slots.is_empty())
}

/// The server itself gives or takes slots, by whosever order. One that knows no such jobs has none.
async fn has_job(agent: &Agent) -> bool {
    let Some(server) = agent.work.lock().await.server.clone() else {
        return false;
    };
    let status = agent.board.status();
    let jobs = match status.engine.as_deref() {
        Some("valkey") => server.export_jobs().await,
        _ => server.import_jobs().await,
    };
    jobs.is_ok_and(|jobs| jobs.iter().any(|job| !job.is_over()))
}
