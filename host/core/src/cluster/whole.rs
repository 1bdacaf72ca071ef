//! Whether a cluster is all that it should be.

use super::observation::{Observation, Wanted};
use super::slots::SLOTS;
use super::survey::{Heard, Survey};

/// What it lacks, for people; none if every server agrees on all slots, each replica follows the primary of
/// its shard with its link up, and every primary knows every replica.
pub fn why_not_whole(wanted: Wanted, seen: &Observation) -> Option<String> {
    lacks_something(&Survey::of(wanted, seen))
}

/// The same, of what is surveyed already.
pub(super) fn lacks_something(survey: &Survey<'_>) -> Option<String> {
    if !survey.all_heard {
        let silent = survey.nodes.iter().find(|node| node.server.is_none());
        let name = silent.map_or("a pod", |node| node.name());
        return Some(format!("{name} is not heard"));
    }
    let lacks = |one: &Heard<'_>| lacks(survey, one);
    survey.heard.iter().find_map(lacks)
}

fn lacks(survey: &Survey<'_>, one: &Heard<'_>) -> Option<String> {
    let name = one.node.name();
    // No two of those that one server knows have the same slot.
    let known = one.server.known.iter();
    let slots: usize = known.map(|entry| entry.slots.len()).sum();
    if slots < usize::from(SLOTS) {
        return Some(format!("{name} knows who has {slots} of {SLOTS} slots"));
    }
    if let Some(open) = one.server.own().and_then(|own| own.open_slots.first()) {
        return Some(format!("a slot of {name} is half moved: {open}"));
    }
    if !one.server.serves {
        return Some(format!(
            "{name} does not serve: it takes the cluster for failed"
        ));
    }
    let Some(primary) = survey.primary_of(one.node.shard) else {
        return Some(format!("shard {} has no primary", one.node.shard));
    };
    let is_primary = primary.server.id == one.server.id;
    if !is_primary && one.server.replica_of() != Some(primary.server.id.as_str()) {
        return Some(format!("{name} does not follow {}", primary.node.name()));
    }
    if !is_primary && !one.server.link_up {
        return Some(format!("{name} has no link to {}", primary.node.name()));
    }
    let known = one.server.by_id();
    for other in &survey.heard {
        let Some(entry) = known.get(other.server.id.as_str()) else {
            return Some(format!("{name} does not know {}", other.node.name()));
        };
        let own = other.server.own();
        let alike =
            own.is_some_and(|own| entry.replica_of == own.replica_of && entry.slots == own.slots);
        let reached = (entry.connected && !entry.failed) || other.server.id == one.server.id;
        if !alike || !reached {
            let other = other.node.name();
            return Some(format!("{name} does not see {other} as it is"));
        }
    }
    let known = one.server.known.len();
    (known > survey.heard.len()).then(|| format!("{name} knows servers that no pod has"))
}
