//! What agents are to hold.

use super::presumed_dead::FOR_A_PERSON;
use super::{MemberList, Observation, Plan, Step, Wanted, lists, record};
use crate::agent::{AgentStatus, Members, Peer, ServerState};
use crate::shard::Member;

/// Who the data pods are: those that the spec wants and that have a pod, and a temporary one. Where there
/// is a primary other pods beyond leave, and what they say counts no more.
pub fn members(wanted: &Wanted, seen: &Observation) -> Members {
    let counted = seen
        .members
        .iter()
        .filter(|member| counts(wanted, seen, member));
    Members {
        pods: counted
            .map(|member| Peer {
                pod_uid: member.uid().to_owned(),
                server_name: member.server_name.clone(),
                ip: member.ip().map(str::to_owned),
            })
            .collect(),
        fence_after_ms: wanted.fence_after_ms,
        revision: 0,
    }
}

/// What agents are told: the last list, once it is written down.
pub fn told(wanted: &Wanted, lists: &[MemberList], seen: &Observation) -> Members {
    Members {
        revision: lists.last().map_or(0, |list| list.revision),
        ..members(wanted, seen)
    }
}

/// A pod beyond the wanted number counts as long as it is the primary, or the temporary pod. Where nobody
/// leads it may have the best copy, or the only one: it counts once nobody else can be the primary any
/// more, or was missed for long. Beside a pod that was told that it is alone it does not, as that
/// promotes itself.
fn counts(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    let counts_beyond = match seen.primary() {
        Some(primary) => primary.ordinal == member.ordinal,
        None if record::is_needed(wanted, seen, member) => true,
        None if wanted.pods.is_single() || member.is_leaving() => false,
        None => {
            // Once it counts it does: else lists would change with every broken stream.
            let counted = lists::is_in_last(seen, member) || is_listed(seen, member);
            let missed = seen.remembered.leaderless_ms >= FOR_A_PERSON;
            let heard = member.agent.status().is_some();
            counted || (heard && (missed || lists::is_over(seen)))
        }
    };
    member.pod.is_some()
        && (wanted.pods.keeps(member.ordinal)
            || counts_beyond
            || temporary_counts(wanted, seen, member))
}

/// True if this is the temporary pod and counts among the data pods. From when its agent is heard,
/// so that one that finds no place makes no majority harder to reach; until it leaves, so that no
/// primary takes itself for alone while it could be replaced.
fn temporary_counts(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    let shard = seen.shard(wanted);
    if !shard.is_spare(member) || member.is_leaving() {
        return false;
    }
    let is_due = shard.temporary() == Some(member.ordinal);
    is_listed(seen, member) || (is_due && member.agent.status().is_some())
}

/// True if another data pod was told that this is one.
fn is_listed(seen: &Observation, member: &Member) -> bool {
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

pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    let lists = lists::next(wanted, seen);
    if let Some(lists) = lists.as_ref().filter(|lists| **lists != seen.lists) {
        let step = Step::WriteLists {
            lists: lists.clone(),
        };
        plan.push(step, "the data pods, or the limit of the fence, are others");
    }
    let peers = lists.map(|lists| told(wanted, &lists, seen));
    for member in &seen.members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        if matches!(status.server, ServerState::Stopping) {
            continue;
        }
        // Rights first: a revocation waits for no configuration.
        let answers = matches!(status.server, ServerState::Running { .. });
        let acl = seen.acl.revision;
        // Confirmed, a pod that takes itself for alone promotes itself.
        let waits = !seen.is_filled(member)
            || (status.members.pods.len() <= 1 && record::holds_back(wanted, seen));
        if answers && !waits && acl != 0 && (status.acl.revision != acl || !status.acl.confirmed) {
            let reason = format!("revision {acl} is wanted");
            plan.push(Step::PushAcl(member.target()), reason);
        }
        let config = seen.config.revision;
        if !wanted.pods.paused && config != 0 && status.config.revision != config {
            let reason = format!("revision {config} is wanted");
            plan.push(Step::PushConfig(member.target()), reason);
        }
        let Some(peers) = &peers else { continue };
        let counts = peers.pods.iter().any(|peer| peer.pod_uid == member.uid());
        let held = &status.members;
        // One of an earlier release keeps no revision.
        let unnumbered = held.revision == 0 && !held.pods.is_empty();
        let is_told = (held.revision == peers.revision || unnumbered)
            && held.fence_after_ms == peers.fence_after_ms
            && held.pods == peers.pods;
        if counts && !is_told {
            let reason = format!("there are {} data pods", peers.pods.len());
            plan.push(Step::PushMembers(member.target()), reason);
        }
    }
}
