//! The program that runs in every data pod.

use clap::{Parser, Subcommand};
use hera_agent::settings::Settings;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Copies this program into a folder, for the pod's other containers.
    Install {
        /// The folder.
        folder: std::path::PathBuf,
    },
    /// Runs the server.
    Run(Box<Settings>),
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .init();
    match Args::parse().command {
        Command::Install { folder } => Ok(hera_agent::install(&folder)?),
        Command::Run(settings) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(hera_agent::run(*settings))
        }
    }
}
