//! What operator and agent say to each other: JSON over HTTPS with mutual TLS.
//!
//! Every request that changes something carries the leader's term; the agent keeps the highest
//! it has seen and refuses older ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::backup::{CaptureNews, RecoveryNews};
use crate::cluster::{Command, Held, NodeId, Server, SlotSet};

/// The name in the operator's certificate; the certificates of agents have others.
pub const OPERATOR_NAME: &str = "hera-operator";
/// Version of this protocol; the operator speaks the two before it as well.
pub const PROTOCOL: u32 = 1;
/// Port of the control API (HTTPS, mutual TLS).
pub const CONTROL_PORT: u16 = 8443;
/// Port of the probes (plain HTTP): `/livez`, `/readyz`, `/startupz`.
pub const PROBE_PORT: u16 = 8080;
/// Port of the metrics (plain HTTP).
pub const METRICS_PORT: u16 = 9121;
/// Port of the Redis protocol.
pub const REDIS_PORT: u16 = 6379;

/// Port on which servers of a cluster speak to each other: theirs, and 10 000.
pub const BUS_PORT: u16 = REDIS_PORT + 10_000;

/// What an agent answers that has killed its server, while the kernel still holds that.
pub const NOT_GONE_YET: &str = "the server was killed and is not gone yet";

/// `GET`: the current [`AgentStatus`].
pub const PATH_STATUS: &str = "/v1/status";
/// `GET`: newline-separated [`News`]: the current status first, then one on each change, and the
/// primary's questions; an empty line every [`HEARTBEAT_SECONDS`] keeps the stream alive.
pub const PATH_EVENTS: &str = "/v1/events";
/// `POST` of a [`Request`] with an [`Order`]: answers the [`AgentStatus`] after it.
pub const PATH_ORDERS: &str = "/v1/orders";
/// `PUT` of a [`Request`] with a [`ServerConfig`]: answers the [`ConfigState`] after it.
pub const PATH_CONFIG: &str = "/v1/config";
/// `PUT` of a [`Request`] with an [`AclSet`](crate::acl::AclSet): answers the [`AclState`] after it.
pub const PATH_ACL: &str = "/v1/acl";
/// `PUT` of a [`Request`] with [`Members`]: answers the [`AgentStatus`] after it.
pub const PATH_MEMBERS: &str = "/v1/members";
/// `GET`: a [`Position`], read from the server now.
pub const PATH_POSITION: &str = "/v1/position";
/// `GET`: the server's own table of commands, [`Categories`](crate::acl::Categories). Agents before
/// 0.1.0 do not tell it.
pub const PATH_COMMANDS: &str = "/v1/commands";
/// `GET`: a [`ClusterState`], of agents in a cluster.
pub const PATH_CLUSTER: &str = "/v1/cluster";
/// `POST` of a [`TakeOver`] by the agent of a primary that is about to end, to one of a replica: answers
/// once the server was asked to take over. Of agents in a cluster.
pub const PATH_TAKE_OVER: &str = "/v1/take-over";
/// `POST` of a [`SlotStep`] by the agent of a primary that gives slots key by key, to that of who gets them: answers
/// a [`SlotAnswer`] once the step is taken. Of agents in a cluster.
pub const PATH_SLOT: &str = "/v1/slot";
/// `GET`: a [`FenceState`].
pub const PATH_FENCE: &str = "/v1/fence";
/// `POST` of a [`Request`] with a [`Confirmation`]: the operator's answer to a [`Question`].
pub const PATH_CONFIRM: &str = "/v1/confirm";
/// `POST` of a [`Question`] by the agent of another data pod: answers a [`Vouch`]. All other paths
/// are the operator's.
pub const PATH_VOUCH: &str = "/v1/vouch";
/// Where an agent that keeps a log asks that of the primary how much has been written: answers [`Look`].
pub const PATH_LOOK: &str = "/v1/look";
/// `GET`: a [`BackupState`](crate::backup::BackupState). One of an earlier release does not answer.
pub const PATH_BACKUP: &str = "/v1/backup";
/// `POST` of a [`Request`] with a [`BackupOrder`](crate::backup::BackupOrder): answers the
/// [`BackupState`](crate::backup::BackupState) after it. What is ordered goes on by itself.
pub const PATH_BACKUP_ORDERS: &str = "/v1/backup/orders";
/// Seconds between the empty lines of an idle event stream.
pub const HEARTBEAT_SECONDS: u64 = 10;

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<T> {
    /// The Lease's term when its holder sent this, above the instance's floor: see
    /// [`term`](crate::term).
    pub term: u64,
    /// What is asked.
    pub body: T,
}

