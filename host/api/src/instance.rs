use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::spec::{BackupSpec, Bootstrap, CommonSpec, Durability, Failover};
use crate::status::RedisInstanceStatus;
use crate::validate::messages;

/// What is wanted of one dataset.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "cache.hera.io",
    version = "v1alpha1",
    kind = "RedisInstance",
    plural = "redisinstances",
    shortname = "ri",
    category = "hera",
    namespaced,
    status = "RedisInstanceStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "One dataset on Redis or Valkey.",
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas", description = "How many data pods serve"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas", description = "How many data pods are wanted"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "The version that the server says it is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Serves", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", priority = 1, description = "The condition Ready"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.engine", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name: use at most 40 lower-case letters, digits and dashes, beginning with a letter and ending with a \
         letter or digit: Services and pods are named after it"
    ),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(schema::VERSION_OR_IMAGE).message(messages::VERSION_OR_IMAGE),
    validation = Rule::new(schema::APP_USER_IS_ONE).message(messages::APP_USER_IS_ONE),
    validation = Rule::new("!has(self.durability) || !has(self.durability.minReplicasToWrite) || !has(self.replicas) || \
            self.durability.minReplicasToWrite < self.replicas")
        .message(messages::MIN_REPLICAS_TO_WRITE),
    validation = Rule::new("!has(self.policies) || !has(self.policies.rebalance)").message(messages::REBALANCE_OF_INSTANCE),
    validation = Rule::new(schema::BOOTSTRAP_STAYS).message(messages::BOOTSTRAP_STAYS),
    validation = Rule::new("self.engine == oldSelf.engine || oldSelf.engine != 'redis' || !oldSelf.persistence.enabled || !has(oldSelf.version) || \
            !oldSelf.version.matches('^(7[.]([4-9]|[1-9][0-9])|[89]|[1-9][0-9])')")
        .message("engine cannot change from redis to valkey here: Valkey cannot read the files of Redis 7.4 and newer; \
            create a new object with engine valkey and copy the data"),
    validation = Rule::new("self.engine == oldSelf.engine || oldSelf.engine != 'valkey' || !oldSelf.persistence.enabled || !has(oldSelf.version) || \
            !oldSelf.version.matches('^(9|[1-9][0-9])')")
        .message("engine cannot change from valkey to redis here: Redis cannot read the files of Valkey 9 and newer; \
            create a new object with engine redis and copy the data"),
)]
pub struct RedisInstanceSpec {
    /// What every kind's spec has.
    #[serde(flatten)]
    pub common: CommonSpec,

    /// How many pods hold the data: one of them is the primary, the others are replicas.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new(schema::REPLICAS).message(messages::REPLICAS))]
    pub replicas: i32,

    /// When a primary that cannot be reached is given up.
    #[serde(default, skip_serializing_if = "Failover::is_default")]
    pub failover: Failover,

    /// What a write must have reached.
    #[serde(default, skip_serializing_if = "Durability::is_default")]
    pub durability: Durability,

    /// Where backups go. If absent, none can be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupSpec>,

    /// What a new object begins with: nothing if absent. It cannot be set, changed or taken out once the object is
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
}

fn one() -> i32 {
    1
}
