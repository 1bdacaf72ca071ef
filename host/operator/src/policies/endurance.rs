//! What many faults and many objects leave behind in the operator's own part: from a ConfigMap to a
//! line of the decision log, with an API server of a few lines.

use hera_api::conditions::policy_healthy;
use hera_policy::builtin;

use super::Journal;
use super::fixture::{Maps, decide, instance, is_loading, lane, module};

const OBJECTS: usize = 200;
const MODULES: usize = 20;
const BATCHES: usize = 10;

/// The built-in with a byte in it that nobody looks at: another digest.
fn padded(byte: u8) -> Vec<u8> {
    [builtin::ACL_PRESETS, &[0, 3, 1, b'p', byte]].concat()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

/// In a process of its own: what other tests allocate, and the allocator keeps, is no leak of this one.
#[test]
fn faults_leave_no_memory_behind_and_objects_share_their_modules() {
    let own = "policies::endurance::in_its_own_process";
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args([own, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("1 passed"));
}

// One test: they would measure each other.
#[tokio::test]
#[ignore = "measures its process: the test above runs it alone"]
async fn in_its_own_process() {
    let maps = Maps::default();
    maps.lock().unwrap().insert(
        "panic".to_owned(),
        module("hera-policy-hostile", "examples/panic.wasm"),
    );
    let (_, bad) = lane(maps.clone()).await;
    let faults = async |count: usize| {
        for object in 0..count {
            // Another object each time: the same would be set aside after three.
            let made = decide(&bad, object, "panic").await;
            assert!(made.answer.is_none() && made.problem.is_some());
            bad.forget(&instance(object));
        }
    };
    // Until the decision log is full.
    faults(1_500).await;
    let before = resident();
    let mut grew = Vec::new();
    for _ in 0..BATCHES {
        let begin = resident();
        faults(10_000 / BATCHES).await;
        grew.push(resident().saturating_sub(begin));
    }
    println!(
        "resident memory: {before} KiB, with each {} faults {grew:?} KiB more",
        10_000 / BATCHES
    );
    // A leak grows with each batch. The allocator, a thread or a slot of the sandbox that is used for the
    // first time grows once.
    grew.sort_unstable();
    assert!(
        grew[BATCHES / 2] * 100 <= before,
        "{before} KiB grew by {grew:?} KiB"
    );
    assert!(resident() <= before * 2, "{before} KiB doubled");

    for module in 0..MODULES {
        let bytes = padded(u8::try_from(module).unwrap());
        maps.lock()
            .unwrap()
            .insert(format!("rules-{module}"), bytes);
    }
    let (common, lane) = lane(maps.clone()).await;
    let all = async || {
        for object in 0..OBJECTS {
            let map = format!("rules-{}", object % MODULES);
            let mut made = decide(&lane, object, &map).await;
            // A slow machine compiles a module for longer than a pass waits for it.
            while made.problem.as_ref().is_some_and(is_loading) {
                made = decide(&lane, object, &map).await;
            }
            assert!(made.answer.is_some());
        }
    };
    let asked = |journal: &Journal| journal.lines(None).lines().count();
    all().await;
    assert_eq!(asked(&common.journal), OBJECTS);
    // And the built-in of each decision.
    assert_eq!(common.registry.loaded(), MODULES + 3);
    all().await;
    assert_eq!(asked(&common.journal), OBJECTS, "nothing changed");
    maps.lock()
        .unwrap()
        .insert("rules-7".to_owned(), padded(77));
    all().await;
    let users = OBJECTS / MODULES;
    assert_eq!(
        asked(&common.journal),
        OBJECTS + users,
        "only who uses it is asked anew"
    );
}

#[tokio::test]
async fn a_version_before_decides_on_and_another_policy_only_stands_in() {
    let maps = Maps::default();
    let module = builtin::ACL_PRESETS.to_vec();
    maps.lock().unwrap().insert("rules".to_owned(), module);
    let (_, lane) = lane(maps.clone()).await;
    let mut made = decide(&lane, 0, "rules").await;
    while made.problem.as_ref().is_some_and(is_loading) {
        made = decide(&lane, 0, "rules").await;
    }
    assert!(made.answer.is_some() && !made.stands_in);
    maps.lock().unwrap().clear();
    let made = decide(&lane, 0, "rules").await;
    let problem = made.problem.map(|problem| problem.reason);
    assert_eq!(problem, Some(policy_healthy::CONFIG_MAP_MISSING));
    assert!(made.answer.is_some() && !made.stands_in, "a version before");
    let made = decide(&lane, 0, "others").await;
    assert!(made.answer.is_some() && made.stands_in, "another policy");
}
