use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::messages;
use crate::{duration, schema};

/// When a primary that cannot be reached is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// How long a primary goes on serving while neither the operator nor most of the other pods can
    /// be reached; then it stops, and another may be promoted. From 5s to 5m. 0s: it never stops,
    /// and nothing is promoted without proof that it is dead.
    #[serde(default = "default_fence_after")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::FENCE_AFTER).message(messages::FENCE_AFTER))]
    pub fence_after: String,

    /// How long a server may answer nothing before it is taken for hung, killed, and replaced by a
    /// replica. From 2s to 5m.
    #[serde(default = "default_hang_after")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::HANG_AFTER).message(messages::HANG_AFTER))]
    pub hang_after: String,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            fence_after: default_fence_after(),
            hang_after: default_hang_after(),
        }
    }
}

impl Failover {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_fence_after() -> String {
    "15s".to_owned()
}

fn default_hang_after() -> String {
    "10s".to_owned()
}

/// What a write must have reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Durability {
    /// The primary refuses writes while fewer replicas than this are in sync; 0 for never. Less
    /// than replicas.
    #[serde(default)]
    #[schemars(range(min = 0, max = 6))]
    pub min_replicas_to_write: i32,
}

impl Durability {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// Unsupervised: the operator hands over and replaces the primary by itself. Supervised: it
    /// waits for an approval before it touches the primary.
    #[serde(default)]
    pub mode: UpdateMode,
}

impl UpdateStrategy {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who says when the primary is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateMode {
    /// The operator.
    #[default]
    Unsupervised,
    /// A person.
    Supervised,
}
