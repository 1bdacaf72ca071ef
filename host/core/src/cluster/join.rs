//! Servers that do not know each other, or know old addresses, or follow the wrong one.

use std::collections::BTreeSet;

use super::observation::{Entry, Node, Server};
use super::open::is_moving;
use super::plan::{Command, Plan};
use super::slots::SlotSet;
use super::survey::{Heard, Survey};
use super::without_slots::{is_blank, is_forgotten, is_served_without};

/// Has servers get to know each other, and the addresses that they have now. Only our own pods are
/// introduced: an address that another cluster's pod has by now would merge the two (redis-facts §0.9).
/// `held` are not yet.
pub(super) fn introduce(survey: &Survey<'_>, held: &BTreeSet<&str>, plan: &mut Plan) {
    let heard = survey.heard.iter();
    let heard: Vec<_> = heard
        .filter(|one| !held.contains(one.server.id.as_str()))
        .collect();
    for one in &heard {
        let known = one.server.by_id();
        for other in &heard {
            if one.server.id == other.server.id {
                continue;
            }
            let reason = match known.get(other.server.id.as_str()) {
                None if one.server.known.iter().any(|e| greets(e, other.node)) => continue,
                None => "they do not know each other",
                Some(entry) if !is_at(entry, other.node) => "it has another address now",
                Some(entry) if entry.failed && !entry.connected => {
                    if one.server.known.iter().any(|e| greets(e, other.node)) {
                        continue;
                    }
                    "it is there again"
                }
                Some(_) => continue,
            };
            let meet = Command::Meet {
                ip: other.node.ip.clone(),
                port: other.node.port,
            };
            let reason = format!("{} and {}: {reason}", one.node.name(), other.node.name());
            plan.push(&one.node.pod, meet, reason);
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
/// replica, nor is one with keys of nobody else's. A shard that has no slot has replicas before it gets any.
pub(super) fn follow(survey: &Survey<'_>, plan: &mut Plan) {
    for shard in 0..survey.wanted.shards {
        let Some(primary) = survey.leader_of(shard) else {
            continue;
        };
        let has_slots = !primary.server.slots().is_empty();
        if !has_slots && (primary.server.keys > 0 || !is_blank(shard, survey.nodes)) {
            continue;
        }
        if has_slots && gives_way(survey, &primary) {
            let name = primary.node.name();
            plan.wait(format!(
                "{name} is about to hear that others have its slots"
            ));
            continue;
        }
        for one in survey.in_shard(shard) {
            if one.server.id == primary.server.id || follows(&one, &primary) {
                continue;
            }
            let servers = survey.heard.iter().map(|other| other.server);
            if !has_slots && one.is_primary() && is_moving(one.server, servers) {
                continue;
            }
            let knows = one.server.entry(&primary.server.id);
            if knows.is_none_or(|entry| entry.handshake || entry.replica_of.is_some()) {
                continue;
            }
            if one.server.has_keys_without_slots() {
                let name = one.node.name();
                if primary.server.keys == 0 {
                    let leads = primary.node.name();
                    plan.wait(format!(
                        "{name} has keys and no slots, and {leads} has no key: its copy is left alone"
                    ));
                    continue;
                }
                let reason = "it has keys, and takes itself for a primary without slots";
                let id = one.server.id.clone();
                plan.push(&one.node.pod, Command::Rejoin { id }, reason);
                break;
            }
            let reason = format!("{} is the primary of shard {shard}", primary.node.name());
            let primary = primary.server.id.clone();
            plan.push(&one.node.pod, Command::Replicate { primary }, reason);
        }
    }
}

/// True if others have all its slots by a later word, or had when they died: it is back, and has an old copy of what
/// moved.
fn gives_way(survey: &Survey<'_>, one: &Heard<'_>) -> bool {
    let (id, epoch) = (&one.server.id, epoch_of(one));
    let told = survey.heard.iter().flat_map(|other| &other.server.known);
    let later = told.filter(|entry| entry.id != *id && entry.config_epoch > epoch);
    let later = SlotSet::of(later.flat_map(|entry| entry.slots.ranges().iter().copied()));
    one.server.slots().without(&later).is_empty()
}

fn follows(one: &Heard<'_>, primary: &Heard<'_>) -> bool {
    one.server.replica_of() == Some(primary.server.id.as_str()) || !one.server.slots().is_empty()
}

/// True if all that know somebody know this server, and it knows them.
pub(super) fn is_met<'a>(server: &Server, mut others: impl Iterator<Item = &'a Server>) -> bool {
    let has_met = |other: &Server| {
        let is_other = other.id != server.id && !other.is_alone();
        !is_other || (knows(other, server) && knows(server, other))
    };
    !server.is_alone() && others.all(has_met)
}

fn knows(one: &Server, other: &Server) -> bool {
    let entry = one.entry(&other.id);
    entry.is_some_and(|entry| !entry.handshake)
}

/// What a plan gives to servers that lost what they knew.
struct Giving {
    /// Slots that others get.
    slots: SlotSet,
    /// The last epoch that somebody has or gets.
    epoch: u64,
}

impl Giving {
    fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }
}

/// Takes back servers that lost what they knew of the others. One whose keys are nowhere else gets the
/// slots of the server that it was, under a later epoch: an earlier one would have its keys deleted. One that
/// has an old copy of what another serves keeps its epoch, 0, which gives way to any. Tells who must not get
/// to know the others yet, or not before a person says so: of two histories that meet, one loses its slots
/// and their keys (redis-facts §0.9).
pub(super) fn take_back<'a>(survey: &Survey<'a>, plan: &mut Plan) -> BTreeSet<&'a str> {
    let mut held = BTreeSet::new();
    let epochs = survey.heard.iter().map(|one| one.server.current_epoch);
    let mut giving = Giving {
        slots: SlotSet::default(),
        epoch: epochs.max().unwrap_or(0),
    };
    let core = survey.core();
    let members = || core.iter().filter_map(|id| survey.by_id(id));
    let is_stranger = |one: &&Heard<'_>| {
        !core.contains(one.server.id.as_str()) && !members().any(|member| is_related(&member, one))
    };
    // Of two with one epoch one takes a later one: it would win slots that it has an old copy of. And a later
    // epoch is taken for that of the server that was at its address before (Valkey 8.1).
    let mut others = survey.heard.iter().filter(|one| !is_stranger(one));
    let mut strangers: Vec<_> = survey.heard.iter().filter(is_stranger).collect();
    strangers.sort_by_key(|one| !one.server.slots().is_empty());
    let joins = others.find(|one| one.is_primary() && epoch_of(one) == 0 && !leads(survey, one));
    let is_met = |one: &&Heard<'_>| {
        let mut known = members().flat_map(|member| &member.server.known);
        known.any(|entry| greets(entry, one.node))
    };
    let joins = joins.or_else(|| strangers.iter().copied().find(is_met));
    let mut joining = joins
        .map(|one| one.node.name())
        .or_else(|| away_before_it_joined(survey, members()));
    for one in survey.heard.iter().filter(|one| !is_stranger(one)) {
        if is_left_over(survey, one, plan) {
            held.insert(one.server.id.as_str());
        }
    }
    for one in strangers {
        let (slots, name) = (one.server.slots(), one.node.name());
        let served = of_shard(members(), one.node.shard);
        let alone = one.server.is_alone();
        let is_new = one.server.keys == 0 && slots.is_empty();
        let is_old_copy = one.server.keys > 0
            && (slots.without(&served).is_empty() || is_elsewhere(survey, &slots));
        let other = joining.filter(|other| *other != name);
        let joins = match (alone, other) {
            (true, None) if is_new || is_old_copy => {
                joining = Some(name);
                true
            }
            (true, Some(other)) if is_new || is_old_copy => {
                plan.wait(format!("{name} joins once {other} has"));
                false
            }
            (true, _) if one.server.keys > 0 => is_adopted(survey, one, &mut giving, plan),
            _ if is_new => true,
            (true, _) if is_its_own(survey, one) => true,
            _ => {
                plan.wait(format!(
                    "{name} is of another cluster, by what it knows: nothing is given up before somebody says \
                     which is right"
                ));
                false
            }
        };
        if !joins {
            held.insert(one.server.id.as_str());
        }
    }
    held
}

