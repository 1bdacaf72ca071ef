//! The built-in `backup` policy in the sandbox and natively, before the guard.

use std::sync::Arc;

use hera_core::backup::decision::{BackupAnswer, BackupInput, Choice, Decided, guard};
use hera_policy::{Backup, Context, Decision as _, Limits, Outcome, Policy, Registry, builtin};
use hera_policy_sdk::{backup as sdk, calmest};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::support::{corpus, native};

async fn load(module: &[u8]) -> Arc<Policy<Backup>> {
    let registry = Registry::new(Limits::default(), None).unwrap();
    registry.load(module.to_vec(), "tests").await.unwrap()
}

fn examples(count: usize) -> impl Iterator<Item = BackupInput> {
    let mut random = StdRng::seed_from_u64(7);
    (0..count).map(move |number| Backup::example(&mut random, number))
}

fn natively(input: &BackupInput) -> BackupAnswer {
    let context = hera_policy_sdk::testing::context();
    let answer = calmest::answer(&context, &native::backup_question(input));
    let choice = |choice: sdk::Choice| Choice {
        shard: choice.shard,
        copy: choice.copy,
    };
    BackupAnswer {
        next: match answer.next {
            sdk::Next::Start(choices) => Decided::Start(choices.into_iter().map(choice).collect()),
            sdk::Next::WaitUntil(unix_ms) => Decided::WaitUntil(unix_ms),
            sdk::Next::Skip => Decided::Skip,
        },
        drop: answer.drop,
        reason: answer.reason,
    }
}

fn with(next: Decided) -> BackupAnswer {
    BackupAnswer {
        next,
        drop: vec![],
        reason: String::new(),
    }
}

#[tokio::test]
async fn in_the_sandbox_it_answers_as_natively() {
    let policy = load(builtin::BACKUP_CRON).await;
    let (mut starting, mut waiting, mut dropping) = (0, 0, 0);
    for input in examples(120) {
        let decided = policy.decide_blocking(&Context::example(), &input).unwrap();
        let answer = decided.answer;
        starting += usize::from(matches!(answer.next, Decided::Start(_)));
        waiting += usize::from(decided.again_at_unix_ms.is_some());
        dropping += usize::from(!answer.drop.is_empty());
        assert_eq!(answer, natively(&input));
    }
    let all = [starting, waiting, dropping];
    assert!(all.iter().all(|count| *count > 10), "{all:?}");
}

#[tokio::test]
async fn an_answer_that_waits_holds_until_then() {
    let policy = load(builtin::BACKUP_CRON).await;
    let mut input = Backup::example_of(1);
    let decided = policy.decide_blocking(&Context::example(), &input).unwrap();
    assert!(matches!(decided.answer.next, Decided::Start(_)));
    assert_eq!(decided.again_at_unix_ms, None);
    for copy in &mut input.shards[0].copies {
        copy.fits = false;
    }
    let decided = policy.decide_blocking(&Context::example(), &input).unwrap();
    let in_a_minute = Context::example().now_unix_ms + 60_000;
    assert_eq!(decided.answer.next, Decided::WaitUntil(in_a_minute));
    assert_eq!(decided.again_at_unix_ms, Some(in_a_minute));
}

#[test]
fn operator_and_sdk_reckon_the_same_times() {
    for input in examples(400) {
        let asked = native::backup_question(&input);
        let skip = guard(&input, &with(Decided::Skip));
        assert_eq!(skip.is_ok(), asked.may_skip(), "{skip:?}: {input:?}");
        let Some(until) = asked.may_wait_until() else {
            continue;
        };
        let wait = |unix_ms| guard(&input, &with(Decided::WaitUntil(unix_ms)));
        assert_eq!(wait(until), Ok(()), "{input:?}");
        assert!(wait(until + 1).is_err(), "{input:?}");
    }
}

#[tokio::test]
async fn what_waits_for_ever_and_drops_all_is_refused_and_what_it_says_is_cut() {
    let policy = load(&corpus::guest("backup-never").unwrap()).await;
    let refused = |input: &BackupInput| {
        let call = policy.ask_blocking("tests", &Context::example(), input);
        match call.outcome {
            Outcome::GuardRefused { answer, refused } => (answer, refused.rule),
            other => panic!("{other:?}"),
        }
    };
    let mut input = Backup::example_of(1);
    input.history.clear();
    assert_eq!(refused(&input).1, "wait-beyond-latest");
    let mut input = Backup::example_of(1);
    input.demand = None;
    let (answer, rule) = refused(&input);
    assert_eq!(rule, "drop-needed");
    let reason = answer.reason;
    assert!(reason.len() <= Limits::default().text_bytes);
    assert!(reason.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let found = hera_policy::conformance(&policy, "", 1, 16);
    assert!(!found.faults.is_empty());
}
