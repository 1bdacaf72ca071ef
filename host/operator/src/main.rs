//! The program of the operator's Deployment.

use clap::Parser as _;
use hera_operator::{args::Args, run, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    telemetry::init(args.log_format)?;
    run::run(args).await
}
