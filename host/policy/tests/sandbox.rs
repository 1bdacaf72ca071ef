//! Policies through the real sandbox: good ones answer, bad ones harm nobody.

use std::sync::Arc;

use crate::support::{context, corpus, input};
use hera_core::acl::{AclAnswer, AclInput, GuardRule, guard};
use hera_policy::{Acl, CallError, Decided, Limits, LoadError, Policy, Record, Registry, builtin};

fn registry() -> Registry {
    Registry::new(Limits::default(), None).unwrap()
}

async fn load(bytes: Vec<u8>) -> Result<Arc<Policy<Acl>>, LoadError> {
    registry().load::<Acl>(bytes, "tests").await
}

async fn guest(name: &str) -> Arc<Policy<Acl>> {
    load(corpus::guest(name).unwrap()).await.unwrap()
}

async fn ask(name: &str) -> Result<Decided<AclAnswer>, CallError> {
    guest(name).await.decide(&context(""), &input(3)).await
}

async fn broken_rule(name: &str) -> Option<GuardRule> {
    let answer = ask(name).await.unwrap().answer;
    guard(&input(3), &answer)
        .err()
        .map(|violation| violation.rule)
}

#[tokio::test]
async fn the_built_in_answers_within_the_guard() {
    let policy = load(builtin::ACL_PRESETS.to_vec()).await.unwrap();
    assert_eq!(policy.digest(), hera_core::digest::of(builtin::ACL_PRESETS));
    assert_eq!(policy.api(), "0.1");
    let decided = policy.decide(&context(""), &input(20)).await.unwrap();
    assert_eq!(guard(&input(20), &decided.answer), Ok(()));
    assert!(decided.fuel_used > 0);
}

#[tokio::test]
async fn the_same_input_gives_the_same_answer_for_the_same_fuel() {
    let policy = load(builtin::ACL_PRESETS.to_vec()).await.unwrap();
    let first = policy.decide(&context(""), &input(20)).await.unwrap();
    let second = policy.decide_blocking(&context(""), &input(20)).unwrap();
    assert_eq!(
        (first.answer, first.fuel_used),
        (second.answer, second.fuel_used)
    );
}

#[test]
fn the_built_in_is_small() {
    let bytes = builtin::ACL_PRESETS.len();
    assert!(bytes < 40 << 10, "{bytes} bytes");
}

