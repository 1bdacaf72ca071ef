//! Shards that leave, and may go.

use super::Job;
use crate::cluster::{Heard, SlotSet, Survey};

/// Shards from the last one down to the first that is still needed. One that goes while another behind it stays
/// would be missed.
pub(super) fn shards(
    job: &Job<'_>,
    survey: &Survey<'_>,
    waiting_for: &mut Option<String>,
) -> Vec<u32> {
    let mut drained = Vec::new();
    for shard in (job.keep..job.wanted.shards).rev() {
        match needed(job.keep, survey, shard) {
            None => drained.push(shard),
            Some(words) => {
                waiting_for.get_or_insert(words);
                break;
            }
        }
    }
    drained
}

/// Why a shard that leaves is still needed, for people.
fn needed(keep: u32, survey: &Survey<'_>, shard: u32) -> Option<String> {
    let stay = survey.primaries().filter(|one| one.node.shard < keep);
    let served = stay.fold(SlotSet::default(), |all, one| all.with(&one.server.slots()));
    let missing = SlotSet::all().without(&served);
    if !missing.is_empty() {
        let count = missing.len();
        return Some(format!("{count} slots are at no shard that stays"));
    }
    // One that is not heard may take itself for their owner.
    let pods = || survey.nodes.iter().filter(|node| node.shard == shard);
    let silent = pods().find(|node| node.server.is_none() && !node.is_dead() && !node.never_ran);
    if let Some(silent) = silent {
        let name = silent.name();
        return Some(format!(
            "{name} of shard {shard}, which leaves, is not heard"
        ));
    }
    let is_of_it = |id: &str| survey.shard_of(id) == Some(shard);
    for one in &survey.heard {
        let name = one.node.name();
        let mut known = one.server.known.iter();
        if known.any(|entry| !entry.slots.is_empty() && is_of_it(&entry.id)) {
            return Some(format!(
                "{name} takes shard {shard}, which leaves, for the owner of slots"
            ));
        }
        let job = one
            .server
            .moving
            .as_ref()
            .filter(|_| one.server.is_in_a_job());
        let is_own = one.node.shard == shard;
        if job.is_some_and(|job| is_own || is_of_it(&job.peer)) {
            return Some(format!("a job of shard {shard}, which leaves, runs"));
        }
        // Only a primary's word counts: later servers tell their replicas.
        let mut opened = one.server.opened().filter(|_| one.is_primary());
        if opened.any(|open| is_own || is_of_it(open.peer)) {
            return Some(format!(
                "a slot is half moved at shard {shard}, which leaves"
            ));
        }
        let keys = one.server.keys;
        if is_own && keys > 0 && !follows_who_stays(keep, survey, one) {
            return Some(format!(
                "{name} of shard {shard}, which leaves, has no slot and still has {keys} keys"
            ));
        }
    }
    None
}

/// It has the keys of another shard: the last of its slots went there, and it became a replica.
fn follows_who_stays(keep: u32, survey: &Survey<'_>, one: &Heard<'_>) -> bool {
    let of = one.server.replica_of().and_then(|id| survey.by_id(id));
    of.is_some_and(|of| of.node.shard < keep && of.is_primary())
}
