//! Who may be the primary: those that somebody was about to promote, and whether they are out of it.

use serde::{Deserialize, Serialize};

use super::Observation;
use crate::agent::Role;
use crate::shard::{Member, PodView};

/// Who has an epoch whose primary is known to be out of it.
const NOBODY: &str = "nobody";

/// A primary, or one that was to become it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its epoch.
    pub epoch: u64,
    /// Uid of its pod.
    pub uid: String,
}

/// All that may be the primary, the latest first: what was written down before they were promoted, and
/// the last that the agents that are heard remember.
pub fn candidates(seen: &Observation) -> Vec<Candidate> {
    // A primary of before this object is none of its: the pods of that are gone.
    let memories = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        (memory.epoch > 0 && !memory.inherited).then_some(memory)
    });
    let remembered = memories
        .max_by_key(|memory| memory.epoch)
        .map(|last| Candidate {
            epoch: last.epoch,
            uid: last.primary_uid.clone(),
        });
    latest(
        remembered
            .into_iter()
            .chain(seen.candidates.iter().cloned()),
    )
}

/// The latest of each pod, the latest first.
fn latest(candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = candidates.collect();
    candidates.sort_by(|one, other| other.cmp(one));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|known| known.uid != candidate.uid) {
            kept.push(candidate);
        }
    }
    kept
}

/// The last that may be the primary.
pub fn last_candidate(seen: &Observation) -> Option<Candidate> {
    candidates(seen).into_iter().next()
}

/// Those that may be the primary although nobody is seen to be: nothing proves that they are out of it.
/// A handover that ended in the middle leaves two: the one that serves on, and the one that was to take
/// over.
pub fn unproven(seen: &Observation) -> Vec<Candidate> {
    if seen.primary().is_some() {
        return Vec::new();
    }
    let mut candidates = candidates(seen);
    candidates.retain(|candidate| !is_proven(seen, candidate));
    candidates
}

/// What is to be written down before `next` is promoted: itself, and who may be the primary as long as
/// it is not. Where there is no primary nobody is promoted before all of them are out of it.
pub(super) fn with(seen: &Observation, next: Candidate) -> Vec<Candidate> {
    let Some(primary) = seen.primary() else {
        return vec![next];
    };
    let own = Candidate {
        epoch: primary.epoch(),
        uid: primary.uid().to_owned(),
    };
    latest(with_primary(seen).chain([own, next]))
}

/// What stays written down: who may be the primary still, and the highest epoch. Proof goes away with
/// the pod that gives it, so that it is written down before: where there is a primary, and where all
/// pods end.
pub(super) fn kept(seen: &Observation) -> Vec<Candidate> {
    let primary = seen.primary().map(Member::uid);
    if primary.is_none() && !seen.members.iter().all(Member::is_leaving) {
        return seen.candidates.clone();
    }
    let stays =
        |candidate: &&Candidate| primary == Some(&candidate.uid) || !is_proven(seen, candidate);
    let mut kept: Vec<Candidate> = seen.candidates.iter().filter(stays).cloned().collect();
    let last = seen
        .candidates
        .iter()
        .map(|candidate| candidate.epoch)
        .max();
    if kept.is_empty()
        && primary.is_none()
        && let Some(epoch) = last
    {
        kept.push(Candidate {
            epoch,
            uid: NOBODY.to_owned(),
        });
    }
    kept
}

/// Those that may be the primary, or be promoted by an order that is on its way.
pub(super) fn with_primary(seen: &Observation) -> impl Iterator<Item = Candidate> {
    let candidates = candidates(seen).into_iter();
    candidates.filter(|candidate| !is_proven(seen, candidate))
}

/// Proof: its agent says so; the kubelet says so of its container; its node is out of service; or its
/// volume is in the hands of another pod's agent, which holds the lock on it.
fn is_proven(seen: &Observation, candidate: &Candidate) -> bool {
    if seen.remembered.proven >= candidate.epoch || candidate.uid == NOBODY {
        return true;
    }
    seen.members.iter().any(|member| {
        if member.uid() == candidate.uid {
            let dead = |pod: &PodView| pod.finished || pod.terminated;
            return match member.agent.status() {
                // One that may still take the order to promote it is not out of it.
                Some(status) => {
                    let memory = &status.memory;
                    status.role != Role::Primary
                        && memory.epoch.max(memory.promised_epoch) >= candidate.epoch
                }
                None => member.is_on_dead_node() || member.pod.as_ref().is_some_and(dead),
            };
        }
        member.agent.status().is_some_and(|status| {
            let memory = &status.memory;
            memory.former.contains(&candidate.uid)
                || (memory.was_primary && memory.epoch == candidate.epoch)
        })
    })
}
