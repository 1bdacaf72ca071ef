//! Epochs of servers that wait for their start. One that took an epoch by itself and died at once told nobody, and
//! another may have the same by now: who took over from it by a vote, or who took one by itself. Of two servers of one
//! epoch the one with the lesser id takes a later one than all. Were that the one that is back, its next word would
//! take all slots back that it had, and what was written since would be deleted.

use super::join::is_met;
use super::observation::{Entry, Node, Server};
use super::plan::{Command, Plan};
use super::survey::{Heard, Survey};

/// Who leads the shard of a pod that is held, by no later word than that of the server that it was.
pub(super) fn led_by_no_later<'a>(node: &Node, nodes: &'a [Node]) -> Option<&'a Server> {
    let epoch = node.held.filter(|held| held.has_data)?.epoch;
    let id = node.last_id.as_deref()?;
    let shard = nodes.iter().filter(|other| other.shard == node.shard);
    let mut servers = shard.filter_map(|other| other.server.as_ref());
    servers.find(|server| {
        let own = server.own().filter(|own| own.replica_of.is_none());
        let leads = own.is_some_and(|own| !own.slots.is_empty() && own.config_epoch <= epoch);
        leads && server.id != id && server.entry(id).is_some()
    })
}

/// Whose word is to be later before the server of a pod that is held starts: that of who leads its shard, or of another
/// that has the very same epoch, unless nobody could change that. One that gives slots to others does first: it may not
/// have heard that they arrived, and would take them back.
pub(super) fn rival<'a>(survey: &Survey<'a>, node: &Node) -> Option<Heard<'a>> {
    if let Some(server) = led_by_no_later(node, survey.nodes) {
        return survey.by_id(&server.id);
    }
    let epoch = node.held.filter(|held| held.has_data)?.epoch;
    let id = node.last_id.as_deref()?;
    let mut same = survey.heard.iter().copied().filter(|one| {
        let is_other = one.is_primary() && one.server.id != id;
        is_other && one.server.entry(id).is_some() && epoch_of(one) == epoch
    });
    let gives_to_others = |one: &Heard<'_>| {
        let mut opened = one.server.opened();
        opened.any(|open| open.peer != id && survey.shard_of(open.peer).is_some())
    };
    same.find(|one| gives_to_others(one) || taker(survey, *one, node).is_some())
}

/// Who has the same epoch as this primary, or waits for its start with it. Either of the two may take a later one at
/// any moment, whatever it gives away then.
pub(crate) fn has_the_same<'a>(survey: &Survey<'a>, one: &Heard<'_>) -> Option<&'a Node> {
    let epoch = epoch_of(one);
    let mut nodes = survey.nodes.iter();
    nodes.find(|node| match &node.server {
        Some(server) => {
            let own = server.own().filter(|own| own.replica_of.is_none());
            server.id != one.server.id && own.is_some_and(|own| own.config_epoch == epoch)
        }
        None => {
            let held = node.held.filter(|held| held.has_data);
            held.is_some_and(|held| held.epoch == epoch)
        }
    })
}

/// Has them take later epochs than those of servers that are held.
pub(super) fn outdo(survey: &Survey<'_>, plan: &mut Plan) {
    if survey.heard.iter().any(|one| one.server.is_in_a_job()) {
        return;
    }
    for node in survey.nodes {
        let Some(rival) = rival(survey, node) else {
            continue;
        };
        let Some(taker) = taker(survey, rival, node) else {
            continue;
        };
        let (name, other) = (rival.node.name(), node.name());
        let reason = format!("{name} is to have a later epoch than {other} had");
        plan.push(&taker.node.pod, Command::BumpEpoch, reason);
        return;
    }
}

/// Who takes an epoch now so that this server has a later one. One that has the latest of all takes none: then another
/// does before.
fn taker<'a>(survey: &Survey<'a>, rival: Heard<'a>, held: &Node) -> Option<Heard<'a>> {
    // Who took over from it has what it had.
    let may = |one: &Heard<'_>| {
        let heir_of = held.last_id.as_deref();
        let heir_of = heir_of.filter(|_| one.node.shard == held.shard);
        one.is_primary() && takes_nothing_back(survey, one, heir_of)
    };
    if rival.server.current_epoch > epoch_of(&rival) {
        return Some(rival).filter(may);
    }
    let others = survey.heard.iter().copied();
    let others = others.filter(|one| one.server.id != rival.server.id);
    others.filter(may).max_by_key(epoch_of)
}

/// True if a later word of this primary takes nothing from anybody: nobody else has its slots, or is taken for their
/// owner by as late a word, and nobody takes it for the owner of others.
fn takes_nothing_back(survey: &Survey<'_>, one: &Heard<'_>, heir_of: Option<&str>) -> bool {
    let (id, slots) = (&one.server.id, one.server.slots());
    let is_too_many = |entry: &Entry| entry.id == *id && !entry.slots.without(&slots).is_empty();
    let mut told = survey.heard.iter().flat_map(|other| &other.server.known);
    let servers = survey.heard.iter().map(|other| other.server);
    is_met(one.server, servers)
        && survey.slots_of_others(one).shared(&slots).is_empty()
        && has_all_that_it_says(survey, one, |entry| Some(entry.id.as_str()) == heir_of)
        && !told.any(is_too_many)
}

/// True if nobody may have taken slots of this owner who could not tell it: it gives none, and nobody is taken for the
/// owner of one by as late a word, but for those that do not count.
fn has_all_that_it_says(
    survey: &Survey<'_>,
    owner: &Heard<'_>,
    counts_not: impl Fn(&Entry) -> bool,
) -> bool {
    let (id, slots, epoch) = (&owner.server.id, owner.server.slots(), epoch_of(owner));
    let is_rival = |entry: &&Entry| {
        let is_late = entry.id != *id && entry.config_epoch >= epoch;
        is_late && !entry.slots.shared(&slots).is_empty()
    };
    let told = survey.heard.iter().flat_map(|one| &one.server.known);
    let mut rivals = told.filter(is_rival);
    owner.server.opened().next().is_none() && rivals.all(counts_not)
}

/// True if who is not heard has no slot of this owner.
pub(super) fn is_whole(survey: &Survey<'_>, owner: &Heard<'_>) -> bool {
    let is_there = |node: &Node| node.server.is_some() || node.held.is_some();
    let is_heard = |entry: &Entry| survey.by_id(&entry.id).is_some();
    survey.all_heard
        || survey.all_known
            && survey.nodes.iter().all(is_there)
            && has_all_that_it_says(survey, owner, is_heard)
}

fn epoch_of(one: &Heard<'_>) -> u64 {
    one.server.own().map_or(0, |own| own.config_epoch)
}
