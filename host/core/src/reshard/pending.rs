//! What of a plan is left to move.

use std::collections::BTreeMap;

use super::Job;
use crate::cluster::{SlotSet, Survey};

/// Who has which slots, by the word of primaries that are heard.
pub(super) struct Table {
    all: SlotSet,
    by_shard: BTreeMap<u32, SlotSet>,
    /// Those that servers of two shards say they have: one has not heard yet of what the other took.
    disputed: SlotSet,
}

impl Table {
    pub fn of(survey: &Survey<'_>) -> Self {
        let mut by_shard: BTreeMap<u32, SlotSet> = BTreeMap::new();
        for one in survey.primaries() {
            let known = by_shard.entry(one.node.shard).or_default();
            *known = known.with(&one.server.slots());
        }
        let (mut all, mut disputed) = (SlotSet::default(), SlotSet::default());
        for slots in by_shard.values() {
            disputed = disputed.with(&all.shared(slots));
            all = all.with(slots);
        }
        Self {
            all,
            by_shard,
            disputed,
        }
    }

    /// Slots that another shard has: they have left this one. Those that nobody is heard with have not.
    fn away_from(&self, shard: u32) -> SlotSet {
        let away = match self.by_shard.get(&shard) {
            Some(own) => self.all.without(own),
            None => self.all.clone(),
        };
        away.with(&self.disputed)
    }
}

/// What is left to move from one shard to another.
pub(super) struct Pair {
    pub source: u32,
    pub target: u32,
    pub slots: SlotSet,
}

/// What is left, in the order of the plan.
pub(super) fn pairs(job: &Job<'_>, table: &Table) -> Vec<Pair> {
    let (mut named, mut pairs) = (SlotSet::default(), Vec::<Pair>::new());
    for step in job.moves {
        let is_there = step.source < job.wanted.shards && step.target < job.wanted.shards;
        if !is_there || step.source == step.target || step.target >= job.keep {
            continue;
        }
        let slots = SlotSet::of(step.slots.iter().copied()).without(&named);
        named = named.with(&slots);
        let left = slots
            .without(&table.away_from(step.source))
            .without(job.stays);
        if left.is_empty() {
            continue;
        }
        let (source, target) = (step.source, step.target);
        let same = |pair: &&mut Pair| (pair.source, pair.target) == (source, target);
        match pairs.iter_mut().find(same) {
            Some(pair) => pair.slots = pair.slots.with(&left),
            None => pairs.push(Pair {
                source,
                target,
                slots: left,
            }),
        }
    }
    pairs
}
