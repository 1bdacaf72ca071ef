//! Waits, before the pod ends, for another to take over.

use hera_core::agent::Role;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::control::answer::Refused;

/// Completes when the server may stop: it is no primary among several, nobody is left who could take
/// over, or nobody did in time.
pub async fn hand_over(agent: &Agent) {
    let status = agent.board.status();
    if status.members.pods.len() <= 1 || status.role != Role::Primary {
        return;
    }
    info!("waits until another has taken over");
    agent.board.change(|status| status.leaving = true);
    let mut news = agent.board.watch();
    tokio::select! {
        _ = news.wait_for(|status| status.role != Role::Primary) => {
            info!("the server is not the primary any more");
        }
        () = agent.alone.notified() => info!("nobody is left to take over: the primary stops"),
        () = tokio::time::sleep(agent.settings.handover_limit()) => {
            warn!("nobody took over in time: the primary stops");
        }
    }
}

/// The wait has no purpose: the server saves its data and stops now.
///
/// # Errors
/// When the pod is not asked to end: then it may still be handed over to.
pub fn at_once(agent: &Agent) -> Result<(), Refused> {
    if !agent.board.status().leaving {
        return Err(Refused::wrong("the pod is not asked to end"));
    }
    agent.alone.notify_one();
    Ok(())
}
