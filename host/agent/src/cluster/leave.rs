//! Hands over before the pod ends: the agent of the primary asks that of a replica, with or without an
//! operator.

use std::time::Duration;

use hera_core::agent::{PATH_TAKE_OVER, Role, TakeOver};
use hera_core::cluster::{Command, Failover};
use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::moving;
use super::orders::of;
use super::state::{Cluster, now};
use crate::agent::Agent;
use crate::control::answer::Refused;
use crate::control::orders::running;
use crate::control::peers;

/// The server gives up a handover after this (redis-facts §1.6); then it may be asked again.
const HANDOVER: Duration = Duration::from_secs(5);
/// Between two questions to a server that is busy.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Completes when the server may stop: it is no primary, nobody can take over, or nobody did in time.
pub async fn hand_over(agent: &Agent, cluster: &Cluster, tls: &watch::Receiver<ClientConfig>) {
    let since = tokio::time::Instant::now();
    moving::leaving::settle(agent, cluster).await;
    wait_for_takeover(agent, cluster).await;
    while since.elapsed() < agent.settings.handover_limit() {
        let state = now(agent, cluster).await;
        if state.dead_ms.is_some() || state.held.is_some() {
            return;
        }
        // One that is busy may lead.
        let Some(own) = state.server else {
            tokio::time::sleep(ASK_AGAIN).await;
            continue;
        };
        if own.replica_of().is_some() || own.slots().is_empty() {
            info!("the server is not the primary any more");
            return;
        }
        agent.board.change(|status| status.leaving = true);
        let asked = ask_one(agent, tls, own.id).await;
        if !asked {
            warn!("no replica can take over: the primary stops");
            return;
        }
        let mut news = agent.board.watch();
        let led = news.wait_for(|status| status.role != Role::Primary);
        if tokio::time::timeout(HANDOVER, led).await.is_ok() {
            info!("another has taken over");
            return;
        }
        warn!("the replica did not take over");
    }
}

/// A server that was asked to take over a moment ago leads soon: were it to stop now, writes would be held back
/// until its primary gives up.
async fn wait_for_takeover(agent: &Agent, cluster: &Cluster) {
    let Some(left) = cluster
        .asked_for_consent()
        .and_then(|asked| HANDOVER.checked_sub(asked))
    else {
        return;
    };
    let mut news = agent.board.watch();
    let leads = news.wait_for(|status| status.role == Role::Primary);
    let _ = tokio::time::timeout(left, leads).await;
}

/// Asks the agents of the shard's other pods, one after the other, until one has its server take over.
async fn ask_one(agent: &Agent, tls: &watch::Receiver<ClientConfig>, own: String) -> bool {
    let tls = tls.borrow().clone();
    let take_over = TakeOver { primary: own };
    for peer in peers::others(agent) {
        let Some(known) = peers::reach(agent, &tls, peer) else {
            continue;
        };
        match known.post(agent, PATH_TAKE_OVER, &take_over).await {
            Ok(()) => {
                agent.look.notify_one();
                return true;
            }
            Err(error) => debug!(?error, "a peer does not take over"),
        }
    }
    false
}

/// Has this pod's server take over from the primary that asks for it.
///
/// # Errors
/// It is no replica of that one, has no link to it, or ends as well.
pub async fn take_over(agent: &Agent, asked: &TakeOver) -> Result<(), Refused> {
    let cluster = of(agent)?;
    if agent.asked.get().is_some() {
        return Err(Refused::wrong("the pod ends"));
    }
    let own = now(agent, cluster).await.server;
    let own = own.ok_or_else(|| Refused::later("the server does not answer now"))?;
    if own.replica_of() != Some(asked.primary.as_str()) || !own.link_up {
        return Err(Refused::wrong(
            "the server is not in sync with that primary",
        ));
    }
    let work = agent.work.lock().await;
    let server = running(&work)?;
    cluster.asks_for_consent();
    let command = Command::Failover {
        how: Failover::Agreed,
        primary: asked.primary.clone(),
    };
    server.cluster_command(&command).await?;
    agent.turn();
    agent.look.notify_one();
    Ok(())
}
