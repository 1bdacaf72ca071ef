//! Planned changes: one pod at a time, replicas first, the primary by a handover.

use super::claims::{self, Claim};
use super::elect::next_reign;
use super::pushes::target;
use super::{AgentView, Member, Observation, Plan, PodView, Step, Wanted, lists};
use crate::digest::sha256_hex;

/// How many pods the StatefulSet is to have: a primary beyond the wanted number stays until another
/// has taken over.
pub fn set_size(wanted: u32, hibernate: bool, seen: &Observation) -> u32 {
    if hibernate {
        return 0;
    }
    let of_primary = seen.primary().map_or(0, |primary| primary.ordinal + 1);
    let leaderless = seen.primary().is_none() && seen.members.len() > 1;
    let present = seen.members.iter().filter(|member| member.pod.is_some());
    let present = present.map(|member| member.ordinal + 1).max().unwrap_or(0);
    match leaderless {
        true => wanted.max(present),
        false => wanted.max(of_primary),
    }
}

pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    if wanted.hibernate {
        return;
    }
    if let Some(member) = seen.members.iter().find(|member| is_finished(member)) {
        // It holds nothing any more that another could not.
        delete(member, "the pod has finished", plan);
        return;
    }
    if let Some(primary) = seen.primary()
        && hand_over(wanted, seen, primary, plan)
    {
        return;
    }
    if !wanted.paused {
        replace(wanted, seen, plan);
    }
}

/// Plans a handover if one is due; true if nothing else is to be begun.
fn hand_over(wanted: &Wanted, seen: &Observation, primary: &Member, plan: &mut Plan) -> bool {
    let asked = wanted
        .promote
        .as_deref()
        .filter(|name| *name != primary.name());
    if let Some(name) = asked {
        match seen.members.iter().find(|member| member.name() == name) {
            None => plan.refused = Some(format!("there is no data pod {name} to promote")),
            Some(member) if !member.is_in_sync(primary) || !lists::is_latest(seen, member) => {
                plan.refused = Some(format!("{name} is not in sync, and is promoted once it is"));
            }
            Some(member) => {
                return begin(seen, primary, member, "somebody asked for it", plan);
            }
        }
    }
    let leaves = primary.is_leaving();
    let beyond = !wanted.paused && !wanted.keeps(primary.ordinal);
    if !leaves && !beyond {
        return false;
    }
    let reason = match leaves {
        true => "the primary's pod is to end",
        false => "the primary's pod is one too many",
    };
    match successor(wanted, seen, primary) {
        Some(next) => begin(seen, primary, next, reason, plan),
        None => {
            if seen.members.len() > 1 {
                plan.waiting_for = Some(format!("{reason}, and no replica is in sync"));
            }
            leaves
        }
    }
}

/// The replica to take over: one that stays, of the wanted revision if there is one.
fn successor<'a>(wanted: &Wanted, seen: &'a Observation, primary: &Member) -> Option<&'a Member> {
    let able = seen.members.iter().filter(|member| {
        member.ordinal != primary.ordinal
            && wanted.keeps(member.ordinal)
            && !member.is_leaving()
            && member.is_in_sync(primary)
            && lists::is_latest(seen, member)
            && !wanted.fenced.iter().any(|name| name == member.name())
    });
    able.min_by_key(|member| (is_outdated(wanted, member).is_some(), member.ordinal))
}

fn begin(
    seen: &Observation,
    primary: &Member,
    next: &Member,
    reason: &str,
    plan: &mut Plan,
) -> bool {
    let Some(ip) = next.ip() else { return false };
    let reign = next_reign(seen);
    let uid = next.uid().to_owned();
    let step = Step::HandOver {
        from: target(primary),
        to: target(next),
        ip: ip.to_owned(),
        reign,
        claims: claims::with(seen, Claim { reign, uid }),
    };
    plan.push(step, reason);
    true
}

fn is_finished(member: &Member) -> bool {
    let finished = |pod: &PodView| pod.finished && !pod.deleting;
    member.pod.as_ref().is_some_and(finished) && !would_lose_volume(member)
}

/// Replaces the next outdated pod, if all others are as they should be.
fn replace(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    let outdated: Vec<(&Member, String)> = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal))
        .filter_map(|member| Some((member, is_outdated(wanted, member)?)))
        .collect();
    let primary = seen.primary();
    let is_primary =
        |member: &Member| primary.is_some_and(|primary| primary.ordinal == member.ordinal);
    // Replicas first, from the last.
    let next = outdated
        .iter()
        .rev()
        .find(|(member, _)| !is_primary(member))
        .or_else(|| outdated.first());
    let Some((member, reason)) = next else { return };
    if let Some(other) = not_whole(wanted, seen, member) {
        plan.waiting_for = Some(format!("{reason}; it waits until {other} is in sync"));
        return;
    }
    if !is_primary(member) {
        return delete(member, reason, plan);
    }
    if wanted.supervised {
        let digest = sha256_hex(format!("{} {}", wanted.pod_revision, member.uid()).as_bytes());
        let digest = digest.chars().take(16).collect::<String>();
        if wanted.approved.as_deref() != Some(digest.as_str()) {
            plan.waiting_for = Some(format!(
                "{reason}; the primary {} is replaced once somebody approves {digest}",
                member.name()
            ));
            plan.to_approve = Some(digest);
            return;
        }
    }
    match successor(wanted, seen, member) {
        Some(successor) => {
            begin(seen, member, successor, reason, plan);
        }
        None if wanted.replicas <= 1 => delete(member, reason, plan),
        None => plan.waiting_for = Some(format!("{reason}; no replica is in sync")),
    }
}

/// A pod that is missing or not in sync: while there is one, no other is taken.
fn not_whole(wanted: &Wanted, seen: &Observation, besides: &Member) -> Option<String> {
    if wanted.replicas <= 1 {
        return None;
    }
    let Some(primary) = seen.primary() else {
        return Some("a primary".to_owned());
    };
    let fine = |member: &Member| {
        member.ordinal == besides.ordinal
            || member.ordinal == primary.ordinal
            || (!member.is_leaving() && member.is_in_sync(primary))
    };
    let mut stay = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal));
    stay.find(|member| !fine(member))
        .map(|member| match member.name() {
            "" => format!("the pod of ordinal {}", member.ordinal),
            name => name.to_owned(),
        })
}

fn delete(member: &Member, reason: &str, plan: &mut Plan) {
    let Some(pod) = &member.pod else { return };
    if pod.deleting || would_lose_volume(member) {
        return;
    }
    plan.push(Step::DeletePod(target(member)), reason);
}

/// A claim that is being deleted lives as long as its pod: the data would go with it.
fn would_lose_volume(member: &Member) -> bool {
    member.claim.as_ref().is_some_and(|claim| claim.deleting)
}

/// Why a pod is to be made anew.
fn is_outdated(wanted: &Wanted, member: &Member) -> Option<String> {
    let pod = member.pod.as_ref().filter(|pod| !pod.deleting)?;
    if pod.revision.as_deref() != Some(wanted.pod_revision.as_str()) {
        return Some("the spec asks for another pod".to_owned());
    }
    let pending = match &member.agent {
        AgentView::Connected(status) => &status.config.pending_restart,
        AgentView::Absent | AgentView::Unreachable(_) => return None,
    };
    (!pending.is_empty())
        .then(|| format!("the server takes {} only at its start", pending.join(", ")))
}
