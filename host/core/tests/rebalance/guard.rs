use hera_core::cluster::SlotSet;
use hera_core::rebalance::{GuardRule, RebalanceInput, ShardState, SlotLoad, SlotMove, guard};

use crate::fixtures::{input, limits, moved, plan, shard, step};

const DOCS: &str = include_str!("../../../../docs/guards.md");
const TESTS: &str = include_str!("guard.rs");

/// Two shards with half of the slots each; a third has none.
fn halves() -> RebalanceInput {
    input(vec![
        shard(0, &[(0, 8_191)]),
        shard(1, &[(8_192, 16_383)]),
        shard(2, &[]),
    ])
}

/// The rule that these moves break.
fn broken(input: &RebalanceInput, moves: Vec<SlotMove>) -> Option<GuardRule> {
    guard(input, &plan(moves)).err().map(|found| found.rule)
}

#[test]
fn what_breaks_no_rule_passes() {
    let moves = vec![
        step(0, 2, &[(0, 99), (200, 299)]),
        step(1, 2, &[(9_000, 9_099)]),
    ];
    assert_eq!(broken(&halves(), moves), None);
    assert_eq!(broken(&halves(), vec![]), None);
}

#[test]
fn malformed_slots_are_refused() {
    for slots in [&[][..], &[(9, 5)], &[(16_000, 16_384)], &[(0, 5), (5, 9)]] {
        let found = broken(&halves(), vec![step(0, 2, slots)]);
        assert_eq!(found, Some(GuardRule::MalformedSlots), "{slots:?}");
    }
}

#[test]
fn unknown_shard_is_refused() {
    for (source, target) in [(0, 7), (7, 0)] {
        let found = broken(&halves(), vec![step(source, target, &[(0, 1)])]);
        assert_eq!(found, Some(GuardRule::UnknownShard));
    }
}

#[test]
fn same_shard_is_refused() {
    let found = broken(&halves(), vec![step(0, 0, &[(0, 1)])]);
    assert_eq!(found, Some(GuardRule::SameShard));
}

#[test]
fn source_unhealthy_is_refused() {
    let mut input = halves();
    input.shards[0].state = ShardState::Unhealthy;
    let found = broken(&input, vec![step(0, 2, &[(0, 1)])]);
    assert_eq!(found, Some(GuardRule::SourceUnhealthy));
}

#[test]
fn target_not_ready_is_refused() {
    for (state, refused) in [
        (ShardState::Unhealthy, true),
        (ShardState::Leaving, true),
        (ShardState::Joining, false),
    ] {
        let mut input = halves();
        input.shards[2].state = state;
        let found = broken(&input, vec![step(0, 2, &[(0, 1)])]);
        assert_eq!(found, refused.then_some(GuardRule::TargetNotReady));
    }
}

#[test]
fn slot_not_owned_is_refused() {
    let found = broken(&halves(), vec![step(0, 2, &[(8_000, 8_192)])]);
    assert_eq!(found, Some(GuardRule::SlotNotOwned));
}

#[test]
fn slot_stays_is_refused() {
    let mut input = halves();
    input.stays = SlotSet::of([(7, 7)]);
    let found = broken(&input, vec![step(0, 2, &[(0, 10)])]);
    assert_eq!(found, Some(GuardRule::SlotStays));
    assert_eq!(broken(&input, vec![step(0, 2, &[(8, 10)])]), None);
}

#[test]
fn cool_down_is_held_until_it_is_over_or_the_shard_leaves() {
    let asked = |age, state| {
        let mut input = halves();
        input.history = vec![moved(&[(5, 6)], age)];
        input.shards[0].state = state;
        input.limits.slots = 11;
        broken(&input, vec![step(0, 2, &[(0, 10)])])
    };
    assert_eq!(asked(59, ShardState::Serving), Some(GuardRule::CoolDown));
    assert_eq!(asked(60, ShardState::Serving), None);
    assert_eq!(asked(0, ShardState::Leaving), None);
}

#[test]
fn slot_twice_is_refused() {
    let moves = vec![step(0, 2, &[(0, 10)]), step(0, 1, &[(10, 12)])];
    assert_eq!(broken(&halves(), moves), Some(GuardRule::SlotTwice));
    let there_and_on = vec![step(0, 2, &[(0, 10)]), step(2, 1, &[(0, 10)])];
    let found = broken(&halves(), there_and_on);
    assert_eq!(found, Some(GuardRule::SlotNotOwned));
}

