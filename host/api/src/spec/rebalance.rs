use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::messages;
use crate::{duration, schema};

/// How slots move between shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceSpec {
    /// Auto: what the policy plans is done. Approve: it is done once somebody approves it. Disabled: no slot
    /// moves, and a shard that is to leave stays.
    #[serde(default)]
    pub mode: RebalanceMode,

    /// For how long a step may hold up clients. A key that takes longer to be sent stays where it is, with its
    /// slot, and is named in the condition Degraded. From 10ms to 5s.
    #[serde(default = "default_max_stall")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::MAX_STALL).message(messages::MAX_STALL))]
    pub max_stall: String,

    /// A slot that moved less than this ago stays, unless its shard is to leave. From 0s to 168h.
    #[serde(default = "default_cooldown")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::COOLDOWN).message(messages::COOLDOWN))]
    pub cooldown: String,
}

/// Who says when slots move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebalanceMode {
    /// The policy.
    #[default]
    Auto,
    /// A person, to what the policy plans.
    Approve,
    /// Nobody: none moves.
    Disabled,
}

impl Default for RebalanceSpec {
    fn default() -> Self {
        Self {
            mode: RebalanceMode::default(),
            max_stall: default_max_stall(),
            cooldown: default_cooldown(),
        }
    }
}

impl RebalanceSpec {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_max_stall() -> String {
    "100ms".to_owned()
}

fn default_cooldown() -> String {
    "10m".to_owned()
}
