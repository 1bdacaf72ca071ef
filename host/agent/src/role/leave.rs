//! Waits, before the pod ends, for another to take over.

use std::time::Duration;

use hera_core::agent::Role;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::control::answer::Refused;
use crate::fence::clock;
use crate::fence::tokens::GOOD_FOR_MS;

/// Completes when the server may stop: it is no primary among several, nobody is left who could take
/// over, or nobody did in time.
pub async fn hand_over(agent: &Agent) {
    if agent.board.status().members.pods.len() <= 1 {
        return;
    }
    if agent.board.status().role != Role::Primary {
        wait_for_promotion(agent).await;
    }
    {
        // No promotion is under way, and none begins before what follows is known.
        let _work = agent.work.lock().await;
        if agent.board.status().role != Role::Primary {
            agent.stopping.send_replace(true);
            return;
        }
        agent.board.change(|status| status.leaving = true);
    }
    info!("waits until another has taken over");
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

/// Who asked a moment ago how far this server is may have made the primary follow it by now: were it
/// to stop then, nobody would lead. Nobody is told from now on, and what was told is good for a while.
async fn wait_for_promotion(agent: &Agent) {
    let since = agent.tokens().last();
    let age = since.map_or(u64::MAX, |since| clock::now().saturating_sub(since));
    let left = Duration::from_millis(GOOD_FOR_MS.saturating_sub(age));
    let mut news = agent.board.watch();
    let promoted = news.wait_for(|status| status.role == Role::Primary);
    if let Ok(Ok(_)) = tokio::time::timeout(left, promoted).await {
        info!("the server is the primary: it was about to be promoted");
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
