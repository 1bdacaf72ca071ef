//! Whether the revision of the spec proved itself in all pods, or the roll to it failed.

use super::{Observation, Wanted, surge};
use crate::shard::{Member, why_not_in_sync};

/// True if all pods that stay are of the wanted revision, and in sync.
pub fn is_proven(wanted: &Wanted, seen: &Observation) -> bool {
    let Some(primary) = seen.primary() else {
        return false;
    };
    let fine = |ordinal| {
        let mut members = seen.members.iter();
        let member = members.find(|member| member.ordinal == ordinal);
        member.is_some_and(|member| {
            member.is_of(&wanted.pod_revision) && !member.is_leaving() && !member.is_away(primary)
        })
    };
    wanted.replicas > 0 && (0..wanted.replicas).all(fine)
}

/// Why the roll to the wanted revision failed, for people; none unless it did: a pod of that revision
/// had the time to become ready, and its server does not run. A server that runs may be copying, or
/// cut off, and a pod that is not heard, or whose node is lost, says nothing about its revision. A
/// revision that leads has not failed.
pub fn why_failed(wanted: &Wanted, seen: &Observation) -> Option<String> {
    let primary = seen.primary();
    let lone = wanted.replicas == 1 && seen.members.len() == 1;
    let leads = primary.is_some_and(|primary| primary.is_of(&wanted.pod_revision));
    if wanted.paused || wanted.hibernate || leads || (primary.is_none() && !lone) {
        return None;
    }
    let temporary = surge::temporary(wanted, seen);
    let failed = |member: &&Member| {
        let takes_part = wanted.keeps(member.ordinal) || temporary == Some(member.ordinal);
        takes_part
            && member.is_of(&wanted.pod_revision)
            && is_late(wanted, seen, member)
            && !member.may_run()
    };
    let member = seen.members.iter().find(failed)?;
    let (name, why) = (member.label(), why_not_in_sync(member));
    let minutes = wanted.progress_deadline_ms / 60_000;
    Some(format!("{name} was not ready after {minutes} min: {why}"))
}

fn is_late(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    let pod = member.pod.as_ref().filter(|pod| !pod.ready);
    let age = pod.map(|pod| seen.now_ms.saturating_sub(pod.since_ms));
    age.is_some_and(|age| age > wanted.progress_deadline_ms)
}
