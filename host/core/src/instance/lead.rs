//! A primary is there: all others follow it.

use super::elect::{lineage_of, next_epoch, promotion};
use super::given_up::given_up;
use super::{Candidate, Observation, Plan, Step, Wanted, candidates};
use crate::agent::{Role, ServerState};
use crate::shard::{Member, is_asked_down, no_such_pod, why_busy_ends, why_not_fenced};

pub(super) fn plan(wanted: &Wanted, seen: &Observation, primary: &Member, plan: &mut Plan) {
    if let Some(words) = why_not_fenced(&seen.members, &wanted.fenced, primary) {
        plan.refused = Some(words);
    }
    promote_again(seen, primary, plan);
    let Some(ip) = primary.ip() else { return };
    let epoch = primary.epoch();
    let fork = primary
        .agent
        .status()
        .and_then(|status| status.forked_at.as_ref());
    for member in &seen.members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        let stays_down = is_asked_down(&wanted.fenced, member) || member.is_held_for_recovery();
        if member.ordinal == primary.ordinal || stays_down {
            continue;
        }
        if matches!(status.server, ServerState::Fenced)
            || needs_word(status.role, member, primary)
            || logs_in_otherwise(seen, member)
        {
            let step = Step::Follow {
                pod: member.target(),
                epoch,
                primary_uid: primary.uid().to_owned(),
                ip: ip.to_owned(),
                lineage: lineage_of(primary),
                gives_up: given_up(member, epoch, fork),
            };
            plan.push(step, format!("{} is the primary", primary.name()));
        }
    }
}

/// It follows, with another password than it is to log in with once it follows anew. One of an earlier
/// release does not say.
fn logs_in_otherwise(seen: &Observation, member: &Member) -> bool {
    let status = member.agent.status();
    let follows = status.filter(|status| status.role == Role::Replica);
    let login = follows.and_then(|status| status.login.as_ref());
    let both = login.zip(seen.login.as_ref());
    both.is_some_and(|(login, wanted)| login.password_sha256 != *wanted)
}

/// Two that serve are one too many: the one of the earlier epoch goes. A primary that hangs, or that a
/// script keeps busy for too long, goes if another has its data.
pub(super) fn plan_fences(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    if let Some(words) = no_such_pod(&seen.members, &wanted.fenced) {
        plan.refused = Some(words);
    }
    let primary = seen.primary();
    if let Some(primary) = primary
        && primary.agent.status().is_some_and(|status| status.hangs)
        && seen
            .members
            .iter()
            .any(|member| member.has_copy_of(primary))
    {
        let words = "its server answers nothing, and a replica is in sync";
        plan.push(fence(primary), words);
        return;
    }
    if let Some(primary) = primary
        && let Some(words) = why_busy_ends(&seen.members, &wanted.fenced, primary)
    {
        let step = Step::Fence {
            pod: primary.target(),
            epoch: primary.epoch(),
            busy: true,
        };
        plan.push(step, words);
        return;
    }
    for member in &seen.members {
        let is_primary = primary.is_some_and(|primary| primary.ordinal == member.ordinal);
        if member.agent.serves() && !is_primary {
            let words = "another pod is the primary of a later epoch";
            plan.push(fence(member), words);
            return;
        }
        let asked = is_asked_down(&wanted.fenced, member);
        let is_down = member
            .agent
            .status()
            .is_none_or(|status| matches!(status.server, ServerState::Fenced));
        if asked && !is_primary && !is_down {
            plan.push(fence(member), "somebody asked for it");
            return;
        }
    }
}

/// For the epoch that it has now: should it be promoted before the order arrives, it goes on.
fn fence(member: &Member) -> Step {
    Step::Fence {
        pod: member.target(),
        epoch: member.epoch(),
        busy: false,
    }
}

fn needs_word(role: Role, member: &Member, primary: &Member) -> bool {
    match role {
        Role::Held => member.is_running(),
        Role::Replica => {
            let in_epoch = !member.is_in_sync(primary) || member.epoch() == primary.epoch();
            !member.follows(primary) || !in_epoch
        }
        Role::Unknown | Role::Primary => false,
    }
}

/// Promises that turn out to be unfounded would stop a healthy primary: it begins another epoch.
fn promote_again(seen: &Observation, primary: &Member, plan: &mut Plan) {
    let promises = seen.members.iter().filter_map(|member| {
        let status = member.agent.status()?;
        Some(status.memory.promised_epoch)
    });
    // A copy of no account may be of a later epoch, and follows none of an earlier one.
    let is_of_no_account = |member: &Member| {
        let status = member.agent.status();
        member.is_left() || status.is_some_and(|status| status.memory.inherited)
    };
    let no_account = seen.members.iter().filter(|m| is_of_no_account(m));
    let outranks = no_account.map(Member::epoch).max().unwrap_or(0);
    let promised = promises
        .max()
        .unwrap_or(0)
        .max(seen.remembered.promised_epoch)
        // Its own epoch is what it was promoted in.
        .max(if outranks > primary.epoch() {
            outranks
        } else {
            0
        });
    // One that is to end takes no order to begin anything.
    if seen.members.len() <= 1 || primary.is_leaving() || promised < primary.epoch() {
        return;
    }
    // What is seen of it may be old. Where somebody has data of a later epoch, it is: that began, and
    // its copies count, though its primary is out of it by now.
    if seen
        .members
        .iter()
        .any(|member| member.epoch() > primary.epoch() && !is_of_no_account(member))
    {
        return;
    }
    // Nobody of a later epoch may be the primary instead.
    let later: Vec<Candidate> = candidates::with_primary(seen)
        .filter(|candidate| candidate.epoch > primary.epoch() && candidate.uid != primary.uid())
        .collect();
    for candidate in &later {
        let named = |member: &&Member| member.uid() == candidate.uid;
        if let Some(member) = seen.members.iter().find(named) {
            let step = Step::Promise {
                pod: member.target(),
                epoch: candidate.epoch,
            };
            plan.push(step, "it was to take over and did not");
        }
    }
    if later.is_empty() {
        match next_epoch(seen) {
            Ok(epoch) => {
                let step = promotion(seen, primary, epoch);
                plan.push(step, "the primary is heard again");
            }
            Err(words) => plan.waiting_for = Some(words),
        }
    }
}
