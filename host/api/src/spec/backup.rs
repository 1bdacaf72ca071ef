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
