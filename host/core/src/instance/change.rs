//! Planned changes: one pod at a time, replicas first, the primary by a handover.

use super::candidates::{self, Candidate, candidates};
use super::elect::{ALL_HEARD, next_epoch};
use super::{Observation, Plan, Step, Wanted, lists, record};
use crate::shard::{Member, Move, keeps_from_handing_over};

/// How many pods the StatefulSet is to have: a primary beyond the wanted number stays until another
/// has taken over, and a temporary pod while pods are replaced.
pub fn set_size(wanted: &Wanted, seen: &Observation) -> u32 {
    if wanted.pods.hibernate {
        return 0;
    }
    let count = wanted.pods.count.unwrap_or(0);
    let is_there = |member: &&Member| {
        member.pod.is_some()
            || member.holds_temporary_claim()
            || record::is_needed(wanted, seen, member)
    };
    let present = seen.members.iter().filter(is_there);
    let present = present.map(|member| member.ordinal + 1).max().unwrap_or(0);
    match seen.primary() {
        Some(primary) => count
            .max(primary.ordinal + 1)
            .max(seen.shard(wanted).size_for_temporary())
            .max(record::unmarked_size(wanted, seen)),
        // Any of them may have been the primary.
        None if seen.members.len() > 1 => count.max(present),
        None => count,
    }
}

pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    if let Some(member) = seen.members.iter().find(|member| may_go(seen, member)) {
        let reason = "its node is out of service, and nothing of it runs";
        plan.push(Step::DeleteDeadPod(member.target()), reason);
        return;
    }
    if wanted.pods.hibernate {
        leave(seen, plan);
        return;
    }
    if let Some(member) = seen.members.iter().find(|member| member.is_finished()) {
        // It holds nothing any more that another could not.
        delete(member, "the pod has finished", plan);
        return;
    }
    if let Some(primary) = seen.primary()
        && hand_over(wanted, seen, primary, plan)
    {
        return;
    }
    if !wanted.pods.paused {
        let idle = seen
            .members
            .iter()
            .rev()
            .filter(|member| member.never_ran());
        // Who is to lead comes first.
        let leads = seen.primary().is_some() || plan.waiting_for.is_none();
        let mut outdated =
            idle.filter_map(|member| Some((member, member.why_outdated(&wanted.pods.revision)?)));
        match outdated.next() {
            Some((member, reason)) => delete(member, &reason, plan),
            None if leads => replace(wanted, seen, plan),
            None => {}
        }
    }
    if plan.is_disruptive() {
        plan.stalled = None;
    }
}

/// Replaces the next outdated pod, if all others are as they should be.
fn replace(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    match seen.shard(wanted).next_move() {
        Move::Done(None) => {}
        // What else is waited for comes first.
        Move::Done(Some(wait)) => {
            if plan.waiting_for.is_none() {
                plan.wait(wait);
            }
        }
        Move::Replace { pod, reason } => delete(pod, &reason, plan),
        Move::SwitchOver { from, reason } => match successor(wanted, seen, from) {
            Some(successor) => {
                begin(wanted, seen, from, successor, &reason, plan);
            }
            None => plan.waiting_for = Some(format!("{reason}; no replica is in sync")),
        },
        Move::Wait(wait) => plan.wait(wait),
    }
}

/// A pod on a dead node, unless it is the proof by which another is about to be promoted.
fn may_go(seen: &Observation, member: &Member) -> bool {
    let is_proof = seen.primary().is_none()
        && seen.remembered.leaderless_ms < ALL_HEARD
        && candidates(seen)
            .iter()
            .any(|candidate| candidate.uid == member.uid());
    member.is_on_dead_node() && !is_proof && !member.would_lose_volume()
}

/// All pods are on their way out, so that nobody can take over: the primary's volume keeps the data.
fn leave(seen: &Observation, plan: &mut Plan) {
    let waits = |member: &&Member| member.agent.status().is_some_and(|status| status.leaving);
    let primary = seen.primary().filter(waits);
    if let Some(primary) = primary
        && seen.members.iter().all(Member::is_leaving)
    {
        plan.push(Step::Leave(primary.target()), "all pods end");
    }
}

