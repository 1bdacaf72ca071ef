//! The temporary pod: one beyond the wanted number, of the wanted revision, so that copies in sync
//! do not run short while the others are replaced.
//!
//! That it is needed is seen, never remembered: it comes while a pod that stays is outdated, and goes
//! once all that stay are as they should be and one of them leads.

use super::{Observation, Wanted};
use crate::agent::AgentStatus;
use crate::shard::Member;

impl Wanted {
    /// True if too few copies would be in sync while one pod is replaced.
    pub(super) fn surges(&self) -> bool {
        let needed = self.min_replicas_to_write.max(1);
        self.surge && !self.hibernate && self.replicas > 0 && self.replicas < 2 + needed
    }
}

/// The ordinal of the temporary pod, while there is to be one.
pub fn temporary(wanted: &Wanted, seen: &Observation) -> Option<u32> {
    if !wanted.surges() {
        return None;
    }
    let primary = seen.primary()?;
    let mut stay = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal));
    let is_due = |member: &Member| {
        member.why_outdated(&wanted.pod_revision).is_some() && !member.would_lose_volume()
    };
    let outdated = stay.clone().any(is_due);
    let away = stay.any(|member| member.is_away(primary));
    let spare = at(seen, wanted.replicas);
    let due = match spare.filter(|member| is_here(member)) {
        // Of an earlier revision it goes as a whole, and another comes: what its server wrote, an
        // earlier version may not read.
        Some(spare) if spare.why_outdated(&wanted.pod_revision).is_some() => {
            away || spare.ordinal == primary.ordinal
        }
        Some(_) => outdated || away,
        // Without a primary that stays there is nothing that it could copy, or no need.
        None => {
            let is_left = spare.is_some_and(leaves_claim);
            outdated && wanted.keeps(primary.ordinal) && !wanted.paused && !is_left
        }
    };
    due.then_some(wanted.replicas)
}

fn is_here(member: &Member) -> bool {
    member.pod.as_ref().is_some_and(|pod| !pod.deleting)
}

/// What is left of the last temporary pod goes before another comes.
fn leaves_claim(member: &Member) -> bool {
    let claim = member.claim.as_ref();
    claim.is_some_and(|claim| claim.deleting || claim.goes_with_pod)
}

/// True if this is the temporary pod, wanted still or not.
pub(super) fn is_spare(wanted: &Wanted, member: &Member) -> bool {
    wanted.surges() && member.ordinal == wanted.replicas
}

/// How many pods there must be at least for temporary ones. One whose claim is not tied to it yet, or
/// is about to be untied, stays: nobody would take the claim away, and it may have the best copy.
pub(super) fn size(wanted: &Wanted, seen: &Observation) -> u32 {
    let due = temporary(wanted, seen).map_or(0, |ordinal| ordinal + 1);
    let is_kept = |member: &Member| {
        let temporary = member.claim.as_ref().is_some_and(|claim| claim.temporary);
        temporary && is_here(member) && !claim_goes(wanted, seen, member.ordinal)
    };
    let stay = seen
        .members
        .iter()
        .filter(|member| !wanted.keeps(member.ordinal))
        .filter(|member| holds_claim(member) || is_kept(member));
    stay.map(|member| member.ordinal + 1)
        .max()
        .unwrap_or(0)
        .max(due)
}

/// True if it has, or had, a temporary pod's claim that nothing takes away yet.
pub(super) fn holds_claim(member: &Member) -> bool {
    member
        .claim
        .as_ref()
        .is_some_and(|claim| claim.temporary && !claim.goes_with_pod && !claim.deleting)
}

/// True if a temporary claim of this ordinal is to go when its pod does: a pod that stays leads, and
/// it and all others that stay have everything. Also once the temporary pod itself is leaving: what
/// is lost of the primary may be nowhere else (simulation, seed 242817).
pub fn claim_goes(wanted: &Wanted, seen: &Observation, ordinal: u32) -> bool {
    let leads = |primary: &Member| {
        let mut stay = seen
            .members
            .iter()
            .filter(|member| wanted.keeps(member.ordinal));
        wanted.keeps(primary.ordinal)
            && !primary.is_leaving()
            && primary.is_saved()
            && !stay.any(|member| member.is_away(primary))
    };
    !wanted.keeps(ordinal)
        && temporary(wanted, seen) != Some(ordinal)
        && seen.primary().is_some_and(leads)
}

/// True if this is the temporary pod and counts among the data pods. From when its agent is heard,
/// so that one that finds no place makes no majority harder to reach; until it leaves, so that no
/// primary takes itself for alone while it could be replaced.
pub(super) fn counts(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    if !is_spare(wanted, member) || member.is_leaving() {
        return false;
    }
    let is_due = temporary(wanted, seen) == Some(member.ordinal);
    is_listed(seen, member) || (is_due && member.agent.status().is_some())
}

/// True if another data pod was told that this is one.
pub(super) fn is_listed(seen: &Observation, member: &Member) -> bool {
    let lists = |status: &AgentStatus| {
        let mut pods = status.members.pods.iter();
        pods.any(|pod| pod.pod_uid == member.uid())
    };
    seen.members
        .iter()
        .filter(|other| other.ordinal != member.ordinal)
        .filter_map(|other| other.agent.status())
        .any(lists)
}

fn at(seen: &Observation, ordinal: u32) -> Option<&Member> {
    seen.members.iter().find(|member| member.ordinal == ordinal)
}
