//! What a decision on users costs, fresh store and all limits on, beside the targets of
//! design §7. `cargo bench -p hera-policy`

use std::time::{Duration, Instant};

use criterion::Criterion;
use hera_policy::{Acl, Limits, Registry, builtin};

#[path = "../tests/support/mod.rs"]
mod support;

const CALLS: usize = 5_000;
const LOADS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let registry = Registry::new(Limits::default(), None)?;
        let started = Instant::now();
        runtime.block_on(registry.load::<Acl>(builtin::ACL_PRESETS, "tests"))?;
        loads.push(started.elapsed());
    }
    let registry = Registry::new(Limits::default(), None)?;
    let policy = runtime.block_on(registry.load::<Acl>(builtin::ACL_PRESETS, "tests"))?;
    let (context, input) = (support::context(""), support::input(20));
    let fuel = policy.decide_blocking(&context, &input)?.fuel_used;
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        policy.decide_blocking(&context, &input)?;
        calls.push(started.elapsed());
    }
    let bytes = builtin::ACL_PRESETS.len();
    println!("| what | measured | target |\n| --- | --- | --- |");
    row(
        "decision, 20 users, median",
        quantile(&mut calls, 50),
        "100 µs",
    );
    row(
        "decision, 20 users, p99",
        quantile(&mut calls, 99),
        "300 µs",
    );
    row(
        &format!("load of {} KB, first", bytes >> 10),
        loads.first().copied(),
        "200 ms",
    );
    row("load, median", quantile(&mut loads, 50), "200 ms");
    println!("fuel of a decision: {fuel}\n");

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("acl decision, 20 users", |bencher| {
        bencher.iter(|| policy.decide_blocking(&context, &input));
    });
    criterion.final_summary();
    Ok(())
}

fn row(what: &str, measured: Option<Duration>, target: &str) {
    println!(
        "| {what} | {:?} | ≤ {target} |",
        measured.unwrap_or_default()
    );
}

fn quantile(times: &mut [Duration], percent: usize) -> Option<Duration> {
    times.sort_unstable();
    times
        .get(times.len().saturating_mul(percent) / 100)
        .copied()
}
