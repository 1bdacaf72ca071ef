//! For any table of slots, and any plan at all.

use std::cell::Cell;
use std::collections::BTreeMap;

use hera_core::cluster::{SLOTS, SlotSet};
use hera_core::rebalance::{
    RebalanceInput, Shard, ShardState, SlotLoad, SlotMove, apply, guard, table,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fixtures::{input, moved, plan, step};

/// Who owns what: the owners of parts between cuts.
fn owners() -> impl Strategy<Value = Vec<SlotSet>> {
    let cuts = vec((1..SLOTS, 0_usize..9), 0..24);
    (1_usize..9, cuts).prop_map(|(shards, mut cuts)| {
        cuts.push((SLOTS, 0));
        cuts.sort_unstable();
        let mut ranges = vec![Vec::new(); shards];
        let mut first = 0;
        for (cut, owner) in cuts {
            if first < cut {
                ranges[owner % shards].push((first, cut - 1));
            }
            first = cut;
        }
        ranges.into_iter().map(SlotSet::of).collect()
    })
}

fn state() -> impl Strategy<Value = ShardState> {
    prop_oneof![
        12 => Just(ShardState::Serving),
        2 => Just(ShardState::Joining),
        1 => Just(ShardState::Leaving),
        1 => Just(ShardState::Unhealthy),
    ]
}

/// What a shard of these slots may look like.
fn shard(id: u32, slots: SlotSet) -> impl Strategy<Value = Shard> {
    let owned: Vec<u16> = slots
        .ranges()
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .collect();
    let load = (
        any::<usize>(),
        0_u32..400_000,
        prop::option::of(0_u64..200_000),
    );
    (
        state(),
        prop::option::weighted(0.9, 0_u64..1_000_000),
        prop::option::weighted(0.8, 1_u64..2_000_000),
        vec(load, 0..3),
    )
        .prop_map(move |(state, used_bytes, max_bytes, loads)| {
            let loads = loads.into_iter().filter(|_| !owned.is_empty());
            let heaviest: BTreeMap<u16, SlotLoad> = loads
                .map(|(at, load_ppm, used_bytes)| {
                    let slot = owned[at % owned.len()];
                    let load = SlotLoad {
                        slot,
                        load_ppm,
                        used_bytes,
                    };
                    (slot, load)
                })
                .collect();
            Shard {
                id,
                state,
                slots: slots.clone(),
                used_bytes,
                max_bytes,
                ops_per_second: None,
                heaviest: heaviest.into_values().collect(),
            }
        })
}

fn any_input() -> impl Strategy<Value = RebalanceInput> {
    owners()
        .prop_flat_map(|owners| {
            let shards: Vec<_> = owners
                .into_iter()
                .zip(0..)
                .map(|(slots, id)| shard(id, slots))
                .collect();
            let range = (0..SLOTS, 0_u16..200);
            (
                shards,
                vec((range, 0_u64..120), 0..3),
                0..SLOTS,
                0_u32..20_000,
            )
        })
        .prop_map(|(shards, history, stays, slots)| {
            let mut input = input(shards);
            input.stays = SlotSet::of([(stays, stays)]);
            let moves = history.into_iter();
            input.history = moves
                .map(|((first, more), age)| moved(&[(first, first + more)], age))
                .collect();
            input.limits.slots = slots;
            input
        })
}

/// A step of a plan: of slots that its source has, or of any numbers.
#[derive(Clone, Debug)]
enum Said {
    Sound(u32, u32, u16, u16),
    Anything(SlotMove),
}

fn any_said() -> impl Strategy<Value = Said> {
    let sound = (0_u32..8, 0_u32..8, 0_u16..SLOTS, 0_u16..3_000);
    let ranges = vec((any::<u16>(), any::<u16>()), 0..4);
    prop_oneof![
        9 => sound.prop_map(|(source, target, at, more)| Said::Sound(source, target, at, more)),
        1 => (0_u32..10, 0_u32..10, ranges)
            .prop_map(|(source, target, slots)| Said::Anything(step(source, target, &slots))),
    ]
}

fn made(input: &RebalanceInput, said: Vec<Said>) -> Vec<SlotMove> {
    let count = u32::try_from(input.shards.len()).unwrap();
    let sound = |said| match said {
        Said::Anything(step) => Some(step),
        Said::Sound(source, target, at, more) => {
            let source = &input.shards[(source % count) as usize];
            let part = SlotSet::of([(at, at.saturating_add(more))]).shared(&source.slots);
            let target = target % count;
            (!part.is_empty()).then(|| step(source.id, target, part.ranges()))
        }
    };
    said.into_iter().filter_map(sound).collect()
}

fn any_case() -> impl Strategy<Value = (RebalanceInput, Vec<SlotMove>)> {
    (any_input(), vec(any_said(), 0..4)).prop_map(|(input, said)| {
        let moves = made(&input, said);
        (input, moves)
    })
}

fn is_whole(table: &BTreeMap<u32, SlotSet>) -> bool {
    let sum = table.values().map(SlotSet::len).sum::<usize>();
    let all = table
        .values()
        .fold(SlotSet::default(), |all, slots| all.with(slots));
    sum == usize::from(SLOTS) && all == SlotSet::all()
}

proptest! {
    /// P34.
    #[test]
    fn after_any_plan_legal_or_not_every_slot_is_owned_once((input, moves) in any_case()) {
        let before = table(&input);
        prop_assert!(is_whole(&before));
        let after = apply(&before, &moves);
        prop_assert!(is_whole(&after), "{after:?}");
        prop_assert!(before.keys().eq(after.keys()));
    }
}

/// What one slot takes, rounded up: a second reckoning, slot by slot.
fn bytes(shard: &Shard, slot: u16) -> f64 {
    let told = |slot: u16| {
        let mut listed = shard.heaviest.iter();
        listed.find(|load| load.slot == slot)?.used_bytes
    };
    if let Some(bytes) = told(slot) {
        return bytes as f64;
    }
    let known: Vec<u64> = shard.heaviest.iter().filter_map(|l| l.used_bytes).collect();
    let rest = shard.used_bytes.unwrap().saturating_sub(known.iter().sum());
    rest as f64 / (shard.slots.len() - known.len()) as f64
}

fn check_passed(input: &RebalanceInput, moves: &[SlotMove]) -> Result<(), TestCaseError> {
    let find = |id| input.shards.iter().find(|shard| shard.id == id).unwrap();
    let mut intake: BTreeMap<u32, f64> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for step in moves {
        let (source, target) = (find(step.source), find(step.target));
        prop_assert!(source.id != target.id && source.state != ShardState::Unhealthy);
        prop_assert!(matches!(
            target.state,
            ShardState::Serving | ShardState::Joining
        ));
        for slot in step.slots.iter().flat_map(|(first, last)| *first..=*last) {
            prop_assert!(source.slots.contains(slot) && seen.insert(slot));
            prop_assert!(!input.stays.contains(slot));
            if target.max_bytes.is_some() {
                *intake.entry(target.id).or_default() += bytes(source, slot);
            }
        }
    }
    prop_assert!(seen.len() <= input.limits.slots as usize);
    for (id, intake) in intake {
        let target = find(id);
        let most = target.max_bytes.unwrap() as f64 * f64::from(input.limits.fill_percent) / 100.0;
        let full = target.used_bytes.unwrap() as f64 + intake;
        prop_assert!(full <= most + 0.5, "shard {id}: {full} of {most}");
    }
    Ok(())
}

#[test]
fn what_passes_moves_each_slot_once_and_never_overfills_a_target() {
    const CASES: u32 = 3_000;
    let passed = Cell::new(0_u32);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    let result = runner.run(&any_case(), |(input, moves)| {
        if moves.is_empty() || guard(&input, &plan(moves.clone())).is_err() {
            return Ok(());
        }
        passed.set(passed.get() + 1);
        check_passed(&input, &moves)?;
        // Legal moves are made as they are said.
        let after = apply(&table(&input), &moves);
        for step in &moves {
            let slots = SlotSet::of(step.slots.iter().copied());
            prop_assert!(slots.without(&after[&step.target]).is_empty());
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    // Or the property would hold for want of cases.
    let passed = passed.get();
    let enough = CASES / 100..CASES;
    assert!(enough.contains(&passed), "{passed} passed");
}
