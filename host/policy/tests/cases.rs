//! The case files of the policies in this repository, through the sandbox: they come out as
//! natively (`cargo test` of each policy).

use std::path::Path;
use std::sync::Arc;

use crate::support::corpus;
use hera_policy::{Acl, Backup, Decision, Limits, Policy, Rebalance, Registry, builtin};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
/// What a typical policy has at most, in bytes; most of it is there whatever the policy
/// does.
const TYPICAL: usize = 42_000;
/// What one that reckons and sorts has at most, in bytes.
const RECKONING: usize = 54_000;

async fn policy<D: Decision>(name: &str) -> Arc<Policy<D>> {
    let module = match name {
        "acl-presets" => builtin::ACL_PRESETS.to_vec(),
        "backup-cron" => builtin::BACKUP_CRON.to_vec(),
        "rebalance-even" => builtin::REBALANCE_EVEN.to_vec(),
        name => corpus::example(name).unwrap(),
    };
    let size = module.len();
    println!("{name}: {size} bytes");
    let most = match name {
        "backup-gfs" | "backup-quiet-hours" | "rebalance-load" => RECKONING,
        _ => TYPICAL,
    };
    assert!(size <= most, "{name} has {size} bytes");
    let registry = Registry::new(Limits::default(), None).unwrap();
    registry.load(module, "tests").await.unwrap()
}

async fn check<D: Decision>(name: &str) -> usize {
    let folder = Path::new(POLICIES).join(name).join("cases");
    let results = D::cases(&*policy(name).await, &folder).unwrap();
    for result in &results {
        assert_eq!(result.wrong, None, "{}", result.file.display());
    }
    results.len()
}

#[tokio::test]
async fn the_cases_of_the_examples_come_out_in_the_sandbox_as_natively() {
    assert!(check::<Acl>("acl-tenant-prefix").await >= 3);
    assert!(check::<Acl>("acl-least-privilege").await >= 2);
    assert!(check::<Acl>("acl-write-hours").await >= 5);
    assert!(check::<Rebalance>("rebalance-load").await >= 3);
    assert!(check::<Backup>("backup-cron").await >= 3);
    assert!(check::<Backup>("backup-quiet-hours").await >= 3);
    assert!(check::<Backup>("backup-gfs").await >= 3);
}

#[tokio::test]
async fn the_policies_of_this_repository_do_what_every_policy_must() {
    for name in [
        "acl-presets",
        "acl-no-delete",
        "acl-tenant-prefix",
        "acl-least-privilege",
        "acl-write-hours",
    ] {
        is_sound::<Acl>(name).await;
    }
    for name in ["rebalance-even", "rebalance-load"] {
        is_sound::<Rebalance>(name).await;
    }
    for name in ["backup-cron", "backup-quiet-hours", "backup-gfs"] {
        is_sound::<Backup>(name).await;
    }
}

async fn is_sound<D: Decision>(name: &str) {
    let found = hera_policy::conformance(&*policy::<D>(name).await, "", 1, 200);
    println!("{name}: at most {} fuel", found.most_fuel);
    assert_eq!(found.faults, vec![], "{name}");
}

#[tokio::test]
async fn what_breaks_a_rule_does_not_pass_for_a_policy() {
    for (name, words) in [
        ("beyond-spec", "the guard refuses"),
        ("panic", "crashed"),
        ("endless-loop", "fuel"),
    ] {
        let registry = Registry::new(Limits::default(), None).unwrap();
        let module = corpus::guest(name).unwrap();
        let policy: Arc<Policy<Acl>> = registry.load(module, "tests").await.unwrap();
        let found = hera_policy::conformance(&policy, "", 1, 8);
        assert!(!found.faults.is_empty(), "{name} passes");
        assert!(
            found.faults[0].what.contains(words),
            "{:?}",
            found.faults[0]
        );
    }
}
