//! Whose copy of the data is the right one, by what is recorded of each. Where nothing recorded says, that
//! is the answer: the number of keys and the order of pods decide nothing between two histories.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::agent::{AgentStatus, Memory, Position};
use crate::shard::Member;

/// A copy that could be promoted.
pub(super) struct Copy<'a> {
    pub member: &'a Member,
    pub status: &'a AgentStatus,
    pub position: &'a Position,
}

impl<'a> Copy<'a> {
    /// None of a member that is not heard, or whose server was not asked where it stands.
    pub fn of(member: &'a Member) -> Option<Self> {
        Some(Self {
            member,
            status: member.agent.status()?,
            position: member.position.as_ref()?,
        })
    }

    pub fn memory(&self) -> &'a Memory {
        &self.status.memory
    }

    pub fn epoch(&self) -> u64 {
        self.memory().epoch
    }

    /// The volume was the last primary's.
    pub fn led(&self) -> bool {
        self.memory().was_primary
    }

    /// Which of two that have the same is rather taken: one that can write, then the lower ordinal.
    pub fn preference(&self) -> (bool, Reverse<u32>) {
        (self.member.can_write(), Reverse(self.member.ordinal))
    }

    pub fn has_data(&self) -> bool {
        self.position.keys > 0 || self.epoch() > 0
    }

    /// The same files, as far as can be seen: two copies of one snapshot.
    fn is_same_as(&self, other: &Self) -> bool {
        let files = |copy: &Self| {
            let at = copy.position;
            (at.keys, at.bytes, at.written_unix_ms)
        };
        let history = |copy: &Self| {
            let memory = copy.memory();
            (memory.epoch, memory.primary_uid.clone(), memory.offset)
        };
        files(self) == files(other) && history(self) == history(other)
    }

    /// True if the volume was in the hands of the primary that the other knows.
    fn continues(&self, other: &Self) -> bool {
        let known = &other.memory().primary_uid;
        self.memory().primary_uid == *known || self.memory().former.contains(known)
    }
}

/// What is recorded says which copy is right, or does not.
pub(super) enum Judgement<'a> {
    /// There is no copy.
    Nobody,
    /// This one.
    Best(&'a Member),
    /// A person has to say which of these.
    Doubt {
        why: &'static str,
        among: Vec<&'a Member>,
    },
}

/// Judges the copies that are heard. One that a scale-down left behind never wins against one that stayed.
pub(super) fn judge<'a>(copies: &[Copy<'a>]) -> Judgement<'a> {
    let (left, stayed): (Vec<&Copy<'a>>, Vec<&Copy<'a>>) =
        copies.iter().partition(|copy| copy.member.is_left());
    let holders: Vec<&Copy<'a>> = stayed.iter().copied().filter(|c| c.has_data()).collect();
    if !holders.is_empty() {
        return among(&holders);
    }
    let left: Vec<&Copy<'a>> = left.into_iter().filter(|copy| copy.has_data()).collect();
    if !left.is_empty() {
        let why = "only copies that a scale-down left behind have data";
        return doubt(why, &left);
    }
    // All are empty.
    first(&copies.iter().collect::<Vec<_>>())
}

fn doubt<'a>(why: &'static str, copies: &[&Copy<'a>]) -> Judgement<'a> {
    Judgement::Doubt {
        why,
        among: copies.iter().map(|copy| copy.member).collect(),
    }
}

/// Of copies that have data.
fn among<'a>(copies: &[&Copy<'a>]) -> Judgement<'a> {
    let named = copies.iter().map(|copy| copy.memory().lineage.as_str());
    let lineages: BTreeSet<&str> = named.filter(|name| !name.is_empty()).collect();
    let unrecorded = copies.iter().any(|copy| copy.epoch() == 0);
    if lineages.len() > 1 || unrecorded {
        return match are_same(copies) {
            true => first(copies),
            false => doubt("copies of two histories have data", copies),
        };
    }
    let last = copies.iter().map(|copy| copy.epoch()).max().unwrap_or(0);
    let top: Vec<&Copy<'a>> = copies
        .iter()
        .copied()
        .filter(|copy| copy.epoch() == last)
        .collect();
    of_one_epoch(&top)
}

/// A promotion explains what those of earlier epochs have, or lack.
fn of_one_epoch<'a>(top: &[&Copy<'a>]) -> Judgement<'a> {
    let why = "two copies of one epoch have data";
    let any_keys = top.iter().any(|copy| copy.position.keys > 0);
    // An empty one that led has lost its files.
    let led: Vec<&Copy<'a>> = top
        .iter()
        .copied()
        .filter(|copy| copy.led() && (copy.position.keys > 0 || !any_keys))
        .collect();
    match led.as_slice() {
        [] => {}
        [primary] => {
            return match top.iter().all(|copy| primary.continues(copy)) {
                true => Judgement::Best(primary.member),
                false => doubt(why, top),
            };
        }
        several if are_same(several) => return first(several),
        several => return doubt(why, several),
    }
    let whose: BTreeSet<&str> = top
        .iter()
        .map(|copy| copy.memory().primary_uid.as_str())
        .collect();
    if whose.len() > 1 {
        return doubt(why, top);
    }
    // All took in the stream of one primary: that which took in the most.
    let best = top.iter().max_by_key(|copy| {
        let (memory, at) = (copy.memory(), copy.position);
        (
            memory.offset,
            at.written_unix_ms,
            at.keys,
            copy.preference(),
        )
    });
    best.map_or(Judgement::Nobody, |copy| Judgement::Best(copy.member))
}

fn are_same(copies: &[&Copy<'_>]) -> bool {
    let mut pairs = copies.iter().zip(copies.iter().skip(1));
    pairs.all(|(one, other)| one.is_same_as(other))
}

fn first<'a>(copies: &[&Copy<'a>]) -> Judgement<'a> {
    let first = copies.iter().max_by_key(|copy| copy.preference());
    first.map_or(Judgement::Nobody, |copy| Judgement::Best(copy.member))
}
