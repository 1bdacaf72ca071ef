use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::Engine;
use crate::schema;
use crate::spec::{
    Auth, Durability, Failover, Persistence, PodTemplate, Policies, Resources, SecretRef,
    UpdateStrategy, UserSpec, no,
};
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
    validation = Rule::new("has(self.version) || has(self.image)")
        .message("say what to run: set version (such as \"7.2\"), or image with a tag that is a version, or both"),
    validation = Rule::new("!has(self.users) || self.users.all(u, u.name != (has(self.auth) ? self.auth.username : 'app'))")
        .message("users: the name of the application user is taken: choose another, or name the application user otherwise \
            in auth.username"),
    validation = Rule::new("!has(self.durability) || !has(self.durability.minReplicasToWrite) || !has(self.replicas) || \
            self.durability.minReplicasToWrite < self.replicas")
        .message(messages::MIN_REPLICAS_TO_WRITE),
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
    /// The server: redis or valkey. May change from redis up to 7.2 to valkey, and from valkey up
    /// to 8 to redis from 7.2 on: the new server reads the old one's files.
    #[serde(default)]
    pub engine: Engine,

    /// The server's version, such as "7.2" or "7.2.4". The operator's catalog names the image for
    /// it, unless image does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        regex(pattern = r"^(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){0,2}$")
    )]
    pub version: Option<String>,

    /// The server's image, instead of the catalog's. Its tag must be a version unless version is
    /// set as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._/:@+-]*$")
    )]
    pub image: Option<String>,

    /// Secrets with which images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,

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

    /// How pods are replaced.
    #[serde(default, skip_serializing_if = "UpdateStrategy::is_default")]
    pub update_strategy: UpdateStrategy,

    /// What the server's container asks for and may use.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,

    /// Where the data is kept, and how.
    #[serde(default)]
    pub persistence: Persistence,

    /// Directives of redis.conf, name to value, in the notation of redis.conf. Applied to the
    /// running server where it allows that. Directives that the operator owns are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::config")]
    pub config: BTreeMap<String, String>,

    /// The application user.
    #[serde(default, skip_serializing_if = "Auth::is_default")]
    pub auth: Auth,

    /// Further users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<UserSpec>,

    /// Policies of your own.
    #[serde(default, skip_serializing_if = "Policies::is_default")]
    pub policies: Policies,

    /// Where the pods run and what they carry.
    #[serde(default, skip_serializing_if = "PodTemplate::is_default")]
    pub pod_template: PodTemplate,

    /// Hold back changes of the spec. What keeps the server healthy goes on.
    #[serde(default = "no")]
    pub paused: bool,
}

fn one() -> i32 {
    1
}
