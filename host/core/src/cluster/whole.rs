//! Whether a cluster is all that it should be.

use super::observation::{Observation, Wanted};
use super::slots::{SLOTS, SlotSet};
use super::survey::{Heard, Survey};

/// What it lacks, for people; none if every server agrees on all slots, each replica follows the primary of
/// its shard with its link up, and every primary knows every replica. Slots that move take nothing from it: those of
/// a job that runs may be half moved, and of those of a job servers hear one after the other.
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
    let moving = Moving::of(survey);
    let lacks = |one: &Heard<'_>| lacks(survey, one, &moving);
    survey.heard.iter().find_map(lacks)
}

/// Slots of jobs.
struct Moving {
    /// Of those that run.
    now: SlotSet,
    /// Of the last one of each server as well.
    lately: SlotSet,
}

impl Moving {
    fn of(survey: &Survey<'_>) -> Self {
        let slots_of = |runs: bool| {
            let servers = survey.heard.iter().map(|one| one.server);
            let servers = servers.filter(|server| !runs || server.is_in_a_job());
            let jobs = servers.filter_map(|server| server.moving.as_ref());
            SlotSet::of(jobs.flat_map(|job| job.slots.ranges().iter().copied()))
        };
        Self {
            now: slots_of(true),
            lately: slots_of(false),
        }
    }
}

/// What a server lacks to serve its shard, which that primary leads.
pub(super) fn lacks_its_place(one: &Heard<'_>, primary: Option<Heard<'_>>) -> Option<String> {
    let name = one.node.name();
    if !one.server.serves {
        return Some(format!(
            "{name} does not serve: it takes the cluster for failed"
        ));
    }
    let Some(primary) = primary else {
        return Some(format!("shard {} has no primary", one.node.shard));
    };
    if primary.server.id == one.server.id {
        return None;
    }
    if one.server.replica_of() != Some(primary.server.id.as_str()) {
        return Some(format!("{name} does not follow {}", primary.node.name()));
    }
    (!one.server.link_up).then(|| format!("{name} has no link to {}", primary.node.name()))
}

fn lacks(survey: &Survey<'_>, one: &Heard<'_>, moving: &Moving) -> Option<String> {
    let name = one.node.name();
    // No two of those that one server knows have the same slot.
    let known = one.server.known.iter();
    let slots: usize = known.map(|entry| entry.slots.len()).sum();
    if slots < usize::from(SLOTS) {
        return Some(format!("{name} knows who has {slots} of {SLOTS} slots"));
    }
    let mut opened = one.server.opened();
    if let Some(open) = opened.find(|open| !moving.now.contains(open.slot)) {
        return Some(format!("slot {} of {name} is half moved", open.slot));
    }
    let place = lacks_its_place(one, survey.leader_of(one.node.shard));
    if place.is_some() {
        return place;
    }
    let known = one.server.by_id();
    for other in &survey.heard {
        let Some(entry) = known.get(other.server.id.as_str()) else {
            return Some(format!("{name} does not know {}", other.node.name()));
        };
        let own = other.server.own();
        let alike = own.is_some_and(|own| {
            let same = entry.slots == own.slots
                || entry.slots.without(&moving.lately) == own.slots.without(&moving.lately);
            entry.replica_of == own.replica_of && same
        });
        let reached = (entry.connected && !entry.failed) || other.server.id == one.server.id;
        if !alike || !reached {
            let other = other.node.name();
            return Some(format!("{name} does not see {other} as it is"));
        }
    }
    let known = one.server.known.len();
    (known > survey.heard.len()).then(|| format!("{name} knows servers that no pod has"))
}