/// An order about a role. Carrying one out twice is harmless.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "order"
)]
pub enum Order {
    /// Become the primary.
    Promote {
        /// Its epoch: higher than any that was before.
        epoch: u64,
        /// That of a [`Position`] of this agent, a moment old: the fence counts from there.
        token: u64,
    },
    /// Be a replica of the server there; a fenced server starts for it. A server that serves as the
    /// primary becomes one only in the pause for this very handover.
    Follow {
        /// Epoch of the primary that is followed.
        epoch: u64,
        /// Uid of the primary's pod.
        primary_uid: String,
        /// Its address.
        host: String,
        /// Its port.
        port: u16,
        /// [`Memory::lineage`] of its data; empty if it has not said.
        #[serde(default)]
        lineage: String,
        /// Password of [`REPLICATION_USER`](crate::acl::REPLICATION_USER); kept in memory only.
        password: String,
    },
    /// Hold writes back for this long at most, on a primary that is about to hand over. There is one
    /// pause for each handover.
    Pause {
        /// Milliseconds.
        millis: u64,
        /// Epoch of the primary that takes over. None, of an operator that named none, begins no
        /// handover.
        #[serde(default)]
        epoch: u64,
    },
    /// End a pause. A server that is no primary any more also closes its clients' connections, so
    /// that they look for the one that is.
    Release,
    /// Kill the server, and keep it down until it is to follow or to be promoted. An order that comes
    /// late kills no primary of a later epoch.
    Fence {
        /// The last epoch that is to go.
        #[serde(default = "any_epoch")]
        epoch: u64,
    },
    /// The same, if this script keeps the server busy when this comes: once that has ended, the server takes
    /// writes again. And only where a replica has got as far as the server was when it last answered.
    FenceBusy {
        /// The last epoch that is to go.
        epoch: u64,
        /// [`Script::since_unix_ms`].
        script_since_unix_ms: u64,
        /// How far the replica has got.
        offset: u64,
    },
    /// Start a server that is kept down; it serves nothing before it follows or is promoted.
    Start,
    /// Promise, durably, to vouch for no primary of this epoch or of an earlier one.
    Promise {
        /// The epoch.
        epoch: u64,
    },
    /// Stop now: the pod is asked to end, and nobody is left who could take over.
    Leave,
    /// What the server of a cluster is told.
    Cluster {
        /// It.
        command: Command,
    },
    /// Note, durably, whether a scale-down leaves this copy behind: the data lives on elsewhere. It holds
    /// until the copy is in sync with another primary, promoted, or told otherwise.
    MarkLeft {
        /// It is left behind.
        left: bool,
    },
}

/// An operator that names no epoch means whatever runs.
fn any_epoch() -> u64 {
    u64::MAX
}

/// Not the password.
impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promote { epoch, .. } => write!(f, "Promote(epoch {epoch})"),
            Self::Follow {
                epoch, host, port, ..
            } => write!(f, "Follow({host}:{port}, epoch {epoch})"),
            Self::Pause { millis, epoch } => write!(f, "Pause({millis} ms, epoch {epoch})"),
            Self::Release => f.write_str("Release"),
            Self::Fence { epoch } => write!(f, "Fence(epoch {epoch})"),
            Self::FenceBusy { epoch, offset, .. } => {
                write!(f, "FenceBusy(epoch {epoch}, offset {offset})")
            }
            Self::Start => f.write_str("Start"),
            Self::Promise { epoch } => write!(f, "Promise(epoch {epoch})"),
            Self::Leave => f.write_str("Leave"),
            Self::Cluster { command } => write!(f, "Cluster({command})"),
            Self::MarkLeft { left } => write!(f, "MarkLeft({left})"),
        }
    }
}

/// The data pods of an instance, and how their primary is fenced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// All of them, this one included, by ordinal. A pod that is alone promotes itself and is
    /// never fenced.
    pub pods: Vec<Peer>,
    /// Milliseconds without a confirmation after which a primary stops; 0 turns fences off.
    pub fence_after_ms: u64,
    /// Grows with each list: one that was overtaken by a later one is refused. 0 of an operator that
    /// does not count them.
    #[serde(default)]
    pub revision: u64,
}

