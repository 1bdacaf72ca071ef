//! Another server takes over without a write lost (redis-facts §2.4 A2): writes pause, offsets are
//! equal, the old primary follows, and only then the new one is promoted. Whatever ends it in the
//! middle leaves no primary for a moment, and never two.

use std::time::{Duration, Instant};

use hera_core::agent::{Order, Position, REDIS_PORT, Request};
use hera_core::instance::{Member, Target};
use tracing::info;

use super::act::Material;
use super::{PassError, act, crown};
use crate::agents::{AgentClient, AgentError};

/// Writes wait this long at most; the pause ends by itself.
const PAUSE: Duration = Duration::from_millis(2_000);
/// Offsets that are not equal by then will not be in time.
const PARITY: Duration = Duration::from_millis(1_000);
const LOOK: Duration = Duration::from_millis(2);

/// Hands over.
///
/// # Errors
/// Before the old primary follows, it serves on; afterwards the next pass promotes.
pub async fn carry_out(
    material: &Material<'_>,
    from: &Target,
    to: &Target,
    ip: &str,
    reign: u64,
) -> Result<(), PassError> {
    let (old, new) = (material.agent(&from.uid)?, material.agent(&to.uid)?);
    // Before the pause: clients wait neither for agents that do not answer or that are not connected
    // yet, nor for the API server, nor for nodes that follow late.
    tokio::try_join!(old.position(), new.position())?;
    crown::write(material.site, &to.uid, reign).await?;
    let groups = &material.site.shared.groups;
    tokio::time::sleep(groups.until_nodes_follow(&material.site.instance())).await;
    keeps_up(&old, &new).await?;
    let follow = Order::Follow {
        reign,
        primary_uid: to.uid.clone(),
        host: ip.to_owned(),
        port: REDIS_PORT,
        password: material.replication_password(),
    };
    let started = Instant::now();
    let pause = Order::Pause {
        millis: u64::try_from(PAUSE.as_millis()).unwrap_or(0),
    };
    order(material, &old, pause).await?;
    // Nodes follow the Service while the servers change roles: clients that are connected stay where
    // they are, and their writes wait.
    let (moved, position) = tokio::join!(
        act::set_endpoint(material, Some(ip)),
        demote(material, (&old, &new), &follow, started)
    );
    let position = match position {
        Ok(position) => position,
        Err(error) => {
            // It serves on, and so clients are led to it again.
            let _ = order(material, &old, Order::Release).await;
            act::set_endpoint(material, material.site.primary().and_then(Member::ip)).await?;
            return Err(error);
        }
    };
    let promote = Order::Promote {
        reign,
        ticket: position.ticket,
    };
    order(material, &new, promote).await?;
    order(material, &old, Order::Release).await?;
    info!(from = from.name, to = to.name, took = ?started.elapsed(), "handed over");
    let others = material
        .site
        .members
        .iter()
        .filter(|other| other.uid() != from.uid && other.uid() != to.uid && other.is_running());
    let told = others.map(async |other| {
        // One that cannot be told now is told in the next pass.
        let agent = material.agent(other.uid()).ok()?;
        order(material, &agent, follow.clone()).await.ok()
    });
    futures::future::join_all(told).await;
    moved
}

/// The old primary follows once the new one has everything.
async fn demote(
    material: &Material<'_>,
    (old, new): (&AgentClient, &AgentClient),
    follow: &Order,
    started: Instant,
) -> Result<Position, PassError> {
    let position = parity(old, new).await?;
    // Later the pause may end before the old primary follows, and take in a write.
    if started.elapsed() > PAUSE / 2 {
        return Err(PassError::HandOver("it took too long".to_owned()));
    }
    order(material, old, follow.clone()).await?;
    Ok(position)
}

/// The replica has what the primary had a moment ago; of one that lags behind, clients would only feel the
/// pause.
async fn keeps_up(old: &AgentClient, new: &AgentClient) -> Result<(), PassError> {
    let since = Instant::now();
    let was = old.position().await?;
    loop {
        let has = new.position().await?;
        if has.replication_id == was.replication_id && has.offset >= was.offset {
            return Ok(());
        }
        if since.elapsed() > PARITY {
            return Err(PassError::HandOver(format!(
                "the replica does not keep up: it is at {}, and the primary was at {}",
                has.offset, was.offset
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the replica has all that the paused primary wrote.
async fn parity(old: &AgentClient, new: &AgentClient) -> Result<Position, PassError> {
    let since = Instant::now();
    loop {
        let (was, has) = tokio::try_join!(old.position(), new.position())?;
        if has.replication_id == was.replication_id && has.offset >= was.offset {
            // What the primary wrote between the two looks counts as well.
            if old.position().await?.offset <= has.offset {
                return Ok(has);
            }
        }
        if since.elapsed() > PARITY {
            return Err(PassError::HandOver(format!(
                "the replica is at {} and the primary at {}",
                has.offset, was.offset
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn order(
    material: &Material<'_>,
    agent: &AgentClient,
    order: Order,
) -> Result<(), PassError> {
    let request = Request {
        term: material.site.term,
        body: order,
    };
    match agent.order(&request).await {
        Ok(_) => Ok(()),
        Err(error @ AgentError::OldTerm(_)) => Err(material.refused(error)),
        Err(error) => Err(error.into()),
    }
}
