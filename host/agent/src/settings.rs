//! What the agent is told at its start; the defaults are those of a data pod.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What the agent is told at its start.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// `redis` or `valkey`: names the server's program.
    #[arg(long, env = "HERA_ENGINE", default_value = "redis")]
    pub engine: String,
    /// The server's program, instead of `<engine>-server`.
    #[arg(long, env = "HERA_SERVER")]
    pub server: Option<PathBuf>,
    /// Uid of the object that this pod belongs to.
    #[arg(long, env = "HERA_OBJECT_UID")]
    pub object_uid: String,
    /// Uid of this pod.
    #[arg(long, env = "POD_UID")]
    pub pod_uid: String,
    /// Name of this pod, for people.
    #[arg(long, env = "POD_NAME", default_value = "")]
    pub pod_name: String,
    /// The only data pod of its object: it promotes itself.
    #[arg(long, env = "HERA_LONE", default_value_t = false, action = clap::ArgAction::Set)]
    pub lone: bool,
    /// Name for which certificates of the agents of this object are good.
    #[arg(long, env = "HERA_SERVER_NAME")]
    pub server_name: String,
    /// Number of the shard whose slots the server has, if it is one of a cluster.
    #[arg(long, env = "HERA_SHARD")]
    pub shard: Option<u32>,
    /// Address at which others of the cluster, and its clients, find this server.
    #[arg(long, env = "POD_IP", default_value = "")]
    pub ip: String,
    /// Name at which they find it, where its server knows such.
    #[arg(long, env = "HERA_HOSTNAME")]
    pub hostname: Option<String>,
    /// The mounted password with which a server of a cluster follows another.
    #[arg(long, default_value = "/etc/hera/login/replication-password")]
    pub login: PathBuf,
    /// The data goes with the pod: nothing is saved when it ends.
    #[arg(long, env = "HERA_VOLATILE", default_value_t = false, action = clap::ArgAction::Set)]
    pub volatile: bool,
    /// Seconds after which a server that is to stop and does not is killed; the pod's grace period
    /// is longer.
    #[arg(long, env = "HERA_STOP_SECONDS", default_value_t = 45)]
    pub stop_seconds: u64,
    /// Seconds of these that a primary with replicas waits, when its pod ends, until another has
    /// taken over; at most half of them.
    #[arg(long, env = "HERA_HANDOVER_SECONDS", default_value_t = 20)]
    pub handover_seconds: u64,
    /// Seconds without any answer after which a server that was stopped counts as hanging; one that
    /// is at work, after three times as many.
    #[arg(long, env = "HERA_HANG_SECONDS", default_value_t = 10)]
    pub hang_seconds: u64,
    /// Seconds after which a script or function that keeps the server busy is ended; 0 for never.
    #[arg(long, env = "HERA_SCRIPT_SECONDS", default_value_t = 60)]
    pub script_seconds: u64,
    /// The data volume.
    #[arg(long, default_value = "/data")]
    pub data: PathBuf,
    /// A folder in memory for what must not be on disk.
    #[arg(long, default_value = "/run/hera")]
    pub run: PathBuf,
    /// A folder for trials.
    #[arg(long, default_value = "/tmp")]
    pub scratch: PathBuf,
    /// Where the kernel tells what memory the container takes, and may take.
    #[arg(long, default_value = "/sys/fs/cgroup")]
    pub cgroup: PathBuf,
    /// The mounted configuration.
    #[arg(long, default_value = "/etc/hera/config/server.json")]
    pub config: PathBuf,
    /// The mounted users.
    #[arg(long, default_value = "/etc/hera/acl/acl.json")]
    pub acl: PathBuf,
    /// The mounted certificate, key and authority.
    #[arg(long, default_value = "/etc/hera/tls")]
    pub tls: PathBuf,
    /// Port of the server.
    #[arg(long, default_value_t = hera_core::agent::REDIS_PORT)]
    pub port: u16,
    /// Address of the server; all by default.
    #[arg(long, default_value = "* -::*")]
    pub bind: String,
    /// Where the control API listens.
    #[arg(long, default_value = "[::]:8443")]
    pub control: SocketAddr,
    /// Where the probes listen.
    #[arg(long, default_value = "[::]:8080")]
    pub probes: SocketAddr,
    /// Metrics are served.
    #[arg(long, env = "HERA_SERVE_METRICS", default_value_t = true, action = clap::ArgAction::Set)]
    pub serve_metrics: bool,
    /// Where metrics are served.
    #[arg(long, default_value = "[::]:9121")]
    pub metrics: SocketAddr,
    /// Seconds that a lone pod waits for the operator to confirm the users before it serves with
    /// those that it knows.
    #[arg(long, default_value_t = 10)]
    pub confirm_seconds: u64,
}

/// The same port on every IPv4 address, if `address` is every IPv6 address: for nodes without IPv6.
pub fn without_ipv6(address: SocketAddr) -> Option<SocketAddr> {
    (address.ip() == Ipv6Addr::UNSPECIFIED)
        .then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

impl Settings {
    /// The server's program.
    pub fn server_program(&self) -> PathBuf {
        self.server
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("{}-server", self.engine)))
    }

    /// The server's unix socket, for the agent alone.
    pub fn socket(&self) -> PathBuf {
        self.run.join("server.sock")
    }

    /// The agent's own folder on the data volume.
    pub fn own(&self) -> PathBuf {
        self.data.join(".hera")
    }

    /// How long a server may take to stop.
    pub fn stop_limit(&self) -> Duration {
        Duration::from_secs(self.stop_seconds)
    }

    /// How long a primary waits for a handover.
    pub fn handover_limit(&self) -> Duration {
        Duration::from_secs(self.handover_seconds.min(self.stop_seconds / 2))
    }

    /// How long a server may be silent.
    pub fn hang_limit(&self) -> Duration {
        Duration::from_secs(self.hang_seconds)
    }

    /// How long a script may keep the server busy; none for as long as it likes.
    pub fn script_limit(&self) -> Option<Duration> {
        (self.script_seconds > 0).then(|| Duration::from_secs(self.script_seconds))
    }

    /// How long a lone pod waits for a confirmation.
    pub fn confirm_limit(&self) -> Duration {
        Duration::from_secs(self.confirm_seconds)
    }
}

#[cfg(test)]
impl Settings {
    /// Those of a pod of the object `o`.
    pub fn of_a_pod() -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            settings: Settings,
        }
        let own = ["--object-uid", "o", "--pod-uid", "p", "--server-name", "n"];
        <Line as clap::Parser>::parse_from(["x"].iter().chain(&own)).settings
    }
}
