//! A shard whose primary is gone, and what is left of those that are gone for good.

use std::cmp::Reverse;

use super::observation::{Node, NodeId};
use super::plan::{Command, Failover, Plan};
use super::slots::SlotSet;
use super::survey::{Heard, Survey};

/// A vote that was asked for comes within this, or not at all for four node timeouts (redis-facts §0.2);
/// in milliseconds.
const VOTED: u64 = 300;

/// Gossip tells who follows whom within a second or two; in milliseconds (redis-facts §1.1).
const KNOWN: u64 = 5_000;

/// Has a replica take over for each primary that is known to be dead.
pub(super) fn plan(survey: &Survey<'_>, plan: &mut Plan) {
    let proven = |id: &NodeId| is_proven(survey, id);
    for id in survey.lost.keys() {
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
                "the primary of shard {shard} is not heard and nothing proves that it is dead: the cluster votes"
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
        // One that lost what it knew of the cluster has no vote.
        let voters = || {
            survey
                .primaries()
                .filter(|one| one.server.entry(id).is_some())
        };
        let majority = voters().count() > survey.lost.len();
        let asked = best.node.asked_for_votes_ms;
        let in_vain = asked.is_some_and(|since| survey.now_ms.saturating_sub(since) > VOTED);
        let how = match (majority, in_vain) {
            (true, false) if asked.is_some() => {
                plan.wait(format!("the others vote whether {name} takes over"));
                continue;
            }
            (true, false) => match voters().find(|voter| !lists(voter, best, id)) {
                // It would have been told long ago, were it to come to know.
                Some(_) if primary.is_some_and(|node| dead_for(survey, node) > KNOWN) => {
                    Failover::Takeover
                }
                Some(voter) => {
                    let voter = voter.node.name();
                    plan.wait(format!(
                        "{name} takes over once {voter} knows it as a replica"
                    ));
                    continue;
                }
                None => Failover::Force,
            },
            (true, true) => Failover::Takeover,
            // Each that is lost might serve on beside who takes over.
            (false, _) if survey.lost.keys().all(|id| proven(id)) => Failover::Takeover,
            (false, _) => {
                plan.wait("most primaries are not heard, and not all of them are known to be dead");
                continue;
            }
        };
        let reason = format!("the primary of shard {} is dead", best.node.shard);
        let primary = id.to_string();
        plan.push(&best.node.pod, Command::Failover { how, primary }, reason);
    }
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
/// left: then they are given out again.
pub(super) fn forget(survey: &Survey<'_>, plan: &mut Plan) {
    if !survey.all_heard {
        return;
    }
    for one in &survey.heard {
        for entry in &one.server.known {
            let is_ours = survey.by_id(&entry.id).is_some();
            let is_needed = survey
                .heard
                .iter()
                .any(|other| other.server.replica_of() == Some(entry.id.as_str()));
            let is_gone = entry.failed || entry.ip.is_empty() || !entry.connected;
            if is_ours || entry.handshake || is_needed || !is_gone {
                continue;
            }
            let id = entry.id.clone();
            let reason = format!("no pod has the id {id} any more");
            plan.push(&one.node.pod, Command::Forget { id }, reason);
        }
    }
}

/// Gives slots that nobody has, not even one that is lost, to the shards that had them when the cluster formed.
pub(super) fn cover(survey: &Survey<'_>, plan: &mut Plan) {
    let missing = SlotSet::all().without(&survey.owned());
    if missing.is_empty() || !survey.all_heard || !survey.lost.is_empty() {
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
        let (false, Some(one)) = (part.is_empty(), primary.or_else(first)) else {
            continue;
        };
        let reason = "no copy of these slots is left anywhere";
        plan.push(&one.node.pod, Command::AddSlots { slots: part }, reason);
    }
}

/// Gives the owner of slots that nobody had an epoch of its own: who joins has 0 as well (decision 020).
pub(super) fn bump(survey: &Survey<'_>, plan: &mut Plan) {
    for shard in 0..survey.wanted.shards {
        let Some(one) = survey.primary_of(shard) else {
            continue;
        };
        if one.server.own().is_none_or(|own| own.config_epoch > 0) {
            continue;
        }
        let shared = survey.slots_of_others(&one).shared(&one.server.slots());
        if shared.is_empty() {
            let reason = "it has slots, and no epoch of its own yet";
            plan.push(&one.node.pod, Command::BumpEpoch, reason);
        }
    }
}
