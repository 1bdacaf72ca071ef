//! A pod without Kubernetes: an address, a volume, and a server process.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hera_core::acl::replication_user;
use hera_core::cluster;
use hera_core::shard::Target;
use hera_redis::{Address, Probe, Server, Timeouts, nodes_conf};
use hera_testbed::servers::{self, without_primary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::Engine;

pub const PORT: u16 = 6379;
/// Password of those who replicate.
const LOGIN: &str = "secret";
/// Less than an agent waits, as a test does not; in milliseconds.
const HANGS: u64 = 8_000;
/// So that a vote of the servers' own is not what heals in the time of a test.
const NODE_TIMEOUT: &str = "5000";
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(400),
    response: Duration::from_millis(800),
};

/// A pod.
pub struct Node {
    pub engine: Engine,
    pub shard: u32,
    pub ordinal: u32,
    pub ip: String,
    pub last_id: Option<String>,
    pub asked_for_votes_ms: Option<u64>,
    pub frozen: bool,
    pub held: Option<cluster::Held>,
    pub dead_since_ms: Option<u64>,
    silent_since_ms: Option<u64>,
    volume: TempDir,
    child: Option<Child>,
}

/// An address that no other node of any test has.
pub fn new_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mine = std::process::id().wrapping_mul(2_654_435_761) >> 12;
    let at = (mine << 12 | (NEXT.fetch_add(1, Ordering::SeqCst) & 0xfff)) & 0x00ff_ffff;
    // None of the testbed's, which are low.
    Ipv4Addr::from(0x7f00_0000 | 0x0080_0000 | at).to_string()
}

impl Node {
    pub fn new(engine: Engine, shard: u32, ordinal: u32) -> Self {
        Self {
            engine,
            shard,
            ordinal,
            ip: new_address(),
            last_id: None,
            asked_for_votes_ms: None,
            frozen: false,
            held: None,
            dead_since_ms: None,
            silent_since_ms: None,
            volume: tempfile::tempdir().unwrap(),
            child: None,
        }
    }

    pub fn name(&self) -> String {
        format!("pod-{}-{}", self.shard, self.ordinal)
    }

    pub fn target(&self) -> Target {
        Target {
            name: self.name(),
            uid: self.name(),
        }
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.volume.path().join(name)
    }

    /// True if a server that runs has answered nothing for so long that an agent takes it for hung: Valkey
    /// 8.1.1 loops for ever over ids of shards that disagree (seed 47).
    pub fn hangs(&mut self, answers: bool, now_ms: u64) -> bool {
        let silent = self.runs() && !self.frozen && !answers;
        let since = silent.then(|| self.silent_since_ms.unwrap_or(now_ms));
        self.silent_since_ms = since;
        since.is_some_and(|since| now_ms - since > HANGS)
    }

    /// Begins as an agent does (design §5): without data it knows nothing of slots either, and only a replica
    /// starts before the operator says so.
    pub fn start(&mut self) {
        if self.runs() || self.held.is_some() {
            return;
        }
        let has_data = self.path("appendonlydir").exists() || self.path("dump.rdb").exists();
        if !has_data {
            self.lose("nodes.conf");
        }
        let known = std::fs::read_to_string(self.path(nodes_conf::NAME)).unwrap_or_default();
        match nodes_conf::is_replicas(&known) {
            true => self.go(),
            false => {
                self.held = Some(cluster::Held {
                    has_data,
                    snapshot_ms: None,
                    epoch: nodes_conf::own_epoch(&known),
                })
            }
        }
    }

    /// Starts the server.
    pub fn go(&mut self) {
        self.held = None;
        let user = replication_user(self.shard);
        let directives = [
            ("port", PORT.to_string()),
            ("bind", self.ip.clone()),
            ("protected-mode", "no".to_owned()),
            ("dir", self.volume.path().display().to_string()),
            ("logfile", "log".to_owned()),
            ("save", String::new()),
            ("appendonly", "yes".to_owned()),
            // While a write of each second waits for the disk, what is acknowledged is in no file: a kill would lose it.
            ("appendfsync", "always".to_owned()),
            ("repl-diskless-sync-delay", "0".to_owned()),
            ("cluster-enabled", "yes".to_owned()),
            ("cluster-config-file", "nodes.conf".to_owned()),
            ("cluster-node-timeout", NODE_TIMEOUT.to_owned()),
            ("cluster-announce-ip", self.ip.clone()),
            ("cluster-require-full-coverage", "no".to_owned()),
            ("cluster-allow-replica-migration", "no".to_owned()),
            ("masteruser", user.clone()),
            ("masterauth", LOGIN.to_owned()),
            ("user", format!("{user} on >{LOGIN} +psync +replconf +ping")),
        ];
        let mut command = Command::new(servers::path(self.engine.0, self.engine.1).unwrap());
        for (name, value) in directives {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts a server again that ended by itself, as an agent does. True if it had.
    pub fn revive(&mut self) -> bool {
        let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        let crashed = self.child.as_mut().is_some_and(ended);
        if crashed {
            self.child = None;
            self.mend_nodes_conf();
            self.start();
        }
        crashed
    }

    /// Redis 7.2 and Valkey 8.1 may write what they do not read again (P36).
    fn mend_nodes_conf(&self) {
        let words = self.last_lines(400);
        let words: Vec<String> = words.lines().map(str::to_owned).collect();
        if !nodes_conf::is_blamed(&words) {
            return;
        }
        let path = self.path(nodes_conf::NAME);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match nodes_conf::mended(&text, &words) {
            Some(mended) => std::fs::write(&path, mended).unwrap(),
            None => self.lose(nodes_conf::NAME),
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.frozen = false;
        self.held = None;
    }

    pub fn freeze(&mut self, frozen: bool) {
        if let Some(child) = &self.child {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let signal = if frozen {
                Signal::SIGSTOP
            } else {
                Signal::SIGCONT
            };
            kill(pid, signal).unwrap();
            self.frozen = frozen;
        }
    }

    /// A file or a folder of its volume goes.
    pub fn lose(&self, name: &str) {
        let path = self.path(name);
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
    }

    /// What it knows of itself becomes that of a primary without slots.
    pub fn forget_its_primary(&self) {
        let path = self.path(nodes_conf::NAME);
        let known = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, without_primary(&known)).unwrap();
    }

    pub fn lose_volume(&mut self) {
        assert!(!self.runs());
        self.volume = tempfile::tempdir().unwrap();
    }

    pub fn log(&self) -> String {
        self.last_lines(60)
    }

    fn last_lines(&self, count: usize) -> String {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    pub async fn connect(&self) -> Result<Server, hera_redis::Error> {
        Server::connect(&Address::tcp(self.ip.clone(), PORT), None, TIMEOUTS).await
    }

    /// What the server says now.
    pub async fn ask(&self) -> Option<cluster::Server> {
        if !self.runs() || self.frozen {
            return None;
        }
        let server = self.connect().await.ok()?;
        match server.probe().await.ok()? {
            Probe::Info(info) if !info.loading => server.cluster(&info).await.ok(),
            _ => None,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
