//! A shard whose primary is gone, and what is left of those that are gone for good.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::epochs::is_whole;
use super::observation::{Entry, Node, NodeId, Server};
use super::open::{Direction, in_between};
use super::plan::{Command, Failover, Plan};
use super::slots::SlotSet;
use super::survey::{Heard, Survey};
use super::without_slots::is_forgotten;

/// A vote that was asked for comes within this, or not at all for four node timeouts (redis-facts §0.2);
/// in milliseconds.
const VOTED: u64 = 300;

/// Gossip tells who follows whom within a second or two; in milliseconds (redis-facts §1.1).
const KNOWN: u64 = 5_000;

/// Has a replica take over for each primary that is known to be dead.
pub(super) fn plan(survey: &Survey<'_>, plan: &mut Plan) {
    let proven = |id: &NodeId| is_proven(survey, id);
    let mut taken_over = BTreeSet::new();
    for id in survey.lost.keys().copied().chain(without_slots(survey)) {
        let followers = || {
            let heard = survey.heard.iter();
            heard.filter(|one| one.server.replica_of() == Some(id.as_str()))
        };
        let Some(any) = followers().next() else {
            continue;
        };
        let shard = any.node.shard;
        if !proven(id) {
            plan.wait(format!(
                "the primary of shard {shard} is not heard and nothing proves that it is dead{}",
                match survey.lost.contains_key(id) {
                    true => ": the cluster votes",
                    false => ", and as it has no slot nobody votes about it",
                }
            ));
            continue;
        }
        // Its volume may have more than a replica that did not hear it to the end.
        let primary = survey.unheard(id);
        let is_lost =
            primary.is_none_or(|node| node.is_lost || node.held.is_some_and(|held| !held.has_data));
        let heard = |one: &Heard<'_>| {
            primary.is_some_and(|node| super::hold::heard_to_the_end(survey, one, node))
        };
        let fits = |one: &&Heard<'_>| (is_lost && one.server.keys > 0) || heard(one);
        // Offsets of different histories say nothing, and a copy without keys may be one that has just begun.
        let best = followers()
            .filter(fits)
            .max_by_key(|one| (heard(one), one.server.keys > 0, one.server.offset));
        // It is back itself, without its id: what no replica heard to its end is there.
        let returned = |one: &Heard<'_>| one.server.is_alone() && one.server.keys > 0;
        if !best.is_some_and(heard) && survey.in_shard(shard).any(|one| returned(&one)) {
            continue;
        }
        let Some(best) = best.or_else(|| followers().find(|_| is_lost)) else {
            plan.wait(format!(
                "no replica of shard {shard} heard its primary to the end: the primary's own volume is waited for"
            ));
            continue;
        };
        let name = best.node.name();
        if let Some(owner) = later_owner(best.server, id, survey.nodes) {
            let owner = owner.name();
            plan.wait(format!(
                "{name} takes over once it knows that {owner} has slots that its primary had"
            ));
            continue;
        }
        let how = match how(survey, best, id) {
            Ok(how) => how,
            Err(words) => {
                plan.wait(words);
                continue;
            }
        };
        let reason = format!("the primary of shard {} is dead", best.node.shard);
        let primary = id.clone();
        if !taken_over.insert(best.node.shard) {
            continue;
        }
        plan.push(&best.node.pod, Command::Failover { how, primary }, reason);
    }
}

