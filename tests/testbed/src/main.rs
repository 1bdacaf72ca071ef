//! `hera-testbed`: brings the local Kubernetes cluster up and down.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use hera_testbed::{Layout, Options, images, provisioner, servers};

/// A real Kubernetes cluster of three nodes on this machine.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the cluster up; does nothing where it runs, starts again what died.
    Up {
        /// Take down a running testbed of another clone first.
        #[arg(long)]
        replace: bool,
    },
    /// Take the cluster down and check that nothing of it is left.
    Down,
    /// Print what runs.
    Status,
    /// Load an image into all nodes: an OCI archive, or an image of deploy/images.
    LoadImage {
        /// A path, a folder's name such as `redis-8.0`, or a tag such as `localhost/redis:8.0`.
        image: String,
    },
    /// Make the operator's image from two programs and load it into all nodes if the cluster runs.
    BuildImage {
        /// `operator` is the only one that is made from programs.
        #[arg(value_parser = ["operator"])]
        name: String,
        /// The operator's program.
        #[arg(long)]
        operator: PathBuf,
        /// The agent's program, statically linked.
        #[arg(long)]
        agent: PathBuf,
        /// The image's name in the cluster.
        #[arg(long, default_value = "localhost/hera-operator:dev")]
        tag: String,
        /// Where to keep the archive.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Only make the archive.
        #[arg(long)]
        no_load: bool,
    },
    /// Print the path of the administrator's kubeconfig.
    Kubeconfig,
    /// Print the paths of server programs that run on loopback; makes what is missing.
    Servers,
    /// Print the folder with `prometheus` and `promtool` as the last line; builds them if they are missing.
    Prometheus,
    /// Print the program of a store that speaks S3 as the last line; builds it if it is missing.
    Versitygw,
    /// Start a store for backups that pods reach, unless it runs; print a RedisBackupStore `testbed` and its Secret,
    /// for `kubectl apply`, as the last line.
    Store {
        /// The bucket, which is made.
        #[arg(default_value = "backups")]
        bucket: String,
    },
    /// Serve volume claims; `up` starts this.
    #[command(hide = true)]
    Provisioner,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    if let Command::Provisioner = command {
        return provisioner::run();
    }
    let layout = Layout::here()?;
    match command {
        Command::Up { replace } => hera_testbed::up(&layout, Options { replace }),
        Command::Down => hera_testbed::down(&layout),
        Command::Status => {
            let (text, dead) = hera_testbed::status()?;
            // A reader that has seen enough is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            if !dead.is_empty() {
                bail!("dead: {}; `up` starts them again", dead.join(", "));
            }
            Ok(())
        }
        Command::LoadImage { image } => {
            let path = Path::new(&image);
            if path.is_file() {
                images::load(path)
            } else {
                images::load(&images::find(&layout, &image)?.path)
            }
        }
        Command::BuildImage {
            name: _,
            operator,
            agent,
            tag,
            output,
            no_load,
        } => {
            let out = output.unwrap_or_else(|| layout.state().join("operator.tar"));
            let archive = images::operator(&layout, &operator, &agent, &tag, &out)?;
            if !no_load {
                images::load(&archive.path)?;
            }
            println!("{} {}", archive.tag, archive.path.display());
            Ok(())
        }
        Command::Kubeconfig => {
            println!("{}", layout.kubeconfig().display());
            Ok(())
        }
        Command::Servers => servers::ALL.into_iter().try_for_each(|(engine, version)| {
            let path =
                servers::in_layout(&layout, engine, version).context("cannot make the servers")?;
            println!("{engine} {version} {}", path.display());
            Ok(())
        }),
        Command::Prometheus => {
            let folder = hera_testbed::prometheus(&layout)?;
            println!("{}", folder.display());
            Ok(())
        }
        Command::Versitygw => {
            let program = hera_testbed::versitygw(&layout)?;
            println!("{}", program.display());
            Ok(())
        }
        Command::Store { bucket } => {
            let manifest = hera_testbed::store(&layout, &bucket)?;
            println!("{manifest}");
            Ok(())
        }
        Command::Provisioner => Ok(()),
    }
}
