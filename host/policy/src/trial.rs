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

use crate::for_decision;
use crate::{Limits, LoadError, engine, load, stack};

/// First word of a program that is to compile a module and end: see [`main`].
pub const WORD: &str = "trial-compile";
/// Memory of a trial: what it may write to and is its own. It is what a module may cost the operator, which
/// compiles afterwards what passed, with the same settings. Address space says little of that: programs
/// and the pool of instances take much of it, and a module could take what they left.
const MEMORY: u64 = 192 << 20;
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
        let stdin = child.stdin.take();
        let working = async move {
            if let Some(mut stdin) = stdin {
                // A child that ended early closes the pipe; how it ended says more.
                let _ = stdin.write_all(bytes).await;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(PATIENCE, working)
            .await
            .map_err(|_| LoadError::Internal("the trial does not end".to_owned()))?
            .map_err(internal)?;
        match output.status.signal() {
            None => {}
            // Not by its own limits: somebody else needed the memory.
            Some(SIGKILL) => {
                let words = "the trial was killed: the node is short of memory";
                return Err(LoadError::Internal(words.to_owned()));
            }
            Some(SIGXCPU) => {
                let what = format!("processor time ({CPU_SECONDS} s)");
                return Err(LoadError::TooCostly { what });
            }
            Some(_) => {
                let (memory, stack) = (MEMORY >> 20, stack::TRIAL >> 20);
                let what = format!("memory ({memory} MiB) or stack ({stack} MiB)");
                return Err(LoadError::TooCostly { what });
            }
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
    // Where memory is short this process goes, not the operator.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, soft, hard) in [
        (Resource::RLIMIT_DATA, MEMORY, MEMORY),
        // The soft limit's signal tells itself from a kill.
        (Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1),
        (Resource::RLIMIT_CORE, 0, 0),
    ] {
        setrlimit(resource, soft, hard).map_err(|error| internal(&error))?;
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
    let engine = engine::compiler(&limits).map_err(|error| internal(&error))?;
    let compile = || {
        for_decision!(decision, D => load::compile::<D>(&engine, &limits, &bytes).map(drop))
            .unwrap_or_else(|| Err(LoadError::Internal(format!("no decision {decision}"))))
    };
    stack::with(stack::TRIAL, compile).map_err(|error| internal(&error))?
}
