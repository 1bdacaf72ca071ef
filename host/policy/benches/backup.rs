//! What a decision on a backup costs, fresh store and all limits on, beside the target of design §7; and the built-in
//! with the guard, without a sandbox. `cargo bench --workspace --bench backup`

use std::time::{Duration, Instant};

use criterion::Criterion;
use hera_policy::{Backup, Context, Decision as _, Limits, Registry, builtin};
use hera_policy_sdk::calmest;

#[path = "../tests/support/mod.rs"]
mod support;

const CALLS: usize = 5_000;
/// Shards, with three copies and four backups in the store each.
const SHARDS: [usize; 2] = [1, 64];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    println!("| what | measured | target |\n| --- | --- | --- |");
    let registry = Registry::new(Limits::default(), None)?;
    let policy = runtime.block_on(registry.load::<Backup>(builtin::BACKUP_CRON, "tests"))?;
    let context = Context::example();
    for shards in SHARDS {
        let input = Backup::example_of(shards);
        let mut calls = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let started = Instant::now();
            policy.decide_blocking(&context, &input)?;
            calls.push(started.elapsed());
        }
        let of = format!("shards: {shards}, backups: {}", input.history.len());
        let median = quantile(&mut calls, 50);
        println!("| backup decision, {of}, median | {median:?} | ≤ 100 µs |");
        let p99 = quantile(&mut calls, 99);
        println!("| backup decision, {of}, p99 | {p99:?} | ≤ 300 µs |");
        let decided = policy.decide_blocking(&context, &input)?;
        let limit = Limits::default().fuel;
        println!("| fuel of it | {} of {limit} | – |", decided.fuel_used);
        let (mut natively, mut guards) = (Vec::new(), Vec::new());
        let asked = support::native::backup_question(&input);
        let now = hera_policy_sdk::testing::context();
        for _ in 0..CALLS / 10 {
            let started = Instant::now();
            std::hint::black_box(calmest::answer(&now, &asked));
            natively.push(started.elapsed());
            let started = Instant::now();
            Backup::guard(&input, &decided.answer)?;
            guards.push(started.elapsed());
        }
        let natively = quantile(&mut natively, 50);
        println!("| the same natively, median | {natively:?} | – |");
        let guard = quantile(&mut guards, 50);
        println!("| its guard, median | {guard:?} | – |");
    }

    let input = Backup::example_of(1);
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("backup decision, no shards", |bencher| {
        bencher.iter(|| policy.decide_blocking(&context, &input));
    });
    criterion.final_summary();
    Ok(())
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = times.len().saturating_mul(percent) / 100;
    times.get(at).copied().unwrap_or_default()
}
