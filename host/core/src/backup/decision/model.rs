use serde::{Deserialize, Serialize};

use crate::backup::Source;

/// Role of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyRole {
    /// It takes writes.
    Primary,
    /// It follows.
    Replica,
}

/// A copy of the data: a pod with its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Copy {
    /// Number of the pod within its shard.
    pub id: u32,
    /// Its role.
    pub role: CopyRole,
    /// It may be read now.
    pub fits: bool,
    /// Memory that its server uses; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Memory that its container has left; none if it has no limit or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Commands a second in the last minute; none if that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_per_second: Option<u64>,
    /// Commands a second, a mean over the last quarter of an hour; none if that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ops_per_second: Option<u64>,
    /// The zone of its node; empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Its agent keeps the log.
    #[serde(default)]
    pub keeps_log: bool,
    /// The backup before was read from it.
    #[serde(default)]
    pub read_last: bool,
}

/// A shard; an object that has none is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardCopies {
    /// Its number.
    pub id: u32,
    /// Those that are there, in the order of their numbers.
    pub copies: Vec<Copy>,
    /// When the newest backup of it was taken, in milliseconds since 1970; none if there is none, or if the log does not
    /// go on from any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_unix_ms: Option<u64>,
    /// Bytes of the log since.
    #[serde(default)]
    pub log_bytes: u64,
    /// Seconds that a server would take to load that log.
    #[serde(default)]
    pub replay_seconds: u32,
}

/// Why a backup is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// A schedule of the spec is due.
    Schedule,
    /// Somebody made a `RedisBackup`.
    Person,
    /// The newest backup is nearly as old as it may get.
    Age,
    /// The log since the newest backup takes nearly as long to load as it may.
    Replay,
    /// The log goes on from no backup.
    Gap,
}

/// A backup that is wanted, and has not begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Demand {
    /// Name of the `RedisBackup`.
    pub name: String,
    /// Why it is wanted.
    pub cause: Cause,
    /// Name of the schedule; empty for any other cause.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// Since when it is wanted, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Then it begins, whatever a policy says; in milliseconds since 1970.
    pub latest_unix_ms: u64,
}

/// A backup that is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Past {
    /// Its name in the store.
    pub id: String,
    /// The instant that it holds, in milliseconds since 1970.
    pub instant_unix_ms: u64,
    /// Bytes of it in the store.
    pub stored_bytes: u64,
    /// Why it was made.
    pub cause: Cause,
    /// It cannot go.
    pub needed: bool,
}

/// Within what an answer must stay: what the object's spec says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Which copies may be read.
    pub source: Source,
    /// The newest backup must never be older; none if the spec does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u64>,
    /// Every instant, or backup, of so long must stay recoverable; none if nothing is to go by age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_seconds: Option<u64>,
    /// So many of the last backups stay, whatever their age.
    pub keep_last: u32,
}

/// What is to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupInput {
    /// The backup about which [`BackupAnswer::next`] is; none if only [`BackupAnswer::drop`] is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// The others that are wanted; they are asked about after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Demand>,
    /// When the next schedule is due, in milliseconds since 1970; none if there is no schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due_unix_ms: Option<u64>,
    /// Every shard, in the order of their numbers.
    pub shards: Vec<ShardCopies>,
    /// What the store has of the object, the latest first; at most [`MOST_HISTORY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
    /// A log is kept.
    #[serde(default)]
    pub log_kept: bool,
    /// What the spec says.
    pub limits: Limits,
}

/// So many backups a policy is told of.
pub const MOST_HISTORY: usize = 256;

/// From which copy a shard is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Choice {
    /// The shard.
    pub shard: u32,
    /// [`Copy::id`].
    pub copy: u32,
}

/// What becomes of the demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decided {
    /// It begins now.
    Start(Vec<Choice>),
    /// It is asked about again then, in milliseconds since 1970.
    WaitUntil(u64),
    /// Nothing: of a demand, that the backup is not made.
    Skip,
}

/// What a policy answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupAnswer {
    /// What becomes of the demand.
    pub next: Decided,
    /// [`Past::id`] of those that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Why, for people.
    pub reason: String,
}
