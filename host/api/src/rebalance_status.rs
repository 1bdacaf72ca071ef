use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which slots move between the shards of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// How far it is.
    #[serde(default)]
    pub phase: RebalancePhase,

    /// Since when it is that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// What is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting_for: Option<String>,

    /// Stands for the plan, if there is one: the value for the annotation cache.hera.io/rebalance-approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub digest: Option<String>,

    /// Why, in the words of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,

    /// How many shards the spec asked for when the plan was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 128))]
    pub masters: Option<i32>,

    /// The plan: what moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub moves: Vec<MoveStatus>,

    /// How many slots the plan moves.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16384))]
    pub slots: i32,

    /// How many of them have not moved yet, to about a twentieth of them.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16384))]
    pub slots_left: i32,

    /// When the first slot of the plan was ordered to move; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,

    /// What moved of late, the latest first: a slot stays for spec.rebalance.cooldown after it moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub history: Vec<MovedStatus>,
}

/// How far slots are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebalancePhase {
    /// No slot is to move.
    #[default]
    Settled,
    /// A plan stands, and waits for an approval.
    Planned,
    /// Slots move.
    Moving,
    /// Somebody holds them up.
    Paused,
    /// Slots or shards are to move, and something else comes before.
    Waiting,
}

/// Slots that move from one shard to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoveStatus {
    /// The shard that gives.
    #[schemars(range(min = 0, max = 127))]
    pub source: i32,

    /// The shard that takes.
    #[schemars(range(min = 0, max = 127))]
    pub target: i32,

    /// The slots, as ranges: `0-5460 8000`.
    #[schemars(length(max = 98304))]
    pub slots: String,

    /// Commands a second that they had together when the plan was made; absent if that was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ops_per_second: Option<i64>,
}

/// Slots that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedStatus {
    /// The shard that gave.
    #[schemars(range(min = 0, max = 127))]
    pub source: i32,

    /// The shard that took.
    #[schemars(range(min = 0, max = 127))]
    pub target: i32,

    /// The slots, as ranges: `0-5460 8000`.
    #[schemars(length(max = 98304))]
    pub slots: String,

    /// Commands a second that they had together before; absent if that was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ops_per_second: Option<i64>,

    /// When the last of them had.
    pub at: Time,
}
