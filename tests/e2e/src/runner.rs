use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;

use crate::pace::{is_slow, pace, paced};
use crate::{Bed, Space};

/// Two cores carry this many at a time.
const THREADS: usize = 4;
/// Two slow ones this many: with more, waiting for each other is all they do.
const SLOW_THREADS: usize = 2;
/// Scenarios that mostly wait, and measure while they do.
const FEW: usize = 3;
/// A scenario that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// Seconds for each scenario instead, where one is asked for more than usual (tests/report.sh).
const LIMIT_VARIABLE: &str = "HERA_E2E_LIMIT";
/// Set where every scenario is to run (make test-all), not only those of a landing.
const ALL_VARIABLE: &str = "HERA_E2E_ALL";
/// Scenarios that are told of as the slowest.
const SLOWEST: usize = 10;
/// Set where time is bounded (.ci/run): a slow machine then runs only what is meant for one.
const BOUNDED_VARIABLE: &str = "HERA_E2E_BOUNDED";

/// When a scenario may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Beside others.
    Together,
    /// After all of those, beside few others: it waits most of the time for a bound of seconds.
    Few,
    /// After all of those, one at a time: it disturbs the operator, or measures.
    Alone,
}

/// A fact, and the function that shows it.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The fact.
    pub name: &'static str,
    /// When it may run.
    pub phase: Phase,
    /// Shows it in a namespace of its own.
    pub run: for<'a> fn(&'a Space<'a>) -> LocalBoxFuture<'a, Result<()>>,
}

struct Options {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    threads: Option<usize>,
}

/// Runs the scenarios that the command line picks, as a test program does; without a name those of
/// `landing`, or all if that is asked for. `on_slow` names those for a machine that is too slow to run
/// all in a bounded time; it then says which it left out.
pub fn run(scenarios: &[Scenario], landing: &[&str], on_slow: &[&str]) -> ExitCode {
    let options = options(std::env::args().skip(1));
    let all = std::env::var_os(ALL_VARIABLE).is_some() || !options.filters.is_empty();
    let partly = std::env::var_os(BOUNDED_VARIABLE).is_some() && is_slow();
    let (picked, left_out): (Vec<_>, Vec<_>) = scenarios
        .iter()
        .copied()
        .filter(|scenario| options.picks(scenario.name))
        .filter(|scenario| all || landing.contains(&scenario.name))
        .partition(|scenario| !partly || on_slow.contains(&scenario.name));
    if options.list {
        picked
            .iter()
            .for_each(|scenario| println!("{}: test", scenario.name));
        return ExitCode::SUCCESS;
    }
    let names: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
    let mut listed = on_slow.iter().chain(landing);
    if names.len() != scenarios.len() || !listed.all(|name| names.contains(name)) {
        eprintln!("error: two scenarios have one name, or one of a list is unknown");
        return ExitCode::FAILURE;
    }
    if is_slow() {
        println!("\nthis machine is {:.1} times slower than usual", pace());
    }
    for scenario in &left_out {
        println!("test {} ... ignored, too slow a machine", scenario.name);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run_picked(
        &picked,
        &options,
        left_out.len(),
        scenarios.len(),
    ))
}

