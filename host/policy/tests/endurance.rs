//! Many objects, and many faults: what stays in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use hera_policy::{Acl, Limits, Policy, Registry, builtin};
use support::{context, corpus, input};

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_faults_leave_memory_within_a_tenth_of_what_it_was() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let mut quick: Vec<Arc<Policy<Acl>>> = Vec::new();
    for name in ["panic", "refuse", "beyond-spec", "system-user"] {
        let module = corpus::guest(name).unwrap();
        quick.push(registry.load(module, "tests").await.unwrap());
    }
    let module = corpus::guest("memory-hog").unwrap();
    // One in twenty fills its memory, which takes long.
    let hog: Arc<Policy<Acl>> = registry.load(module, "tests").await.unwrap();
    let bad: Vec<_> = quick.into_iter().cycle().take(19).chain([hog]).collect();
    let (context, input) = (context(""), input(3));
    let faults = async |count: usize| {
        for (policy, _) in bad.iter().cycle().zip(0..count) {
            let call = policy.ask("tests", &context, &input).await;
            assert!(call.outcome.good().is_none());
        }
    };
    faults(500).await;
    let before = resident();
    faults(10_000).await;
    let after = resident();
    println!("resident memory: {before} KiB, after 10 000 faults {after} KiB");
    assert!(
        after * 10 <= before * 11,
        "{before} KiB grew to {after} KiB"
    );
}

#[tokio::test]
async fn two_hundred_objects_with_twenty_policies_are_twenty_modules() {
    let registry = Registry::new(Limits::default(), None).unwrap();
    let mut all: Vec<Arc<Policy<Acl>>> = Vec::new();
    for object in 0..200_u8 {
        let module = corpus::padded(builtin::ACL_PRESETS, object % 20);
        all.push(registry.load(module, "tests").await.unwrap());
    }
    assert_eq!(registry.loaded(), 20);
    let first = all.first().unwrap();
    let shared = all.iter().filter(|policy| Arc::ptr_eq(policy, first));
    assert_eq!(shared.count(), 10);
}
