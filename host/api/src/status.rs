use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ConfigMapKeyRef, Engine, RebalanceStatus};

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

    /// Ready, Progressing, Degraded and PolicyHealthy, and BackupHealthy while a log is kept; each reason is
    /// explained in docs/conditions.md.
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

    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,

    /// What an application binds to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,

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

    /// The data from which the object began, once it has; absent of one that began empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,

    /// What there is of it in its store, as far as it was looked at; absent without spec.backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupOverview>,
}

/// What there is of an object in its store. It is written when a backup ends, a schedule is due or a sweep is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupOverview {
    /// Its folder in the store, below the store's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub path: Option<String>,

    /// The last backup that came to a good end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,

    /// The earliest instant that can be recovered, as of the last sweep. Instants between it and the present that the
    /// log lacks are named by the recovery that asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_recoverable: Option<Time>,

    /// When the next schedule is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule: Option<Time>,

    /// When what is not needed was deleted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<Time>,

    /// Up to when times of schedules have been seen to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub schedules: Vec<ScheduleStatus>,
}

/// The last backup of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    /// Name of the RedisBackup.
    #[schemars(length(max = 253))]
    pub name: String,

    /// The instant that it holds.
    pub instant: Time,
}

/// How far a schedule is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Name of the schedule.
    #[schemars(length(max = 40))]
    pub name: String,

    /// Its times and their zone as they were then: others begin anew.
    #[schemars(length(max = 170))]
    pub times: String,

    /// Its times up to this one are seen to.
    pub until: Time,
}

/// From which data an object began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// The store.
    #[schemars(length(max = 253))]
    pub store: String,

    /// Folder of the snapshot in the store.
    #[schemars(length(max = 1024))]
    pub base: String,

    /// The instant that was asked for, as the spec has it; absent where none was, as of a backup's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub requested: Option<String>,

    /// The instant that it began with, without what is less than a second.
    pub reached: Time,

    /// When the data was there.
    pub completed_at: Time,
}

/// What the operator found of a cluster. Nothing that traffic drives is in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisClusterStatus {
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

    /// It was whole once: it is formed again only if every pod is heard, and none has a key or a slot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub formed: bool,

    /// How many shards have pods, those that are to go included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 128))]
    pub masters: Option<i32>,

    /// The shards, as their servers tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub shards: Vec<ShardStatus>,

    /// Which slots move between shards; absent before any were to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,

    /// The next step of a roll, while it waits for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,

    /// How many data pods serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub ready_replicas: Option<i32>,

    /// The labels of the data pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,

    /// Where clients ask first: `host:port` of a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub endpoint: Option<String>,

    /// What an application binds to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,

    /// The image in use. It moves only with the spec, not with the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// What the running servers say they are: redis or valkey.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,

    /// The version that the running servers say they are: the oldest, where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub version: Option<String>,

    /// The policy that decides, per decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["decision".into()]))]
    pub policies: Vec<PolicyStatus>,
}

/// A shard of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its number, from 0.
    #[schemars(range(min = 0, max = 127))]
    pub id: i32,

    /// The pod that serves its slots; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub primary: Option<String>,

    /// Pods that are in sync with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6))]
    pub replicas: Vec<String>,

    /// Its slots, as ranges: `0-5460 8000`. They may be single ones, where a policy moves single ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 98_304))]
    pub slots: String,
}

/// Where clients connect: `host:port` of Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Leads to the primary, wherever it is.
    #[schemars(length(max = 253))]
    pub primary: String,

    /// Leads to replicas in sync.
    #[schemars(length(max = 253))]
    pub replicas: String,
}

/// The Secret with which an application connects, by the convention of the Service Binding
/// specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    pub name: String,
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
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".into()]))]
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
    /// What it decides: acl, rebalance or backup.
    #[schemars(length(max = 32))]
    pub decision: String,

    /// Where the policy in use came from; absent while none has decided.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known_origin"
    )]
    pub source: Option<PolicyOrigin>,

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

/// Where a policy came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyOrigin {
    /// What holds it.
    pub kind: PolicyOriginKind,

    /// Name of the ConfigMap; absent for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,

    /// Key in the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key: Option<String>,
}

/// What an earlier operator wrote, a text, counts as none: an object whose status cannot be read would not be
/// looked after any more.
fn known_origin<'de, D: Deserializer<'de>>(input: D) -> Result<Option<PolicyOrigin>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(serde_json::from_value(value).ok())
}

impl PolicyOrigin {
    /// The operator itself.
    pub const BUILT_IN: Self = Self {
        kind: PolicyOriginKind::BuiltIn,
        name: None,
        key: None,
    };

    /// What a spec refers to.
    pub fn config_map(reference: &ConfigMapKeyRef) -> Self {
        Self {
            kind: PolicyOriginKind::ConfigMap,
            name: Some(reference.name.clone()),
            key: Some(reference.key.clone()),
        }
    }

    /// The operator's default in a ConfigMap of its own.
    pub fn default_of(name: &str, key: &str) -> Self {
        Self {
            kind: PolicyOriginKind::Default,
            name: Some(name.to_owned()),
            key: Some(key.to_owned()),
        }
    }

    /// True if it is what a spec asks for: the ConfigMap that it names, or the default.
    pub fn is_of(&self, reference: Option<&ConfigMapKeyRef>) -> bool {
        match reference {
            Some(reference) => *self == Self::config_map(reference),
            None => self.kind == PolicyOriginKind::Default,
        }
    }
}

impl fmt::Display for PolicyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        match self.kind {
            PolicyOriginKind::BuiltIn => f.write_str("builtin"),
            PolicyOriginKind::Default => write!(f, "default {name}"),
            PolicyOriginKind::ConfigMap => write!(f, "configMap {name}"),
        }
    }
}

/// What holds a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyOriginKind {
    /// The operator itself.
    BuiltIn,
    /// A ConfigMap in the operator's namespace: the default of this decision.
    Default,
    /// A ConfigMap in the object's namespace.
    ConfigMap,
}

/// A policy that is only compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowStatus {
    /// Where it came from.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known_origin"
    )]
    pub source: Option<PolicyOrigin>,

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn where_a_policy_came_from_is_none_where_an_earlier_operator_wrote_it() {
        let read = |source: serde_json::Value| -> PolicyStatus {
            serde_json::from_value(json!({"decision": "acl", "source": source})).unwrap()
        };
        assert_eq!(read(json!("configMap rules")).source, None);
        let known = json!({"kind": "ConfigMap", "name": "rules", "key": "policy.wasm"});
        let source = read(known).source.unwrap();
        assert_eq!(source.to_string(), "configMap rules");
    }
}
