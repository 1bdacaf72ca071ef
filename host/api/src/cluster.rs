use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::spec::{CommonSpec, RebalanceSpec};
use crate::status::RedisClusterStatus;
use crate::validate::messages;

/// What is wanted of one dataset in shards.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "cache.hera.io",
    version = "v1alpha1",
    kind = "RedisCluster",
    plural = "redisclusters",
    shortname = "rdc",
    category = "hera",
    namespaced,
    status = "RedisClusterStatus",
    scale(
        spec_replicas_path = ".spec.masters",
        status_replicas_path = ".status.masters",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "One dataset in shards, by the cluster protocol of Redis or Valkey.",
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas", description = "How many data pods serve"),
    printcolumn(name = "Masters", type_ = "integer", json_path = ".spec.masters", description = "How many shards are wanted"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicasPerMaster", description = "How many replicas of each are wanted"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "The version that the servers say they are"),
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
    validation = Rule::new("self.engine == oldSelf.engine").message(messages::CLUSTER_ENGINE),
    validation = Rule::new("!has(self.policies) || !has(self.policies.backup)").message(messages::BACKUP_OF_CLUSTER),
)]
pub struct RedisClusterSpec {
    /// What every kind's spec has.
    #[serde(flatten)]
    pub common: CommonSpec,

    /// How many shards there are: each has a primary, which serves its part of the keys. New ones get slots of
    /// the others; those of the highest numbers go once others have taken over all that they have. Also by kubectl
    /// scale.
    #[serde(default = "three")]
    #[x_kube(validation = Rule::new(schema::MASTERS).message(messages::MASTERS))]
    pub masters: i32,

    /// How many replicas each primary has.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new(schema::REPLICAS_PER_MASTER).message(messages::REPLICAS_PER_MASTER))]
    pub replicas_per_master: i32,

    /// How slots move when shards come or go, and whenever a policy finds it good.
    #[serde(default, skip_serializing_if = "RebalanceSpec::is_default")]
    pub rebalance: RebalanceSpec,
}

fn three() -> i32 {
    3
}

fn one() -> i32 {
    1
}
