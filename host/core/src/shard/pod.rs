//! A pod, and the node that it runs on.

use serde::{Deserialize, Serialize};

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
    /// When it was made, or ceased to be ready, in milliseconds since 1970.
    pub since_ms: u64,
    /// The pod revision it was made from.
    pub revision: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// Finished for good (phase Failed or Succeeded), as after an eviction.
    pub finished: bool,
    /// The kubelet says that it is ready.
    pub ready: bool,
    /// The kubelet says that the server's container is terminated, and it is not started again yet.
    pub terminated: bool,
    /// The node that it runs on.
    pub node: Option<String>,
    /// The zone of that node; asked only for clusters.
    #[serde(default)]
    pub zone: Option<String>,
    /// How that node is; asked only while its agent is not heard.
    pub node_state: NodeState,
    /// Why the scheduler can't place it, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// Why a container waits: reason and message of the kubelet (`ImagePullBackOff`, …).
    pub waiting: Option<(String, String)>,
}

/// How the node of a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Not asked, or no answer.
    #[default]
    Unknown,
    /// The operator has no right to read nodes.
    Hidden,
    /// Its kubelet is heard.
    Ready,
    /// Its kubelet is not heard. What runs on it may go on.
    NotReady,
    /// Not ready, and somebody put the taint of Kubernetes on it that says that it is off: nothing
    /// runs on it.
    OutOfService,
}
