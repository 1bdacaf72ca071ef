//! 64 shards, some with much more to do than others, whose slots get busy and idle over 30 rounds: the policy
//! comes to rest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use hera_policy_rebalance_load::{Load, Settings};
use hera_policy_sdk::rebalance::{
    Moved, RebalanceInput, RebalancePolicy, Shard, ShardState, SlotLoad, SlotMove, SlotRange,
};
use hera_policy_sdk::slots::one;
use hera_policy_sdk::testing::{context, rebalance_input, shard};

const SLOTS: usize = 16_384;
const SHARDS: usize = 64;
const ROUNDS: u64 = 30;
/// Ten of them are as long as a slot rests.
const ROUND_SECONDS: u64 = 360;
/// Slots of a shard of which the server tells.
const LISTED: usize = 16;
/// Pairs of slots that change what they have to do, in each round.
const SHIFTED: usize = 160;

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// The servers.
struct World {
    /// Commands a second of each slot.
    loads: Vec<u64>,
    /// The shard of each slot.
    owners: Vec<usize>,
    /// What moved, the latest first, and in which round.
    history: Vec<(u64, Moved)>,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let owners: Vec<usize> = (0..SLOTS).map(|slot| slot * SHARDS / SLOTS).collect();
        let loads = owners.iter().map(|owner| {
            let rare = dice.below(1_000);
            let load = match rare {
                0..=4 => 600,
                5..=100 => 100,
                _ => 10 + dice.below(30),
            };
            // Each seventh shard is a busy one.
            let busy = if owner.is_multiple_of(7) { 5 } else { 2 };
            u64::try_from(load * busy / 2).unwrap()
        });
        Self {
            loads: loads.collect(),
            owners,
            history: vec![],
        }
    }

    /// Some slots get the load of others.
    fn shift(&mut self, dice: &mut Dice) {
        for _ in 0..SHIFTED {
            let (one, other) = (dice.below(SLOTS), dice.below(SLOTS));
            self.loads.swap(one, other);
        }
    }

    /// What has to move at least for all to bear the same.
    fn imbalance(&self) -> u64 {
        let mut bears = [0_u64; SHARDS];
        for (owner, load) in self.owners.iter().zip(&self.loads) {
            bears[*owner] += load;
        }
        let mean = self.loads.iter().sum::<u64>() / SHARDS as u64;
        bears.iter().map(|bears| bears.saturating_sub(mean)).sum()
    }

    fn question(&self, round: u64) -> RebalanceInput {
        let mut input = rebalance_input((0..SHARDS).map(|shard| self.tell(shard)).collect());
        let history = self.history.iter().map(|(when, moved)| Moved {
            age_seconds: (round - when) * ROUND_SECONDS,
            ..moved.clone()
        });
        input.history = history.collect();
        input
    }

    /// What a primary tells.
    fn tell(&self, at: usize) -> Shard {
        let own: Vec<usize> = (0..SLOTS).filter(|slot| self.owners[*slot] == at).collect();
        let all = own.iter().map(|slot| self.loads[*slot]).sum::<u64>().max(1);
        let mut listed = own.clone();
        listed.sort_by_key(|slot| std::cmp::Reverse(self.loads[*slot]));
        listed.truncate(LISTED);
        let heaviest = listed.into_iter().map(|slot| SlotLoad {
            slot: u16::try_from(slot).unwrap(),
            load_ppm: u32::try_from(self.loads[slot] * 1_000_000 / all).unwrap(),
            used_bytes: None,
        });
        let mut ranges: Vec<(u16, u16)> = vec![];
        for slot in own.iter().map(|slot| u16::try_from(*slot).unwrap()) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        let mib = 1 << 20;
        let mut told = shard(u32::try_from(at).unwrap(), &ranges)
            .memory(own.len() as u64 * mib, 4_096 * mib)
            .ops(all);
        told.heaviest = heaviest.collect();
        told
    }

    fn make(&mut self, round: u64, step: SlotMove) {
        let mut load = 0;
        for slot in step.slots.iter().flat_map(|range| range.first..=range.last) {
            let slot = usize::from(slot);
            assert_eq!(self.owners[slot], step.source as usize);
            self.owners[slot] = step.target as usize;
            load += self.loads[slot];
        }
        let moved = Moved {
            source: step.source,
            target: step.target,
            slots: step.slots,
            age_seconds: 0,
            ops_per_second: Some(load),
        };
        self.history.insert(0, (round, moved));
    }
}

