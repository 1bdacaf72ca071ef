//! Slots that move between this pod's server and another (decision 027, redis-facts §1.3 and §1.4): one job at a
//! time, in the background, by one of three ways. It ends with its server, and what is left is ordered again.

mod close;
mod export;
mod import;
mod importing;
pub mod job;
mod keys;
mod large;
pub mod leaving;
mod listed;
mod open;
mod pace;
pub mod step;
mod tell;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hera_core::cluster::{Command, Moving, MovingState, NodeId, Server as Seen, SlotSet, Way};
use hera_redis::{Server, SlotJob, Timeouts};
use tracing::{info, warn};

use self::job::{Broke, Job};
use super::orders::seen;
use super::state::Cluster;
use crate::agent::Agent;
use crate::control::answer::Refused;
use crate::server::boot;

pub use close::close;

/// How long a server may take for a command of a job: later Valkey waits for its replicas at each step of a slot, and
/// keys that are sent take what they take.
const ANSWERS: Duration = Duration::from_secs(15);
const CONNECTS: Duration = Duration::from_secs(1);

/// What is given, and to whom.
struct Give {
    slots: SlotSet,
    target: NodeId,
    ip: IpAddr,
    port: u16,
    /// For how long a step may hold up clients.
    max_stall: Duration,
}

/// A job that is ordered.
enum Ordered {
    Keys(Give),
    Export(Give),
    Import { slots: SlotSet, source: NodeId },
}

/// Begins the job that is ordered. The same again, while it runs, is no error.
///
/// # Errors
/// Another runs, or the pod ends.
pub fn begin(agent: &Arc<Agent>, cluster: &Cluster, command: &Command) -> Result<(), Refused> {
    let ordered = ordered(command)?;
    let is_leaving = || agent.asked.get().is_some();
    if is_leaving() {
        return Err(Refused::wrong("the pod ends"));
    }
    let moving = ordered.moving();
    if cluster.moves.runs_for(&moving) {
        return Ok(());
    }
    let Some(job) = cluster.moves.begin(moving) else {
        return Err(Refused::later("another job moves slots of this server"));
    };
    // Who ends the pod has asked the jobs to end before that, or finds this one.
    if is_leaving() {
        cluster.moves.stop();
    }
    info!(%command, "slots move");
    let agent = agent.clone();
    tokio::spawn(async move {
        let ended = Box::pin(run(&agent, &job, &ordered)).await;
        match &ended {
            Ok(()) => info!("slots moved"),
            Err(broke) => warn!(%broke, "slots do not move further"),
        }
        job.ends(ended);
        agent.look.notify_one();
    });
    Ok(())
}

async fn run(agent: &Agent, job: &Job, ordered: &Ordered) -> Result<(), Broke> {
    agent.look.notify_one();
    // Of its own: a command that takes long holds up no other of the agent's. It ends with the server.
    let server = connect(agent).await?;
    match ordered {
        Ordered::Keys(give) => keys::give(agent, &server, job, give).await,
        Ordered::Export(give) => export::give(agent, &server, job, give).await,
        Ordered::Import { slots, source } => import::take(&server, job, slots, source).await,
    }
}

async fn connect(agent: &Agent) -> Result<Server, hera_redis::Error> {
    let timeouts = Timeouts {
        connect: CONNECTS,
        response: ANSWERS,
    };
    agent.connect(timeouts).await
}

impl Ordered {
    fn moving(&self) -> Moving {
        let (slots, peer, takes) = match self {
            Self::Keys(give) | Self::Export(give) => (&give.slots, &give.target, false),
            Self::Import { slots, source } => (slots, source, true),
        };
        Moving {
            slots: slots.clone(),
            peer: peer.clone(),
            takes,
            state: MovingState::Running,
            ..Moving::default()
        }
    }
}

fn ordered(command: &Command) -> Result<Ordered, Refused> {
    match command {
        Command::TakeSlots { slots, source } => Ok(Ordered::Import {
            slots: slots.clone(),
            source: source.clone(),
        }),
        Command::GiveSlots {
            slots,
            target,
            ip,
            port,
            way,
            max_stall_ms,
        } => {
            let no_address = |_| Refused::wrong(format!("{ip} is no address"));
            let give = Give {
                slots: slots.clone(),
                target: target.clone(),
                ip: ip.parse().map_err(no_address)?,
                port: *port,
                max_stall: Duration::from_millis((*max_stall_ms).max(1)),
            };
            match way {
                Way::Keys => Ok(Ordered::Keys(give)),
                Way::Export => Ok(Ordered::Export(give)),
                Way::Import => Err(Refused::wrong("slots are taken that way, not given")),
            }
        }
        _ => Err(Refused::wrong("no slots move by this")),
    }
}

/// What the server says now, if it is a primary that serves. One that has just started has not heard yet who took over
/// from it.
///
/// # Errors
/// It is none any more, does not serve, or does not answer.
async fn primary(server: &Server) -> Result<Seen, Broke> {
    let own = seen(server)
        .await
        .map_err(|refused| Broke::failed(refused.words()))?;
    match own.replica_of() {
        None if own.serves => Ok(own),
        None => Err(Broke::failed("the server does not serve")),
        Some(_) => Err(Broke::failed("the server is no primary any more")),
    }
}

/// The server's own job of this id, among those that it tells of.
///
/// # Errors
/// It tells of none.
fn with_id(jobs: Vec<SlotJob>, id: &str) -> Result<SlotJob, Broke> {
    let known = jobs.into_iter().find(|known| known.id == id);
    known.ok_or_else(|| Broke::failed("the server knows nothing of the job any more"))
}

/// The mounted password with which servers of a cluster log in at one another.
fn password(agent: &Agent) -> String {
    boot::login(&agent.settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_to_an_address_and_by_a_way_of_who_gives() {
        let command = |ip: &str, way| Command::GiveSlots {
            slots: SlotSet::of([(1, 2)]),
            target: "t".to_owned(),
            ip: ip.to_owned(),
            port: 6379,
            way,
            max_stall_ms: 100,
        };
        assert!(ordered(&command("10.0.0.7", Way::Keys)).is_ok());
        assert!(ordered(&command("fd00::7", Way::Export)).is_ok());
        assert!(ordered(&command("10.0.0.7", Way::Import)).is_err());
        assert!(ordered(&command("a host", Way::Keys)).is_err());
        assert!(ordered(&Command::StopMoving).is_err());
    }
}
