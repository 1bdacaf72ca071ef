//! A person's word that a lost primary is dead, where no time makes the operator sure (decision 012).

use std::fmt::Write as _;

use super::candidates::Candidate;
use super::{Observation, Permit, Plan, Wanted};
use crate::digest::short_hex;
use crate::shard::Member;

/// Nobody is asked to say that a primary is dead before it was missed for so long: most come back.
pub(super) const FOR_A_PERSON: u64 = 60_000;

fn member<'a>(seen: &'a Observation, candidate: &Candidate) -> Option<&'a Member> {
    let mut members = seen.members.iter();
    members.find(|member| member.uid() == candidate.uid)
}

/// True if no time will make it sure that those who may be the primary are dead, and none is heard.
pub(super) fn is_up_to_a_person(seen: &Observation, unproven: &[Candidate]) -> bool {
    let never = matches!(
        seen.remembered.permit,
        Some(Permit::Never | Permit::Promises)
    );
    let is_heard =
        |candidate: &Candidate| member(seen, candidate).is_some_and(|m| m.agent.status().is_some());
    never && !unproven.iter().any(is_heard)
}

/// Whether somebody has approved that those who may be the primary are dead. If not, that is asked for
/// once no time will make it sure. The digest is of this very loss: for one that comes back and is lost
/// again it says nothing.
pub(super) fn is_dead(
    wanted: &Wanted,
    seen: &Observation,
    unproven: &[Candidate],
    words: &str,
    plan: &mut Plan,
) -> bool {
    let (Some(since), true) = (seen.lost_since_ms, is_up_to_a_person(seen, unproven)) else {
        return false;
    };
    let member = |candidate: &Candidate| member(seen, candidate);
    let mut said = format!("dead since {since}");
    for candidate in unproven {
        let _ = write!(said, " {} {}", candidate.epoch, candidate.uid);
    }
    let digest = short_hex(said.as_bytes());
    if wanted.pods.approved.as_deref() == Some(digest.as_str()) {
        return true;
    }
    let is_asked = seen
        .asked
        .as_ref()
        .is_some_and(|asked| asked.digest == digest);
    if is_asked || seen.remembered.leaderless_ms >= FOR_A_PERSON {
        let name = |candidate: &Candidate| match member(candidate) {
            Some(member) => member.name().to_owned(),
            None => format!("a pod that is gone (uid {})", candidate.uid),
        };
        let names: Vec<String> = unproven.iter().map(name).collect();
        plan.waiting_for = Some(format!(
            "{words}. To approve {digest} says that {} is dead for good: another leads then, and if it \
             lives, what it takes in is lost",
            names.join(", and so ")
        ));
        plan.to_approve = Some(digest);
    }
    false
}
