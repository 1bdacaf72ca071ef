//! What the operator's own program does with a module before the operator itself touches it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use hera_policy::trial::WORD as TRIAL;
use hera_policy::{Acl, Limits, Registry, Trial, builtin};

fn registry(program: &str) -> Registry {
    let trial = Trial {
        program: program.into(),
        args: vec![TRIAL.to_owned()],
    };
    Registry::new(Limits::default(), Some(trial)).unwrap()
}

fn operator() -> Registry {
    registry(env!("CARGO_BIN_EXE_hera-operator"))
}

/// A few kilobytes that cost a compiler the product of loops and variables: each of the nested
/// loops may start again with each variable changed.
fn slow_to_compile() -> Vec<u8> {
    const LOOPS: usize = 600;
    const VARIABLES: usize = 3000;
    let step = |at: usize| format!("(local.set {at} (i32.add (local.get {at}) (local.get 0)))");
    let again = |depth: usize| format!("(br_if {depth} (local.get 0)) ");
    let steps: String = (1..VARIABLES).map(step).collect();
    let agains: String = (0..LOOPS).map(again).collect();
    let function = format!(
        "(func (param i32) (local {}) {} {steps} {agains} {})",
        "i32 ".repeat(VARIABLES),
        "(loop ".repeat(LOOPS),
        ")".repeat(LOOPS)
    );
    let export = "(instance $none) (export \"hera:policy/acl@0.1.0\" (instance $none))";
    wat::parse_str(format!("(component (core module {function}) {export})")).unwrap()
}

#[tokio::test]
async fn a_good_module_passes_its_trial() {
    let loaded = operator().load::<Acl>(builtin::ACL_PRESETS, "shop").await;
    assert_eq!(loaded.unwrap().api(), "0.1");
}

#[tokio::test]
async fn a_bad_module_is_refused_with_the_same_words_as_without_a_trial() {
    let plain = Registry::new(Limits::default(), None).unwrap();
    let bytes = b"\0asm\x01".to_vec();
    let with = operator().load::<Acl>(bytes.clone(), "shop").await;
    let without = plain.load::<Acl>(bytes, "shop").await;
    assert_eq!(with.unwrap_err(), without.unwrap_err());
}

#[tokio::test]
async fn a_trial_that_cannot_be_made_is_no_fault_of_the_module() {
    let error = registry("/nowhere")
        .load::<Acl>(builtin::ACL_PRESETS, "shop")
        .await
        .unwrap_err();
    assert!(!error.is_lasting(), "{error}");
}

#[tokio::test]
async fn a_module_that_wears_the_compiler_out_is_refused_within_bounds() {
    let bytes = slow_to_compile();
    let error = operator().load::<Acl>(bytes, "shop").await.unwrap_err();
    assert_eq!(error.reason(), "TooCostly");
    assert!(error.is_lasting());
}
