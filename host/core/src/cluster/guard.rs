//! What no plan for a cluster may do, whatever led to it.

use super::observation::{Node, Observation, Server};
use super::plan::{Failover, Plan, Step};
use super::slots::SlotSet;
use crate::shard::{BrokenRule, Target};

/// What no plan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nobody gets slots that a server which is heard has, or that are given out in the same plan.
    OneOwner,
    /// Nobody gets slots of a server that may run.
    DeadOwner,
    /// Nobody becomes a replica who has slots, or is a primary with keys.
    KeepsKeys,
    /// Nobody is introduced to an address that no pod of this cluster has.
    OwnPods,
    /// Nobody takes over by order from a primary that is heard, or that may run unheard.
    DeadPrimary,
    /// No server that is heard is forgotten, nor one that somebody follows.
    KeepsMembers,
    /// At most one replica of a shard takes over.
    OneTakesOver,
    /// No server without data starts while somebody follows the one that it was (P05).
    NobodyFollowsNothing,
}

/// Holds a plan against all rules.
///
/// # Errors
/// The first that it breaks.
pub fn guard(plan: &Plan, seen: &Observation) -> Result<(), BrokenRule<Rule>> {
    let mut took_over = Vec::new();
    let mut given = SlotSet::default();
    for planned in &plan.steps {
        let step = &planned.step;
        let broken = breaks(step, seen).or_else(|| {
            if let Step::AddSlots { slots, .. } = step {
                let twice = !given.shared(slots).is_empty();
                given = given.with(slots);
                return twice.then_some(Rule::OneOwner);
            }
            let Step::Failover { pod, .. } = step else {
                return None;
            };
            let shard = node(seen, pod).map(|node| node.shard);
            let twice = took_over.contains(&shard);
            took_over.push(shard);
            twice.then_some(Rule::OneTakesOver)
        });
        if let Some(rule) = broken {
            let step = step.to_string();
            return Err(BrokenRule { rule, step });
        }
    }
    Ok(())
}

fn breaks(step: &Step, seen: &Observation) -> Option<Rule> {
    let servers = || seen.nodes.iter().filter_map(|node| node.server.as_ref());
    match step {
        Step::SetEpoch { .. } => None,
        Step::AddSlots { pod, slots } => {
            let own = server(seen, pod).map(|server| &server.id);
            let mut others = servers().filter(|server| Some(&server.id) != own);
            let taken = others.any(|server| !server.slots().shared(slots).is_empty());
            let mut entries = servers().flat_map(|server| &server.known);
            let may_run = |id: &str| {
                let node = seen
                    .nodes
                    .iter()
                    .find(|node| node.last_id.as_deref() == Some(id));
                node.is_some_and(|node| node.server.is_none() && !node.is_dead())
            };
            let runs =
                entries.any(|entry| !entry.slots.shared(slots).is_empty() && may_run(&entry.id));
            match () {
                () if taken => Some(Rule::OneOwner),
                () if runs => Some(Rule::DeadOwner),
                () => None,
            }
        }
        Step::Meet { ip, port, .. } => {
            let is_ours = |node: &Node| node.ip == *ip && node.port == *port;
            let ours = seen
                .nodes
                .iter()
                .any(|node| is_ours(node) && node.server.is_some());
            (!ours).then_some(Rule::OwnPods)
        }
        Step::Replicate { pod, .. } => {
            let fits = |server: &Server| {
                server.slots().is_empty() && (server.replica_of().is_some() || server.keys == 0)
            };
            (!server(seen, pod).is_some_and(fits)).then_some(Rule::KeepsKeys)
        }
        Step::Failover { pod, how } => {
            let primary = server(seen, pod).and_then(Server::replica_of);
            let is_heard = servers().any(|server| Some(server.id.as_str()) == primary);
            let may_run = |node: &Node| {
                node.last_id.as_deref() == primary && node.server.is_none() && !node.is_dead()
            };
            let agreed = *how == Failover::Agreed;
            let unproven = !agreed && seen.nodes.iter().any(may_run);
            let fine = primary.is_some() && agreed == is_heard && !unproven;
            (!fine).then_some(Rule::DeadPrimary)
        }
        Step::Start { pod } => {
            let node = node(seen, pod)?;
            let is_empty = node.held.is_some_and(|held| !held.has_data);
            let mut followed = servers().filter_map(Server::replica_of);
            let has_followers = followed.any(|of| Some(of) == node.last_id.as_deref());
            (is_empty && has_followers).then_some(Rule::NobodyFollowsNothing)
        }
        Step::Forget { id, .. } => {
            let needed = |server: &Server| server.id == *id || server.replica_of() == Some(id);
            servers().any(needed).then_some(Rule::KeepsMembers)
        }
    }
}

fn node<'a>(seen: &'a Observation, pod: &Target) -> Option<&'a Node> {
    seen.nodes.iter().find(|node| node.pod == *pod)
}

fn server<'a>(seen: &'a Observation, pod: &Target) -> Option<&'a Server> {
    node(seen, pod)?.server.as_ref()
}
