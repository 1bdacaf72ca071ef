//! The program of the operator's Deployment.

use std::process::ExitCode;

use clap::Parser as _;
use hera_operator::args::Args;
use hera_operator::{run, telemetry};
use hera_policy::trial;

/// A pass is futures in one another, whose frames take several times as much without optimization; one that
/// overflows ends the operator.
const STACK: usize = 4 << 20;

fn main() -> anyhow::Result<ExitCode> {
    // Before anything else is there: a trial is a small process with little memory.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(trial::WORD) {
        return Ok(trial::main(&words.next().unwrap_or_default()));
    }
    let args = Args::parse();
    telemetry::init(args.log_format)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()?
        .block_on(run::run(args))?;
    Ok(ExitCode::SUCCESS)
}