/// How a replica takes over from this primary.
///
/// # Errors
/// What is to come first, for people.
fn how(survey: &Survey<'_>, best: &Heard<'_>, id: &NodeId) -> Result<Failover, String> {
    if !survey.lost.contains_key(id) {
        // Nobody votes about one without slots.
        return Ok(Failover::Takeover);
    }
    let name = best.node.name();
    // One that lost what it knew of the cluster has no vote.
    let voters = || {
        survey
            .primaries()
            .filter(|one| one.server.entry(id).is_some())
    };
    let majority = voters().count() > survey.lost.len();
    let asked = best.node.asked_for_votes_ms;
    let in_vain = asked.is_some_and(|since| survey.now_ms.saturating_sub(since) > VOTED);
    let primary = survey.unheard(id);
    match (majority, in_vain) {
        (true, false) if asked.is_some() => {
            Err(format!("the others vote whether {name} takes over"))
        }
        (true, false) => match voters().find(|voter| !lists(voter, best, id)) {
            // It would have been told long ago, were it to come to know.
            Some(_) if primary.is_some_and(|node| dead_for(survey, node) > KNOWN) => {
                Ok(Failover::Takeover)
            }
            Some(voter) => {
                let voter = voter.node.name();
                Err(format!(
                    "{name} takes over once {voter} knows it as a replica"
                ))
            }
            None => Ok(Failover::Force),
        },
        (true, true) => Ok(Failover::Takeover),
        // Each that is lost might serve on beside who takes over.
        (false, _) if survey.lost.keys().all(|id| is_proven(survey, id)) => Ok(Failover::Takeover),
        (false, _) => {
            Err("most primaries are not heard, and not all of them are known to be dead".to_owned())
        }
    }
}

/// Primaries without slots that replicas follow and nobody hears: no vote comes about those. One that has keys may
/// have been about to take the first slots of its shard, and a replica has what it took. Not those that nobody
/// else knows: their shard left, and comes back.
fn without_slots<'a>(survey: &Survey<'a>) -> BTreeSet<&'a NodeId> {
    let mut ids = BTreeSet::new();
    if !survey.served {
        return ids;
    }
    for one in survey.heard.iter().filter(|one| !one.server.is_alone()) {
        let Some(id) = one.server.own().and_then(|own| own.replica_of.as_ref()) else {
            continue;
        };
        let shard = one.node.shard;
        let leads = |other: &Heard<'_>| {
            let has_any = other.server.keys > 0 || !other.server.slots().is_empty();
            other.is_primary() && has_any && !other.server.is_alone()
        };
        let is_led = survey.in_shard(shard).any(|other| leads(&other));
        if survey.by_id(id).is_none() && !is_led && !is_forgotten(shard, id, survey.nodes) {
            ids.insert(id);
        }
    }
    ids
}

/// Who has slots, by a later word, that a replica takes for those of its primary: they moved, and it has not heard
/// of it. If it took over it would take them back, and their owner would delete the keys. Votes are refused for
/// that reason; who takes over by itself is asked by nobody. For one that is not heard, others speak: it may be
/// there again with the only copy. Slots that their owner gives to this very primary are none of these: whoever knows
/// that they arrived has their keys.
pub(super) fn later_owner<'a>(
    replica: &Server,
    primary: &str,
    nodes: &'a [Node],
) -> Option<&'a Node> {
    let known = replica.entry(primary)?;
    let is_later = |entry: &Entry| {
        let leads = entry.replica_of.is_none() && entry.config_epoch > known.config_epoch;
        let given = entry.opened().filter(|open| open.peer == primary);
        let given = given.filter(|open| open.moves == Direction::Out);
        let given = SlotSet::of(given.map(|open| (open.slot, open.slot)));
        leads && !entry.slots.shared(&known.slots).without(&given).is_empty()
    };
    let servers = || nodes.iter().filter_map(|node| node.server.as_ref());
    let is_told = |id: &str| {
        let mut entries = servers().filter_map(|server| server.entry(id));
        entries.any(is_later)
    };
    let has_later = |node: &&Node| match &node.server {
        Some(server) => !server.is_alone() && server.own().is_some_and(is_later),
        None => {
            let id = node.last_id.as_deref().filter(|id| *id != primary);
            !node.is_lost && id.is_some_and(is_told)
        }
    };
    nodes.iter().find(has_later)
}

/// Gives who leads a shard by now what the dead primary before it had, and it had not heard of: slots that were taken a
/// moment before. It has their keys, and they are nowhere else.
pub(super) fn inherit(survey: &Survey<'_>, plan: &mut Plan) {
    let silent = survey.nodes.iter().filter(|node| node.server.is_none());
    for id in silent.filter_map(|node| node.last_id.as_deref()) {
        if let Some((heir, slots)) = inheritance(survey, id) {
            let reason = "the primary from which it took over had these slots as well";
            plan.push(&heir.node.pod, Command::AddSlots { slots }, reason);
        }
    }
}

