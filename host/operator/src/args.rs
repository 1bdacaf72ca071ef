//! What the operator is told at its start.

mod control_peers;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

pub use control_peers::{ControlPeers, RangeError};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Kubernetes operator for Redis and Valkey.
#[derive(Clone, Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// Namespace of the operator itself: its Lease, authority, catalog and default policies.
    #[arg(long, env = "POD_NAMESPACE", default_value = "hera-system")]
    pub namespace: String,

    /// Name of this replica; must differ between replicas.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// Image with the agent, for the init container of data pods; that of this pod otherwise.
    #[arg(long, env = "HERA_AGENT_IMAGE")]
    pub agent_image: Option<String>,

    /// Namespaces to look after, comma-separated; all if empty.
    #[arg(long, env = "HERA_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Ranges of addresses that NetworkPolicies let reach agents, comma-separated, such as 192.0.2.0/24: for an
    /// operator that is in no pod of its namespace. No one else needs it.
    #[arg(long, env = "HERA_CONTROL_PEERS", default_value = "")]
    pub control_peers: ControlPeers,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "HERA_HTTP_ADDRESS", default_value = "[::]:8080")]
    pub http_address: SocketAddr,

    /// Where the decision log and the state of instances are served, for `kubectl hera` by port-forward: to this pod
    /// alone.
    #[arg(long, env = "HERA_INSPECT_ADDRESS", default_value = "127.0.0.1:8081")]
    pub inspect_address: SocketAddr,

    /// A file to which each decision of a policy is appended, as a line of JSON.
    #[arg(long, env = "HERA_DECISION_LOG")]
    pub decision_log: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, env = "HERA_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}
