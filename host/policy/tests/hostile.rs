//! What hostile policies try, each held by its own limit; `sandbox.rs` has the plain ones.

use std::sync::Arc;

use crate::support::{context, corpus, input};
use hera_policy::{Acl, CallError, Context, Limits, Outcome, Policy, Registry};

async fn guest(name: &str) -> Arc<Policy<Acl>> {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let module = corpus::guest(name).unwrap();
    registry.load(module, "tests").await.unwrap()
}

async fn fails(name: &str) -> CallError {
    let policy = guest(name).await;
    let failed = policy.decide(&context(""), &input(3)).await.unwrap_err();
    assert!(failed.is_fault(), "{failed}");
    failed
}

/// The rule of the guard that an answer breaks.
async fn broken_rule(name: &str, context: &Context) -> String {
    let call = guest(name).await.ask("tests", context, &input(3)).await;
    match call.outcome {
        Outcome::GuardRefused { refused, .. } => refused.rule,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn recursion_ends_at_the_stack_or_the_fuel() {
    let failed = fails("recursion").await;
    let ends = matches!(failed, CallError::Trap { .. } | CallError::OutOfFuel { .. });
    assert!(ends, "{failed}");
}

#[tokio::test]
async fn memory_is_bounded_for_one_grow_and_for_many() {
    let limit = CallError::Memory { limit: 16 << 20 };
    assert_eq!(fails("one-grow").await, limit);
    assert_eq!(fails("page-grower").await, limit);
}

#[tokio::test]
async fn a_list_larger_than_what_may_be_copied_ends_a_call() {
    let limit = CallError::TooMuchData { limit: 1 << 20 };
    assert_eq!(fails("huge-list").await, limit);
}

#[tokio::test]
async fn log_lines_that_only_together_are_too_large_end_a_call() {
    let words = fails("log-strings").await.to_string();
    assert!(words.contains("more than 16777216 bytes"), "{words}");
}

#[tokio::test]
async fn a_number_that_is_none_has_the_same_bits_everywhere() {
    let policy = guest("nan").await;
    let decided = policy.decide(&context(""), &input(1)).await.unwrap();
    assert_eq!(decided.logs[0].text, "7ff8000000000000 7ff8000000000000");
}

#[tokio::test]
async fn a_user_that_nobody_asked_for_stops_at_the_guard() {
    assert_eq!(
        broken_rule("unknown-user", &context("")).await,
        "unknown-user"
    );
}

#[tokio::test]
async fn no_word_of_the_servers_own_gets_past_the_guard() {
    for seed in [0, 1] {
        let context = Context {
            seed,
            ..context("")
        };
        assert_eq!(broken_rule("nopass", &context).await, "malformed-token");
    }
}

#[tokio::test]
async fn a_thousand_good_answers_excuse_no_endless_loop() {
    let policy = guest("sleeper").await;
    let asked = |seed| Context {
        seed,
        ..context("")
    };
    for seed in 0..1_000 {
        policy.decide_blocking(&asked(seed), &input(1)).unwrap();
    }
    let failed = policy
        .decide_blocking(&asked(1_000), &input(1))
        .unwrap_err();
    assert_eq!(failed.reason(), "OutOfFuel");
    policy.decide_blocking(&asked(999), &input(1)).unwrap();
}

/// The time is part of the question: what looks fickle is the same again under the same time, and
/// only so can a replay tell a difference from chance.
#[tokio::test]
async fn an_answer_that_changes_with_the_clock_is_the_same_again_in_a_replay() {
    let policy = guest("fickle").await;
    let at = |now_unix_ms| Context {
        now_unix_ms,
        ..context("")
    };
    let (one, two) = (at(1), at(2));
    let input = input(1);
    let first = policy.ask("tests", &one, &input).await;
    let second = policy.ask("tests", &two, &input).await;
    assert!(!first.agrees(&second));
    let again = policy.ask_blocking("replay", &one, &input);
    assert!(again.agrees(&first) && again.fuel == first.fuel);
}

#[tokio::test]
async fn what_a_call_took_and_said_is_told_also_when_it_failed() {
    let call = guest("panic")
        .await
        .ask("tests", &context(""), &input(1))
        .await;
    assert!(call.fuel > 0);
    assert!(
        call.logs[0].text.contains("no users were expected"),
        "{:?}",
        call.logs
    );
}
