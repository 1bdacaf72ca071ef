use std::path::Path;

use hera_core::cluster::{SLOTS, SlotSet};
use hera_core::rebalance::{
    Limits as PlanLimits, Moved, RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotLoad,
    diff, guard,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Answered, Decision, GuardRefused};
use crate::cases::{self, CaseResult};
use crate::sandbox::Ran;
use crate::{CallError, Context, Limits, Policy, v0_1};

/// Which shard serves which slots.
pub struct Rebalance(v0_1::Rebalance);

impl Decision for Rebalance {
    type Input = RebalanceInput;
    type Answer = RebalanceAnswer;

    const NAME: &'static str = "rebalance";
    const VERSIONS: &'static [(u64, u64)] = &[(0, 1)];
    const BUILT_IN_STEPS_IN: bool = true;

    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        v0_1::Rebalance::link(engine, component).map(Self)
    }

    fn api(&self) -> &'static str {
        v0_1::API
    }

    fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        self.0.trial(limits)
    }

    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &RebalanceInput,
    ) -> Ran<Answered<RebalanceAnswer>> {
        self.0.decide(limits, context, input)
    }

    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        self.0.validate_settings(limits, settings)
    }

    fn guard(input: &RebalanceInput, answer: &RebalanceAnswer) -> Result<(), GuardRefused> {
        guard(input, answer).map_err(|violation| GuardRefused {
            rule: violation.rule.name().to_owned(),
            words: violation.to_string(),
        })
    }

    fn diff(one: &RebalanceAnswer, two: &RebalanceAnswer) -> Vec<String> {
        diff(one, two)
    }

    fn show(answer: &RebalanceAnswer) -> Vec<String> {
        let mut lines: Vec<String> = answer
            .moves
            .iter()
            .map(|step| format!("shard {}", cases::line(step)))
            .collect();
        lines.push(format!("because: {}", answer.reason));
        lines
    }

    fn example(random: &mut StdRng, number: usize) -> RebalanceInput {
        // One, as many as there may well be, and everything between.
        let count = match number % 8 {
            0 => 1,
            1 => 64,
            _ => random.random_range(2..16),
        };
        let parts = parts(random, count);
        let mut shards: Vec<Shard> = parts
            .into_iter()
            .zip(0..)
            .map(|(slots, id)| shard(random, id, slots))
            .collect();
        match number % 5 {
            0 => {}
            1 => shards.iter_mut().for_each(|shard| shard.max_bytes = None),
            2 => shards.push(joining(count)),
            // What servers without statistics tell.
            3 => shards
                .iter_mut()
                .for_each(|shard| shard.heaviest = Vec::new()),
            _ => shards
                .iter_mut()
                .take(2)
                .for_each(|shard| shard.state = ShardState::Leaving),
        }
        RebalanceInput {
            shards,
            stays: any_slots(random, 2),
            history: (0..random.random_range(0..20))
                .map(|_| moved(random))
                .collect(),
            limits: PlanLimits {
                slots: random.random_range(0..2_000),
                cooldown_seconds: random.random_range(0..1_000),
                fill_percent: random.random_range(50..100),
            },
        }
    }

    fn example_of(size: usize) -> RebalanceInput {
        let shards = u32::try_from(size).unwrap_or(u32::MAX);
        // The last one is new; of the others every other one has much to do.
        let mut parts = SlotSet::even(shards.saturating_sub(1));
        if size > 1 {
            parts.push(SlotSet::default());
        }
        let shards = parts.into_iter().zip(0..).map(|(slots, id): (_, u32)| {
            let busy = u64::from(id % 2);
            Shard {
                id,
                state: match slots.is_empty() {
                    true => ShardState::Joining,
                    false => ShardState::Serving,
                },
                used_bytes: Some((1 + busy) << 30),
                max_bytes: Some(4 << 30),
                ops_per_second: Some(1_000 + 20_000 * busy),
                heaviest: first_of(&slots, 8)
                    .into_iter()
                    .map(|slot| SlotLoad {
                        slot,
                        load_ppm: 50_000,
                        used_bytes: Some(1 << 20),
                    })
                    .collect(),
                slots,
            }
        });
        RebalanceInput {
            shards: shards.collect(),
            stays: SlotSet::default(),
            history: Vec::new(),
            limits: PlanLimits {
                slots: u32::from(SLOTS),
                cooldown_seconds: 600,
                fill_percent: 80,
            },
        }
    }

    fn case(text: &str) -> Result<(Context, RebalanceInput), String> {
        let case: cases::RebalanceCase =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(case.question())
    }

    fn cases(policy: &Policy<Self>, folder: &Path) -> std::io::Result<Vec<CaseResult>> {
        cases::run(policy, folder, cases::run_rebalance)
    }
}

/// The first so many of these slots.
fn first_of(slots: &SlotSet, count: usize) -> Vec<u16> {
    let ranges = slots.ranges().iter();
    let each = ranges.flat_map(|(first, last)| *first..=*last);
    each.take(count).collect()
}

/// All slots, in pieces, for so many shards.
fn parts(random: &mut StdRng, count: usize) -> Vec<SlotSet> {
    let mut parts = vec![Vec::new(); count];
    let pieces = u32::try_from(count * 3).unwrap_or(u32::MAX);
    for piece in SlotSet::even(pieces) {
        if let Some(part) = parts.get_mut(random.random_range(0..count)) {
            part.extend_from_slice(piece.ranges());
        }
    }
    parts.into_iter().map(SlotSet::of).collect()
}

/// A shard as a primary may well tell of it.
fn shard(random: &mut StdRng, id: u32, slots: SlotSet) -> Shard {
    let used_bytes = random.random_range(1 << 20..4_u64 << 30);
    let listed = first_of(&slots, random.random_range(0..6));
    let heaviest = listed.into_iter().map(|slot| SlotLoad {
        slot,
        load_ppm: random.random_range(0..150_000),
        used_bytes: random
            .random_bool(0.5)
            .then(|| random.random_range(0..used_bytes / 4)),
    });
    let heaviest = heaviest.collect();
    Shard {
        id,
        state: match random.random_range(0..12) {
            0 => ShardState::Unhealthy,
            1 => ShardState::Joining,
            _ => ShardState::Serving,
        },
        heaviest,
        used_bytes: random.random_bool(0.95).then_some(used_bytes),
        max_bytes: Some(random.random_range(1_u64 << 30..8 << 30)),
        ops_per_second: Some(random.random_range(0..100_000)),
        slots,
    }
}

/// One that has just been made.
fn joining(count: usize) -> Shard {
    Shard {
        id: u32::try_from(count).unwrap_or(u32::MAX),
        state: ShardState::Joining,
        slots: SlotSet::default(),
        used_bytes: Some(1 << 20),
        max_bytes: Some(4 << 30),
        ops_per_second: Some(0),
        heaviest: Vec::new(),
    }
}

fn any_slots(random: &mut StdRng, most: usize) -> SlotSet {
    let count = random.random_range(0..=most);
    SlotSet::of((0..count).map(|_| {
        let slot = random.random_range(0..SLOTS);
        (slot, slot)
    }))
}

fn moved(random: &mut StdRng) -> Moved {
    Moved {
        source: random.random_range(0..4),
        target: random.random_range(0..4),
        slots: any_slots(random, 30),
        age_seconds: random.random_range(0..4_000),
        ops_per_second: Some(random.random_range(0..10_000)),
    }
}
