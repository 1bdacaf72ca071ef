//! Processes, by pid and start time: a pid alone may be somebody else's by now.

use std::path::Path;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that was seen alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id on the host.
    pub pid: i32,
    /// Its start, in clock ticks after the machine's.
    pub start: u64,
}

impl Process {
    /// The process that has this pid now.
    pub fn by_pid(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(&stat)
            .filter(|(state, _)| !matches!(state, 'Z' | 'X'))
            .map(|(_, start)| Self { pid, start })
    }

    /// Whether it still runs. A zombie does not.
    pub fn alive(self) -> bool {
        Self::by_pid(self.pid) == Some(self)
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(self, signal: Signal) -> Result<()> {
        if self.alive() {
            signal_pid(self.pid, signal)?;
        }
        Ok(())
    }
}

/// Sends a signal to a pid; that it is gone already is no error.
pub fn signal_pid(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(err) => {
            Err(anyhow::Error::new(err).context(format!("cannot send {signal} to process {pid}")))
        }
    }
}

/// The command line of a process, its words joined with blanks.
pub fn cmdline(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

/// All pids of the machine whose command line satisfies `test`.
pub fn find(test: impl Fn(&str) -> bool) -> Vec<i32> {
    let Ok(entries) = Path::new("/proc").read_dir() else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| test(&cmdline(*pid)))
        .collect()
}

/// State and start time from `/proc/<pid>/stat`. The name may hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_move_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 20 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(('S', 123_456)));
    }

    #[test]
    fn a_process_with_another_start_time_is_not_alive() {
        let me = Process::by_pid(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.alive());
        assert!(
            !Process {
                start: me.start + 1,
                ..me
            }
            .alive()
        );
    }
}
