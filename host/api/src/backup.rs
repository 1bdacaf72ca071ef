use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{BackupSource, TargetKind};
use crate::{Engine, schema};

/// One backup of an object. It outlives the object; deleting it deletes no data.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "cache.hera.io",
    version = "v1alpha1",
    kind = "RedisBackup",
    plural = "redisbackups",
    shortname = "rdb",
    category = "hera",
    namespaced,
    status = "RedisBackupStatus",
    derive = "PartialEq",
    doc = "One backup of an object.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".metadata.labels.cache\\.hera\\.io/backup-cause", description = "Why the operator made it; nothing where somebody asked for it"),
    printcolumn(name = "Instant", type_ = "string", json_path = ".status.instant"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.storedSize"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Completed\")].reason", priority = 1),
    validation = Rule::new("self.spec == oldSelf.spec").message("spec of a backup cannot change: create another RedisBackup"),
)]
#[serde(rename_all = "camelCase")]
pub struct RedisBackupSpec {
    /// The object, of the same namespace.
    pub target: BackupTarget,

    /// Which copy is read; as the object's spec.backup.source says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<BackupSource>,
}

/// The object of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupTarget {
    /// Its kind.
    #[serde(default)]
    pub kind: TargetKind,

    /// Its name.
    #[schemars(length(min = 1, max = 40), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}

/// What became of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisBackupStatus {
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupPhase>,

    /// Completed; each reason is explained in docs/conditions.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The store, as the object's spec named it when the backup began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub store: Option<String>,

    /// Uid of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub target_uid: Option<String>,

    /// Path of the backup's own file in the store, below the store's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,

    /// The instant whose data it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant: Option<Time>,

    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// Since when something beside the copy has been in the way, such as a store that does not answer; an hour later it
    /// is given up. None while nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Time>,

    /// When it was whole in the store, or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,

    /// How much the store holds of it, for people: `12Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub stored_size: Option<String>,

    /// Which server wrote the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,

    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub version: Option<String>,

    /// How often it was begun.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub attempts: i32,

    /// The shards: one of an object that has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["shard".into()]))]
    pub shards: Vec<BackupShard>,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackupPhase {
    /// It waits.
    #[default]
    Pending,
    /// A copy is read and stored.
    Running,
    /// The store holds the whole of it.
    Completed,
    /// Nothing came of it.
    Failed,
    /// A policy left it out.
    Skipped,
}

/// A shard in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupShard {
    /// The shard: `0` of an object that has none.
    #[schemars(length(max = 16))]
    pub shard: String,

    /// The pod whose server is read, or was.
    #[schemars(length(max = 63))]
    pub pod: String,

    /// Its uid.
    #[schemars(length(max = 64))]
    pub pod_uid: String,

    /// Its role when the data was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub role: Option<String>,

    /// Names the history of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replication_id: Option<String>,

    /// How much of that history is in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub offset: Option<i64>,

    /// The instant whose data it holds, by the clock of the pod that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant: Option<MicroTime>,

    /// Bytes of the data before it was packed; a new object needs so much room on its volume, and a little more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub raw_bytes: Option<i64>,

    /// Bytes in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub stored_bytes: Option<i64>,

    /// What the server used of its memory; a new object needs so much, and a little more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub used_memory: Option<i64>,
}

impl RedisBackup {
    /// How far it is: it waits before anything is said.
    pub fn phase(&self) -> BackupPhase {
        let status = self.status.as_ref();
        status.and_then(|status| status.phase).unwrap_or_default()
    }

    /// True once nothing is done about it any more.
    pub fn is_over(&self) -> bool {
        match self.phase() {
            BackupPhase::Completed | BackupPhase::Failed | BackupPhase::Skipped => true,
            BackupPhase::Pending | BackupPhase::Running => false,
        }
    }
}
