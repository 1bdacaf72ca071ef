//! Running commands, and waiting with a bound.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A command from its words.
pub fn command<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Result<Command> {
    let (program, args) = words.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end and gives its standard output; a failure carries what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let out = command
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !out.status.success() {
        bail!("`{shown}` failed ({}): {}", out.status, tail(&out));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs the words of a line, split at blanks, to their end.
pub fn sh(line: &str) -> Result<String> {
    output(&mut command(&line.split_whitespace().collect::<Vec<_>>())?)
}

/// Whether the words of a line run and succeed.
pub fn succeeds(line: &str) -> bool {
    sh(line).is_ok()
}

/// Runs a command with its output in a log file.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let shown = show(command);
    let file = open_log(log)?;
    let status = command
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}), see {}", log.display());
    }
    Ok(())
}

/// Opens a log file to append to.
pub fn open_log(log: &Path) -> Result<std::fs::File> {
    if let Some(dir) = log.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

/// Asks again and again until the answer is yes, and fails after `bound`.
/// The last error or `what` is part of the message, so it should name the log to look at.
pub fn wait(what: &str, bound: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    loop {
        let answer = ready();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if start.elapsed() >= bound {
            let why = answer
                .err()
                .map(|err| format!(": {err:#}"))
                .unwrap_or_default();
            bail!("{what} did not happen within {} s{why}", bound.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Prints a step with the time it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    let end = if result.is_ok() { "" } else { "  FAILED" };
    println!("{:>7.1}s  {what}{end}", start.elapsed().as_secs_f64());
    result
}

fn show(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let mut line = words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    if line.len() > 200 {
        line = line.chars().take(200).collect::<String>() + "…";
    }
    line
}

fn tail(out: &Output) -> String {
    let text = if out.stderr.is_empty() {
        &out.stdout
    } else {
        &out.stderr
    };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.trim().lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_tells_what_it_said() {
        let err = sh("ls /no/such/file").unwrap_err().to_string();
        assert!(err.contains("No such file"), "{err}");
    }

    #[test]
    fn a_wait_ends_at_its_bound_and_tells_the_last_error() {
        let err = wait("the pig's flight", Duration::ZERO, || bail!("no wings"))
            .unwrap_err()
            .to_string();
        assert_eq!(err, "the pig's flight did not happen within 0 s: no wings");
    }
}
