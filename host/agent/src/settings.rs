//! What the agent is told at its start; the defaults are those of a data pod.

use std::net::SocketAddr;
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
    /// The only data pod of its object: it promotes itself.
    #[arg(long, env = "HERA_LONE", default_value_t = false, action = clap::ArgAction::Set)]
    pub lone: bool,
    /// The data volume.
    #[arg(long, default_value = "/data")]
    pub data: PathBuf,
    /// A folder in memory for what must not be on disk.
    #[arg(long, default_value = "/run/hera")]
    pub run: PathBuf,
    /// A folder for trials.
    #[arg(long, default_value = "/tmp")]
    pub scratch: PathBuf,
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
    /// Seconds that a lone pod waits for the operator to confirm the users before it serves with
    /// those that it knows.
    #[arg(long, default_value_t = 10)]
    pub confirm_seconds: u64,
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

    /// How long a lone pod waits for a confirmation.
    pub fn confirm_limit(&self) -> Duration {
        Duration::from_secs(self.confirm_seconds)
    }
}
