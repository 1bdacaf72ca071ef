//! What no policy gets past. The rules are explained in `docs/guards.md`.

use std::collections::BTreeMap;
use std::fmt;

use super::{RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotMove};
use crate::cluster::{SLOTS, SlotSet};

/// A rule of the guard. Its name is part of the API: conditions, metrics and docs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardRule {
    /// A move names no slot, what is no slot, or one of its slots twice.
    MalformedSlots,
    /// A move names a shard that there is not.
    UnknownShard,
    /// A move leads from a shard to itself.
    SameShard,
    /// A shard that cannot give anything now is to give.
    SourceUnhealthy,
    /// A shard that leaves or is not well is to take.
    TargetNotReady,
    /// A shard is to give a slot that it does not have.
    SlotNotOwned,
    /// A slot is to move that cannot.
    SlotStays,
    /// A slot is to move that moved only just.
    CoolDown,
    /// A slot is in two moves.
    SlotTwice,
    /// The plan moves more than one plan may.
    TooManySlots,
    /// A shard would have less memory free than it must.
    TargetOverfull,
    /// A shard that leaves keeps slots that could move now.
    LeavingNotDrained,
}

impl GuardRule {
    /// Every rule.
    pub const ALL: [Self; 12] = [
        Self::MalformedSlots,
        Self::UnknownShard,
        Self::SameShard,
        Self::SourceUnhealthy,
        Self::TargetNotReady,
        Self::SlotNotOwned,
        Self::SlotStays,
        Self::CoolDown,
        Self::SlotTwice,
        Self::TooManySlots,
        Self::TargetOverfull,
        Self::LeavingNotDrained,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedSlots => "malformed-slots",
            Self::UnknownShard => "unknown-shard",
            Self::SameShard => "same-shard",
            Self::SourceUnhealthy => "source-unhealthy",
            Self::TargetNotReady => "target-not-ready",
            Self::SlotNotOwned => "slot-not-owned",
            Self::SlotStays => "slot-stays",
            Self::CoolDown => "cool-down",
            Self::SlotTwice => "slot-twice",
            Self::TooManySlots => "too-many-slots",
            Self::TargetOverfull => "target-overfull",
            Self::LeavingNotDrained => "leaving-not-drained",
        }
    }
}

impl fmt::Display for GuardRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A plan that breaks a rule; nothing of it is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Violation {
    /// The rule.
    pub rule: GuardRule,
    /// What is wrong, in a short sentence for people; nothing in it is a policy's text.
    pub what: String,
}

fn refused(rule: GuardRule, what: String) -> Result<(), Violation> {
    Err(Violation { rule, what })
}

/// Holds a plan against what was asked.
///
/// # Guarantees
///
/// What passes moves each slot at most once, from the shard that has it to one that may take it; fills no
/// shard further than the limits say, as far as it can be told what a slot takes; moves no more than one
/// plan may; and brings a shard that leaves nearer to its end by as much as that, where somebody has room.
///
/// # Errors
///
/// The first [`Violation`].
pub fn guard(input: &RebalanceInput, answer: &RebalanceAnswer) -> Result<(), Violation> {
    let shards: BTreeMap<u32, &Shard> = input.shards.iter().map(|s| (s.id, s)).collect();
    let recent = recent(input);
    let mut room: BTreeMap<u32, u64> = BTreeMap::new();
    let mut all = Vec::new();
    let mut overfull = None;
    for step in &answer.moves {
        let (source, target) = ends(&shards, step)?;
        let slots = shape(step)?;
        check_slots(input, source, &slots, &recent)?;
        all.extend(slots.ranges().iter().copied());
        let left = room
            .entry(target.id)
            .or_insert_with(|| target.room(&input.limits));
        // Nothing is full that nothing limits; else what is not known does not fit, and into what is full or
        // not known nothing does.
        match source.bytes_of(&slots) {
            _ if *left == u64::MAX => {}
            Some(bytes) if *left > 0 && bytes <= *left => *left -= bytes,
            _ => overfull = overfull.or(Some(target.id)),
        }
    }
    check_once(all)?;
    check_size(input, answer)?;
    if let Some(id) = overfull {
        let percent = input.limits.fill_percent;
        let what = format!("shard {id} would use more than {percent} % of its memory");
        return refused(GuardRule::TargetOverfull, what);
    }
    check_drained(input, answer, &room)
}

/// Slots that moved so short a time ago that they stay.
fn recent(input: &RebalanceInput) -> SlotSet {
    let cooldown = input.limits.cooldown_seconds;
    let moved = input.history.iter();
    let moved = moved.filter(|moved| moved.age_seconds < cooldown);
    SlotSet::of(moved.flat_map(|moved| moved.slots.ranges().iter().copied()))
}

