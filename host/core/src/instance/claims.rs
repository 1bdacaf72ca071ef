//! Who may be the primary: those that somebody was about to promote, and whether they are out of it.

use serde::{Deserialize, Serialize};

use super::Observation;
use crate::agent::Role;
use crate::shard::{Member, PodView};

/// Who has a reign whose primary is known to be out of it.
const NOBODY: &str = "nobody";

/// A primary, or one that was to become it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Its reign.
    pub reign: u64,
    /// Uid of its pod.
    pub uid: String,
}

/// All that may be the primary, the latest first: what was written down before they were promoted, and
/// the last that the agents that are heard remember.
pub fn claims(seen: &Observation) -> Vec<Claim> {
    // A primary of before this object is none of its: the pods of that are gone.
    let memories = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        (memory.reign > 0 && !memory.inherited).then_some(memory)
    });
    let remembered = memories
        .max_by_key(|memory| memory.reign)
        .map(|last| Claim {
            reign: last.reign,
            uid: last.primary_uid.clone(),
        });
    latest(remembered.into_iter().chain(seen.claims.iter().cloned()))
}

/// The latest of each pod, the latest first.
fn latest(claims: impl Iterator<Item = Claim>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = claims.collect();
    claims.sort_by(|one, other| other.cmp(one));
    let mut kept: Vec<Claim> = Vec::new();
    for claim in claims {
        if kept.iter().all(|known| known.uid != claim.uid) {
            kept.push(claim);
        }
    }
    kept
}

/// The last that may be the primary.
pub fn last_claim(seen: &Observation) -> Option<Claim> {
    claims(seen).into_iter().next()
}

/// Those that may be the primary although nobody is seen to be: nothing proves that they are out of it.
/// A handover that ended in the middle leaves two: the one that serves on, and the one that was to take
/// over.
pub fn unproven(seen: &Observation) -> Vec<Claim> {
    if seen.primary().is_some() {
        return Vec::new();
    }
    let mut claims = claims(seen);
    claims.retain(|claim| !is_proven(seen, claim));
    claims
}

/// What is to be written down before `next` is promoted: itself, and who may be the primary as long as
/// it is not. Where there is no primary nobody is promoted before all of them are out of it.
pub(super) fn with(seen: &Observation, next: Claim) -> Vec<Claim> {
    let Some(primary) = seen.primary() else {
        return vec![next];
    };
    let own = Claim {
        reign: primary.reign(),
        uid: primary.uid().to_owned(),
    };
    latest(with_primary(seen).chain([own, next]))
}

/// What stays written down: who may be the primary still, and the highest reign. Proof goes away with
/// the pod that gives it, so that it is written down before: where there is a primary, and where all
/// pods end.
pub(super) fn kept(seen: &Observation) -> Vec<Claim> {
    let primary = seen.primary().map(Member::uid);
    if primary.is_none() && !seen.members.iter().all(Member::is_leaving) {
        return seen.claims.clone();
    }
    let stays = |claim: &&Claim| primary == Some(&claim.uid) || !is_proven(seen, claim);
    let mut kept: Vec<Claim> = seen.claims.iter().filter(stays).cloned().collect();
    let last = seen.claims.iter().map(|claim| claim.reign).max();
    if kept.is_empty()
        && primary.is_none()
        && let Some(reign) = last
    {
        kept.push(Claim {
            reign,
            uid: NOBODY.to_owned(),
        });
    }
    kept
}

/// Those that may be the primary, or be promoted by an order that is on its way.
pub(super) fn with_primary(seen: &Observation) -> impl Iterator<Item = Claim> {
    let claims = claims(seen).into_iter();
    claims.filter(|claim| !is_proven(seen, claim))
}

/// Proof: its agent says so; the kubelet says so of its container; its node is out of service; or its
/// volume is in the hands of another pod's agent, which holds the lock on it.
fn is_proven(seen: &Observation, claim: &Claim) -> bool {
    if seen.remembered.proven >= claim.reign || claim.uid == NOBODY {
        return true;
    }
    seen.members.iter().any(|member| {
        if member.uid() == claim.uid {
            let dead = |pod: &PodView| pod.finished || pod.terminated;
            return match member.agent.status() {
                // One that may still take the order to promote it is not out of it.
                Some(status) => {
                    let memory = &status.memory;
                    status.role != Role::Primary && memory.reign.max(memory.forsworn) >= claim.reign
                }
                None => member.is_on_dead_node() || member.pod.as_ref().is_some_and(dead),
            };
        }
        member.agent.status().is_some_and(|status| {
            let memory = &status.memory;
            memory.former.contains(&claim.uid)
                || (memory.was_primary && memory.reign == claim.reign)
        })
    })
}
