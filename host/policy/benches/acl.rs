//! What a decision on users costs, fresh store and all limits on, beside the targets of
//! design §7. `cargo bench --workspace --bench acl`

use std::time::{Duration, Instant};

use criterion::Criterion;
use hera_policy::{Acl, Context, Decision as _, Limits, Registry, builtin};
use hera_policy_acl_presets::{Presets, Settings};
use hera_policy_sdk::acl as sdk;

#[path = "../tests/support/mod.rs"]
mod support;

const CALLS: usize = 5_000;
const LOADS: usize = 9;
/// What a spec may have, and eight times that: for the curve, not as a promise.
const MANY: usize = 500;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let load = |registry: &Registry, module: &[u8]| {
        runtime.block_on(registry.load::<Acl>(module.to_vec(), "tests"))
    };
    println!("| what | measured | target |\n| --- | --- | --- |");
    let registry = Registry::new(Limits::default(), None)?;
    let policy = load(&registry, builtin::ACL_PRESETS)?;
    let context = Context::example();

    let input = Acl::example_of(20);
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        policy.decide_blocking(&context, &input)?;
        calls.push(started.elapsed());
    }
    let median = quantile(&mut calls, 50);
    row("decision, 20 users, median", median, "≤ 100 µs");
    row(
        "decision, 20 users, p99",
        quantile(&mut calls, 99),
        "≤ 300 µs",
    );

    let mut native = natively(20);
    let native = quantile(&mut native, 50);
    println!(
        "| the same natively, median; ratio | {native:?}; {:.1} | – |",
        median.as_secs_f64() / native.as_secs_f64()
    );

    // Its answer is beyond what a call may copy out, so the limit is wider here.
    let wide = Limits {
        copied_bytes: 8 << 20,
        ..Limits::default()
    };
    let wide = Registry::new(wide, None)?;
    let many = load(&wide, builtin::ACL_PRESETS)?;
    let input_many = Acl::example_of(MANY);
    let mut calls = Vec::new();
    for _ in 0..CALLS / 10 {
        let started = Instant::now();
        many.decide_blocking(&context, &input_many)?;
        calls.push(started.elapsed());
    }
    let what = format!("decision, {MANY} users, median");
    row(&what, quantile(&mut calls, 50), "–");
    row(
        &format!("decision, {MANY} users, p99"),
        quantile(&mut calls, 99),
        "–",
    );

    for (module, target) in [
        (builtin::ACL_PRESETS.to_vec(), "≤ 200 ms"),
        (large_module()?, "–"),
    ] {
        let mut loads = Vec::new();
        for _ in 0..LOADS {
            let registry = Registry::new(Limits::default(), None)?;
            let started = Instant::now();
            load(&registry, &module)?;
            loads.push(started.elapsed());
        }
        let what = format!("load of {} KB, median", module.len() >> 10);
        row(&what, quantile(&mut loads, 50), target);
    }
    for (what, policy, input) in [
        ("20 users", &policy, &input),
        ("500 users", &many, &input_many),
    ] {
        let fuel = policy.decide_blocking(&context, input)?.fuel_used;
        println!(
            "fuel of a decision, {what}: {fuel} of {}",
            Limits::default().fuel
        );
    }

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("acl decision, 20 users", |bencher| {
        bencher.iter(|| policy.decide_blocking(&context, &input));
    });
    criterion.final_summary();
    Ok(())
}

/// The built-in as an ordinary function, on the same question.
fn natively(users: usize) -> Vec<Duration> {
    let input = Acl::example_of(users);
    let table: Vec<(String, String)> = input
        .categories
        .iter()
        .map(|(name, commands)| {
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            (name.clone(), commands.join(" "))
        })
        .collect();
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(name, commands)| (name.as_str(), commands.as_str()))
        .collect();
    let requests = input.users.iter().map(|user| sdk::UserRequest {
        name: user.name.clone(),
        preset: match user.preset {
            hera_core::acl::Preset::ReadOnly => sdk::Preset::ReadOnly,
            hera_core::acl::Preset::ReadWrite => sdk::Preset::ReadWrite,
            hera_core::acl::Preset::Owner => sdk::Preset::Owner,
            hera_core::acl::Preset::Admin => sdk::Preset::Admin,
            hera_core::acl::Preset::Replication => sdk::Preset::Replication,
        },
        keys: user.keys.clone(),
        channels: user.channels.clone(),
        rules: user.rules.clone(),
    });
    let input = hera_policy_sdk::testing::acl_input(requests.collect(), &table);
    let context = hera_policy_sdk::testing::context();
    let call = |_| {
        let started = Instant::now();
        let answer = <Presets as sdk::AclPolicy>::decide(&context, &Settings {}, &input);
        std::hint::black_box(&answer);
        started.elapsed()
    };
    (0..CALLS).map(call).collect()
}

/// A sound policy with 350 KB of functions that nobody calls beside it.
fn large_module() -> Result<Vec<u8>, Failure> {
    let body = "(local.set 0 (i32.add (local.get 0) (i32.const 77777)))".repeat(40);
    let functions = format!("(func (param i32) {body})").repeat(900);
    let dead = wat::parse_str(format!("(module {functions})"))?;
    // Beside the policy's own module, in one component.
    let policy = hera_policy::to_component(builtin::ACL_PRESETS, &Limits::default())?;
    Ok(support::corpus::with_module(&policy, &dead))
}

fn row(what: &str, measured: Duration, target: &str) {
    println!("| {what} | {measured:?} | {target} |");
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = times.len().saturating_mul(percent) / 100;
    times.get(at).copied().unwrap_or_default()
}
