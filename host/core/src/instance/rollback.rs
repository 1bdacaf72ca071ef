//! Whether the revision of the spec proved itself in all pods, or the roll to it failed.

use super::roll::may_serve;
use super::verdict::why_not_in_sync;
use super::{AgentView, Member, NodeState, Observation, Wanted, surge};
use crate::agent::ServerState;

/// True if all pods that stay are of the wanted revision, and in sync.
pub fn is_proven(wanted: &Wanted, seen: &Observation) -> bool {
    let Some(primary) = seen.primary() else {
        return false;
    };
    let fine = |ordinal| {
        let mut members = seen.members.iter();
        let member = members.find(|member| member.ordinal == ordinal);
        member.is_some_and(|member| {
            is_of(member, &wanted.pod_revision) && !member.is_leaving() && !member.is_away(primary)
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
    let leads = primary.is_some_and(|primary| is_of(primary, &wanted.pod_revision));
    if wanted.paused || wanted.hibernate || leads || (primary.is_none() && !lone) {
        return None;
    }
    let temporary = surge::temporary(wanted, seen);
    let failed = |member: &&Member| {
        let takes_part = wanted.keeps(member.ordinal) || temporary == Some(member.ordinal);
        takes_part
            && is_of(member, &wanted.pod_revision)
            && is_late(wanted, seen, member)
            && !may_run(member)
    };
    let member = seen.members.iter().find(failed)?;
    let (name, why) = (member.label(), why_not_in_sync(member));
    let minutes = wanted.progress_deadline_ms / 60_000;
    Some(format!("{name} was not ready after {minutes} min: {why}"))
}

/// True if its pod is of this revision, and stays.
pub fn is_of(member: &Member, revision: &str) -> bool {
    let pod = member.pod.as_ref().filter(|pod| !pod.deleting);
    pod.is_some_and(|pod| pod.revision.as_deref() == Some(revision))
}

fn is_late(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    let pod = member.pod.as_ref().filter(|pod| !pod.ready);
    let age = pod.map(|pod| seen.now_ms.saturating_sub(pod.since_ms));
    age.is_some_and(|age| age > wanted.progress_deadline_ms)
}

/// Its server runs, reads its data, or is down on purpose; or nobody can tell.
fn may_run(member: &Member) -> bool {
    let is_lost = member.pod.as_ref().is_some_and(|pod| {
        matches!(
            pod.node_state,
            NodeState::NotReady | NodeState::OutOfService
        )
    });
    let runs = match &member.agent {
        AgentView::Connected(status) => !matches!(
            status.server,
            ServerState::Starting | ServerState::BackOff { .. }
        ),
        AgentView::Absent | AgentView::Unreachable(_) => may_serve(member),
    };
    is_lost || runs
}
