//! Whether every slot is served, while slots and shards are on the move.

use super::observation::{Node, Observation, Wanted};
use super::slots::{SLOTS, SlotSet};
use super::survey::{Heard, Survey};

/// What keeps a slot from being served, or from being served by as many as are wanted, for people. That servers do
/// not agree yet on who has which slot is nothing, nor that one is half moved, nor a shard that has none: unlike
/// [`super::why_not_whole`] it is for a cluster in which slots move.
pub fn why_not_served(wanted: Wanted, seen: &Observation) -> Option<String> {
    let survey = Survey::of(wanted, seen);
    let counts = |node: &&Node| node.server.is_none() && !is_empty_shard(seen, node.shard);
    let silent = survey.nodes.iter().find(counts);
    if let Some(silent) = silent {
        return Some(format!("{} is not heard", silent.name()));
    }
    let owned = survey.owned().len();
    if owned < usize::from(SLOTS) {
        return Some(format!("{owned} of {SLOTS} slots are served"));
    }
    let lacks = |one: &Heard<'_>| lacks(&survey, one);
    survey.heard.iter().find_map(lacks)
}

fn lacks(survey: &Survey<'_>, one: &Heard<'_>) -> Option<String> {
    let shard = one.node.shard;
    if survey
        .in_shard(shard)
        .all(|one| one.server.slots().is_empty())
    {
        return None;
    }
    let name = one.node.name();
    if !one.server.serves {
        return Some(format!(
            "{name} does not serve: it takes the cluster for failed"
        ));
    }
    let Some(primary) = survey.primary_of(shard) else {
        return Some(format!("shard {shard} has no primary"));
    };
    if primary.server.id == one.server.id {
        return None;
    }
    if one.server.replica_of() != Some(primary.server.id.as_str()) {
        return Some(format!("{name} does not follow {}", primary.node.name()));
    }
    (!one.server.link_up).then(|| format!("{name} has no link to {}", primary.node.name()))
}

/// The pod that leads a shard, if exactly one does: the one with slots; where none has any, the one that
/// replicates nobody.
pub fn leader(seen: &Observation, shard: u32) -> Option<&Node> {
    let nodes = || seen.nodes.iter().filter(move |node| node.shard == shard);
    let any = nodes().any(has_slots);
    let mut leading = nodes().filter(|node| is_primary(node) && (!any || has_slots(node)));
    let first = leading.next()?;
    leading.next().is_none().then_some(first)
}

/// True if it is known that no server of a shard has a slot, as others have all: it has just come, or is about to
/// go.
pub fn is_empty_shard(seen: &Observation, shard: u32) -> bool {
    let owners = || seen.nodes.iter().filter(|node| is_primary(node));
    let slots = owners().filter_map(|node| node.server.as_ref());
    let slots = slots.fold(SlotSet::default(), |all, server| all.with(&server.slots()));
    let mut own = owners().filter(|node| node.shard == shard);
    slots.len() == usize::from(SLOTS) && !own.any(has_slots)
}

fn has_slots(node: &Node) -> bool {
    let server = node.server.as_ref();
    server.is_some_and(|server| !server.slots().is_empty())
}

fn is_primary(node: &Node) -> bool {
    let server = node.server.as_ref();
    server.is_some_and(|server| server.replica_of().is_none())
}
