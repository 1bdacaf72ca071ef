//! What a decision on slots costs, fresh store and all limits on, beside the target of design §7; and the
//! plan of the built-in with the guard, without a sandbox. `cargo bench --workspace --bench rebalance`

use std::time::{Duration, Instant};

use criterion::Criterion;
use hera_core::rebalance::{RebalanceAnswer, SlotMove, apply, guard, table};
use hera_policy::{Context, Decision as _, Limits, Rebalance, Registry, builtin};
use hera_policy_sdk::even;

#[path = "../tests/support/mod.rs"]
mod support;

const CALLS: usize = 5_000;
const SHARDS: usize = 64;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    println!("| what | measured | target |\n| --- | --- | --- |");
    let registry = Registry::new(Limits::default(), None)?;
    let policy = runtime.block_on(registry.load::<Rebalance>(builtin::REBALANCE_EVEN, "tests"))?;
    let (context, input) = (Context::example(), Rebalance::example_of(SHARDS));
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        policy.decide_blocking(&context, &input)?;
        calls.push(started.elapsed());
    }
    let median = quantile(&mut calls, 50);
    println!("| decision, {SHARDS} shards, median | {median:?} | ≤ 100 µs |");
    let p99 = quantile(&mut calls, 99);
    println!("| decision, {SHARDS} shards, p99 | {p99:?} | ≤ 300 µs |");
    let fuel = policy.decide_blocking(&context, &input)?.fuel_used;
    let limit = Limits::default().fuel;
    println!("| fuel of it | {fuel} of {limit} | – |");
    for shards in [3, SHARDS, 500] {
        let (mut plans, mut guards) = (Vec::new(), Vec::new());
        for _ in 0..CALLS / 10 {
            let (plan, guard) = natively(shards)?;
            plans.push(plan);
            guards.push(guard);
        }
        let plan = quantile(&mut plans, 50);
        println!("| plan natively, {shards} shards, median | {plan:?} | – |");
        let guard = quantile(&mut guards, 50);
        println!("| guard and new table, {shards} shards, median | {guard:?} | – |");
    }

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("rebalance decision, 64 shards", |bencher| {
        bencher.iter(|| policy.decide_blocking(&context, &input));
    });
    criterion.final_summary();
    Ok(())
}

/// How long the built-in's plan takes as an ordinary function; and how long it takes to hold it against the
/// guard and to make the table that it leads to.
fn natively(shards: usize) -> Result<(Duration, Duration), Failure> {
    let input = Rebalance::example_of(shards);
    let asked = support::native::question(&input);
    let started = Instant::now();
    let moves = std::hint::black_box(even::moves(&asked));
    let plan = started.elapsed();
    let moves = moves.into_iter().map(|step| SlotMove {
        source: step.source,
        target: step.target,
        slots: step
            .slots
            .iter()
            .map(|range| (range.first, range.last))
            .collect(),
    });
    let answer = RebalanceAnswer {
        moves: moves.collect(),
        reason: String::new(),
    };
    let started = Instant::now();
    guard(&input, &answer)?;
    std::hint::black_box(apply(&table(&input), &answer.moves));
    Ok((plan, started.elapsed()))
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = times.len().saturating_mul(percent) / 100;
    times.get(at).copied().unwrap_or_default()
}
