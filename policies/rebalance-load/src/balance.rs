//! From what shards bear to what moves.

use hera_policy_sdk::plan::Plan;
use hera_policy_sdk::rebalance::{RebalanceInput, Shard, SlotLoad, SlotMove, SlotRange};
use hera_policy_sdk::slots;

use crate::Settings;
use crate::measure::{Weights, commands, float};

/// The plan, and what each shard bears after it.
struct Balance<'a> {
    plan: Plan<'a>,
    weights: Weights,
    /// What each would bear if all bore the same.
    mean: f64,
    /// Until when a shard gives.
    goal: f64,
}

/// The moves after which no shard bears much more than the mean, as far as that may be and can be.
pub fn moves(settings: &Settings, input: &RebalanceInput, weights: Weights) -> Vec<SlotMove> {
    let known: Vec<f64> = weights.shards.iter().flatten().copied().collect();
    if known.is_empty() {
        return vec![];
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let above = |percent: u32| mean * (1.0 + f64::from(percent) / 100.0);
    let trigger = above(settings.trigger_percent);
    let mut balance = Balance {
        plan: Plan::new(input),
        weights,
        mean,
        goal: above(settings.settle_percent),
    };
    while let Some(source) = balance.heaviest().filter(|at| balance.bears(*at) > trigger) {
        let Some(shard) = input.shards.get(source) else {
            break;
        };
        balance.plan.keep(source, &resting(settings, input, shard));
        balance.relieve(source, shard);
        // Once, however far it came.
        if let Some(weight) = balance.weights.shards.get_mut(source) {
            *weight = None;
        }
    }
    balance.plan.into_moves()
}

/// Slots that moved of late. Of what moved alone it is known what it had then: it need not rest once it has
/// twice as much.
fn resting(settings: &Settings, input: &RebalanceInput, shard: &Shard) -> Vec<SlotRange> {
    let mut resting = vec![];
    for moved in &input.history {
        if moved.age_seconds >= settings.rest_seconds {
            continue;
        }
        let doubled = |load: &SlotLoad| {
            slots::contains(&moved.slots, load.slot)
                && moved
                    .ops_per_second
                    .is_some_and(|then| commands(shard, load) >= 2.0 * float(then.max(1)))
        };
        let alone = slots::count(&moved.slots) == 1;
        if !alone || !shard.heaviest.iter().any(doubled) {
            resting.extend(&moved.slots);
        }
    }
    resting
}

impl Balance<'_> {
    fn bears(&self, shard: usize) -> f64 {
        self.weights
            .shards
            .get(shard)
            .copied()
            .flatten()
            .unwrap_or(0.0)
    }

    /// The shard that bears the most of those that were not looked at yet.
    fn heaviest(&self) -> Option<usize> {
        let shards = self.weights.shards.iter().enumerate();
        let known = shards.filter_map(|(at, weight)| Some((at, (*weight)?)));
        let most = known.reduce(|one, other| match other.1 > one.1 {
            true => other,
            false => one,
        });
        most.map(|(at, _)| at)
    }

    /// The shard that bears the least of those that are not full.
    fn lightest(&self, full: &[usize]) -> Option<usize> {
        let shards = self.weights.shards.iter().enumerate();
        let known = shards.filter_map(|(at, weight)| Some((at, (*weight)?)));
        let open = known.filter(|(at, _)| !full.contains(at));
        let least = open.reduce(|one, other| match other.1 < one.1 {
            true => other,
            false => one,
        });
        least.map(|(at, _)| at)
    }

    /// Moves what a shard has too much: first slots that are known to be heavy, each by itself, then as many of
    /// the others as it takes.
    fn relieve(&mut self, source: usize, shard: &Shard) {
        let mut listed: Vec<(f64, u16)> = shard
            .heaviest
            .iter()
            .map(|load| (self.weights.slot(shard, load), load.slot))
            .collect();
        listed.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let told: f64 = listed.iter().map(|(weight, _)| weight).sum();
        let others = f64::from(slots::count(&shard.slots)) - listed.len() as f64;
        let each = (self.bears(source) - told) / others;
        for (weight, slot) in &listed {
            self.place(source, *slot, *weight);
        }
        let listed: Vec<SlotRange> = listed.iter().map(|(_, slot)| slots::one(*slot)).collect();
        self.plan.keep(source, &listed);
        // Without others it is no number that anything comes of.
        if each > 0.0 {
            self.spread(source, each);
        }
    }

    /// Moves one slot where it makes nobody heavier than the mean.
    fn place(&mut self, source: usize, slot: u16, weight: f64) {
        let bears = self.bears(source);
        if bears <= self.goal || weight > bears - self.mean {
            return;
        }
        let mut full = vec![];
        while let Some(target) = self.lightest(&full) {
            if self.bears(target) + weight > self.mean {
                return;
            }
            if self.plan.give(source, target, vec![slots::one(slot)]) {
                self.carry(source, target, weight);
                return;
            }
            full.push(target);
        }
    }

    /// Moves slots that bear so much each.
    fn spread(&mut self, source: usize, each: f64) {
        let mut full = vec![];
        while self.bears(source) > self.goal {
            let Some(target) = self.lightest(&full) else {
                return;
            };
            let wanted = ((self.bears(source) - self.goal) / each).ceil();
            let fits = ((self.mean - self.bears(target)) / each).floor();
            if fits < 1.0 {
                return;
            }
            // What is more than any shard has becomes the most there is.
            let moved = self.plan.shift(source, target, wanted.min(fits) as u32);
            match moved {
                0 => full.push(target),
                _ => self.carry(source, target, f64::from(moved) * each),
            }
        }
    }

    fn carry(&mut self, source: usize, target: usize, weight: f64) {
        for (shard, change) in [(source, -weight), (target, weight)] {
            if let Some(Some(known)) = self.weights.shards.get_mut(shard) {
                *known += change;
            }
        }
    }
}
