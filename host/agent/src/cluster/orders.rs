//! What the server of a cluster is told. The caller holds [`Work`] and has checked the term.

use hera_core::cluster::{Command, Failover};

use super::state::Cluster;
use crate::agent::{Agent, Work};
use crate::control::answer::Refused;
use crate::control::orders::{running, start};

/// Carries out a command.
///
/// # Errors
/// Why it was not.
pub async fn carry_out(agent: &Agent, work: &Work, command: &Command) -> Result<(), Refused> {
    let cluster = of(agent)?;
    if *command == Command::Start {
        cluster.held.send_replace(None);
        return start(agent);
    }
    if agent.asked.get().is_some() && matches!(command, Command::Failover { .. }) {
        return Err(Refused::wrong("the pod ends"));
    }
    let server = running(work)?;
    let force = Failover::Force;
    if *command == (Command::Failover { how: force }) {
        cluster.asks_for_votes();
    }
    let told = server.cluster_command(command).await;
    agent.turn();
    agent.look.notify_one();
    Ok(told?)
}

/// What is known of the server as one of a cluster.
///
/// # Errors
/// It is in none.
pub fn of(agent: &Agent) -> Result<&Cluster, Refused> {
    let none = || Refused::wrong("this pod's server is in no cluster");
    agent.cluster.as_ref().ok_or_else(none)
}
