//! What the server of a cluster is told. The caller holds [`Work`] and has checked the term.

use std::sync::Arc;

use hera_core::cluster::{Command, Failover};
use hera_redis::{Probe, Server};

use super::moving;
use super::state::Cluster;
use crate::agent::{Agent, Work};
use crate::control::answer::Refused;
use crate::control::orders::{running, start};

/// Carries out a command.
///
/// # Errors
/// Why it was not.
pub async fn carry_out(agent: &Arc<Agent>, work: &Work, command: &Command) -> Result<(), Refused> {
    let cluster = of(agent)?;
    cluster.hears_operator();
    if *command == Command::Start {
        cluster.held.send_replace(None);
        return start(agent);
    }
    if agent.asked.get().is_some() && matches!(command, Command::Failover { .. }) {
        return Err(Refused::wrong("the pod ends"));
    }
    let server = running(work)?;
    match command {
        Command::GiveSlots { .. } | Command::TakeSlots { .. } => {
            return moving::begin(agent, cluster, command);
        }
        Command::StopMoving => {
            cluster.moves.stop();
            return Ok(());
        }
        // It may not have heard yet that a slot has arrived, and would take it back.
        Command::BumpEpoch if cluster.moves.is_running() => {
            return Err(Refused::later("a job moves slots of this server"));
        }
        Command::CloseSlots { slots } => {
            if cluster.moves.is_running() {
                return Err(Refused::later("a job moves slots of this server"));
            }
            let closed = moving::close(&server, slots).await;
            agent.look.notify_one();
            return closed;
        }
        _ => {}
    }
    if let Command::Rejoin { id } = command {
        led_before(&server, id).await?;
        if cluster.moves.is_running() {
            return Err(Refused::later("a job moves slots of this server"));
        }
        if !cluster.is_astray() {
            return Err(Refused::later("the server may be giving its keys up"));
        }
        // Before: its nodes.conf is wrong once the server has ended, whoever starts the next one.
        agent.note(|state| state.rejoins = true)?;
        agent.fence.kill();
        return Ok(());
    }
    if let Command::Failover { how, primary } = command {
        follows(&server, primary).await?;
        match how {
            Failover::Agreed => cluster.asks_for_consent(),
            Failover::Force => cluster.asks_for_votes(),
            Failover::Takeover => {}
        }
    }
    let told = server.cluster_command(command).await;
    agent.turn();
    agent.look.notify_one();
    Ok(told?)
}

/// The server replicates this primary: an order may come late, and it follows another by then.
///
/// # Errors
/// It does not, or does not answer.
async fn follows(server: &Server, primary: &str) -> Result<(), Refused> {
    match seen(server).await?.replica_of() {
        Some(of) if of == primary => Ok(()),
        _ => Err(Refused::wrong("the server is no replica of that primary")),
    }
}

/// This very server takes itself for a primary, and has a copy of what is not its own, or led before.
///
/// # Errors
/// It is not, by now, or the server does not answer.
async fn led_before(server: &Server, id: &str) -> Result<(), Refused> {
    let own = seen(server).await?;
    match own.id == id && own.led_before() {
        true => Ok(()),
        false => Err(Refused::wrong("the server is what it takes itself for")),
    }
}

/// What the server says of itself and of its cluster now.
///
/// # Errors
/// It is busy, or does not answer.
pub async fn seen(server: &Server) -> Result<hera_core::cluster::Server, Refused> {
    let Probe::Info(info) = server.probe().await? else {
        return Err(Refused::later("the server is busy"));
    };
    Ok(server.cluster(&info).await?)
}

/// What is known of the server as one of a cluster.
///
/// # Errors
/// It is in none.
pub fn of(agent: &Agent) -> Result<&Cluster, Refused> {
    let none = || Refused::wrong("this pod's server is in no cluster");
    agent.cluster.as_ref().ok_or_else(none)
}
