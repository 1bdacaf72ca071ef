//! What the built-in moves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hera_policy_rebalance_even::{Even, Settings};
use hera_policy_sdk::even;
use hera_policy_sdk::rebalance::{
    Moved, RebalanceInput, RebalancePolicy, Shard, ShardState, SlotLoad, SlotMove, SlotRange,
};
use hera_policy_sdk::slots::{count, one};
use hera_policy_sdk::testing::{context, rebalance_input, shard};
use proptest::prelude::*;

const SLOTS: u16 = 16_384;

/// Slots in all shards after these moves, by their place.
fn after(input: &RebalanceInput, moves: &[SlotMove]) -> Vec<u32> {
    let has = |shard: &Shard| {
        let moved = |of: fn(&SlotMove) -> u32| -> u32 {
            let steps = moves.iter().filter(|step| of(step) == shard.id);
            steps.map(|step| count(&step.slots)).sum()
        };
        count(&shard.slots) + moved(|step| step.target) - moved(|step| step.source)
    };
    input.shards.iter().map(has).collect()
}

fn moved(moves: &[SlotMove]) -> u32 {
    moves.iter().map(|step| count(&step.slots)).sum()
}

#[test]
fn a_new_shard_gets_its_share_and_nothing_else_moves() {
    let input = rebalance_input(vec![
        shard(0, &[(0, 5_461)]),
        shard(1, &[(5_462, 10_922)]),
        shard(2, &[(10_923, 16_383)]),
        shard(3, &[]).state(ShardState::Joining),
    ]);
    let answer = Even::decide(&context(), &Settings {}, &input).unwrap();
    assert_eq!(after(&input, &answer.moves), [4_096; 4]);
    assert_eq!(moved(&answer.moves), 4_096);
    assert!(answer.moves.iter().all(|step| step.target == 3));
    assert_eq!(answer.reason, "each shard gets as many slots");
}

#[test]
fn what_is_even_stays_as_it_is() {
    let input = rebalance_input(vec![
        shard(0, &[(0, 5_461)]),
        shard(1, &[(5_462, 10_922)]),
        shard(2, &[(10_923, 16_383)]),
    ]);
    assert!(even::moves(&input).is_empty());
}

#[test]
fn a_shard_that_leaves_is_drained_to_several_by_the_memory_they_have_free() {
    let gib = 1 << 30;
    let mut input = rebalance_input(vec![
        shard(0, &[(0, 5_461)]).memory(6 * gib, 10 * gib),
        shard(1, &[(5_462, 10_922)]).memory(7 * gib, 10 * gib),
        shard(2, &[(10_923, 16_383)])
            .memory(4 * gib, 10 * gib)
            .state(ShardState::Leaving),
    ]);
    // Half of what leaves would be 2 GiB for each; shard 1 has room for one.
    let moves = even::moves(&input);
    let slots = after(&input, &moves);
    assert!(slots[1] > 5_461 && slots[1] <= 5_461 + 1_366, "{slots:?}");
    let two = 2 * 5_461 / 4;
    assert!(slots[0] <= 5_462 + two + 1, "{slots:?}");
    assert!(slots[2] >= 5_461 - two - 1_366, "{slots:?}");
    // Where there is room for all, it goes to nothing.
    input.shards[0].max_bytes = Some(20 * gib);
    let slots = after(&input, &even::moves(&input));
    assert_eq!(slots[2], 0);
    assert!(slots[0] > slots[1], "{slots:?}");
}

#[test]
fn a_slot_that_fits_behind_a_large_one_goes_where_there_is_still_room() {
    // Room for 60, 55 and nothing; slot 5 takes 50, the others that leave 10 each.
    let mut input = rebalance_input(vec![
        shard(0, &[(0, 10)])
            .memory(150, 1_000)
            .state(ShardState::Leaving),
        shard(1, &[(100, 199)]).memory(740, 1_000),
        shard(2, &[(200, 299)]).memory(745, 1_000),
        shard(3, &[]).memory(800, 1_000),
    ]);
    input.shards[0].heaviest = vec![SlotLoad {
        slot: 5,
        load_ppm: 0,
        used_bytes: Some(50),
    }];
    let moves = even::moves(&input);
    assert_eq!(after(&input, &moves), [4, 106, 101, 0]);
}

