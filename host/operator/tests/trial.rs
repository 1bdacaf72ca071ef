//! What the operator's own program does with a module before the operator itself touches it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use hera_policy::trial::WORD as TRIAL;
use hera_policy::{Acl, Limits, Registry, Trial, builtin};

#[path = "../../policy/slow.rs"]
mod slow;

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

fn slow_to_compile() -> Vec<u8> {
    wat::parse_str(slow::slow_to_compile()).unwrap()
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
