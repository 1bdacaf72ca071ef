//! The pods of one shard: which is replaced, who hands over before, and how many there are.

use crate::shard::{Member, Move, Shard, Wait, keeps_from_handing_over};

/// What is done about the pods of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodStep<'a> {
    /// Nothing.
    Settled,
    /// Not yet.
    Wait(Wait),
    /// Somebody asked for what cannot be done, for people.
    Refused(String),
    /// The pod is made anew.
    Replace {
        /// The pod.
        pod: &'a Member,
        /// Nothing of it runs: its node is out of service.
        is_dead: bool,
        /// It costs no copy that is of use: nothing else is waited for.
        at_once: bool,
        /// Why, for people.
        reason: String,
    },
    /// Another takes over with all that the primary wrote.
    SwitchOver {
        /// The primary.
        from: &'a Member,
        /// Who takes over.
        to: &'a Member,
        /// Why, for people.
        reason: String,
    },
}

/// The next step about the pods of a shard. `promote` names a pod that somebody wants to lead.
pub fn next_pod_step<'a>(shard: &Shard<'a>, promote: Option<&str>) -> PodStep<'a> {
    if shard.wanted.hibernate {
        return PodStep::Settled;
    }
    let members = shard.members;
    let at_once = |pod, is_dead, reason: &str| PodStep::Replace {
        pod,
        is_dead,
        at_once: true,
        reason: reason.to_owned(),
    };
    // Before another leads its pod is the proof that it is dead.
    let is_dead = |member: &&Member| member.is_on_dead_node() && !member.would_lose_volume();
    if let Some(pod) = members.iter().find(is_dead)
        && shard
            .primary
            .is_some_and(|primary| primary.ordinal != pod.ordinal)
    {
        return at_once(
            pod,
            true,
            "its node is out of service, and nothing of it runs",
        );
    }
    if let Some(pod) = members.iter().find(|member| member.is_finished()) {
        return at_once(pod, false, "the pod has finished");
    }
    if let Some(step) = promoted(shard, promote) {
        return step;
    }
    if shard.wanted.paused {
        return PodStep::Settled;
    }
    if let Some(step) = beyond(shard) {
        return step;
    }
    let idle = members.iter().rev().filter(|member| member.never_ran());
    let mut idle = idle.filter_map(|pod| Some((pod, pod.why_outdated(&shard.wanted.revision)?)));
    if let Some((pod, reason)) = idle.next() {
        return at_once(pod, false, &reason);
    }
    match shard.next_move() {
        Move::Done(None) => PodStep::Settled,
        Move::Done(Some(wait)) | Move::Wait(wait) => PodStep::Wait(wait),
        Move::Replace { pod, reason } => PodStep::Replace {
            pod,
            is_dead: false,
            at_once: shard.is_away(pod),
            reason,
        },
        Move::SwitchOver { from, reason } => switch_over(shard, from, reason),
    }
}

fn switch_over<'a>(shard: &Shard<'a>, from: &'a Member, reason: String) -> PodStep<'a> {
    match heir(shard, from) {
        Some(to) => PodStep::SwitchOver { from, to, reason },
        None => PodStep::Wait(Wait {
            words: format!("{reason}; no replica of {} is in sync", from.label()),
            stalled: None,
            to_approve: None,
        }),
    }
}

/// Somebody wants a pod of this shard to lead.
fn promoted<'a>(shard: &Shard<'a>, promote: Option<&str>) -> Option<PodStep<'a>> {
    let name = promote?;
    let to = shard.members.iter().find(|member| member.is_called(name))?;
    // One that a script keeps busy is not heard, so it is not known to lead.
    let mut serving = shard
        .members
        .iter()
        .filter(|member| member.agent.serves() && member.ordinal != to.ordinal);
    if let Some(words) = serving.find_map(keeps_from_handing_over)
        && shard.primary.is_none()
    {
        return Some(PodStep::Refused(words));
    }
    let from = shard.primary.filter(|from| from.ordinal != to.ordinal)?;
    Some(match to.is_away(from) {
        true => PodStep::Refused(format!("{name} is not in sync, and is promoted once it is")),
        false => PodStep::SwitchOver {
            from,
            to,
            reason: "somebody asked for it".to_owned(),
        },
    })
}

/// A primary that is one too many hands over to one that stays, once that is of the wanted revision.
fn beyond<'a>(shard: &Shard<'a>) -> Option<PodStep<'a>> {
    let from = shard.primary?;
    if shard.wanted.keeps(from.ordinal) {
        return None;
    }
    let stays = heir(shard, from).filter(|to| shard.wanted.keeps(to.ordinal));
    match stays {
        // The temporary pod leads until one of the wanted revision can.
        Some(to) if shard.is_spare(from) && to.why_outdated(&shard.wanted.revision).is_some() => {
            None
        }
        Some(to) => Some(PodStep::SwitchOver {
            from,
            to,
            reason: "the primary's pod is one too many".to_owned(),
        }),
        None => shard.heir_missing(from).map(PodStep::Wait),
    }
}

/// Who takes over: one that can write if there is one, rather one of the wanted revision, rather one that
/// stays.
fn heir<'a>(shard: &Shard<'a>, from: &Member) -> Option<&'a Member> {
    let able = shard.members.iter();
    let able = able.filter(|to| to.ordinal != from.ordinal && !to.is_away(from));
    able.min_by_key(|to| {
        let outdated = to.why_outdated(&shard.wanted.revision).is_some();
        (!to.can_write(), outdated, to.ordinal)
    })
}

/// How many pods the StatefulSet of a shard is to have now: no copy that leads, or may be the best one, is
/// taken away.
pub fn set_size(shard: &Shard<'_>) -> u32 {
    if shard.wanted.hibernate {
        return 0;
    }
    let count = shard.wanted.count.unwrap_or(0);
    let there = shard.members.iter().filter(|member| member.pod.is_some());
    let present = there.map(|member| member.ordinal + 1).max().unwrap_or(0);
    let Some(primary) = shard.primary else {
        return count.max(present);
    };
    let temporary = shard.size_for_temporary();
    // Those that stay have everything first.
    let mut stay = shard
        .members
        .iter()
        .filter(|member| shard.wanted.keeps(member.ordinal));
    let all_there = stay.all(|member| !shard.is_away(member));
    let least = match all_there && shard.wanted.keeps(primary.ordinal) {
        true => count,
        false => count.max(present),
    };
    least.max(primary.ordinal + 1).max(temporary)
}