#[test]
fn what_leaves_goes_first_and_no_more_than_one_plan_may() {
    let mut input = rebalance_input(vec![
        shard(0, &[(0, 9_999)]),
        shard(1, &[(10_000, 10_999)]),
        shard(2, &[(11_000, 16_383)]).state(ShardState::Leaving),
    ]);
    input.limits.slots = 100;
    let moves = even::moves(&input);
    assert_eq!(moved(&moves), 100);
    assert!(
        moves
            .iter()
            .all(|step| (step.source, step.target) == (2, 1))
    );
}

#[test]
fn nothing_moves_that_may_not() {
    let mut input = rebalance_input(vec![
        shard(0, &[(0, 9)]),
        shard(1, &[]),
        shard(2, &[(10, 29)]).state(ShardState::Unhealthy),
    ]);
    input.stays = vec![one(1)];
    input.limits.cooldown_seconds = 60;
    input.history = vec![Moved {
        source: 1,
        target: 0,
        slots: vec![SlotRange { first: 2, last: 3 }],
        age_seconds: 59,
        ops_per_second: None,
    }];
    let moves = even::moves(&input);
    assert_eq!(after(&input, &moves), [5, 5, 20]);
    let slots: Vec<SlotRange> = moves.into_iter().flat_map(|step| step.slots).collect();
    assert!(slots == [one(0), SlotRange { first: 4, last: 7 }]);
}

#[test]
fn nobody_to_take_is_no_plan() {
    let gone = shard(0, &[(0, 9)]).state(ShardState::Leaving);
    assert!(even::moves(&rebalance_input(vec![gone])).is_empty());
    assert!(even::moves(&rebalance_input(vec![])).is_empty());
}

/// Parts of all slots for up to eight shards, some of which leave.
fn tables() -> impl Strategy<Value = RebalanceInput> {
    let shards = (prop::bool::weighted(0.2), 0..SLOTS);
    prop::collection::vec(shards, 1..9).prop_map(|mut shards| {
        shards.sort_by_key(|(_, cut)| *cut);
        let (count, mut first) = (shards.len(), 0);
        let table = shards.into_iter().enumerate().map(|(at, (leaves, cut))| {
            let end = if at + 1 == count { SLOTS } else { cut };
            let slots = (first < end).then(|| (first, end - 1));
            first = end;
            let state = match leaves {
                true => ShardState::Leaving,
                false => ShardState::Serving,
            };
            let id = u32::try_from(at).unwrap();
            shard(id, slots.as_slice()).state(state)
        });
        rebalance_input(table.collect())
    })
}

/// The fewest slots that any plan moves after which nobody that leaves has one, and the others differ by one
/// at most: each way to give out what is left over is tried.
fn fewest(input: &RebalanceInput) -> Option<u32> {
    let staying: Vec<u32> = input
        .shards
        .iter()
        .filter(|shard| shard.takes())
        .map(|shard| count(&shard.slots))
        .collect();
    let shards = u32::try_from(staying.len()).unwrap();
    let (share, over) = (
        u32::from(SLOTS).checked_div(shards)?,
        u32::from(SLOTS).checked_rem(shards)?,
    );
    let ways = (0..1_u32 << shards).filter(|way| way.count_ones() == over);
    ways.map(|way| {
        let each = staying.iter().enumerate();
        each.map(|(at, has)| (share + (way >> at & 1)).saturating_sub(*has))
            .sum::<u32>()
    })
    .min()
}

proptest! {
    #[test]
    fn as_many_slots_for_each_by_the_fewest_moves(input in tables()) {
        let moves = even::moves(&input);
        let Some(fewest) = fewest(&input) else {
            prop_assert!(moves.is_empty());
            return Ok(());
        };
        prop_assert_eq!(moved(&moves), fewest);
        let slots = after(&input, &moves);
        prop_assert_eq!(slots.iter().sum::<u32>(), u32::from(SLOTS));
        let taking = |at: &usize| input.shards[*at].takes();
        let (stay, leave): (Vec<usize>, Vec<usize>) = (0..slots.len()).partition(taking);
        let stay: Vec<u32> = stay.iter().map(|at| slots[*at]).collect();
        prop_assert!(stay.iter().max().unwrap() - stay.iter().min().unwrap() <= 1);
        prop_assert!(leave.iter().all(|at| slots[*at] == 0));
    }
}