/// The two shards of a move.
fn ends<'a>(
    shards: &BTreeMap<u32, &'a Shard>,
    step: &SlotMove,
) -> Result<(&'a Shard, &'a Shard), Violation> {
    let shard = |id: u32| {
        shards.get(&id).copied().ok_or_else(|| Violation {
            rule: GuardRule::UnknownShard,
            what: format!("there is no shard {id}"),
        })
    };
    let (source, target) = (shard(step.source)?, shard(step.target)?);
    if source.id == target.id {
        let what = format!("shard {} is to give to itself", source.id);
        refused(GuardRule::SameShard, what)?;
    }
    if source.state == ShardState::Unhealthy {
        let what = format!("shard {} is not well and can give nothing now", source.id);
        refused(GuardRule::SourceUnhealthy, what)?;
    }
    if !target.state.takes() {
        let what = format!(
            "shard {} leaves or is not well and takes nothing",
            target.id
        );
        refused(GuardRule::TargetNotReady, what)?;
    }
    Ok((source, target))
}

/// The slots of a move, if they are said as they should be.
fn shape(step: &SlotMove) -> Result<SlotSet, Violation> {
    let pair = format!("shard {} to {}", step.source, step.target);
    if step.slots.is_empty() {
        refused(GuardRule::MalformedSlots, format!("{pair} moves no slot"))?;
    }
    let mut said = 0_usize;
    for (first, last) in &step.slots {
        if first > last || *last >= SLOTS {
            let what = format!("{pair}: {first}-{last} is no range of slots");
            refused(GuardRule::MalformedSlots, what)?;
        }
        said += usize::from(last - first) + 1;
    }
    let slots = SlotSet::of(step.slots.iter().copied());
    if slots.len() != said {
        let what = format!("{pair} names a slot twice");
        refused(GuardRule::MalformedSlots, what)?;
    }
    Ok(slots)
}

fn check_slots(
    input: &RebalanceInput,
    source: &Shard,
    slots: &SlotSet,
    recent: &SlotSet,
) -> Result<(), Violation> {
    let first = |slots: &SlotSet| slots.ranges().first().map(|(first, _)| *first);
    if let Some(slot) = first(&slots.without(&source.slots)) {
        let what = format!("shard {} does not have slot {slot}", source.id);
        return refused(GuardRule::SlotNotOwned, what);
    }
    if let Some(slot) = first(&slots.shared(&input.stays)) {
        let what = format!("slot {slot} has a key that is too large to move");
        return refused(GuardRule::SlotStays, what);
    }
    if source.state == ShardState::Leaving {
        return Ok(());
    }
    if let Some(slot) = first(&slots.shared(recent)) {
        let cooldown = input.limits.cooldown_seconds;
        let what = format!("slot {slot} moved less than {cooldown} s ago");
        return refused(GuardRule::CoolDown, what);
    }
    Ok(())
}

/// Each move is sound by itself; these are the ranges of all.
fn check_once(mut ranges: Vec<(u16, u16)>) -> Result<(), Violation> {
    ranges.sort_unstable();
    let twice = ranges.windows(2).find_map(|pair| match pair {
        [(_, last), (first, _)] if first <= last => Some(*first),
        _ => None,
    });
    match twice {
        Some(slot) => refused(GuardRule::SlotTwice, format!("slot {slot} is in two moves")),
        None => Ok(()),
    }
}

fn check_size(input: &RebalanceInput, answer: &RebalanceAnswer) -> Result<(), Violation> {
    let (count, most) = (moved(&answer.moves), u64::from(input.limits.slots));
    if count <= most {
        return Ok(());
    }
    let what = format!("it moves {count} slots, {most} may move at a time");
    refused(GuardRule::TooManySlots, what)
}

/// How many slots well-formed moves name.
fn moved<'a>(moves: impl IntoIterator<Item = &'a SlotMove>) -> u64 {
    let ranges = moves.into_iter().flat_map(|step| &step.slots);
    ranges
        .map(|(first, last)| u64::from(last - first) + 1)
        .sum()
}

/// Shards that leave come first: of theirs moves as much as may and fits, so that they are empty after a
/// number of plans that is known before.
fn check_drained(
    input: &RebalanceInput,
    answer: &RebalanceAnswer,
    room: &BTreeMap<u32, u64>,
) -> Result<(), Violation> {
    let leaving: Vec<&Shard> = input
        .shards
        .iter()
        .filter(|shard| shard.state == ShardState::Leaving)
        .collect();
    let of = |shard: &Shard| {
        let id = shard.id;
        answer.moves.iter().filter(move |step| step.source == id)
    };
    let drained: u64 = leaving.iter().copied().map(|shard| moved(of(shard))).sum();
    if leaving.is_empty() || drained >= u64::from(input.limits.slots) {
        return Ok(());
    }
    let takers = input.shards.iter().filter(|shard| shard.state.takes());
    let most = takers
        .map(|shard| match room.get(&shard.id) {
            Some(left) => *left,
            None => shard.room(&input.limits),
        })
        .max();
    let Some(most) = most else {
        return Ok(());
    };
    for shard in leaving {
        let gone = SlotSet::of(of(shard).flat_map(|step| step.slots.iter().copied()));
        let left = shard.slots.without(&gone).without(&input.stays);
        let largest = shard.largest_of(&left);
        let fits = most == u64::MAX || largest.is_some_and(|bytes| most > 0 && bytes <= most);
        if !left.is_empty() && fits {
            let (id, count) = (shard.id, left.len());
            let what = format!("shard {id} leaves and keeps {count} slots for which there is room");
            return refused(GuardRule::LeavingNotDrained, what);
        }
    }
    Ok(())
}