/// How much a primary has written: all that it had acknowledged when it was asked. Only of one that serves as primary
/// without a doubt is it told: one that is fenced, or may be soon, refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// The history (`master_replid`).
    pub id: String,
    /// How much of it.
    pub offset: u64,
    /// When it began, in milliseconds since 1970: nothing of it was acknowledged before. None where the agent does not
    /// know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
}

/// A data pod as its peers know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Uid of the pod.
    pub pod_uid: String,
    /// The name in its agent's certificate.
    pub server_name: String,
    /// Its address; none while it has none.
    pub ip: Option<String>,
}

/// A primary asks whether it still is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Counts the questions of one agent.
    pub number: u64,
    /// Uid of the primary's pod.
    pub pod_uid: String,
    /// Its epoch.
    #[serde(alias = "reign")]
    pub epoch: u64,
}

/// The operator's yes to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// Number of the question.
    pub number: u64,
    /// The epoch that is confirmed.
    pub epoch: u64,
}

/// A peer's answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vouch {
    /// Yes or no.
    pub confirmed: bool,
}

/// What is news of a server in a cluster. How far it is and what traffic drives is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNews {
    /// Its id; empty before it is known.
    pub id: NodeId,
    /// It serves its slots, or leads to who does.
    pub serves: bool,
    /// Another once what it knows of the cluster is: ask for the [`ClusterState`].
    pub digest: String,
    /// The agent waits with its start.
    pub held: bool,
}

/// What an agent in a cluster tells when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterState {
    /// The id that its server has, or last had.
    pub id: Option<NodeId>,
    /// What the server says; none while it does not answer.
    pub server: Option<Server>,
    /// The agent waits with its start.
    pub held: Option<Held>,
    /// For how many milliseconds no server has been running; none while one runs.
    pub dead_ms: Option<u64>,
    /// How many milliseconds ago it was ordered to take over by vote from the primary that it still
    /// replicates.
    pub asked_ms: Option<u64>,
}

/// A primary that is about to end asks a replica to take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakeOver {
    /// Id of the primary.
    pub primary: NodeId,
}

/// A step of slots that move key by key, for the server that gets them. Taking it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotStep {
    /// The slots.
    pub slots: SlotSet,
    /// Who gives them.
    pub source: NodeId,
    /// The epoch of the source by its own word, which the target has to have heard.
    #[serde(default)]
    pub epoch: u64,
    /// Who gets them: at its address may be another by now.
    pub target: NodeId,
    /// Who replicates the source. Once one of them leads, it has taken writes of which the source knows nothing.
    pub replicas: Vec<NodeId>,
    /// The step.
    pub step: TakeSlot,
}

/// What the server that gets slots does with each of them that it does not own yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakeSlot {
    /// None: it only answers.
    Look,
    /// It takes keys of it, and serves those who are sent to it for them.
    Import,
    /// It loses what it may have of keys that did not move: sending them was cut off, and clients deleted them at the
    /// source since.
    Drop(Vec<CutOff>),
    /// It owns it: the source has no key of it any more.
    Own,
}

/// A key that was sent, and of which it is not known whether it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CutOff {
    /// The key.
    pub key: Vec<u8>,
    /// SHA-256 of what was sent: what a client has written under that name since is another's. None if nobody could
    /// tell.
    pub digest: Option<String>,
}

/// The answer to a [`SlotStep`], about the slots that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotAnswer {
    /// Those that the server owns now.
    pub owned: SlotSet,
    /// Those of which it took keys before it was asked, from this source or another.
    pub imports: SlotSet,
    /// Those of which it takes no keys from this source, while it does of others.
    pub refused: RefusedSlots,
}

/// Slots that a server does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedSlots {
    /// None if it takes all.
    pub slots: SlotSet,
    /// Why not, of the first of them.
    pub why: String,
}

/// A line of the event stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum News {
    /// A question of a primary.
    Question {
        /// It.
        question: Question,
    },
    /// The status.
    Status(Box<AgentStatus>),
}

