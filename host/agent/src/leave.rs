//! Waits, before the pod ends, for another to take over.

use hera_core::agent::Role;
use tracing::{info, warn};

use crate::agent::Agent;

/// Completes when the server may stop: it is no primary among several, or nobody took over in time.
pub async fn hand_over(agent: &Agent) {
    let status = agent.board.status();
    if status.members.pods.len() <= 1 || status.role != Role::Primary {
        return;
    }
    info!("waits until another has taken over");
    agent.board.change(|status| status.leaving = true);
    let mut news = agent.board.watch();
    let over = news.wait_for(|status| status.role != Role::Primary);
    match tokio::time::timeout(agent.settings.handover_limit(), over).await {
        Ok(_) => info!("the server is not the primary any more"),
        Err(_) => warn!("nobody took over in time: the primary stops"),
    }
}
