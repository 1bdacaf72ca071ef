use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::yes;
use crate::schema;

/// Where the data is kept, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.enabled == oldSelf.enabled")
        .message("persistence.enabled cannot change on a live object: create another object and move the data"),
    validation = Rule::new("!oldSelf.enabled || !self.enabled || (has(self.storageClassName) ? (has(oldSelf.storageClassName) && \
            self.storageClassName == oldSelf.storageClassName) : !has(oldSelf.storageClassName))")
        .message("persistence.storageClassName cannot change on a live object: create another object and move the data"),
    validation = Rule::new("self.enabled || (!has(self.aof) && !has(self.rdb))")
        .message("persistence.aof and persistence.rdb need a volume: set persistence.enabled to true, or remove them"),
    validation = Rule::new("!self.enabled || !has(self.aof) || self.aof.enabled || !has(self.rdb) || self.rdb.save != ''")
        .message("persistence is enabled but nothing would be written: set persistence.aof.enabled to true or give persistence.rdb.save save points"),
)]
pub struct Persistence {
    /// Keep the data on a volume of its own. Without one, a restart begins with no data. Cannot
    /// change on a live object.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Size of the volume. May grow on a live object, where the storage class allows it; never
    /// shrinks.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "schema::quantity")]
    pub size: Quantity,

    /// Storage class of the volume; the cluster's default class if absent. Cannot change on a live
    /// object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub storage_class_name: Option<String>,

    /// What becomes of the volume when the object is deleted: it stays (Retain) or goes (Delete).
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,

    /// The append-only file: each write is logged. On, with fsync EverySecond, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aof: Option<Aof>,

    /// Snapshots. If absent: none while the append-only file is on, else the server's usual save
    /// points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdb: Option<Rdb>,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            enabled: true,
            size: default_size(),
            storage_class_name: None,
            reclaim_policy: ReclaimPolicy::Retain,
            aof: None,
            rdb: None,
        }
    }
}

fn default_size() -> Quantity {
    Quantity("1Gi".to_owned())
}

/// What becomes of a volume when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes.
    Delete,
}

/// The append-only file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Aof {
    /// Log each write.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// When the log reaches the disk: Always (before each answer), EverySecond (a crash of the node
    /// loses up to two seconds) or Never (when the kernel likes).
    #[serde(default)]
    pub fsync: Fsync,
}

/// When the append-only file reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Fsync {
    /// Before each answer.
    #[serde(alias = "always")]
    Always,
    /// Every second.
    #[default]
    #[serde(alias = "everysec")]
    EverySecond,
    /// When the kernel likes.
    #[serde(alias = "no")]
    Never,
}

impl Fsync {
    /// The value of `appendfsync`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::Never => "no",
        }
    }
}

/// Snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rdb {
    /// Save points as in redis.conf, pairs of seconds and changes: "3600 1 300 100". An empty text
    /// turns snapshots off.
    #[schemars(
        length(max = 128),
        regex(pattern = r"^([1-9][0-9]{0,8} [0-9]{1,9}( [1-9][0-9]{0,8} [0-9]{1,9})*)?$")
    )]
    pub save: String,
}
