//! Servers that do not know each other, or know old addresses, or follow the wrong one.

use std::collections::BTreeSet;

use super::observation::{Entry, Node};
use super::plan::{Plan, Step};
use super::slots::SlotSet;
use super::survey::{Heard, Survey};

/// Has servers get to know each other, and the addresses that they have now. Only our own pods are
/// introduced: an address that another cluster's pod has by now would merge the two (redis-facts §0.9).
/// `held` are not yet.
pub(super) fn introduce(survey: &Survey<'_>, held: &BTreeSet<&str>, plan: &mut Plan) {
    let heard = survey.heard.iter();
    let heard: Vec<_> = heard
        .filter(|one| !held.contains(one.server.id.as_str()))
        .collect();
    for one in &heard {
        for other in &heard {
            if one.server.id == other.server.id {
                continue;
            }
            let reason = match one.server.entry(&other.server.id) {
                None if one.server.known.iter().any(|e| greets(e, other.node)) => continue,
                None => "they do not know each other",
                Some(entry) if !is_at(entry, other.node) => "it has another address now",
                Some(entry) if entry.failed && !entry.connected => "it is there again",
                Some(_) => continue,
            };
            let step = Step::Meet {
                pod: one.node.pod.clone(),
                ip: other.node.ip.clone(),
                port: other.node.port,
            };
            let (one, other) = (one.node.name(), other.node.name());
            plan.push(step, format!("{one} and {other}: {reason}"));
        }
    }
}

fn is_at(entry: &Entry, node: &Node) -> bool {
    entry.ip == node.ip && entry.port == node.port
}

fn greets(entry: &Entry, node: &Node) -> bool {
    entry.handshake && is_at(entry, node)
}

/// Makes every pod beside the primary of its shard a replica of that one. A server with slots is none's
/// replica, nor is one with keys of nobody else's.
pub(super) fn follow(survey: &Survey<'_>, plan: &mut Plan) {
    for shard in 0..survey.wanted.shards {
        let Some(primary) = survey.primary_of(shard) else {
            continue;
        };
        for one in survey.in_shard(shard) {
            if one.server.id == primary.server.id || follows(&one, &primary) {
                continue;
            }
            let knows = one.server.entry(&primary.server.id);
            if knows.is_none_or(|entry| entry.handshake || entry.replica_of.is_some()) {
                continue;
            }
            if one.is_primary() && one.server.keys > 0 {
                plan.wait(format!(
                    "{} has {} keys and no slots: its copy is left alone",
                    one.node.name(),
                    one.server.keys
                ));
                continue;
            }
            let step = Step::Replicate {
                pod: one.node.pod.clone(),
                primary: primary.server.id.clone(),
            };
            let reason = format!("{} is the primary of shard {shard}", primary.node.name());
            plan.push(step, reason);
        }
    }
}

fn follows(one: &Heard<'_>, primary: &Heard<'_>) -> bool {
    one.server.replica_of() == Some(primary.server.id.as_str()) || !one.server.slots().is_empty()
}

/// Takes back servers that lost what they knew of the others. One whose keys are nowhere else gets the
/// slots of the server that it was, under a later epoch: an earlier one would have its keys deleted. Tells
/// who must not get to know the others before that, or before a person says so.
pub(super) fn take_back<'a>(survey: &Survey<'a>, plan: &mut Plan) -> BTreeSet<&'a str> {
    let mut held = BTreeSet::new();
    let mut given = SlotSet::default();
    let core = survey.core();
    let strangers = |one: &&Heard<'_>| !core.contains(one.server.id.as_str());
    let owned = core
        .iter()
        .filter_map(|id| survey.by_id(id))
        .filter(Heard::is_primary)
        .fold(SlotSet::default(), |all, one| all.with(&one.server.slots()));
    for one in survey.heard.iter().filter(strangers) {
        let elsewhere = one.server.slots().without(&owned).is_empty() || one.server.keys == 0;
        if !elsewhere && one.server.is_alone() && !is_adopted(survey, one, &mut given, plan) {
            held.insert(one.server.id.as_str());
        }
    }
    held
}

/// The server has keys of slots that no other serves. True once it has all that makes it their owner.
/// `given` are slots that others get in this plan.
fn is_adopted(survey: &Survey<'_>, one: &Heard<'_>, given: &mut SlotSet, plan: &mut Plan) -> bool {
    let name = one.node.name();
    let slots = one.server.slots();
    let of_it = || {
        let lost = survey.lost.iter();
        lost.filter(|(_, lost)| !lost.slots.shared(&slots).is_empty())
    };
    if let Some((id, _)) = of_it().find(|(id, _)| !super::failover::is_proven(survey, id)) {
        plan.wait(format!(
            "{name} has keys of slots of {id}, which is not heard, and nothing proves that it is dead"
        ));
        return false;
    }
    if let Some(silent) = survey.silent_in(one.node.shard) {
        let silent = silent.name();
        plan.wait(format!(
            "{silent}, which may have a later copy than {name}, is not heard"
        ));
        return false;
    }
    let others = || {
        let all = survey.in_shard(one.node.shard);
        all.filter(|other| other.server.id != one.server.id)
    };
    // Replicas of the lost owner that heard it to the end have taken over before this one started.
    let mut rivals = others().filter(Heard::is_primary);
    if let Some(rival) = rivals.find(|other| other.server.keys > 0) {
        plan.wait(format!(
            "{name} and {} both have data of shard {} and know nothing of the cluster: nothing is given up \
             before somebody says which is right",
            rival.node.name(),
            one.node.shard
        ));
        return false;
    }
    let wanted = of_it().fold(slots.clone(), |all, (_, lost)| all.with(&lost.slots));
    let taken = survey
        .heard
        .iter()
        .filter(|other| other.server.id != one.server.id)
        .fold(SlotSet::default(), |all, other| {
            all.with(&other.server.slots())
        });
    let wanted = wanted.without(&taken).with(&slots);
    let epochs = survey.heard.iter().map(|one| one.server.current_epoch);
    let own = one.server.own().map_or(0, |own| own.config_epoch);
    let last = epochs.max().unwrap_or(0);
    let pod = || one.node.pod.clone();
    // A server takes an epoch once: one that has one got it here, before a crash.
    if own == 0 {
        let step = Step::SetEpoch {
            pod: pod(),
            epoch: last + 1,
        };
        plan.push(step, format!("{name} has the only copy of its slots"));
    }
    let missing = wanted.without(&slots).without(given);
    *given = given.with(&missing).with(&slots);
    let has_all = missing.is_empty();
    if !has_all {
        let step = Step::AddSlots {
            pod: pod(),
            slots: missing,
        };
        plan.push(
            step,
            format!("{name} was their owner before it lost its nodes.conf"),
        );
    }
    own != 0 && has_all
}
