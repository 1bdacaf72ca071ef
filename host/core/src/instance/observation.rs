use serde::{Deserialize, Serialize};

use crate::agent::{AgentStatus, Role, ServerState};

/// What the spec wants, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Hash of everything in the spec that needs a new pod.
    pub pod_revision: String,
    /// The volume; none without persistence.
    pub storage: Option<WantedStorage>,
    /// Spec changes wait; endpoints and confirmations go on.
    pub paused: bool,
}

/// The volume that the spec wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedStorage {
    /// Size in bytes.
    pub bytes: u64,
}

/// What one pass saw. Unknown is never zero: what could not be read is `None` or `Unreachable`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The volume claim of the pod.
    pub claim: Option<ClaimView>,
    /// The pod.
    pub pod: Option<PodView>,
    /// What the pod's agent says.
    pub agent: AgentView,
    /// Address that the client Service leads to now.
    pub endpoint: Option<String>,
    /// The configuration that is to be in force.
    pub config: RevisionView,
    /// The users that are to be in force.
    pub acl: RevisionView,
}

/// A revision that agents are to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    /// The revision kept in the ConfigMap or Secret.
    pub revision: u64,
}

/// A volume claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Requested size in bytes.
    pub requested: u64,
    /// Size in bytes that the volume has; none while unbound.
    pub capacity: Option<u64>,
    /// Its storage class, if one is named and known to be missing.
    pub missing_class: Option<String>,
    /// Being deleted.
    pub deleting: bool,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// The pod revision it was made from.
    pub revision: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// Finished for good (phase Failed or Succeeded), as after an eviction.
    pub finished: bool,
    /// Why the scheduler can't place it, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// Why a container waits: reason and message of the kubelet (`ImagePullBackOff`, …).
    pub waiting: Option<(String, String)>,
}

/// What is known of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentView {
    /// Nothing: no pod, or no connection since the pod came.
    #[default]
    Absent,
    /// There was a connection and it broke; the words are for people.
    Unreachable(String),
    /// Connected; the last status it sent.
    Connected(Box<AgentStatus>),
}

impl AgentView {
    /// The status, if the agent is connected.
    pub fn status(&self) -> Option<&AgentStatus> {
        match self {
            Self::Connected(status) => Some(status),
            Self::Absent | Self::Unreachable(_) => None,
        }
    }

    /// True if the server runs and is the primary.
    pub fn serves(&self) -> bool {
        self.status().is_some_and(|status| {
            status.role == Role::Primary && matches!(status.server, ServerState::Running { .. })
        })
    }
}