/// A pod that is not heard, and that the others know as one that has not joined yet: it may come back as that.
/// Not one that they take for failed: it would hold up the others for ever.
fn away_before_it_joined<'a>(
    survey: &Survey<'a>,
    members: impl Iterator<Item = Heard<'a>>,
) -> Option<&'a str> {
    let known = members.flat_map(|member| &member.server.known);
    let early: BTreeSet<&str> = known
        .filter(|entry| entry.replica_of.is_none() && entry.config_epoch == 0)
        .filter(|entry| !entry.handshake && !entry.failed)
        .map(|entry| entry.id.as_str())
        .collect();
    let is_one = |node: &&Node| {
        let id = node.last_id.as_deref().filter(|_| node.server.is_none());
        id.is_some_and(|id| early.contains(id))
    };
    survey.nodes.iter().find(is_one).map(Node::name)
}

/// True if it is the one that serves its shard.
fn leads(survey: &Survey<'_>, one: &Heard<'_>) -> bool {
    let primary = survey.primary_of(one.node.shard);
    primary.is_some_and(|primary| primary.server.id == one.server.id)
}

fn epoch_of(one: &Heard<'_>) -> u64 {
    one.server.own().map_or(0, |own| own.config_epoch)
}

/// True if nobody else has, or had, any of its slots: it was cut off while the cluster formed.
fn is_its_own(survey: &Survey<'_>, one: &Heard<'_>) -> bool {
    let slots = one.server.slots();
    let mut lost = survey.lost.values();
    survey.slots_of_others(one).shared(&slots).is_empty()
        && !lost.any(|lost| !lost.slots.shared(&slots).is_empty())
}

