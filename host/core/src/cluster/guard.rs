//! What no plan for a cluster may do, whatever led to it.

use super::epochs::led_by_no_later;
use super::failover::later_owner;
use super::hold::connects_to;
use super::join::is_met;
use super::moves;
use super::observation::{Node, Observation, Server};
use super::open::{in_between, is_moving};
use super::plan::{Command, Failover, Plan, Step};
use super::slots::SlotSet;
use super::without_slots::{is_blank, is_forgotten, is_served_without};
use crate::shard::{BrokenRule, Target};

/// What no plan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No step is about a pod that was not seen.
    KnownPod,
    /// Nobody gets slots that a server which is heard has, or may have got since it was asked, or that are given out in
    /// the same plan.
    OneOwner,
    /// Nobody gets slots of a server that may run.
    DeadOwner,
    /// Nobody becomes a replica who has slots, or is a primary with keys; nobody joins as another whose copy
    /// is not that of a primary of its shard, or of before its shard left.
    KeepsKeys,
    /// Nobody becomes a replica of a server that is not heard, or has no slots; unless no pod of its shard has any,
    /// nor keys that count, others serve all slots, and neither takes any.
    FollowsAnOwner,
    /// Nobody is introduced to an address that no pod of this cluster has.
    OwnPods,
    /// Nobody takes over by order from a primary that is heard, or that may run unheard.
    DeadPrimary,
    /// Nobody is forgotten who is heard or followed, nor before all are heard.
    KeepsMembers,
    /// At most one replica of a shard takes over.
    OneTakesOver,
    /// No server without data starts while somebody follows the one that it was (P05).
    NobodyFollowsNothing,
    /// Nobody takes over slots that another has by a later word, nor starts with those of who leads its shard by no
    /// later word than its own: the other's keys would be deleted.
    TakesNothingBack,
    /// Slots move between primaries of two shards that are heard, to the address that the pod has; or of one shard in
    /// which two have slots, to the one with the later word.
    KnownPeer,
    /// Nobody gives slots that it does not have, or that another says it has.
    GivesItsOwn,
    /// Nobody is part of two moves at a time.
    OneMove,
    /// A slot that somebody is about to take goes to nobody else, and is closed only where the mark says nothing
    /// any more (P31).
    HalfMoved,
}

