//! Compiling in a process of its own first: whatever a module does to the compiler, it does it
//! there, within limits that the kernel keeps.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use std::os::unix::process::ExitStatusExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::{Acl, Decision, Limits, LoadError, engine, load};

/// Address space of a trial.
const MEMORY: u64 = 512 << 20;
/// Processor time of a trial.
const CPU_SECONDS: u64 = 5;
/// A trial that takes longer hangs, or the machine does not get to it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to start a trial: a program that ends up in [`main`].
#[derive(Clone, Debug)]
pub struct Trial {
    /// The program, as a rule the running one.
    pub program: PathBuf,
    /// What comes before the name of the decision.
    pub args: Vec<String>,
}

impl Trial {
    /// Compiles a module in a process of its own.
    ///
    /// # Errors
    ///
    /// What the process found, or what it ran out of.
    pub async fn run(&self, decision: &str, bytes: &[u8]) -> Result<(), LoadError> {
        let internal = |error: std::io::Error| {
            LoadError::Internal(format!("{}: {error}", self.program.display()))
        };
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(decision)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(internal)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that ended early closes the pipe; how it ended says more.
            let _ = stdin.write_all(bytes).await;
        }
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .map_err(|_| LoadError::Internal("the trial does not end".to_owned()))?
            .map_err(internal)?;
        if let Some(signal) = output.status.signal() {
            return Err(LoadError::TooCostly {
                what: match signal {
                    SIGXCPU | SIGKILL => format!("processor time ({CPU_SECONDS} s)"),
                    _ => format!("memory ({} MiB)", MEMORY >> 20),
                },
            });
        }
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            Err(LoadError::Internal(format!(
                "the trial gave no verdict: {error}"
            )))
        })
    }
}

const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;
const SIGXCPU: i32 = nix::sys::signal::Signal::SIGXCPU as i32;

/// The trial itself: reads a module from standard input, tells what became of it on standard
/// output. For the first line of a program that [`Trial::program`] names.
pub fn main(decision: &str) -> ExitCode {
    let verdict = compile(decision);
    let text = serde_json::to_vec(&verdict).unwrap_or_default();
    match std::io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn compile(decision: &str) -> Result<(), LoadError> {
    let internal = |error: &dyn std::fmt::Display| LoadError::Internal(error.to_string());
    for (resource, limit) in [
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit).map_err(|error| internal(&error))?;
    }
    let limits = Limits::default();
    let mut bytes = Vec::new();
    let bound = u64::try_from(limits.module_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    std::io::stdin()
        .take(bound)
        .read_to_end(&mut bytes)
        .map_err(|error| internal(&error))?;
    match decision {
        Acl::NAME => check::<Acl>(&limits, &bytes),
        other => Err(LoadError::Internal(format!("no decision {other}"))),
    }
}

fn check<D: Decision>(limits: &Limits, bytes: &[u8]) -> Result<(), LoadError> {
    let engine = engine::compiler().map_err(|error| LoadError::Internal(error.to_string()))?;
    load::compile::<D>(&engine, limits, bytes).map(drop)
}
