//! Starts a server process and keeps the last it printed.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Lines kept of what a process printed.
const LINES: usize = 64;

/// A started process.
pub struct Process {
    /// Its pid, which is also its process group.
    pub pid: Pid,
    tail: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` with one configuration file, in a process group of its own. What it prints
    /// is kept and, if `loud`, forwarded.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(program: &Path, config: &Path, folder: &Path, loud: bool) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(config)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let tail = Arc::<Mutex<VecDeque<String>>>::default();
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(follow(out, tail.clone(), loud));
        }
        if let Some(err) = child.stderr.take() {
            readers.push(follow(err, tail.clone(), loud));
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        // The reaper waits for it, not this handle.
        drop(child);
        Ok(Self { pid, tail, readers })
    }

    /// The last lines that it printed, once its output has ended. Call it after its end only.
    pub fn last_words(&mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }

    /// Ends what is left of the process and its children.
    pub fn kill_all(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}

fn follow(
    pipe: impl Read + Send + 'static,
    tail: Arc<Mutex<VecDeque<String>>>,
    loud: bool,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if loud {
                let _ = writeln!(io::stdout(), "{line}");
            }
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() >= LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    })
}

/// What a server says about the directive at which it gave up, if it did: name and reason.
pub fn refused_directive(words: &[String]) -> Option<(String, String)> {
    let at = words.iter().position(|line| line.starts_with(">>> '"))?;
    let line = words.get(at)?.strip_prefix(">>> '")?;
    let name = line.split([' ', '\'']).next()?.to_lowercase();
    let reason = words.get(at + 1).cloned().unwrap_or_default();
    (!name.is_empty()).then_some((name, reason))
}

/// The words that tell most about an end, at most 512 bytes.
pub fn summary(words: &[String]) -> String {
    let telling = |line: &&String| {
        !line.trim().is_empty() && !line.contains("WARNING") && !line.contains("_.-")
    };
    let last: Vec<&String> = words.iter().filter(telling).rev().take(3).collect();
    let text = last
        .into_iter()
        .rev()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" | ");
    let mut end = text.len().min(512);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directive_at_which_a_server_gave_up_is_found() {
        let words = [
            "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***",
            "Reading the configuration file, at line 3",
            ">>> 'maxmemory-policy nonsense'",
            "argument(s) must be one of the following: volatile-lru",
        ]
        .map(str::to_owned);
        let (name, reason) = refused_directive(&words).unwrap();
        assert_eq!(name, "maxmemory-policy");
        assert!(reason.starts_with("argument(s) must be"));
        assert_eq!(refused_directive(&["ready".to_owned()]), None);
    }
}