/// Holds a plan against all rules.
///
/// # Errors
/// The first that it breaks.
pub fn guard(plan: &Plan, seen: &Observation) -> Result<(), BrokenRule<Rule>> {
    let mut took_over = Vec::new();
    let mut given = SlotSet::default();
    let mut engaged: Vec<&str> = Vec::new();
    for step in &plan.steps {
        let broken = breaks(step, seen).or_else(|| {
            let pair = node(seen, &step.pod).and_then(|node| moves::pair(&step.command, node));
            if let Some(pair) = pair {
                let twice = pair.iter().any(|id| engaged.contains(id));
                engaged.extend(pair);
                return twice.then_some(Rule::OneMove);
            }
            if let Command::Replicate { primary } = &step.command {
                return leads_no_more(plan, primary, seen).then_some(Rule::FollowsAnOwner);
            }
            if let Command::AddSlots { slots } = &step.command {
                let twice = !given.shared(slots).is_empty();
                given = given.with(slots);
                return twice.then_some(Rule::OneOwner);
            }
            let Command::Failover { .. } = &step.command else {
                return None;
            };
            let shard = node(seen, &step.pod).map(|node| node.shard);
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
    let Some(node) = node(seen, &step.pod) else {
        return Some(Rule::KnownPod);
    };
    let servers = || seen.nodes.iter().filter_map(|node| node.server.as_ref());
    let by_id = |id: &str| servers().find(|server| server.id == *id);
    match &step.command {
        Command::SetEpoch { .. } => None,
        Command::BumpEpoch => {
            let server = node.server.as_ref();
            let owns = server.is_some_and(|server| {
                let slots = server.slots();
                let mut others = servers().filter(|other| other.id != server.id);
                match slots.is_empty() {
                    true => server.replica_of().is_none() && is_met(server, servers()),
                    false => !others.any(|other| !other.slots().shared(&slots).is_empty()),
                }
            });
            (!owns).then_some(Rule::OneOwner)
        }
        Command::AddSlots { slots } => {
            let own = node.server.as_ref().map_or("", |server| &server.id);
            let mut others = servers().filter(|server| server.id != own);
            let taken = others.any(|server| !server.slots().shared(slots).is_empty())
                || !in_between(servers(), own).shared(slots).is_empty();
            let mut entries = servers().flat_map(|server| &server.known);
            let runs = entries
                .any(|entry| !entry.slots.shared(slots).is_empty() && may_run(seen, &entry.id));
            match () {
                () if taken => Some(Rule::OneOwner),
                () if runs => Some(Rule::DeadOwner),
                () => None,
            }
        }
        Command::Meet { ip, port } => {
            let is_ours = |node: &Node| node.ip == *ip && node.port == *port;
            let ours = seen
                .nodes
                .iter()
                .any(|node| is_ours(node) && node.server.is_some());
            (!ours).then_some(Rule::OwnPods)
        }
        Command::Replicate { primary } => {
            let fits = |server: &Server| {
                server.slots().is_empty() && (server.replica_of().is_some() || server.keys == 0)
            };
            let owns =
                |server: &Server| server.replica_of().is_none() && !server.slots().is_empty();
            let leads = by_id(primary).is_some_and(owns) || leads_nothing(node, primary, seen);
            match node.server.as_ref().is_some_and(fits) {
                false => Some(Rule::KeepsKeys),
                true => (!leads).then_some(Rule::FollowsAnOwner),
            }
        }
        Command::Rejoin { id } => {
            let leads = |other: &&Node| {
                let server = other.server.as_ref();
                other.shard == node.shard
                    && server.is_some_and(|s| {
                        s.replica_of().is_none() && !s.slots().is_empty() && s.keys > 0
                    })
            };
            let is_led = seen.nodes.iter().any(|other| leads(&other));
            let server = node.server.as_ref();
            let gives_way = is_led && server.is_some_and(Server::has_keys_without_slots);
            let is_of_before = server.is_some_and(|server| {
                server.led_before()
                    && is_forgotten(node.shard, &server.id, &seen.nodes)
                    && is_served_without(&server.id, servers())
            });
            let is_it = server.is_some_and(|server| server.id == *id);
            (!is_it || !(gives_way || is_of_before)).then_some(Rule::KeepsKeys)
        }
        Command::Failover {
            how,
            primary: named,
        } => {
            let primary = node.server.as_ref().and_then(Server::replica_of);
            let primary = primary.filter(|primary| primary == named);
            let is_heard = primary.is_some_and(|primary| by_id(primary).is_some());
            let agreed = *how == Failover::Agreed;
            let unproven = !agreed && primary.is_some_and(|primary| may_run(seen, primary));
            let fine = primary.is_some() && agreed == is_heard && !unproven;
            let takes_back = |server: &Server| later_owner(server, named, &seen.nodes).is_some();
            match fine {
                false => Some(Rule::DeadPrimary),
                // Who agrees knows what it has.
                true if agreed => None,
                true => {
                    let takes_back = node.server.as_ref().is_some_and(takes_back);
                    takes_back.then_some(Rule::TakesNothingBack)
                }
            }
        }
        Command::Start => {
            let is_empty = node.held.is_some_and(|held| !held.has_data);
            let follows = |server: &Server| {
                let of = server.replica_of();
                of.is_some() && (of == node.last_id.as_deref() || connects_to(server, node))
            };
            let has_followers = servers().any(follows);
            match led_by_no_later(node, &seen.nodes) {
                Some(_) => Some(Rule::TakesNothingBack),
                None => (is_empty && has_followers).then_some(Rule::NobodyFollowsNothing),
            }
        }
        Command::Forget { id } => {
            let needed = |server: &Server| server.id == *id || server.replica_of() == Some(id);
            let all_heard = seen.nodes.iter().all(|node| node.server.is_some());
            (!all_heard || servers().any(needed)).then_some(Rule::KeepsMembers)
        }
        Command::GiveSlots { .. }
        | Command::TakeSlots { .. }
        | Command::CloseSlots { .. }
        | Command::StopMoving => moves::breaks(&step.command, node, seen),
    }
}

/// True if a pod may follow this server though it has nothing: their shard has no slot, nor keys that count.
fn leads_nothing(node: &Node, primary: &str, seen: &Observation) -> bool {
    let servers = || seen.nodes.iter().filter_map(|node| node.server.as_ref());
    let mut pods = seen.nodes.iter().filter(|other| other.shard == node.shard);
    let leads = |other: &Node| {
        let server = other.server.as_ref().filter(|server| server.id == primary);
        server.is_some_and(|server| {
            server.replica_of().is_none() && !server.is_alone() && server.keys == 0
        })
    };
    // A replica may hear that its primary takes slots; it takes none itself.
    let primary = node
        .server
        .as_ref()
        .filter(|server| server.replica_of().is_none());
    let takes_none = primary.is_none_or(|server| !is_moving(server, servers()));
    pods.any(leads) && takes_none && is_blank(node.shard, &seen.nodes)
}

/// True if the same plan has this primary follow another.
fn leads_no_more(plan: &Plan, primary: &str, seen: &Observation) -> bool {
    let mut nodes = seen.nodes.iter();
    let is_it = |node: &&Node| {
        let server = node.server.as_ref();
        server.is_some_and(|server| server.id == primary)
    };
    let Some(pod) = nodes.find(is_it).map(|node| &node.pod) else {
        return false;
    };
    let follows = |step: &Step| matches!(step.command, Command::Replicate { .. });
    plan.steps
        .iter()
        .any(|step| step.pod == *pod && follows(step))
}

/// True if a server of this id may run, though it is not heard.
fn may_run(seen: &Observation, id: &str) -> bool {
    let mut nodes = seen.nodes.iter();
    let node = nodes.find(|node| node.last_id.as_deref() == Some(id));
    node.is_some_and(|node| node.server.is_none() && !node.is_dead())
}

fn node<'a>(seen: &'a Observation, pod: &Target) -> Option<&'a Node> {
    seen.nodes.iter().find(|node| node.pod == *pod)
}
