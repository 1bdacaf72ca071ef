//! `kubectl hera`: what people do with instances, clusters and policies beyond `kubectl`.

mod args;
mod backup;
mod cluster;
mod completion;
mod named;
mod output;
mod policy;
mod port_forward;
mod reach;
mod rebalance;
mod redis_cli;
mod requests;
mod status;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use output::Output;

/// It did what was asked, and found nothing wrong.
const OK: u8 = 0;
/// It did what was asked, and the answer is no: refused, broken, different.
const NO: u8 = 1;
/// Neither file, cluster nor compiler could be used. (2 is a wrong command line.)
const UNUSABLE: u8 = 3;

/// What a command came to, beside what it printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
}

impl From<bool> for Verdict {
    fn from(good: bool) -> Self {
        if good { Self::Yes } else { Self::No }
    }
}

fn main() -> ExitCode {
    // Before anything else is there: `policy check` compiles a module in a child of its own first,
    // and that child is this program.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(hera_policy::trial::WORD) {
        return hera_policy::trial::main(&words.next().unwrap_or_default());
    }
    let args = Args::parse();
    let output = Output::new(args.output, args.color);
    match run(args, output) {
        Ok(Verdict::Yes) => ExitCode::from(OK),
        Ok(Verdict::No) => ExitCode::from(NO),
        Err(error) => {
            anstream::eprintln!("{} {error:#}", output::bad("error:"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(args: Args, output: Output) -> anyhow::Result<Verdict> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.command {
            Command::Policy(command) => policy::run(command, &args.cluster, output).await,
            Command::Status {
                target: Some(target),
                ..
            } => status::run(&target, &args.cluster, output).await,
            Command::Status { all_namespaces, .. } => {
                status::fleet::run(all_namespaces, &args.cluster, output).await
            }
            Command::Cli(cli) => redis_cli::run(&cli, &args.cluster, output).await,
            Command::PortForward(asked) => port_forward::run(&asked, &args.cluster, output).await,
            Command::Rebalance(command) => rebalance::run(&command, &args.cluster, output).await,
            Command::Backup(command) => backup::run(&command, &args.cluster, output).await,
            Command::Recover(asked) => backup::recover::run(&asked, &args.cluster, output).await,
            Command::Request(request) => requests::run(&request, &args.cluster, output).await,
            Command::Completion { shell } => completion::run(shell),
        }
    })
}
