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

    /// How long a script or function may keep a server from answering anybody else before it is ended.
    /// One that has written cannot be: its server is killed, if a replica is in sync, and goes on if
    /// none is. From 10s to 5m. 0s: it is never ended.
    #[serde(default = "default_script_after")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::SCRIPT_AFTER).message(messages::SCRIPT_AFTER))]
    pub script_after: String,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            fence_after: default_fence_after(),
            hang_after: default_hang_after(),
            script_after: default_script_after(),
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

fn default_script_after() -> String {
    "60s".to_owned()
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// Unsupervised: the operator hands over and replaces the primary by itself. Supervised: it
    /// waits for an approval before it touches the primary.
    #[serde(default)]
    pub mode: UpdateMode,

    /// Auto: while pods are replaced, there is a temporary one more wherever too few copies of the
    /// data would be in sync otherwise; a server that is alone hands over to it, so that it is not
    /// away. Never: there is none, and a server that is alone is restarted where it is.
    #[serde(default)]
    pub surge: Surge,

    /// How long a primary that is to be replaced may wait for an approval before that needs
    /// attention (condition Degraded). From 1m to 8760h.
    #[serde(default = "default_max_wait")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::MAX_WAIT).message(messages::MAX_WAIT))]
    pub max_wait: String,

    /// How long a pod may take until it is in sync before the roll counts as stopped (condition
    /// Degraded) and onFailure applies. From 1m to 24h.
    #[serde(default = "default_progress_deadline")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::PROGRESS_DEADLINE).message(messages::PROGRESS_DEADLINE))]
    pub progress_deadline: String,

    /// Stop: a roll that does not get on stands still, and says why. Rollback: if the server of a new
    /// pod does not even run by then, the pods go back to what they were before, unless one of the
    /// new ones leads, or the former version could not read what the new one wrote.
    #[serde(default)]
    pub on_failure: OnFailure,
}

impl Default for UpdateStrategy {
    fn default() -> Self {
        Self {
            mode: UpdateMode::default(),
            surge: Surge::default(),
            max_wait: default_max_wait(),
            progress_deadline: default_progress_deadline(),
            on_failure: OnFailure::default(),
        }
    }
}

fn default_max_wait() -> String {
    "168h".to_owned()
}

fn default_progress_deadline() -> String {
    "10m".to_owned()
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

/// Whether pods that are replaced get company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Surge {
    /// A temporary pod, where redundancy would drop.
    #[default]
    Auto,
    /// No temporary pod.
    #[serde(alias = "Off")]
    Never,
}

/// What becomes of a roll that does not get on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFailure {
    /// It stands still until what it waits for comes, or the spec changes.
    #[default]
    Stop,
    /// The pods go back to what they were before, until the spec changes.
    Rollback,
}