/// What a primary that is known to be dead had, as others tell, and who leads its shard lacks.
pub(super) fn inheritance<'a>(survey: &Survey<'a>, id: &str) -> Option<(Heard<'a>, SlotSet)> {
    let shard = survey.unheard(id).filter(|node| node.is_dead())?.shard;
    let mut leading = survey.in_shard(shard).filter(|one| {
        let has_any = one.server.keys > 0 || !one.server.slots().is_empty();
        one.is_primary() && has_any && !one.server.is_alone()
    });
    let heir = leading.next()?;
    if leading.next().is_some() {
        return None;
    }
    let known = || {
        let entries = survey.heard.iter().flat_map(|one| &one.server.known);
        entries.filter(|entry| entry.replica_of.is_none() && !entry.slots.is_empty())
    };
    let (mut had, mut epoch) = (SlotSet::default(), 0);
    for entry in known().filter(|entry| entry.id == *id) {
        had = had.with(&entry.slots);
        epoch = epoch.max(entry.config_epoch);
    }
    // Another that is not heard may have them, whatever its epoch: who gave them may have a later one (Redis < 7.2).
    let is_rival = |entry: &&Entry| entry.id != *id && survey.by_id(&entry.id).is_none();
    let others = known().filter(is_rival);
    let others = others.fold(SlotSet::default(), |all, entry| all.with(&entry.slots));
    let took_over = heir
        .server
        .own()
        .is_some_and(|own| own.config_epoch > epoch);
    let slots = had.without(&survey.owned()).without(&others);
    (took_over && !slots.is_empty()).then_some((heir, slots))
}

/// For how many milliseconds a pod is known to have no server that runs.
fn dead_for(survey: &Survey<'_>, node: &Node) -> u64 {
    let since = node.dead_since_ms.unwrap_or(survey.now_ms);
    survey.now_ms.saturating_sub(since)
}

/// True if a server of this id runs nowhere: its pod is known to be dead, or every pod is, or is heard under
/// another id, and none of them reaches one of this. That a pod object is gone proves nothing.
pub(super) fn is_proven(survey: &Survey<'_>, id: &str) -> bool {
    let reaches = |one: &Heard<'_>| {
        let linked = one.server.replica_of() == Some(id) && one.server.link_up;
        let entry = one.server.entry(id);
        linked || entry.is_some_and(|entry| entry.connected && !entry.failed)
    };
    match survey.unheard(id) {
        Some(node) => node.is_dead(),
        None => survey.all_known && !survey.heard.iter().any(reaches),
    }
}

fn lists(voter: &Heard<'_>, candidate: &Heard<'_>, primary: &str) -> bool {
    let entry = voter.server.entry(&candidate.server.id);
    entry.is_some_and(|entry| entry.replica_of.as_deref() == Some(primary))
}

/// Forgets ids that no pod has any more. One that had slots is forgotten only where no copy of its data is
/// left: then they are given out again. One to whom a slot was on its way is not: whoever has its keys is found by
/// that id.
pub(super) fn forget(survey: &Survey<'_>, plan: &mut Plan) {
    if !survey.all_heard {
        return;
    }
    let primaries = || survey.heard.iter().filter(|one| one.is_primary());
    let opened = primaries().flat_map(|one| one.server.opened());
    let on_their_way = opened.filter(|open| open.moves == Direction::Out);
    let awaited: BTreeSet<&str> = on_their_way.map(|open| open.peer).collect();
    let mut given = SlotSet::default();
    for one in &survey.heard {
        for entry in &one.server.known {
            let is_ours = survey.by_id(&entry.id).is_some();
            let is_needed = survey
                .heard
                .iter()
                .any(|other| other.server.replica_of() == Some(entry.id.as_str()));
            let is_gone = entry.failed || entry.ip.is_empty() || !entry.connected;
            let is_awaited = awaited.contains(entry.id.as_str());
            if is_ours || entry.handshake || is_needed || is_awaited || !is_gone {
                continue;
            }
            let id = entry.id.clone();
            let reason = format!("no pod has the id {id} any more");
            plan.push(&one.node.pod, Command::Forget { id }, reason);
            // With the id it forgets which slots it was about to take, and has keys of.
            let opened = one.server.opened().filter(|open| open.peer == entry.id);
            let comes = opened.filter(|open| open.moves == Direction::In && one.is_primary());
            let comes = SlotSet::of(comes.map(|open| (open.slot, open.slot)));
            if comes.is_empty() {
                continue;
            }
            let slots = comes.without(&survey.slots_of_others(one));
            let slots = slots.without(&one.server.slots()).without(&given);
            if !slots.is_empty() {
                given = given.with(&slots);
                let reason = "it was about to take these slots, and their owner is gone for good";
                plan.push(&one.node.pod, Command::AddSlots { slots }, reason);
            }
        }
    }
}

