//! A roll: outdated pods are replaced one at a time, replicas first, the primary by a handover.

use super::change::{begin, delete, successor};
use super::{Observation, Plan, Wanted, surge};
use crate::digest::short_hex;
use crate::shard::{Member, Stall, why_not_in_sync};

/// Replaces the next outdated pod, if all others are as they should be.
pub(super) fn replace(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    let temporary = surge::temporary(wanted, seen);
    let takes_part = |ordinal| wanted.keeps(ordinal) || temporary == Some(ordinal);
    let outdated: Vec<(&Member, String)> = seen
        .members
        .iter()
        .filter(|member| takes_part(member.ordinal))
        .filter(|member| !member.would_lose_volume())
        .filter_map(|member| Some((member, member.why_outdated(&wanted.pod_revision)?)))
        .collect();
    let primary = seen.primary();
    let is_primary =
        |member: &Member| primary.is_some_and(|primary| primary.ordinal == member.ordinal);
    let is_away = |member: &Member| primary.is_some_and(|primary| member.is_away(primary));
    // Replicas first, from the last; before all others one that is of no use as it is.
    let next = outdated
        .iter()
        .filter(|(member, _)| !is_primary(member))
        .max_by_key(|(member, _)| (is_away(member), member.ordinal))
        .or_else(|| outdated.first());
    let Some((member, reason)) = next else {
        if let (Some(_), Some(primary), None) = (temporary, primary, &plan.waiting_for) {
            wait_for_last(wanted, seen, primary, plan);
        }
        return;
    };
    if let Some(other) = waits_for(wanted, seen, member) {
        wait(
            wanted,
            seen,
            format!("{reason}; it waits until {}", other.what),
            other.since_ms,
            plan,
        );
        return;
    }
    if !is_primary(member) {
        return delete(member, reason, plan);
    }
    if !is_approved(wanted, seen, member, reason, plan) {
        return;
    }
    match successor(wanted, seen, member) {
        Some(successor) => {
            begin(wanted, seen, member, successor, reason, plan);
        }
        None if wanted.replicas <= 1 && !wanted.surges() => delete(member, reason, plan),
        None => plan.waiting_for = Some(format!("{reason}; no replica is in sync")),
    }
}

/// True if the primary may be touched; otherwise it is said what is to be approved.
pub(super) fn is_approved(
    wanted: &Wanted,
    seen: &Observation,
    primary: &Member,
    reason: &str,
    plan: &mut Plan,
) -> bool {
    if !wanted.supervised {
        return true;
    }
    let digest = short_hex(format!("{} {}", wanted.pod_revision, primary.uid()).as_bytes());
    if wanted.approved.as_deref() == Some(digest.as_str()) {
        return true;
    }
    let words = format!(
        "{reason}; the primary {} is replaced once somebody approves {digest}",
        primary.name()
    );
    let asked = seen.asked.as_ref().filter(|asked| asked.digest == digest);
    if let Some(asked) = asked
        && seen.now_ms.saturating_sub(asked.since_ms) > wanted.max_wait_ms
    {
        plan.stalled = Some(Stall {
            step: words.clone(),
            since_ms: asked.since_ms,
        });
    }
    plan.waiting_for = Some(words);
    plan.to_approve = Some(digest);
    false
}

/// What a step waits for, and since when.
struct Other {
    what: String,
    since_ms: Option<u64>,
}

/// What must be so before a pod that is in sync is taken: all others are too.
fn waits_for(wanted: &Wanted, seen: &Observation, besides: &Member) -> Option<Other> {
    let Some(primary) = seen.primary() else {
        let alone = wanted.replicas <= 1 && seen.members.len() <= 1;
        let what = match alone {
            true if besides.may_serve() => "its server is heard",
            true => return None,
            false => "there is a primary",
        };
        return Some(Other {
            what: what.to_owned(),
            since_ms: seen.changing_since_ms,
        });
    };
    // To take one that is of no use as it is costs no copy.
    if besides.is_away(primary) {
        return None;
    }
    let is_spare = |member: &Member| surge::is_spare(wanted, member);
    let taken = |member: &Member| {
        [besides, primary]
            .iter()
            .any(|m| m.ordinal == member.ordinal)
    };
    let fine = |member: &Member| {
        let in_roll = !is_spare(member) || member.why_outdated(&wanted.pod_revision).is_none();
        taken(member) || (in_roll && !member.is_away(primary))
    };
    let mut company = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal) || is_spare(member));
    if let Some(member) = company.find(|member| !fine(member)) {
        return Some(in_sync(wanted, seen, member));
    }
    if !wanted.surges() {
        return too_many(wanted, seen, primary);
    }
    if seen.members.iter().any(is_spare) {
        return None;
    }
    let missing = Member {
        ordinal: wanted.replicas,
        ..Member::default()
    };
    Some(in_sync(wanted, seen, &missing))
}

/// A server alone is restarted in place once nobody else is there: the agent of a pod that is one of
/// several waits for another to take over.
fn too_many(wanted: &Wanted, seen: &Observation, primary: &Member) -> Option<Other> {
    let beyond = |member: &&Member| {
        !wanted.keeps(member.ordinal) && member.ordinal != primary.ordinal && member.pod.is_some()
    };
    let alone = wanted.replicas <= 1 && wanted.keeps(primary.ordinal);
    let other = seen.members.iter().find(beyond).filter(|_| alone)?;
    Some(Other {
        what: format!("{}, which is one too many, is gone", other.label()),
        since_ms: seen.changing_since_ms,
    })
}

fn in_sync(wanted: &Wanted, seen: &Observation, member: &Member) -> Other {
    let kind = match wanted.keeps(member.ordinal) {
        true => "",
        false => ", a temporary pod,",
    };
    let (name, why) = (member.label(), why_not_in_sync(member));
    Other {
        what: format!("{name}{kind} is in sync: {why}"),
        since_ms: match &member.pod {
            Some(pod) => Some(pod.since_ms),
            None => seen.changing_since_ms,
        },
    }
}

fn wait(
    wanted: &Wanted,
    seen: &Observation,
    words: String,
    since_ms: Option<u64>,
    plan: &mut Plan,
) {
    let late = |since: &u64| seen.now_ms.saturating_sub(*since) > wanted.progress_deadline_ms;
    plan.stalled = since_ms.filter(late).map(|since_ms| Stall {
        step: words.clone(),
        since_ms,
    });
    plan.waiting_for = Some(words);
}

/// Nothing is outdated any more, and the temporary pod is still needed.
fn wait_for_last(wanted: &Wanted, seen: &Observation, primary: &Member, plan: &mut Plan) {
    if let Some(away) = away(wanted, seen, primary) {
        let other = in_sync(wanted, seen, away);
        let words = format!("there is one pod more than wanted until {}", other.what);
        wait(wanted, seen, words, other.since_ms, plan);
    }
}

/// The primary is one too many, and none that stays is in sync.
pub(super) fn wait_for_heir(
    wanted: &Wanted,
    seen: &Observation,
    primary: &Member,
    plan: &mut Plan,
) {
    if let Some(away) = away(wanted, seen, primary) {
        let other = in_sync(wanted, seen, away);
        let name = primary.label();
        let words = format!(
            "{name} leads and is one too many: it hands over once {}",
            other.what
        );
        wait(wanted, seen, words, other.since_ms, plan);
    }
}

/// The first of those that stay that is not in sync.
fn away<'a>(wanted: &Wanted, seen: &'a Observation, primary: &Member) -> Option<&'a Member> {
    let mut stay = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal));
    stay.find(|member| member.is_away(primary))
}
