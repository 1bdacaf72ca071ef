//! The program of the operator's Deployment.

use std::process::ExitCode;

use clap::Parser as _;
use hera_operator::args::Args;
use hera_operator::{run, telemetry};
use hera_policy::trial;

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
        .build()?
        .block_on(run::run(args))?;
    Ok(ExitCode::SUCCESS)
}
