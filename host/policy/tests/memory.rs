//! What it costs a process to load the worst modules, beside what a trial may take. Without a harness: the
//! program is its own trial, and each measurement takes a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::process::{Command, ExitCode};

use hera_policy::{Acl, Limits, LoadError, Registry, Trial, builtin, trial};
use support::{corpus, shapes};

#[allow(dead_code, reason = "shared with the tests of the operator's program")]
#[path = "../slow.rs"]
mod slow;

/// What a trial may take, in MiB.
const TRIAL: u64 = 192;
/// First word of a process that measures.
const MEASURE: &str = "measure";

const FACTS: &[(&str, fn())] = &[
    (
        "what_is_refused_by_its_shape_costs_nothing",
        what_is_refused_by_its_shape_costs_nothing,
    ),
    (
        "what_passes_its_trial_costs_no_more_than_a_trial_may",
        what_passes_its_trial_costs_no_more_than_a_trial_may,
    ),
    (
        "two_namespaces_at_once_cost_two_trials_at_most_and_a_third_loads",
        two_namespaces_at_once_cost_two_trials_at_most_and_a_third_loads,
    ),
    (
        "a_trial_refuses_what_the_pool_of_instances_has_no_room_for",
        a_trial_refuses_what_the_pool_of_instances_has_no_room_for,
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some(trial::WORD) => return trial::main(&words[1]),
        Some(MEASURE) => measure(&words[1], words[2].parse().unwrap()),
        _ => {
            for (name, fact) in FACTS {
                fact();
                println!("test {name} ... ok");
            }
            println!("test result: ok. {} passed", FACTS.len());
        }
    }
    ExitCode::SUCCESS
}

/// Modules by name, the worst of their kind that pass what is looked at before a compiler.
const WORST: &[&str] = &[
    "loops 60 600",
    "loops 200 1500",
    "loops 80 800",
    "functions",
    "crossing",
    "types",
    "tables",
    "images",
];

fn module(name: &str) -> Vec<u8> {
    let words: Vec<&str> = name.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let made = match words[0] {
        "nested" => shapes::nested(980),
        "doubling" => shapes::doubling(16),
        "loops" => shapes::module(&slow::function(number(1), number(2))),
        "functions" => shapes::functions(3_000),
        "crossing" => shapes::crossing(240),
        "types" => shapes::types(1_800),
        "tables" => shapes::tables(12, 10_000),
        "images" => shapes::images(12),
        "two-memories" => shapes::two_memories(),
        _ => panic!("no module {name}"),
    };
    made.unwrap()
}

fn what_is_refused_by_its_shape_costs_nothing() {
    for name in ["nested", "doubling"] {
        let (mib, outcome) = cost(name, 1);
        assert_eq!(outcome, "TooManyParts", "{name}");
        assert!(mib < 8, "{name}: {mib} MiB");
    }
}

fn what_passes_its_trial_costs_no_more_than_a_trial_may() {
    let mut most = 0;
    for name in WORST {
        let (mib, outcome) = cost(name, 1);
        assert!(mib < TRIAL, "{name}: {mib} MiB, {outcome}");
        if outcome == "Loaded" {
            most = mib.max(most);
        }
    }
    // Or this would show nothing.
    assert!(most > TRIAL / 3, "the worst that passes costs {most} MiB");
}

fn two_namespaces_at_once_cost_two_trials_at_most_and_a_third_loads() {
    let worst = WORST.iter().map(|name| (cost(name, 1), name));
    let passes = worst.filter(|((_, outcome), _)| outcome == "Loaded");
    let (_, name) = passes.max_by_key(|((mib, _), _)| *mib).unwrap();
    let (mib, outcome) = cost(name, 2);
    assert_eq!(outcome, "Loaded");
    assert!(mib < 2 * TRIAL, "{name}: {mib} MiB");
}

#[tokio::main]
async fn a_trial_refuses_what_the_pool_of_instances_has_no_room_for() {
    let module = module("two-memories");
    let refused = own_trial().run("acl", &module).await.unwrap_err();
    assert_eq!(refused.reason(), "CompileFailed");
    assert!(refused.to_string().contains("memories"), "{refused}");
}

fn own_trial() -> Trial {
    Trial {
        program: std::env::current_exe().unwrap(),
        args: vec![trial::WORD.to_owned()],
    }
}

/// What it costs a process to load a module for so many owners at once, in MiB, and what became of it.
fn cost(name: &str, owners: u8) -> (u64, String) {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([MEASURE, name, &owners.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name}: {said}{complained}");
    let (mib, outcome) = said.trim().split_once(' ').unwrap();
    println!("{name}, at once {owners}: {mib} MiB, {outcome}");
    (mib.parse().unwrap(), outcome.to_owned())
}

/// The process that measures: each owner brings another digest, and where there are two, a third the built-in.
#[tokio::main]
async fn measure(name: &str, owners: u8) {
    let registry = Registry::new(Limits::default(), Some(own_trial())).unwrap();
    let module = module(name);
    let before = resident("VmRSS:");
    // From here on the most is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let mut loads = tokio::task::JoinSet::new();
    for owner in 0..owners {
        let (registry, module) = (registry.clone(), corpus::padded(&module, owner));
        loads.spawn(async move {
            let owner = format!("owner-{owner}");
            registry.load::<Acl>(module, &owner).await.map(drop)
        });
    }
    if owners > 1 {
        let other = registry.load::<Acl>(builtin::ACL_PRESETS, "other").await;
        assert!(other.is_ok(), "{other:?}");
    }
    let loaded = loads.join_all().await;
    let cost = resident("VmHWM:").saturating_sub(before) >> 10;
    let refused = loaded.iter().find_map(|loaded| loaded.as_ref().err());
    println!("{cost} {}", refused.map_or("Loaded", LoadError::reason));
}

/// What this process has in memory, in KiB: `VmRSS:` now, `VmHWM:` at most.
fn resident(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}