#[test]
fn too_many_slots_are_refused() {
    let mut input = halves();
    input.limits.slots = 20;
    let moves = |last| vec![step(0, 2, &[(0, 9)]), step(1, 2, &[(9_000, last)])];
    assert_eq!(broken(&input, moves(9_009)), None);
    assert_eq!(broken(&input, moves(9_010)), Some(GuardRule::TooManySlots));
}

#[test]
fn target_overfull_is_refused_over_all_moves_to_it() {
    // 300 000 bytes are free below 80 %; 8 192 slots hold 500 000.
    let most = |first: u16, count: u16| (first, first + count - 1);
    assert_eq!(broken(&halves(), vec![step(0, 2, &[most(0, 4_915)])]), None);
    let one = vec![step(0, 2, &[most(0, 4_916)])];
    assert_eq!(broken(&halves(), one), Some(GuardRule::TargetOverfull));
    let two = vec![
        step(0, 2, &[most(0, 3_000)]),
        step(1, 2, &[most(9_000, 3_000)]),
    ];
    assert_eq!(broken(&halves(), two), Some(GuardRule::TargetOverfull));
}

#[test]
fn a_slot_that_is_known_to_be_large_counts_as_that() {
    let mut input = halves();
    input.shards[0].heaviest = vec![SlotLoad {
        slot: 3,
        load_ppm: 0,
        used_bytes: Some(400_000),
    }];
    let found = broken(&input, vec![step(0, 2, &[(3, 3)])]);
    assert_eq!(found, Some(GuardRule::TargetOverfull));
    // The others are the smaller for it.
    assert_eq!(broken(&input, vec![step(0, 2, &[(4, 8_191)])]), None);
}

#[test]
fn what_is_not_known_does_not_fit_where_something_limits() {
    for unknown in [0, 2] {
        let mut input = halves();
        // Not even what takes nothing goes where it is not known how much there is.
        input.shards[0].used_bytes = Some(0);
        input.shards[unknown].used_bytes = None;
        let moves = vec![step(0, 2, &[(0, 0)])];
        let found = broken(&input, moves.clone());
        assert_eq!(found, Some(GuardRule::TargetOverfull));
        input.shards[2].max_bytes = None;
        assert_eq!(broken(&input, moves), None);
    }
}

#[test]
fn leaving_not_drained_is_refused_as_far_as_there_is_room() {
    let mut input = halves();
    input.shards[0].state = ShardState::Leaving;
    let rule = Some(GuardRule::LeavingNotDrained);
    assert_eq!(broken(&input, vec![]), rule);
    assert_eq!(
        broken(&input, vec![step(1, 2, &[(9_000, 9_000)])]),
        rule,
        "others may wait"
    );
    let (some, rest) = ([(0, 4_095)], [(4_096, 8_191)]);
    assert_eq!(broken(&input, vec![step(0, 1, &some)]), rule);
    let all = vec![step(0, 1, &some), step(0, 2, &rest)];
    assert_eq!(broken(&input, all), None);
    // As much as may at a time, and then as much as fits.
    input.limits.slots = 4_096;
    assert_eq!(broken(&input, vec![step(0, 1, &some)]), None);
    input.limits = limits();
    for target in [1, 2] {
        input.shards[target].used_bytes = Some(800_000);
    }
    assert_eq!(broken(&input, vec![]), None);
    // A slot that cannot move keeps nobody.
    let mut input = halves();
    input.shards[0].state = ShardState::Leaving;
    input.stays = SlotSet::of([(0, 8_191)]);
    assert_eq!(broken(&input, vec![]), None);
}

/// The first cell, and the last: a rule and its test.
fn documented() -> Vec<(&'static str, &'static str)> {
    let rows = DOCS
        .lines()
        .skip_while(|line| !line.starts_with("## `rebalance`"))
        .skip_while(|line| !line.starts_with("| rule |"))
        .skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| `")?.strip_suffix("` |"));
    cells
        .map(|row| {
            (
                row.split('`').next().unwrap(),
                row.rsplit('`').next().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_rule_has_a_row_in_the_docs_and_every_row_a_rule_and_a_test() {
    let rows: Vec<_> = documented().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rows, GuardRule::ALL.map(GuardRule::name));
    for (rule, test) in documented() {
        assert!(TESTS.contains(&format!("fn {test}()")), "{rule}: {test}");
    }
}