#[tokio::test]
async fn a_users_policy_changes_rights_and_obeys_its_settings() {
    let policy = load(corpus::no_delete().unwrap()).await.unwrap();
    let rules = |decided: Decided<AclAnswer>| format!("{:?}", decided.answer.users[0].commands);
    let input = input(1);
    let default = policy.decide(&context(""), &input).await.unwrap();
    assert_eq!(guard(&input, &default.answer), Ok(()));
    assert!(rules(default).ends_with("DenyCommand(\"flushall\")]"));
    let chosen = policy
        .decide(&context(r#"{"deny": ["del"]}"#), &input)
        .await
        .unwrap();
    assert!(rules(chosen).ends_with("DenyCommand(\"del\")]"));
}

#[tokio::test]
async fn wrong_settings_are_refused_with_the_policys_words() {
    let policy = load(corpus::no_delete().unwrap()).await.unwrap();
    assert_eq!(policy.validate_settings("").await, Ok(()));
    assert_eq!(
        policy.validate_settings(r#"{"deny": ["get"]}"#).await,
        Ok(())
    );
    let error = policy
        .validate_settings(r#"{"deny": ["-get"]}"#)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policy refuses its settings: deny takes plain command names, not '-get'"
    );
    let error = policy.decide(&context("{"), &input(1)).await.unwrap_err();
    assert_eq!(error.reason(), "InvalidSettings");
}

#[tokio::test]
async fn every_field_of_context_and_input_arrives() {
    let logs = ask("probe").await.unwrap().logs;
    let shown: Vec<_> = logs
        .iter()
        .map(|line| format!("{} {}", line.level, line.text))
        .collect();
    assert_eq!(
        shown[0],
        "debug Context { now-unix-ms: 1767225600000, seed: 7, name: \"cache\", namespace: \
         \"shop\", engine: \"redis\", version: \"7.2.4\", settings: \"\" }"
    );
    assert!(
        shown[1].starts_with("info [UserRequest { name: \"user-0\", preset: Preset::ReadWrite")
    );
    assert_eq!(
        shown[2],
        "warn 366 commands, read: [\"bitcount\", \"bitfield_ro\", \"bitpos\"]"
    );
}

#[tokio::test]
async fn fuel_ends_an_endless_loop() {
    let error = ask("endless-loop").await.unwrap_err();
    assert_eq!(error, CallError::OutOfFuel { fuel: 50_000_000 });
    assert!(error.is_fault());
}

#[tokio::test]
async fn the_wall_clock_ends_what_fuel_does_not_and_blames_nobody() {
    let limits = Limits {
        fuel: u64::MAX / 2,
        ..Limits::default()
    };
    let registry = Registry::new(limits, None).unwrap();
    let policy = registry
        .load::<Acl>(corpus::guest("endless-loop").unwrap(), "tests")
        .await
        .unwrap();
    let error = policy.decide(&context(""), &input(1)).await.unwrap_err();
    assert_eq!(error, CallError::Timeout { millis: 200 });
    assert!(!error.is_fault());
}

#[tokio::test]
async fn a_panic_is_a_trap_that_tells_its_words() {
    let error = ask("panic").await.unwrap_err();
    assert_eq!(error.reason(), "Trap");
    assert!(
        error.to_string().contains("no users were expected"),
        "{error}"
    );
}

#[tokio::test]
async fn memory_is_bounded() {
    assert_eq!(
        ask("memory-hog").await.unwrap_err(),
        CallError::Memory { limit: 16 << 20 }
    );
}

#[tokio::test]
async fn what_is_copied_out_is_bounded() {
    assert_eq!(
        ask("huge-output").await.unwrap_err(),
        CallError::TooMuchData { limit: 1 << 20 }
    );
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_harms_no_answer() {
    let decided = ask("log-flood").await.unwrap();
    assert_eq!(decided.logs.len(), 64);
    for line in &decided.logs {
        assert_eq!(line.text.len(), 512);
        assert!(line.text.chars().all(|c| c.is_ascii_graphic() || c == ' '));
    }
    assert_eq!(guard(&input(3), &decided.answer), Ok(()));
}

#[tokio::test]
async fn a_policy_that_only_logs_is_ended_by_the_number_of_lines_and_to_blame() {
    let error = ask("log-storm").await.unwrap_err();
    assert!(error.is_fault());
    assert!(
        error.to_string().contains("more than 10000 lines"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_kept_between_calls() {
    let policy = guest("counter").await;
    for _ in 0..3 {
        let decided = policy.decide(&context(""), &input(1)).await.unwrap();
        assert_eq!(decided.logs[0].text, "call 1");
    }
}

#[tokio::test]
async fn a_refusal_is_printable_and_short() {
    let error = ask("refuse").await.unwrap_err();
    assert_eq!(error.reason(), "Refused");
    let text = error.to_string();
    assert!(
        text.starts_with("the policy has no answer: not for ?[31mcache because"),
        "{text}"
    );
    assert!(text.len() < 300, "{text}");
}

#[tokio::test]
async fn grants_beyond_the_spec_stop_at_the_guard() {
    assert_eq!(
        broken_rule("beyond-spec").await,
        Some(GuardRule::CommandBeyondCeiling)
    );
    assert_eq!(
        broken_rule("wider-keys").await,
        Some(GuardRule::KeyBeyondSpec)
    );
}

#[tokio::test]
async fn system_users_stop_at_the_guard() {
    assert_eq!(
        broken_rule("system-user").await,
        Some(GuardRule::SystemUser)
    );
}

#[tokio::test]
async fn bad_policies_disturb_no_other() {
    let registry = registry();
    let good = registry
        .load::<Acl>(builtin::ACL_PRESETS, "tests")
        .await
        .unwrap();
    let bad = registry
        .load::<Acl>(corpus::guest("endless-loop").unwrap(), "tests")
        .await
        .unwrap();
    let (context, input) = (context(""), input(5));
    let (bad, good) = tokio::join!(bad.decide(&context, &input), good.decide(&context, &input));
    assert!(bad.is_err());
    assert!(good.is_ok());
}

#[tokio::test]
async fn a_decision_can_be_made_again_from_its_record() {
    let policy = load(builtin::ACL_PRESETS.to_vec()).await.unwrap();
    let (context, input) = (context(""), input(3));
    let record = Record {
        decision: "acl".to_owned(),
        call: policy.ask("builtin", &context, &input).await,
        shadow: Some(guest("panic").await.ask("x", &context, &input).await),
        shadow_settings: String::new(),
        context,
        input,
    };
    let line = serde_json::to_string(&record).unwrap();
    let kept: Record<AclInput, AclAnswer> = serde_json::from_str(&line).unwrap();
    assert_eq!(kept, record);
    let again = policy.ask_blocking("again", &kept.context, &kept.input);
    assert!(again.agrees(&kept.call));
    assert!(!again.agrees(kept.shadow.as_ref().unwrap()));
    assert_eq!(kept.shadow.unwrap().outcome.name(), "Trap");
}