/// Gives slots that nobody has, not even one that is lost, to the shards that had them when the cluster formed.
pub(super) fn cover(survey: &Survey<'_>, plan: &mut Plan) {
    let given = plan.steps.iter().map(|step| match &step.command {
        Command::AddSlots { slots } => slots.ranges(),
        _ => &[],
    });
    let given = SlotSet::of(given.flatten().copied());
    let missing = SlotSet::all().without(&survey.owned()).without(&given);
    if missing.is_empty() || !survey.all_heard || !survey.lost.is_empty() {
        return;
    }
    let servers = survey.heard.iter().map(|one| one.server);
    // What moves is with nobody by the words of servers that are asked one after the other.
    if servers.clone().any(Server::is_in_a_job) {
        return;
    }
    let even = SlotSet::even(survey.wanted.shards);
    for shard in 0..survey.wanted.shards {
        let Some(wanted) = even.get(shard as usize) else {
            continue;
        };
        let part = missing.shared(wanted);
        let primary = survey.primary_of(shard);
        // Where nobody has slots, one may have keys of them all the same.
        let first = || {
            let primaries = survey.in_shard(shard).filter(Heard::is_primary);
            primaries.max_by_key(|one| (one.server.keys, Reverse(one.node.ordinal)))
        };
        let Some(one) = primary.or_else(first) else {
            continue;
        };
        let part = part.without(&in_between(servers.clone(), &one.server.id));
        if part.is_empty() {
            continue;
        }
        let reason = "no copy of these slots is left anywhere";
        plan.push(&one.node.pod, Command::AddSlots { slots: part }, reason);
    }
}

/// Gives the owner of slots that nobody had an epoch of its own, and who leads a shard without slots: who joins
/// has 0 as well (decision 020). And a later one to who is not believed.
pub(super) fn bump(survey: &Survey<'_>, plan: &mut Plan) {
    for shard in 0..survey.wanted.shards {
        let Some(one) = survey.leader_of(shard) else {
            continue;
        };
        let slots = one.server.slots();
        let others = survey.heard.iter().map(|one| one.server);
        let may_have_one = match slots.is_empty() {
            true => super::join::is_met(one.server, others),
            false => survey.slots_of_others(&one).shared(&slots).is_empty(),
        };
        let has_none = one.server.own().is_some_and(|own| own.config_epoch == 0);
        let reason = match () {
            () if !may_have_one => continue,
            () if has_none => "it leads its shard, and has no epoch of its own yet",
            () if is_mistaken(survey, &one) => "others take its slots for those of who gave them",
            () => continue,
        };
        plan.push(&one.node.pod, Command::BumpEpoch, reason);
    }
}

/// True if somebody takes slots of this owner for those of another that has as late a word. Redis before 7.2 does not
/// hear that one no longer claims a slot: only a later word of its owner tells it.
fn is_mistaken(survey: &Survey<'_>, owner: &Heard<'_>) -> bool {
    let moves = survey.heard.iter().any(|one| one.server.is_in_a_job());
    if moves || !survey.lost.is_empty() || !is_whole(survey, owner) {
        return false;
    }
    let (id, slots) = (&owner.server.id, owner.server.slots());
    let epoch = owner.server.own().map_or(0, |own| own.config_epoch);
    let mut entries = survey.heard.iter().flat_map(|one| &one.server.known);
    entries.any(|entry| {
        let is_rival = entry.id != *id && entry.config_epoch >= epoch;
        is_rival && !entry.slots.shared(&slots).is_empty()
    })
}
