//! What no plan may do, whatever led to it: held against each before anything of it is carried out.

use super::{Observation, Plan, Step};
use crate::shard::{BrokenRule, Member, Target};

/// What no plan may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At most one step disrupts, and it is the last.
    OneDisruption,
    /// At most one epoch begins, and it is later than any that is known.
    OneEpoch,
    /// Nobody is promoted beside a primary that is seen, but that one.
    OnePrimary,
    /// A handover is from the primary that is seen, to a copy that is in sync with it.
    InSync,
    /// No server is made to follow itself.
    FollowsAnother,
    /// Clients are led only to the primary that is seen, or to the one that was promoted before that.
    LeadsToPrimary,
    /// No pod goes whose volume would go with it.
    KeepsVolumes,
    /// Nobody is promoted, follows or is started whose volume is to be filled from a backup first.
    DataFirst,
    /// The primary's pod is not deleted while another data pod could lead instead of it.
    KeepsPrimary,
}

/// Holds a plan against all rules.
///
/// # Errors
/// The first that it breaks.
pub fn guard(plan: &Plan, seen: &Observation) -> Result<(), BrokenRule<Rule>> {
    let steps: Vec<&Step> = plan.steps.iter().map(|planned| &planned.step).collect();
    let disruptive = steps.iter().position(|step| step.is_disruptive());
    let mut epochs = steps.iter().filter(|step| begins(step).is_some());
    if let Some(second) = epochs.nth(1) {
        return broken(Rule::OneEpoch, second);
    }
    let mut leads = seen.primary();
    for (at, step) in steps.iter().enumerate() {
        if disruptive.is_some_and(|first| first < at) {
            return broken(Rule::OneDisruption, step);
        }
        if let Step::Promote { pod, .. } = step {
            leads = member(seen, pod);
        }
        if let Step::SetEndpoint { ip: Some(ip) } = step
            && leads.and_then(Member::ip) != Some(ip.as_str())
        {
            return broken(Rule::LeadsToPrimary, step);
        }
        if let Some(rule) = breaks(step, seen) {
            return broken(rule, step);
        }
    }
    Ok(())
}

fn broken(rule: Rule, step: &Step) -> Result<(), BrokenRule<Rule>> {
    let step = format!("{step:?}");
    Err(BrokenRule { rule, step })
}

/// The epoch that begins with a step.
fn begins(step: &Step) -> Option<u64> {
    match step {
        Step::Promote { epoch, .. } | Step::HandOver { epoch, .. } => Some(*epoch),
        _ => None,
    }
}

fn breaks(step: &Step, seen: &Observation) -> Option<Rule> {
    let primary = seen.primary();
    let is_primary = |pod: &Target| primary.is_some_and(|primary| primary.uid() == pod.uid);
    if begins(step).is_some_and(|epoch| epoch <= last_epoch(seen)) {
        return Some(Rule::OneEpoch);
    }
    let is_held = |pod: &Target| member(seen, pod).is_some_and(Member::is_held_for_recovery);
    match step {
        Step::Start(pod) | Step::Follow { pod, .. } if is_held(pod) => Some(Rule::DataFirst),
        Step::Promote { pod, .. }
            if !is_primary(pod) && member(seen, pod).is_some_and(|m| !seen.is_filled(m)) =>
        {
            Some(Rule::DataFirst)
        }
        Step::Promote { pod, .. } => {
            (primary.is_some() && !is_primary(pod)).then_some(Rule::OnePrimary)
        }
        Step::HandOver { from, to, .. } => {
            let in_sync =
                |primary: &Member| member(seen, to).is_some_and(|m| m.is_in_sync(primary));
            let fine = is_primary(from) && primary.is_some_and(in_sync);
            (!fine).then_some(Rule::InSync)
        }
        Step::Follow {
            pod, primary_uid, ..
        } => (pod.uid == *primary_uid).then_some(Rule::FollowsAnother),
        Step::DeletePod(pod) | Step::DeleteDeadPod(pod) => {
            let goes = member(seen, pod).is_some_and(Member::would_lose_volume);
            let heir = |other: &Member| {
                !other.is_leaving() && primary.is_some_and(|primary| other.is_in_sync(primary))
            };
            match () {
                () if goes => Some(Rule::KeepsVolumes),
                () if is_primary(pod) && seen.members.iter().any(heir) => Some(Rule::KeepsPrimary),
                () => None,
            }
        }
        _ => None,
    }
}

/// The latest epoch that anybody is seen to have begun.
fn last_epoch(seen: &Observation) -> u64 {
    let told = seen.members.iter().map(Member::epoch);
    let candidates = seen.candidates.iter().map(|candidate| candidate.epoch);
    told.chain(candidates).max().unwrap_or(0)
}

fn member<'a>(seen: &'a Observation, pod: &Target) -> Option<&'a Member> {
    seen.members.iter().find(|member| member.uid() == pod.uid)
}
