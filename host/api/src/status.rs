use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Engine;

/// What the operator found. Nothing that traffic drives is in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisInstanceStatus {
    /// The generation of the spec that the rest speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The conditions in one word, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Ready, Progressing, Degraded and PolicyHealthy; each reason is explained in
    /// docs/conditions.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The pod that serves writes; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub primary: Option<String>,

    /// How many data pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// The labels of the data pods, for who scales by what they measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,

    /// The next step of a roll, while it waits for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,

    /// How many data pods serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub ready_replicas: Option<i32>,

    /// The image in use. It moves only with the spec, not with the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// What the running server says it is: redis or valkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,

    /// The version that the running server says it is: the one that last wrote the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub version: Option<String>,

    /// The policy that decides, per decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["decision".into()]))]
    pub policies: Vec<PolicyStatus>,
}

/// A step that waits for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// What an approval must name: the value for the annotation cache.hera.io/approve.
    #[schemars(length(max = 64))]
    pub digest: String,

    /// Since when it waits.
    pub since: Time,

    /// The copies of the data of which one is to be chosen, where nothing recorded says which is right:
    /// the approval names the digest of that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub copies: Vec<CopyStatus>,
}

/// A copy of the data that somebody may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// The pod that has it.
    #[schemars(length(max = 253))]
    pub pod: String,

    /// What an approval of this copy must name.
    #[schemars(length(max = 64))]
    pub digest: String,

    /// Keys in all databases.
    #[schemars(range(min = 0))]
    pub keys: i64,

    /// Bytes of its files.
    #[schemars(range(min = 0))]
    pub bytes: i64,

    /// When its files were last written, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write: Option<Time>,

    /// The epoch of its data; 0 if none is recorded.
    #[schemars(range(min = 0))]
    pub epoch: i64,

    /// A scale-down left it behind.
    pub left: bool,
}

/// The conditions in one word, for people. Nothing decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Something outside must change before anything can be made: see the condition Ready.
    Blocked,
    /// Being made for the first time.
    Creating,
    /// Serves, and is as the spec wants it.
    Ready,
    /// Serves, and is on its way to what the spec wants.
    Updating,
    /// Serves, with something that needs attention: see the condition Degraded.
    Degraded,
    /// Does not serve, and did before.
    Unavailable,
    /// Serves; changes of the spec wait.
    Paused,
    /// Has no pods, as was asked for; the data stays.
    Hibernated,
    /// Being deleted.
    Deleting,
}

/// The policy that decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// What it decides: acl.
    #[schemars(length(max = 32))]
    pub decision: String,

    /// Where the policy in use came from: builtin, default or `configMap <name>`.
    #[schemars(length(max = 300))]
    pub source: String,

    /// Digest of the module in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,

    /// Version of the contract that the module in use was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub api: Option<String>,

    /// When it was first used for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_at: Option<Time>,

    /// Why the policy that is asked for is not the one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub error: Option<String>,

    /// What the policy in the shadow would have decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowStatus>,
}

/// A policy that is only compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowStatus {
    /// Where it came from.
    #[schemars(length(max = 300))]
    pub source: String,

    /// Digest of its module, once it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,

    /// How its last answer compares.
    pub verdict: ShadowVerdict,

    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How the answer of a policy that is only compared differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ShadowVerdict {
    /// It answers as the policy that decides.
    Same,
    /// It answers otherwise.
    Differs,
    /// It gives no answer that could be used.
    Faulty,
    /// It cannot be loaded.
    NotLoaded,
}
