//! The case files of the policies in this repository, through the sandbox: they come out as
//! natively (`cargo test` of each policy).

use std::path::Path;
use std::sync::Arc;

use crate::support::corpus;
use hera_policy::{Acl, Decision as _, Limits, Policy, Registry, builtin};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
/// What a typical policy has at most, in bytes; most of it is there whatever the policy
/// does.
const TYPICAL: usize = 42_000;

async fn policy(name: &str) -> Arc<Policy<Acl>> {
    let module = match name {
        "acl-presets" => builtin::ACL_PRESETS.to_vec(),
        name => corpus::example(name).unwrap(),
    };
    let size = module.len();
    println!("{name}: {size} bytes");
    assert!(size <= TYPICAL, "{name} has {size} bytes");
    let registry = Registry::new(Limits::default(), None).unwrap();
    registry.load(module, "tests").await.unwrap()
}

async fn check(name: &str) -> usize {
    let folder = Path::new(POLICIES).join(name).join("cases");
    let results = Acl::cases(&*policy(name).await, &folder).unwrap();
    for result in &results {
        assert_eq!(result.wrong, None, "{}", result.file.display());
    }
    results.len()
}

#[tokio::test]
async fn the_cases_of_the_examples_come_out_in_the_sandbox_as_natively() {
    assert!(check("acl-tenant-prefix").await >= 3);
    assert!(check("acl-least-privilege").await >= 2);
    assert!(check("acl-write-hours").await >= 5);
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
        let found = hera_policy::conformance(&*policy(name).await, "", 1, 200);
        println!("{name}: at most {} fuel", found.most_fuel);
        assert_eq!(found.faults, vec![], "{name}");
    }
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
