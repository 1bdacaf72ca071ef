use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::validate::messages;

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

/// What an object begins with. It cannot change, and says nothing once the object has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::BEGINS_WITH_SOMETHING).message(messages::BEGINS_WITH_SOMETHING))]
pub struct Bootstrap {
    /// The data of a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// The backup from which an object begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The backup.
    pub backup_ref: BackupRef,
}

/// A RedisBackup of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}
