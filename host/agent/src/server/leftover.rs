//! Servers that outlived an earlier agent, and what killed servers left on the volume.
//!
//! In a pod all processes end with the agent, which is PID 1; elsewhere they do not.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::settings::Settings;
use crate::state::durable;

/// A killed process is gone at once, unless the disk or the kernel holds it.
const LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);
/// Name of the record of a running server.
const RECORD: &str = "server.pid";
/// Beginning of the names of trial folders.
const TRIAL: &str = "hera-trial-";

/// A process that cannot be mistaken for another: a pid is given anew, a pid with its start is not.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: i32,
    started: u64,
}

/// Writes down which server runs, in `folder`.
pub fn note(folder: &Path, pid: Pid) {
    let pid = pid.as_raw();
    let Some(started) = started(pid) else { return };
    if let Err(error) = durable::write_json(&folder.join(RECORD), &Record { pid, started }) {
        warn!(%error, "the server's process id cannot be noted");
    }
}

/// Name of a new trial folder.
pub fn trial_name(settings: &Settings) -> String {
    format!("{}{:08x}", trial_prefix(settings), rand::random::<u32>())
}

fn trial_prefix(settings: &Settings) -> String {
    format!("{TRIAL}{}-", settings.pod_uid)
}

/// Ends what is left of an earlier server and of trials. Call it while holding the data folder.
pub async fn end(settings: &Settings) {
    end_recorded(&settings.run).await;
    let prefix = trial_prefix(settings);
    for entry in fs::read_dir(&settings.scratch)
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            end_recorded(&entry.path()).await;
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

async fn end_recorded(folder: &Path) {
    let Some(record) = durable::read_json::<Record>(&folder.join(RECORD)) else {
        return;
    };
    let lives = || started(record.pid) == Some(record.started);
    if !lives() {
        return;
    }
    warn!(
        pid = record.pid,
        "a server of an earlier agent still runs: it is killed"
    );
    let pid = Pid::from_raw(record.pid);
    let _ = killpg(pid, Signal::SIGKILL);
    let _ = kill(pid, Signal::SIGKILL);
    let since = Instant::now();
    while lives() && since.elapsed() < LIMIT {
        tokio::time::sleep(LOOK).await;
    }
}

/// Clock ticks from the machine's start to the process's; none when it does not run.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18)?.parse().ok())?
}

/// Removes the unfinished snapshots and rewrites of killed servers: nothing reads them, and each
/// may be as large as the data. Call it while no server runs.
pub fn remove_unfinished(data: &Path) {
    for folder in [data.to_owned(), data.join("appendonlydir")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if is_unfinished(&entry.file_name().to_string_lossy()) {
                remove(&entry.path());
            }
        }
    }
}

/// Removes what a server without persistence once received as a replica, or from a backup: the next would read it as
/// its data, however old it is. Call it while no server runs.
pub fn remove_received(data: &Path) {
    let path = data.join("dump.rdb");
    if path.exists() {
        remove(&path);
    }
    let log = data.join("appendonlydir");
    match fs::remove_dir_all(&log) {
        Ok(()) => warn!(path = %log.display(), "folder removed that nobody is to read"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => warn!(path = %log.display(), %error, "folder stays"),
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => warn!(path = %path.display(), "file removed that nobody is to read"),
        Err(error) => warn!(path = %path.display(), %error, "file stays"),
    }
}

/// Names that servers give to files that they rename once these are complete.
fn is_unfinished(name: &str) -> bool {
    let number = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let within = |start: &str, end: &str| name.strip_prefix(start)?.strip_suffix(end);
    within("temp-rewriteaof-bg-", ".aof").is_some_and(number)
        || within("temp-rewriteaof-", ".aof").is_some_and(number)
        || within("temp-", ".rdb").is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_the_files_of_unfinished_work_go() {
        for name in [
            "temp-17.rdb",
            "temp-1700000000.5.rdb",
            "temp-rewriteaof-bg-9.aof",
        ] {
            assert!(is_unfinished(name), "{name}");
        }
        for name in [
            "dump.rdb",
            "temp-mine.rdb",
            "temp-.rdb",
            "appendonly.aof.1.incr.aof",
        ] {
            assert!(!is_unfinished(name), "{name}");
        }
    }

    #[test]
    fn what_a_server_without_persistence_received_goes_and_what_the_agent_keeps_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        remove_received(data);
        for name in ["appendonlydir", ".hera"] {
            fs::create_dir(data.join(name)).unwrap();
        }
        for name in [
            "dump.rdb",
            "appendonlydir/appendonly.aof.manifest",
            ".hera/state",
        ] {
            fs::write(data.join(name), "x").unwrap();
        }
        remove_received(data);
        assert!(!data.join("dump.rdb").exists() && !data.join("appendonlydir").exists());
        assert!(data.join(".hera/state").exists());
    }

    #[tokio::test]
    async fn only_the_recorded_process_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let since = started(pid).unwrap();
        let other = Record {
            pid,
            started: since + 1,
        };
        durable::write_json(&folder.path().join(RECORD), &other).unwrap();
        end_recorded(folder.path()).await;
        assert_eq!(started(pid), Some(since));
        note(folder.path(), Pid::from_raw(pid));
        end_recorded(folder.path()).await;
        assert_eq!(started(pid), None);
        // The reaper of another test may have been quicker.
        let _ = child.wait();
    }
}
