//! Starts a server process and keeps the last it printed.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hera_redis::nodes_conf;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use crate::server::reaper::Reaper;

/// Lines kept of what a process printed.
const LINES: usize = 64;
/// Lines kept of those that blame a file.
const BLAME: usize = 4;
/// Longest line kept.
const LINE: usize = 1024;
/// The output of a process that ended is read to its end, unless a stranger holds it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Tail = Arc<Mutex<Printed>>;

/// What a process printed.
#[derive(Default)]
struct Printed {
    /// The first lines that blame what it keeps of its cluster: a crash prints far more after them.
    blame: Vec<String>,
    last: VecDeque<String>,
}

/// A started process.
pub struct Process {
    /// Its pid, which is also its process group.
    pub pid: Pid,
    tail: Tail,
    /// Ends when all output has been read.
    read: mpsc::Receiver<()>,
}

impl Process {
    /// Starts `program` with one configuration file, in a process group of its own. What it prints
    /// is kept and, if `loud`, forwarded.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(
        reaper: &Reaper,
        program: &Path,
        config: &Path,
        folder: &Path,
        loud: bool,
    ) -> io::Result<Self> {
        let mut child = reaper.spawn(
            Command::new(program)
                .arg(config)
                .current_dir(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0),
        )?;
        let tail = Tail::default();
        let (reading, read) = mpsc::channel(1);
        if let Some(out) = child.stdout.take() {
            follow(out, tail.clone(), reading.clone(), loud);
        }
        if let Some(err) = child.stderr.take() {
            follow(err, tail.clone(), reading, loud);
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        // The reaper waits for it, not this handle.
        drop(child);
        Ok(Self { pid, tail, read })
    }

    /// The last lines that it printed. Call it after its end.
    pub async fn last_words(&mut self) -> Vec<String> {
        let _ = tokio::time::timeout(LAST_WORDS, self.read.recv()).await;
        let printed = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = printed.blame.iter().chain(&printed.last);
        lines.cloned().collect()
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

/// A thread, as its own output may block: nobody else waits for it.
fn follow(pipe: impl Read + Send + 'static, tail: Tail, reading: mpsc::Sender<()>, loud: bool) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if loud {
                let _ = writeln!(io::stdout(), "{line}");
            }
            let mut printed = tail.lock().unwrap_or_else(PoisonError::into_inner);
            let line: String = line.chars().take(LINE).collect();
            if printed.blame.len() < BLAME && nodes_conf::tells(&line) {
                printed.blame.push(line.clone());
            }
            if printed.last.len() >= LINES {
                printed.last.pop_front();
            }
            printed.last.push_back(line);
        }
        drop(reading);
    });
}
