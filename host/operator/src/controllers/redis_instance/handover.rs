//! Another server takes over without a write lost: the moves of [`hera_core::instance::handover`].

use std::time::{Duration, Instant};

use hera_core::agent::{Order, Position, REDIS_PORT, Request};
use hera_core::instance::handover::{Move, Otherwise, PARITY_MS, PAUSE_MS, has_everything};
use hera_core::instance::{Claim, Target};
use tracing::{info, warn};

use super::act::Material;
use super::{PassError, written};
use crate::agents::{AgentClient, AgentError};

const LOOK: Duration = Duration::from_millis(2);

/// Who takes over.
pub struct Next<'a> {
    pub pod: &'a Target,
    pub ip: &'a str,
    pub reign: u64,
    /// Who may be the primary from then on.
    pub claims: &'a [Claim],
}

/// A handover under way.
struct HandOver<'a> {
    material: &'a Material<'a>,
    next: &'a Next<'a>,
    old: AgentClient,
    new: AgentClient,
    /// When the pause was ordered.
    paused: Option<Instant>,
    /// Of the position at which the new one has everything.
    ticket: u64,
}

/// Hands over.
///
/// # Errors
/// Before the old primary follows, it serves on; afterwards the next pass promotes.
pub async fn carry_out(
    material: &Material<'_>,
    from: &Target,
    next: &Next<'_>,
) -> Result<(), PassError> {
    let to = next.pod;
    let mut over = HandOver {
        material,
        next,
        old: material.agent(&from.uid)?,
        new: material.agent(&to.uid)?,
        paused: None,
        ticket: 0,
    };
    let others = material
        .site
        .members
        .iter()
        .filter(|other| other.uid() != from.uid && other.uid() != to.uid && other.is_running());
    let others = others.map(|other| Target {
        name: other.name().to_owned(),
        uid: other.uid().to_owned(),
    });
    let started = Instant::now();
    let mut failed = None;
    for step in Move::all(others) {
        let Err(error) = over.make(&step).await else {
            continue;
        };
        warn!(?step, %error, "a handover's step failed");
        match step.otherwise() {
            Otherwise::GoOn => {}
            Otherwise::Stop => return Err(error),
            Otherwise::Release => {
                let _ = over.make(&Move::Release).await;
                return Err(error);
            }
        }
        failed.get_or_insert(error);
    }
    if let Some(error) = failed {
        return Err(error);
    }
    info!(from = from.name, to = to.name, took = ?started.elapsed(), "handed over");
    Ok(())
}

impl HandOver<'_> {
    async fn make(&mut self, step: &Move) -> Result<(), PassError> {
        let since = self.paused.map_or(Duration::ZERO, |at| at.elapsed());
        if step.is_too_late(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)) {
            return Err(PassError::HandOver("it took too long".to_owned()));
        }
        let reign = self.next.reign;
        match step {
            Move::Claim => written::write_claims(self.material.site, self.next.claims).await,
            Move::Pause => {
                self.paused = Some(Instant::now());
                let millis = PAUSE_MS;
                self.order(&self.old, Order::Pause { millis, reign }).await
            }
            Move::Await => {
                self.ticket = parity(&self.old, &self.new).await?.ticket;
                Ok(())
            }
            Move::Demote => self.order(&self.old, self.follow()).await,
            Move::Promote => {
                let ticket = self.ticket;
                self.order(&self.new, Order::Promote { reign, ticket })
                    .await
            }
            Move::Follow(other) => {
                let agent = self.material.agent(&other.uid)?;
                self.order(&agent, self.follow()).await
            }
            Move::Lead => super::act::set_endpoint(self.material, Some(self.next.ip)).await,
            Move::Release => self.order(&self.old, Order::Release).await,
        }
    }

    fn follow(&self) -> Order {
        Order::Follow {
            reign: self.next.reign,
            primary_uid: self.next.pod.uid.clone(),
            host: self.next.ip.to_owned(),
            port: REDIS_PORT,
            password: self.material.replication_password(),
        }
    }

    async fn order(&self, agent: &AgentClient, order: Order) -> Result<(), PassError> {
        let request = Request {
            term: self.material.site.term,
            body: order,
        };
        match agent.order(&request).await {
            Ok(_) => Ok(()),
            Err(error @ AgentError::OldTerm(_)) => Err(self.material.refused(error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits until the replica has all that the paused primary wrote.
async fn parity(old: &AgentClient, new: &AgentClient) -> Result<Position, PassError> {
    let since = Instant::now();
    loop {
        let (was, has) = tokio::try_join!(old.position(), new.position())?;
        if has.offset >= was.offset && has_everything(&has, &was, &old.position().await?) {
            return Ok(has);
        }
        if since.elapsed() > Duration::from_millis(PARITY_MS) {
            return Err(PassError::HandOver(format!(
                "the replica is at {} and the primary at {}",
                has.offset, was.offset
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