#[test]
fn it_settles_and_moves_little_while_load_shifts() {
    for seed in 0..3 {
        let mut dice = Dice(seed);
        let mut world = World::new(&mut dice);
        let first = world.imbalance();
        let mut moved = 0;
        // When each slot moved last, and what it had to do then.
        let mut last: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
        for round in 0..ROUNDS {
            if round > 0 {
                world.shift(&mut dice);
            }
            let input = world.question(round);
            let answer = Load::decide(&context(), &Settings::default(), &input).unwrap();
            for step in answer.moves {
                for slot in step.slots.iter().flat_map(|range| range.first..=range.last) {
                    let load = world.loads[usize::from(slot)];
                    moved += load;
                    if let Some((when, then)) = last.insert(slot, (round, load)) {
                        let rested = round - when >= 10;
                        assert!(rested || load >= 2 * then, "slot {slot}: {when}, {round}");
                    }
                }
                world.make(round, step);
            }
        }
        let (end, most) = (world.imbalance(), first * 3 / 2);
        println!("seed {seed}: imbalance {first}, then {end}; moved {moved}");
        assert!(moved > first / 2 && moved <= most, "{moved} of {most}");
        assert!(end <= first / 2, "{end} of {first}");
    }
}

/// Four shards with a hundred slots each.
fn small(ops: [u64; 4]) -> RebalanceInput {
    let part = |at: u16| {
        let shard = shard(u32::from(at), &[(at * 100, at * 100 + 99)]);
        shard.memory(400, 4_000).ops(ops[usize::from(at)])
    };
    rebalance_input((0..4).map(part).collect())
}

fn moves(input: &RebalanceInput) -> Vec<(u32, u32, Vec<SlotRange>)> {
    let answer = Load::decide(&context(), &Settings::default(), input).unwrap();
    let moves = answer.moves.into_iter();
    moves
        .map(|step| (step.source, step.target, step.slots))
        .collect()
}

#[test]
fn a_little_more_than_the_others_is_no_reason_to_move() {
    assert!(moves(&small([1_200, 1_000, 900, 900])).is_empty());
}

#[test]
fn what_moved_alone_rests_until_its_load_doubled() {
    let mut input = small([4_000, 1_000, 1_000, 0]);
    input.shards[0] = input.shards[0].clone().heavy(2, 250_000);
    let rested = moves(&input);
    assert!(rested[0] == (0, 3, vec![one(2)]), "{}", rested.len());
    let moved = |slots: &[(u16, u16)], ops, age_seconds| Moved {
        source: 3,
        target: 0,
        slots: shard(0, slots).slots,
        age_seconds,
        ops_per_second: ops,
    };
    for (history, moves_on) in [
        (moved(&[(2, 2)], Some(501), 3_599), false),
        (moved(&[(2, 2)], Some(500), 3_599), true),
        (moved(&[(2, 2)], Some(501), 3_600), true),
        (moved(&[(2, 2)], None, 0), false),
        (moved(&[(2, 3)], Some(1), 0), false),
    ] {
        input.history = vec![history];
        let moves = moves(&input);
        let again = moves.iter().any(|(_, _, slots)| slots.contains(&one(2)));
        assert_eq!(again, moves_on);
    }
}

#[test]
fn what_is_not_known_moves_nothing() {
    let mut input = small([4_000, 0, 0, 0]);
    assert!(!moves(&input).is_empty());
    input.shards[1].ops_per_second = None;
    assert!(moves(&input).is_empty());
    // But who is not well takes no part.
    input.shards[1].state = ShardState::Unhealthy;
    assert!(moves(&input).iter().all(|step| step.1 != 1));
    assert!(!moves(&input).is_empty());
}

#[test]
fn shards_that_join_or_leave_come_first() {
    let mut input = small([4_000, 0, 0, 0]);
    input.shards[3].state = ShardState::Leaving;
    let moves = moves(&input);
    assert!(!moves.is_empty());
    assert!(moves.iter().all(|(source, ..)| *source == 3));
}

#[test]
fn settings_that_would_move_slots_to_and_fro_are_refused() {
    let bad = Settings {
        settle_percent: 25,
        ..Settings::default()
    };
    assert!(Load::validate(&bad).unwrap_err().contains("to and fro"));
    assert!(Load::validate(&Settings::default()).is_ok());
}
