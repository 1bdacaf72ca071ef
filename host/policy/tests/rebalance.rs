//! The built-in `rebalance` policy in the sandbox and natively, before the guard.

use std::sync::Arc;

use hera_core::cluster::{SLOTS, SlotSet};
use hera_core::rebalance::{
    RebalanceAnswer, RebalanceInput, ShardState, SlotMove, apply, guard, table,
};
use hera_policy::{Context, Decision as _, Limits, Outcome, Policy, Rebalance, Registry, builtin};
use hera_policy_rebalance_even::{Even, Settings};
use hera_policy_sdk::rebalance::{self as sdk, RebalancePolicy as _};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::support::{corpus, native};

async fn built_in() -> Arc<Policy<Rebalance>> {
    let registry = Registry::new(Limits::default(), None).unwrap();
    registry
        .load(builtin::REBALANCE_EVEN, "tests")
        .await
        .unwrap()
}

fn examples(count: usize) -> impl Iterator<Item = RebalanceInput> {
    let mut random = StdRng::seed_from_u64(7);
    (0..count).map(move |number| Rebalance::example(&mut random, number))
}

fn natively(input: &RebalanceInput) -> Vec<SlotMove> {
    let context = hera_policy_sdk::testing::context();
    let answer = Even::decide(&context, &Settings {}, &native::question(input)).unwrap();
    let step = |step: sdk::SlotMove| SlotMove {
        source: step.source,
        target: step.target,
        slots: step
            .slots
            .iter()
            .map(|range| (range.first, range.last))
            .collect(),
    };
    answer.moves.into_iter().map(step).collect()
}

#[tokio::test]
async fn in_the_sandbox_it_answers_as_natively() {
    let policy = built_in().await;
    let mut moving = 0;
    for input in examples(60) {
        let decided = policy.decide_blocking(&Context::example(), &input).unwrap();
        let moves = decided.answer.moves;
        moving += usize::from(!moves.is_empty());
        assert_eq!(moves, natively(&input));
    }
    assert!(moving > 20, "{moving}");
}

#[tokio::test]
async fn a_shard_that_leaves_is_empty_after_as_many_plans_as_its_slots_need() {
    let policy = built_in().await;
    let mut input = Rebalance::example_of(8);
    input.shards[7].state = ShardState::Serving;
    input.shards[2].state = ShardState::Leaving;
    input.limits.slots = 500;
    let plans = input.shards[2].slots.len().div_ceil(500);
    for _ in 0..plans {
        let decided = policy.decide_blocking(&Context::example(), &input).unwrap();
        guard(&input, &decided.answer).unwrap();
        let after = apply(&table(&input), &decided.answer.moves);
        for shard in &mut input.shards {
            shard.slots = after[&shard.id].clone();
        }
    }
    assert!(input.shards[2].slots.is_empty());
    let all = input.shards.iter();
    let all = all.fold(SlotSet::default(), |all, shard| all.with(&shard.slots));
    assert_eq!(all.len(), usize::from(SLOTS));
}

#[test]
fn operator_and_sdk_reckon_the_same_memory() {
    for input in examples(60) {
        let asked = native::question(&input);
        let limits = &asked.limits;
        for (ours, theirs) in input.shards.iter().zip(&asked.shards) {
            assert_eq!(ours.room(&input.limits), theirs.room(limits));
            for count in [0, 1, 3, 200] {
                let some = hera_policy_sdk::slots::first(&theirs.slots, count);
                let ranges = some.iter().map(|range| (range.first, range.last));
                let bytes = ours.bytes_of(&SlotSet::of(ranges));
                assert_eq!(bytes, theirs.bytes_of(&some));
            }
        }
    }
}

#[tokio::test]
async fn a_module_of_another_decision_is_told_which_world_is_wanted() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let wrong = registry.load::<Rebalance>(builtin::ACL_PRESETS, "tests");
    let error = wrong.await.unwrap_err();
    assert_eq!(error.reason(), "WrongWorld");
    let words = error.to_string();
    assert!(words.contains("hera:policy/rebalance@0.1.0"), "{words}");
    assert!(words.contains("hera:policy/acl@0.1.0"), "{words}");
}

#[tokio::test]
async fn what_is_no_plan_is_refused_and_what_it_says_is_cut() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let module = corpus::guest("rebalance-greedy").unwrap();
    let policy = registry.load::<Rebalance>(module, "tests").await.unwrap();
    let input = Rebalance::example_of(3);
    let call = policy.ask_blocking("tests", &Context::example(), &input);
    let Outcome::GuardRefused { answer, refused } = call.outcome else {
        panic!("{:?}", call.outcome);
    };
    // The new shard has none.
    assert_eq!(refused.rule, "malformed-slots");
    let RebalanceAnswer { reason, .. } = answer;
    assert!(reason.len() <= Limits::default().text_bytes);
    assert!(reason.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let found = hera_policy::conformance(&policy, "", 1, 16);
    assert!(!found.faults.is_empty());
}
