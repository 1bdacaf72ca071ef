//! What operator and agent say to each other: JSON over HTTPS with mutual TLS.
//!
//! Every request that changes something carries the leader's term; the agent keeps the highest
//! it has seen and refuses older ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Version of this protocol; the operator speaks the two before it as well.
pub const PROTOCOL: u32 = 1;
/// Port of the control API (HTTPS, mutual TLS).
pub const CONTROL_PORT: u16 = 8443;
/// Port of the probes (plain HTTP): `/livez`, `/readyz`, `/startupz`.
pub const PROBE_PORT: u16 = 8080;
/// Port of the Redis protocol.
pub const REDIS_PORT: u16 = 6379;

/// `GET`: the current [`AgentStatus`].
pub const PATH_STATUS: &str = "/v1/status";
/// `GET`: newline-separated [`AgentStatus`], the current one first, then one on each change;
/// an empty line every [`HEARTBEAT_SECONDS`] keeps the stream alive.
pub const PATH_EVENTS: &str = "/v1/events";
/// `POST` of a [`Request`] with an [`Order`]: answers the [`AgentStatus`] after it.
pub const PATH_ORDERS: &str = "/v1/orders";
/// `PUT` of a [`Request`] with a [`ServerConfig`]: answers the [`ConfigState`] after it.
pub const PATH_CONFIG: &str = "/v1/config";
/// `PUT` of a [`Request`] with an [`AclSet`](crate::acl::AclSet): answers the [`AclState`] after it.
pub const PATH_ACL: &str = "/v1/acl";
/// Seconds between the empty lines of an idle event stream.
pub const HEARTBEAT_SECONDS: u64 = 10;

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<T> {
    /// The Lease's transition count when its holder sent this.
    pub term: u64,
    /// What is asked.
    pub body: T,
}

/// An order that changes a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Become a primary.
    Promote,
}

/// Body of an answer with a 4xx or 5xx status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why, in a sentence for people.
    pub message: String,
    /// The highest term seen, when the refusal is about the term (status 409).
    pub term: Option<u64>,
}

/// The directives of the server's configuration file that come from the operator, as one
/// revision. What depends on the pod (folder, port, ACL file, boot guard) the agent adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfig {
    /// The object's uid: a revision is comparable only within one object.
    pub owner: String,
    /// Grows with each change of content.
    pub revision: u64,
    /// Directive to value, in the notation of redis.conf.
    pub directives: BTreeMap<String, String>,
    /// Those of the directives that the spec names. Only these ask for a restart of the server:
    /// another default of a newer operator waits until the pod starts again anyway.
    #[serde(default)]
    pub from_spec: BTreeSet<String>,
}

/// What became of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigState {
    /// Revision that the agent holds; 0 before any.
    pub revision: u64,
    /// Directives that differ from the running server and need a restart of it.
    pub pending_restart: Vec<String>,
    /// Directives that the server refused, with its own words; the last good ones stay.
    pub rejected: BTreeMap<String, String>,
}

/// What became of the users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclState {
    /// Revision in force on the server; 0 before any.
    pub revision: u64,
    /// True once the operator has pushed or confirmed the revision since this agent started. A pod
    /// serves after that, or after a bound when the operator is away. A server that the agent
    /// starts again needs no second word: the agent has kept what was pushed since.
    pub confirmed: bool,
    /// Users that the server refused, with its own words; they have the rights they had before.
    pub rejected: BTreeMap<String, String>,
}

/// The server process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum ServerState {
    /// No process yet, or started and not answering yet.
    Starting,
    /// Answers LOADING.
    #[serde(rename_all = "camelCase")]
    Loading {
        /// Process id in the pod.
        pid: u32,
    },
    /// Answers.
    #[serde(rename_all = "camelCase")]
    Running {
        /// Process id in the pod.
        pid: u32,
        /// The server's own id of this run.
        run_id: String,
    },
    /// Exited; the next start is due.
    #[serde(rename_all = "camelCase")]
    BackOff {
        /// Milliseconds since 1970 of the next start.
        until_unix_ms: u64,
    },
    /// Being stopped, for good.
    Stopping,
}

/// The server's role as the server itself tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Not known yet.
    Unknown,
    /// Held back by the boot guard: neither reads nor writes are served.
    Held,
    /// Serves writes.
    Primary,
}

/// How a server process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerExit {
    /// Exit code, if it exited.
    pub code: Option<i32>,
    /// Signal number, if a signal ended it.
    pub signal: Option<i32>,
    /// Milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The last lines it printed, at most 512 bytes; empty for an ordinary stop.
    pub message: String,
}

/// What an agent tells about its pod. Nothing that traffic drives is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Version of the agent's program.
    pub agent_version: String,
    /// Random, new with each start of the agent.
    pub boot_id: String,
    /// The pod's uid, from the downward API.
    pub pod_uid: String,
    /// The server process.
    pub server: ServerState,
    /// Its role.
    pub role: Role,
    /// `redis` or `valkey`, once the server answered.
    pub engine: Option<String>,
    /// The server's version, once it answered.
    pub version: Option<String>,
    /// Highest term seen.
    pub term: u64,
    /// Configuration in force.
    pub config: ConfigState,
    /// Users in force.
    pub acl: AclState,
    /// Times that the server was started again since the agent started.
    pub restarts: u64,
    /// How the last server process ended, if one did since the agent started.
    pub last_exit: Option<ServerExit>,
    /// Why the pod does not serve, in a sentence for people; none when it serves.
    pub waiting_for: Option<String>,
}
