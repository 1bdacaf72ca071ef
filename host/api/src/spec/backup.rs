use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::messages;
use crate::{duration, schema};

/// Where backups of an object go, and which of its copies they are read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// The store.
    pub store_ref: StoreRef,

    /// Which copy is read. PreferReplica: a replica in sync, or the primary if there is none. Replica: none is taken
    /// while no replica is in sync. Primary: the primary.
    #[serde(default)]
    pub source: BackupSource,

    /// The log of what is written: with it and a backup, a new object can begin with any instant since that backup. If
    /// absent, none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpec>,

    /// When backups are made by themselves. If absent, only as maxAge, maxReplay and the log ask for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub schedules: Vec<BackupSchedule>,

    /// How old the newest backup may get, such as 26h: before it is older another one is made, whatever schedules and
    /// policies say. From 10m to 8760h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::MAX_AGE).message(messages::MAX_AGE))]
    pub max_age: Option<String>,

    /// How long the log behind the newest backup may take to load, such as 10m: before it takes longer another backup is
    /// made. From 10s to 24h; it says nothing without a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::MAX_REPLAY).message(messages::MAX_REPLAY))]
    pub max_replay: Option<String>,

    /// Which backups stay; the others are deleted, in the store and here. If absent, nothing is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepSpec>,
}

/// When a backup is made by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupSchedule {
    /// Its name.
    #[schemars(length(min = 1, max = 40), regex(pattern = schema::DNS_LABEL))]
    pub name: String,

    /// Minute, hour, day of month, month and day of week, such as "0 3 * * *"; or @hourly, @daily, @weekly, @monthly.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(schema::CRON).message(messages::CRON))]
    pub cron: String,

    /// The zone of these times, such as Europe/Berlin. A time that the change to summer leaves out comes with the hour
    /// after it, one that comes twice in autumn counts once.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(schema::TIME_ZONE).message(messages::TIME_ZONE))]
    pub time_zone: String,

    /// How long after its time it begins at the latest: a policy may choose within. From 0s to 24h.
    #[serde(default = "default_start_within")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::START_WITHIN).message(messages::START_WITHIN))]
    pub start_within: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn default_start_within() -> String {
    "1h".to_owned()
}

/// Which backups stay. A policy chooses among the others; the default deletes all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeepSpec {
    /// What was so long ago can still be recovered, such as 168h: with a log any instant, otherwise every backup. From 1h
    /// to 87600h. If absent, last alone counts.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::KEEP_FOR).message(messages::KEEP_FOR))]
    pub window: Option<String>,

    /// So many of the last backups stay, whatever their age.
    #[serde(default = "one_backup")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: i32,
}

fn one_backup() -> i32 {
    1
}

/// Whether what is written is kept in the store as well, and how soon. It is read from the copy that source says; but
/// with durability.minReplicasToWrite always from a replica, as who reads the primary counts as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogSpec {
    /// Enabled: it is kept. Disabled: it is kept no further; what the store has of it stays.
    #[serde(default)]
    pub mode: LogMode,

    /// How long after it was acknowledged a write is in the store at the latest, while the store answers. From 1s to
    /// 10m. While there are writes, each half of it costs a PUT.
    #[serde(default = "default_max_delay")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::MAX_DELAY).message(messages::MAX_DELAY))]
    pub max_delay: String,
}

/// Whether a log is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LogMode {
    /// It is.
    #[default]
    Enabled,
    /// It is not.
    Disabled,
}

fn default_max_delay() -> String {
    "5s".to_owned()
}

/// A RedisBackupStore of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}

/// Which copy of the data a backup is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupSource {
    /// A replica in sync, or the primary if there is none.
    #[default]
    PreferReplica,
    /// A replica in sync, and nothing else.
    Replica,
    /// The primary.
    Primary,
}

/// Kinds of which there are backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// A RedisInstance.
    #[default]
    RedisInstance,
}

/// What an object begins with. It cannot change, and says nothing once the object has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::BEGINS_WITH_SOMETHING).message(messages::BEGINS_WITH_SOMETHING))]
pub struct Bootstrap {
    /// The data of a backup, or of an instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// The data from which an object begins: that of a backup, or that which an object had at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::ONE_ORIGIN).message(messages::ONE_ORIGIN))]
#[x_kube(validation = Rule::new(schema::BRANCH_OF_A_LOG).message(messages::BRANCH_OF_A_LOG))]
pub struct Recovery {
    /// The backup; with time, the object that it is of, and its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupRef>,

    /// The object, as a store knows it: that of an object that is gone, or of another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RecoverySource>,

    /// The instant, such as "2026-11-28T14:03:04.5Z": what was acknowledged before it is there, and nothing that was
    /// sent after it. It must be in the object's log. If absent: with backupRef that of the backup, with source the
    /// latest that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = schema::MAX_TIME))]
    #[x_kube(validation = Rule::new(schema::TIME).message(messages::TIME))]
    pub time: Option<String>,

    /// A replication id: the history that ended there, and not the one that went on, as after a failover that lost
    /// writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 40, max = 40), regex(pattern = schema::REPLICATION_ID))]
    pub branch: Option<String>,
}

/// A RedisBackup of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}

/// An object of which a store has a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoverySource {
    /// The store.
    pub store_ref: StoreRef,

    /// Kind of the object.
    #[serde(default)]
    pub kind: TargetKind,

    /// Its namespace; that of the new object if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub namespace: Option<String>,

    /// Its name.
    #[schemars(length(min = 1, max = 40), regex(pattern = schema::DNS_LABEL))]
    pub name: String,

    /// Its uid, where several had the name one after the other; a recovery that is refused for that names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::UID))]
    pub uid: Option<String>,
}