/// Plans a handover if one is due; true if nothing else is to be begun.
fn hand_over(wanted: &Wanted, seen: &Observation, primary: &Member, plan: &mut Plan) -> bool {
    let asked = wanted
        .promote
        .as_deref()
        .filter(|name| *name != primary.name());
    if let Some(name) = asked {
        match seen.members.iter().find(|member| member.is_called(name)) {
            None => plan.refused = Some(format!("there is no data pod {name} to promote")),
            Some(member)
                if !wanted.pods.keeps(member.ordinal)
                    && (seen.shard(wanted).temporary() != Some(member.ordinal)
                        || member.goes_with_its_claim()) =>
            {
                plan.refused = Some(format!("{name} is one too many, and about to go"));
            }
            Some(_) if let Some(words) = keeps_from_handing_over(primary) => {
                plan.refused = Some(words);
            }
            Some(member) if !member.is_in_sync(primary) || !lists::is_latest(seen, member) => {
                plan.refused = Some(format!("{name} is not in sync, and is promoted once it is"));
            }
            // Asked for once more after each time that it gave way, it would change for ever.
            Some(member) if !member.can_write() && primary.can_write() => {
                plan.refused = Some(format!(
                    "the volume of {name} takes no writes, and it is promoted once it does"
                ));
            }
            Some(member) => {
                return begin(wanted, seen, primary, member, "somebody asked for it", plan);
            }
        }
    }
    let leaves = primary.is_leaving();
    if !leaves && primary.refuses_writes() && give_way(wanted, seen, primary, plan) {
        return true;
    }
    let beyond = !wanted.pods.paused && !wanted.pods.keeps(primary.ordinal);
    if !leaves && !beyond {
        return false;
    }
    let reason = match leaves {
        true => "the primary's pod is to end",
        false => "the primary's pod is one too many",
    };
    let in_roll = seen.shard(wanted).is_spare(primary);
    match successor(wanted, seen, primary) {
        // The temporary pod leads until one of the wanted revision can.
        Some(next) if !leaves && in_roll && next.why_outdated(&wanted.pods.revision).is_some() => {
            false
        }
        Some(next) => {
            let outdated = primary
                .why_outdated(&wanted.pods.revision)
                .filter(|_| !leaves && in_roll);
            match outdated {
                // The spec changed since somebody approved.
                Some(words) => match seen.shard(wanted).approval(primary, &words) {
                    Ok(()) => begin(wanted, seen, primary, next, reason, plan),
                    Err(wait) => {
                        plan.wait(wait);
                        true
                    }
                },
                None => begin(wanted, seen, primary, next, reason, plan),
            }
        }
        None if leaves => {
            if seen.members.len() > 1 {
                plan.waiting_for = Some(format!("{reason}, and no replica is in sync"));
            }
            true
        }
        None => {
            if let Some(wait) = seen.shard(wanted).heir_missing(primary) {
                plan.wait(wait);
            }
            false
        }
    }
}

/// The primary refuses writes: one that has everything, and room for it once more, takes them. Each of
/// these handovers is to a volume with more room, so nothing goes back and forth.
fn give_way(wanted: &Wanted, seen: &Observation, primary: &Member, plan: &mut Plan) -> bool {
    let roomy = able(wanted, seen, primary).filter(|member| member.has_room());
    let Some(next) = first(wanted, roomy) else {
        return false;
    };
    let reason = format!(
        "the volume of {} takes no writes, that of {} does",
        primary.name(),
        next.name()
    );
    begin(wanted, seen, primary, next, &reason, plan)
}

/// The replica to take over: one that can write if there is one, rather one of the wanted revision,
/// rather one that stays than the temporary pod.
pub(super) fn successor<'a>(
    wanted: &'a Wanted,
    seen: &'a Observation,
    primary: &'a Member,
) -> Option<&'a Member> {
    first(wanted, able(wanted, seen, primary))
}

/// The temporary pod has the highest ordinal.
fn first<'a>(wanted: &Wanted, able: impl Iterator<Item = &'a Member>) -> Option<&'a Member> {
    able.min_by_key(|member| {
        let outdated = member.why_outdated(&wanted.pods.revision).is_some();
        (!member.can_write(), outdated, member.ordinal)
    })
}

/// The replicas that could take over. No planned change leads from one that can write to one that cannot.
fn able<'a>(
    wanted: &'a Wanted,
    seen: &'a Observation,
    primary: &'a Member,
) -> impl Iterator<Item = &'a Member> {
    let temporary = seen.shard(wanted).temporary();
    seen.members.iter().filter(move |member| {
        member.ordinal != primary.ordinal
            && (wanted.pods.keeps(member.ordinal) || temporary == Some(member.ordinal))
            && !member.is_leaving()
            && member.is_in_sync(primary)
            // Who waits for its end cannot wait for that.
            && ((member.is_saved() && !member.goes_with_its_claim()) || primary.is_leaving())
            && (member.can_write() || !primary.can_write() || primary.is_leaving())
            && lists::is_latest(seen, member)
            && !wanted.fenced.iter().any(|name| name == member.name())
    })
}

pub(super) fn begin(
    wanted: &Wanted,
    seen: &Observation,
    primary: &Member,
    next: &Member,
    reason: &str,
    plan: &mut Plan,
) -> bool {
    if let Some(words) = keeps_from_handing_over(primary) {
        plan.waiting_for = Some(format!("{reason}; {words}"));
        return true;
    }
    let Some(ip) = next.ip() else { return false };
    let epoch = match next_epoch(seen) {
        Ok(epoch) => epoch,
        Err(words) => {
            plan.waiting_for = Some(words);
            return false;
        }
    };
    let uid = next.uid().to_owned();
    record::note_before(wanted, next, epoch, plan);
    let step = Step::HandOver {
        from: primary.target(),
        to: next.target(),
        ip: ip.to_owned(),
        epoch,
        candidates: candidates::with(seen, Candidate { epoch, uid }),
    };
    plan.push(step, reason);
    true
}

pub(super) fn delete(member: &Member, reason: &str, plan: &mut Plan) {
    let Some(pod) = &member.pod else { return };
    if pod.deleting || member.would_lose_volume() {
        return;
    }
    plan.push(Step::DeletePod(member.target()), reason);
}
