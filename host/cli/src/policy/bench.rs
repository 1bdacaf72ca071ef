//! `policy bench`: what a module costs on this machine.

use std::time::{Duration, Instant};

use hera_policy::{Decision, Limits, Outcome};
use serde::Serialize;

use super::module;
use crate::Verdict;
use crate::args::Module;
use crate::output::{Output, bad, strong};

const LOADS: usize = 5;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    bytes: usize,
    load_median_micros: u64,
    calls: usize,
    call_median_micros: u64,
    call_p99_micros: u64,
    fuel: u64,
    fuel_limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// Measures a module on a question of a given size.
///
/// # Errors
/// When a file cannot be read, or the module does not load.
pub async fn run(
    asked: &Module,
    size: usize,
    calls: usize,
    output: Output,
) -> anyhow::Result<Verdict> {
    let bytes = module::read(&asked.file)?;
    let settings = module::settings(asked.settings.as_deref())?;
    let (decision, _) = module::decision(&bytes)?;
    let figures = hera_policy::for_decision!(decision.as_str(), D => {
        measure::<D>(bytes, &settings, size, calls.max(1)).await?
    })
    .ok_or_else(|| module::unknown(&decision))?;
    output.print(&figures, describe)?;
    Ok(Verdict::from(figures.fault.is_none()))
}

async fn measure<D: Decision>(
    bytes: Vec<u8>,
    settings: &str,
    size: usize,
    calls: usize,
) -> anyhow::Result<Figures> {
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        // A new one each time: it remembers what it compiled.
        let registry = module::registry()?;
        let started = Instant::now();
        registry.load::<D>(bytes.clone(), "cli").await?;
        loads.push(started.elapsed());
    }
    let policy = module::load::<D>(bytes.clone()).await??;
    let input = D::example_of(size);
    let context = hera_policy::Context {
        settings: settings.to_owned(),
        ..hera_policy::Context::example()
    };
    let (mut times, mut fuel, mut fault) = (Vec::new(), 0, None);
    for _ in 0..calls {
        let call = policy.ask_blocking("bench", &context, &input);
        // Without the guard, which is the operator's.
        times.push(Duration::from_micros(call.micros));
        fuel = call.fuel;
        match call.outcome {
            Outcome::Ok { .. } => {}
            Outcome::GuardRefused { refused, .. } => fault = Some(refused.words),
            Outcome::Fault { message, .. } => fault = Some(message),
        }
        if fault.is_some() {
            break;
        }
    }
    Ok(Figures {
        bytes: bytes.len(),
        load_median_micros: quantile(&mut loads, 50),
        calls: times.len(),
        call_median_micros: quantile(&mut times, 50),
        call_p99_micros: quantile(&mut times, 99),
        fuel,
        fuel_limit: Limits::default().fuel,
        fault,
    })
}

fn quantile(times: &mut [Duration], percent: usize) -> u64 {
    times.sort_unstable();
    let at = times.len().saturating_mul(percent) / 100;
    let time = times.get(at).or(times.last()).copied().unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn describe(figures: &Figures) -> String {
    let rows = [
        (
            "load, trial compile included",
            format!("{} µs, {} bytes", figures.load_median_micros, figures.bytes),
        ),
        (
            "a call, median and p99",
            format!(
                "{} µs, {} µs of {} calls",
                figures.call_median_micros, figures.call_p99_micros, figures.calls
            ),
        ),
        (
            "fuel of a call",
            format!("{} of {}", figures.fuel, figures.fuel_limit),
        ),
    ];
    let text = rows.into_iter().fold(String::new(), |text, (name, value)| {
        text + &strong(&format!("{name:<30}")) + &value + "\n"
    });
    match &figures.fault {
        Some(fault) => text + &format!("{} {fault}\n", bad("its answer cannot be used:")),
        None => text,
    }
}