async fn run_picked(
    picked: &[Scenario],
    options: &Options,
    ignored: usize,
    all: usize,
) -> ExitCode {
    let start = Instant::now();
    println!("\nrunning {} tests", picked.len());
    let bed = async {
        let bed = Bed::attach().await?;
        bed.install(options.filters.is_empty()).await?;
        anyhow::Ok(bed)
    };
    let bed = match bed.await {
        Ok(bed) => bed,
        Err(error) => {
            eprintln!("error: {error:#}");
            println!("\ntest result: FAILED. 0 passed; {} failed", picked.len());
            return ExitCode::FAILURE;
        }
    };
    let of = |phase| {
        picked
            .iter()
            .copied()
            .filter(move |scenario| scenario.phase == phase)
    };
    let mut results = Vec::new();
    let usual = if is_slow() { SLOW_THREADS } else { THREADS };
    let threads = options.threads.unwrap_or(usual);
    let phases = [
        (Phase::Together, threads),
        (Phase::Few, threads.min(FEW)),
        (Phase::Alone, 1),
    ];
    for (phase, threads) in phases {
        let shown: Vec<_> = futures::stream::iter(of(phase))
            .map(|scenario| show(&bed, scenario))
            .buffer_unordered(threads)
            .collect()
            .await;
        results.extend(shown);
    }
    let (mut times, failures): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let failures: Vec<_> = failures.into_iter().flatten().collect();
    report(&bed, &failures);
    times.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    println!("slowest:");
    for (name, seconds) in times.iter().take(SLOWEST) {
        println!("  {seconds:6.1} s  {name}");
    }
    let (passed, filtered) = (picked.len() - failures.len(), all - picked.len() - ignored);
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {passed} passed; {} failed; {ignored} ignored; 0 measured; \
         {filtered} filtered out; finished in {:.2}s\n",
        failures.len(),
        start.elapsed().as_secs_f64()
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The name of a scenario that failed, and why.
type Failure = (&'static str, String);

/// How many seconds it took, and why it failed if it did.
async fn show(bed: &Bed, scenario: Scenario) -> ((&'static str, f64), Option<Failure>) {
    let start = Instant::now();
    let outcome = show_in_space(bed, scenario).await;
    let seconds = start.elapsed().as_secs_f64();
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("test {} ... {word} ({seconds:.1} s)", scenario.name);
    // At once as well: a run that is cut off tells no more.
    if let Err(reason) = &outcome {
        println!(
            "{}: {}",
            scenario.name,
            reason.lines().next().unwrap_or_default()
        );
    }
    let failed = outcome.err().map(|reason| (scenario.name, reason));
    ((scenario.name, seconds), failed)
}

async fn show_in_space(bed: &Bed, scenario: Scenario) -> Result<(), String> {
    let space = Space::create(bed, scenario.name, scenario.phase)
        .await
        .map_err(|error| format!("{error:#}"))?;
    // Kubernetes tells whole seconds.
    let started = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let ends = bed.operator().watch_ends(started);
    let running = AssertUnwindSafe((scenario.run)(&space)).catch_unwind();
    let limit = std::env::var(LIMIT_VARIABLE)
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map_or_else(|| paced(LIMIT), Duration::from_secs);
    let outcome = match tokio::time::timeout(limit, running).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("it panicked")),
        Err(_) => Err(anyhow!("it takes more than {} s", limit.as_secs())),
    };
    let outcome = match outcome {
        Ok(()) => ends.ensure_no_crash().await,
        failed => failed,
    };
    let outcome = match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("{error:#}\n\n{}", space.diagnose().await)),
    };
    let keep = outcome.is_err() && std::env::var_os("HERA_E2E_KEEP").is_some();
    if !keep {
        // A scenario may have deleted it itself.
        let _ = space.clear().await;
    }
    outcome
}

fn report(bed: &Bed, failures: &[Failure]) {
    if !failures.is_empty() {
        println!("\nfailures:");
        for (name, reason) in failures {
            println!("\n---- {name} ----\n{reason}");
        }
        // Once more in short: whoever sees only the end of a long output still learns why.
        println!("\nfailures:");
        for (name, reason) in failures {
            println!("    {name}: {}", reason.lines().next().unwrap_or_default());
        }
    }
    let table = bed.figures.table();
    if !table.is_empty() {
        println!("\nfigures:\n{table}");
    }
}

fn options(args: impl Iterator<Item = String>) -> Options {
    let mut options = Options {
        filters: Vec::new(),
        skip: Vec::new(),
        exact: false,
        list: false,
        threads: None,
    };
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg.clone(), None),
        };
        let mut value = || inline.clone().or_else(|| args.next()).unwrap_or_default();
        match flag.as_str() {
            "--exact" => options.exact = true,
            "--list" => options.list = true,
            "--skip" => options.skip.push(value()),
            "--test-threads" => options.threads = value().parse().ok().filter(|count| *count > 0),
            "--format" | "--color" | "--logfile" | "-Z" => drop(value()),
            other if other.starts_with('-') => {}
            _ => options.filters.push(arg),
        }
    }
    options
}

impl Options {
    fn picks(&self, name: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        let wanted = self.filters.is_empty() || self.filters.iter().any(matches);
        wanted && !self.skip.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_that_of_a_test_program() {
        let words = [
            "--nocapture",
            "--test-threads=2",
            "--skip",
            "slow",
            "policy",
            "volume",
        ];
        let options = options(words.map(str::to_owned).into_iter());
        assert_eq!(options.threads, Some(2));
        assert!(options.picks("a_policy_decides") && options.picks("a_volume_grows"));
        assert!(!options.picks("a_slow_policy") && !options.picks("an_operator"));
    }
}