/// Where a copy of the data stands, read from the server when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// For [`Order::Promote`]: good for a few seconds.
    pub token: u64,
    /// Replication id of the data.
    pub replication_id: String,
    /// Offset in its history.
    pub offset: u64,
    /// Keys in all databases.
    pub keys: u64,
    /// Bytes of the files that the server read when it started; 0 of an earlier release.
    #[serde(default)]
    pub bytes: u64,
    /// When those files were last written, in milliseconds since 1970; 0 if there were none, or of an
    /// earlier release.
    #[serde(default)]
    pub written_unix_ms: u64,
}

/// When a server stops by itself. It changes with every confirmation, so it is told on request only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FenceState {
    /// Milliseconds until then, unless it is confirmed before; none if it is never fenced, or no
    /// primary.
    pub left_ms: Option<u64>,
}

/// Whom a replica follows, as the server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Address of the primary.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// True while it receives what the primary writes.
    pub up: bool,
    /// True while it takes in the whole dataset.
    pub syncing: bool,
    /// True when the primary was not heard for longer than it may be silent, though the link stands: a
    /// server takes a link that is cut without a word for whole until `repl-timeout` (a minute and a half).
    #[serde(default)]
    pub quiet: bool,
}

/// What an agent remembers, durably, about the epoch of its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Epoch of the data: that of its own promotion, or of the primary that it was in sync with.
    #[serde(alias = "reign")]
    pub epoch: u64,
    /// Uid of the pod that was the primary of that epoch.
    pub primary_uid: String,
    /// True if this volume was the primary's then.
    pub was_primary: bool,
    /// Replication offset at the last clean stop; 0 if it was not clean.
    pub offset: u64,
    /// Names the history that the data belongs to: epochs are comparable within one. It is the uid of
    /// the object under which that history began; empty before any did, and of an earlier release.
    #[serde(default)]
    pub lineage: String,
    /// The data is from before this object: its pods have led, and followed, nothing since.
    #[serde(default)]
    pub inherited: bool,
    /// A scale-down left this copy behind ([`Order::MarkLeft`]). None of an earlier release, which knows
    /// no such order.
    #[serde(default)]
    pub left: Option<bool>,
    /// Highest epoch for which it promised not to vouch.
    #[serde(alias = "forsworn")]
    pub promised_epoch: u64,
    /// When it promised that, it had vouched for nobody for so many milliseconds.
    #[serde(default)]
    pub quiet_ms: u64,
    /// It led when it was stopped, and is not in sync with who led next yet.
    #[serde(default)]
    pub deposed: bool,
    /// Uids of the pods that had this volume before, the last ones: their agents hold it no more.
    #[serde(default)]
    pub former: Vec<String>,
    /// True while the volume lacks what the server has: the file that the next start reads is not
    /// written to its end yet.
    #[serde(default)]
    pub unsaved: bool,
}

/// Body of an answer with a 4xx or 5xx status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why, in a sentence for people.
    pub message: String,
    /// The highest term seen, when the refusal is about an older term (status 409). It says nothing about
    /// other instances.
    pub term: Option<u64>,
}

/// The directives of the server's configuration file that come from the operator, as one
/// revision. What depends on the pod (folder, port, ACL file, boot guard) the agent adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Users that somebody changed at the server itself and that were put right, for ten minutes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub put_right: BTreeSet<String>,
}

/// With which password a server logs in at its primary.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginState {
    /// SHA-256 of what it is to log in with; empty while that is not known.
    pub password_sha256: String,
    /// The running server logs in with that one, and with no other.
    pub in_force: bool,
}

/// Not the hash.
impl std::fmt::Debug for LoginState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginState")
            .field("in_force", &self.in_force)
            .finish_non_exhaustive()
    }
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
    /// Killed, and down until it is to follow or to be promoted.
    Fenced,
}

