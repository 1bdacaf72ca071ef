//! What no order about slots that move may do.

use super::guard::Rule;
use super::observation::{Node, Observation, Server};
use super::open::Direction;
use super::plan::Command;
use super::slots::SlotSet;

/// The rule that an order to this pod breaks.
pub(super) fn breaks(command: &Command, node: &Node, seen: &Observation) -> Option<Rule> {
    match command {
        Command::GiveSlots {
            slots,
            target,
            ip,
            port,
            ..
        } => {
            let is_there = |there: &&Node| there.ip == *ip && there.port == *port;
            match with_id(seen, target).filter(is_there) {
                Some(there) => moves(node, there, slots, seen),
                None => Some(Rule::KnownPeer),
            }
        }
        Command::TakeSlots { slots, source } => match with_id(seen, source) {
            Some(there) => moves(there, node, slots, seen),
            None => Some(Rule::KnownPeer),
        },
        Command::CloseSlots { slots } => match &node.server {
            Some(server) => closes(server, slots, seen),
            None => Some(Rule::HalfMoved),
        },
        _ => None,
    }
}

/// The servers of which an order makes a pair.
pub(super) fn pair<'a>(command: &'a Command, node: &'a Node) -> Option<[&'a str; 2]> {
    let own = node.server.as_ref()?.id.as_str();
    match command {
        Command::GiveSlots { target: peer, .. } | Command::TakeSlots { source: peer, .. } => {
            Some([own, peer.as_str()])
        }
        _ => None,
    }
}

fn with_id<'a>(seen: &'a Observation, id: &str) -> Option<&'a Node> {
    let is_it = |node: &&Node| node.server.as_ref().is_some_and(|server| server.id == id);
    seen.nodes.iter().find(is_it)
}

fn moves(from: &Node, to: &Node, slots: &SlotSet, seen: &Observation) -> Option<Rule> {
    let leads = |server: &Server| server.replica_of().is_none() && !server.is_alone();
    let (Some(source), Some(target)) = (&from.server, &to.server) else {
        return Some(Rule::KnownPeer);
    };
    // One took over, and the other is back with slots that this one had not heard of.
    let epoch = |server: &Server| server.own().map_or(0, |own| own.config_epoch);
    let joins = || !target.slots().is_empty() && epoch(target) > epoch(source);
    let fits = from.shard != to.shard || joins();
    if !fits || !leads(source) || !leads(target) {
        return Some(Rule::KnownPeer);
    }
    let servers = || seen.nodes.iter().filter_map(|node| node.server.as_ref());
    let has_all = !slots.is_empty() && slots.without(&source.slots()).is_empty();
    let mut others = servers().filter(|other| other.id != source.id && !other.is_alone());
    if !has_all || others.any(|other| !other.slots().shared(slots).is_empty()) {
        return Some(Rule::GivesItsOwn);
    }
    let is_in_a_job = |server: &Server| {
        server.is_in_a_job() || servers().any(|other| other.is_in_a_job_with(&server.id))
    };
    if is_in_a_job(source) || is_in_a_job(target) {
        return Some(Rule::OneMove);
    }
    let takes = |server: &Server, slot: u16| {
        let mut opened = server.opened();
        opened.any(|open| open.slot == slot && open.moves == Direction::In)
    };
    // A pod of the target's shard gives up what it took to who leads there by now.
    let is_elsewhere = |node: &Node| {
        let server = node.server.as_ref().filter(|server| leads(server));
        let server = server.filter(|_| node.shard != from.shard && node.shard != to.shard);
        server.is_some_and(|server| {
            let mut opened = server.opened().filter(|open| open.moves == Direction::In);
            opened.any(|open| slots.contains(open.slot) && !takes(target, open.slot))
        })
    };
    let is_half_moved = seen.nodes.iter().any(is_elsewhere);
    is_half_moved.then_some(Rule::HalfMoved)
}

/// Only a mark that says nothing any more: that of who gave the slot to another, or has it itself by now.
fn closes(server: &Server, slots: &SlotSet, seen: &Observation) -> Option<Rule> {
    let servers = seen.nodes.iter().filter_map(|node| node.server.as_ref());
    let others: Vec<SlotSet> = servers
        .filter(|other| other.id != server.id && !other.is_alone())
        .map(Server::slots)
        .collect();
    let own = server.slots();
    let says_something = |slot: u16, moves: Direction| match moves {
        Direction::In => !own.contains(slot),
        Direction::Out => own.contains(slot) || !others.iter().any(|other| other.contains(slot)),
    };
    let mut opened = server.opened().filter(|open| slots.contains(open.slot));
    let breaks = opened.any(|open| says_something(open.slot, open.moves));
    breaks.then_some(Rule::HalfMoved)
}