/// True if one of the two knows the other: they are of one history.
fn is_related(member: &Heard<'_>, one: &Heard<'_>) -> bool {
    knows(member.server, one.server) || knows(one.server, member.server)
}

/// A server of a shard that left comes back on its volume, after the others forgot it: what it has is of before,
/// as others serve all slots. True if it must not be met as it is: it has no slots, and joins as another, as what it
/// knows of others is of before as well; or it would win slots.
fn is_left_over(survey: &Survey<'_>, one: &Heard<'_>, plan: &mut Plan) -> bool {
    let (id, shard) = (one.server.id.as_str(), one.node.shard);
    let servers = survey.heard.iter().map(|other| other.server);
    let is_old = (one.server.keys > 0 || one.server.led_before())
        && !one.server.is_alone()
        && is_forgotten(shard, id, survey.nodes)
        && is_served_without(id, servers);
    if !is_old {
        return false;
    }
    let name = one.node.name();
    if one.server.led_before() {
        let reason = "what it has is of before its shard left, and others serve all slots";
        let id = one.server.id.clone();
        plan.push(&one.node.pod, Command::Rejoin { id }, reason);
        return true;
    }
    let (epoch, slots) = (epoch_of(one), one.server.slots());
    let mut others = survey.primaries().filter(|other| other.server.id != id);
    let wins = |other: &Heard<'_>| {
        epoch_of(other) <= epoch && !other.server.slots().shared(&slots).is_empty()
    };
    let Some(rival) = others.find(wins) else {
        return false;
    };
    plan.wait(format!(
        "{name} would win slots of {}: nothing is given up before somebody says which is right",
        rival.node.name()
    ));
    true
}

/// True if members of the cluster have all slots, those that have any of these have keys, and none of these is
/// half moved: then a server that lost what it knew has an old copy of them.
fn is_elsewhere(survey: &Survey<'_>, slots: &SlotSet) -> bool {
    let opened = survey.heard.iter().flat_map(|one| one.server.opened());
    let mut opened = opened.filter(|open| slots.contains(open.slot));
    let mut owners = survey.primaries();
    let has_keys =
        |one: Heard<'_>| one.server.keys > 0 || one.server.slots().shared(slots).is_empty();
    survey.served && opened.next().is_none() && owners.all(has_keys)
}

/// What the primaries of a shard serve.
fn of_shard<'a>(members: impl Iterator<Item = Heard<'a>>, shard: u32) -> SlotSet {
    members
        .filter(|one| one.node.shard == shard && one.is_primary())
        .fold(SlotSet::default(), |all, one| all.with(&one.server.slots()))
}

/// The server has keys of slots that no other serves. True once it has all that makes it their owner.
fn is_adopted(survey: &Survey<'_>, one: &Heard<'_>, giving: &mut Giving, plan: &mut Plan) -> bool {
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
    // It was about to take some of these, or it has an old copy of what moved since.
    let serves_some = |other: &Heard<'_>| {
        let is_other = other.node.shard != one.node.shard;
        is_other && !other.server.slots().shared(&slots).is_empty()
    };
    if let Some(owner) = survey.primaries().find(serves_some) {
        let owner = owner.node.name();
        plan.wait(format!(
            "{name} knows nothing of the cluster and has keys of slots that {owner} of another shard serves: \
             nothing is given up before somebody says which is right"
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
    let taken = survey.slots_of_others(one);
    let wanted = wanted.without(&taken).with(&slots);
    let own = epoch_of(one);
    let pod = &one.node.pod;
    // A server takes an epoch once: one that has one got it here, before a crash.
    if own == 0 {
        let reason = format!("{name} has the only copy of its slots");
        let epoch = giving.next_epoch();
        plan.push(pod, Command::SetEpoch { epoch }, reason);
    }
    let missing = wanted.without(&slots).without(&giving.slots);
    giving.slots = giving.slots.with(&missing).with(&slots);
    let has_all = missing.is_empty();
    if !has_all {
        let reason = format!("{name} was their owner before it lost its nodes.conf");
        plan.push(pod, Command::AddSlots { slots: missing }, reason);
    }
    own != 0 && has_all
}
