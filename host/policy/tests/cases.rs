//! The case files of the policies in this repository, through the sandbox: they come out as
//! natively (`cargo test` of each policy).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hera_core::acl::{AclInput, compile};
use hera_policy::{Acl, CallError, Limits, Policy, Registry};
use serde_json::{Value, json};
use support::{context, corpus};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");

/// The records of the contract have no defaults, those of a case file do.
fn input(case: &Value) -> AclInput {
    let mut input = case["input"].clone();
    for user in input["users"].as_array_mut().unwrap() {
        for field in ["keys", "channels", "rules"] {
            if user.get(field).is_none() {
                user[field] = json!([]);
            }
        }
    }
    serde_json::from_value(input).unwrap()
}

fn decide(policy: &Policy<Acl>, case: &Value) -> Result<BTreeMap<String, String>, String> {
    let settings = case.get("settings").map(Value::to_string);
    let mut context = context(&settings.unwrap_or_default());
    context.version = case["version"].as_str().unwrap_or("7.2.4").to_owned();
    match policy.decide_blocking(&context, &input(case)) {
        Ok(decided) => Ok(decided
            .answer
            .users
            .iter()
            .map(|user| {
                let rules = compile(user, &[]).rules;
                // The first three take away what a server gives by itself.
                (user.name.clone(), rules[3..].join(" "))
            })
            .collect()),
        Err(CallError::InvalidSettings(words) | CallError::Refused(words)) => Err(words),
        Err(error) => panic!("{error}"),
    }
}

fn wanted(case: &Value) -> Result<BTreeMap<String, String>, String> {
    match case.get("grants") {
        Some(grants) => Ok(serde_json::from_value(grants.clone()).unwrap()),
        None => Err(case["error"].as_str().unwrap().to_owned()),
    }
}

async fn check(name: &str) -> usize {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let module = corpus::example(name).unwrap();
    assert!(module.len() < 64 << 10, "{name} has {} bytes", module.len());
    let policy: Arc<Policy<Acl>> = registry.load(module, "tests").await.unwrap();
    let files = std::fs::read_dir(Path::new(POLICIES).join(name).join("cases")).unwrap();
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let case = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(decide(&policy, &case), wanted(&case), "{}", path.display());
        count += 1;
    }
    count
}

#[tokio::test]
async fn the_cases_of_the_examples_come_out_in_the_sandbox_as_natively() {
    assert!(check("acl-tenant-prefix").await >= 3);
    assert!(check("acl-least-privilege").await >= 2);
}