/// The server's role as the server itself tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Not known yet.
    Unknown,
    /// Held back by the boot guard: neither reads nor writes are served.
    Held,
    /// Follows a primary, or would if it could reach it.
    Replica,
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
    /// Whom it follows, if it is a replica.
    #[serde(default)]
    pub link: Option<Link>,
    /// What it remembers of epochs.
    #[serde(default)]
    pub memory: Memory,
    /// The data pods it knows of; empty before any were told.
    #[serde(default)]
    pub members: Members,
    /// The pod is asked to end, and waits for another to take over.
    #[serde(default)]
    pub leaving: bool,
    /// The server answers nothing although its process is there.
    #[serde(default)]
    pub hangs: bool,
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
    /// With which password its server logs in at its primary. None of one that nobody told whom to follow, nor of
    /// an earlier release; those of a cluster always have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginState>,
    /// Times that the server was started again since the agent started.
    pub restarts: u64,
    /// How the last server process ended, if one did since the agent started.
    pub last_exit: Option<ServerExit>,
    /// Why the pod does not serve, in a sentence for people; none when it serves.
    pub waiting_for: Option<String>,
    /// What its data volume takes. Agents of earlier releases say nothing of it.
    #[serde(default)]
    pub volume: Volume,
    /// How far its server was when it was last seen to lead, once that one ended: until the next one
    /// leads, or is in sync with another. Only as long as the agent lives.
    #[serde(default)]
    pub led_to: Option<Mark>,
    /// Of a primary that was promoted: how much of the history before it has.
    #[serde(default)]
    pub forked_at: Option<Mark>,
    /// Of a server in a cluster.
    #[serde(default)]
    pub cluster: Option<ClusterNews>,
    /// Its server has few connections left; none while it has enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// A script or function keeps its server from answering anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The volume is filled from a backup before the server's first start; none of an object that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryNews>,
    /// It keeps the log of its server in a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureNews>,
}

/// A script or function that has been running for longer than the server waits with other answers
/// (`lua-time-limit`, 5 s).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// Since when the server has answered nothing else, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// It was to be ended and has written: only the end of the server ends it.
    #[serde(default)]
    pub has_written: bool,
}

/// What is known of the connections of a server that has few left. It changes when they pass a
/// threshold, and no sooner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// How many there were when they came near the limit; none if nobody could tell.
    #[serde(default)]
    pub open: Option<u64>,
    /// The server's `maxclients` then.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The agent itself is not let in any more.
    #[serde(default)]
    pub all_taken: bool,
}

/// A point in a history of data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Names the history.
    pub replication_id: String,
    /// Bytes of it.
    pub offset: u64,
}

/// How much room a data volume has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The file that holds the data can be written anew beside the one that is there.
    #[default]
    Enough,
    /// Less than that.
    Low,
    /// Next to nothing.
    Full,
}

/// What a data volume takes. It changes when its room passes a threshold, and no sooner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its room.
    #[serde(default)]
    pub space: Space,
    /// Why the server takes no writes, or would take none as the primary; none while it does.
    #[serde(default)]
    pub refused_writes: Option<RefusedWrites>,
    /// Why the agent cannot write its own state there; none while it can.
    #[serde(default)]
    pub state_error: Option<String>,
    /// A snapshot that somebody put there was not read, and is kept.
    #[serde(default)]
    pub dump_not_read: bool,
}

/// Why a server takes no writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedWrites {
    /// In the server's words.
    pub words: String,
    /// True if the volume is full; something else is wrong with it otherwise.
    pub full: bool,
    /// Fewer MiB than this were free, a power of two; none if that is not known.
    #[serde(default)]
    pub free_below_mib: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_which_an_earlier_release_says_nothing_takes_writes() {
        let volume: Volume = serde_json::from_str("{}").unwrap();
        assert_eq!(volume, Volume::default());
        assert!(volume.refused_writes.is_none() && volume.space == Space::Enough);
    }

    #[test]
    fn an_agent_that_tells_of_no_heavy_slot_has_none_and_a_later_one_may_say_more() {
        let heaviest = |fields: &str| {
            let text = format!(r#"{{"server": {{"id": "a", "known": []{fields}}}}}"#);
            let state: ClusterState = serde_json::from_str(&text).unwrap();
            state.server.unwrap().heaviest
        };
        assert!(heaviest("").is_empty());
        let told = heaviest(r#", "heaviest": [{"slot": 7, "loadPpm": 9, "keys": 1}]"#);
        assert_eq!(
            (told[0].slot, told[0].load_ppm, told[0].used_bytes),
            (7, 9, None)
        );
    }

    #[test]
    fn orders_of_an_operator_that_named_no_epoch_are_understood() {
        let read = |text: &str| serde_json::from_str::<Order>(text).unwrap();
        assert_eq!(
            read(r#"{"order": "fence"}"#),
            Order::Fence { epoch: u64::MAX }
        );
        assert_eq!(
            read(r#"{"order": "pause", "millis": 5}"#),
            Order::Pause {
                millis: 5,
                epoch: 0
            }
        );
    }
}
