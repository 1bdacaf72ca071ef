//! How the nodes are of pods whose agents are not heard. Nobody else's nodes are read.

use std::time::Duration;

use hera_core::shard::{AgentView, Member, NodeState};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use tracing::debug;

/// The taint with which somebody says that a node is off, and that nothing runs on it.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Another's promotion does not wait longer for a word about the node.
const LIMIT: Duration = Duration::from_secs(1);

/// Notes the state of those nodes. A missing right to read nodes holds back nothing.
pub async fn look(client: &Client, members: &mut [Member]) {
    let asked = members.iter_mut().filter_map(|member| {
        let pod = member.pod.as_mut()?;
        let lost = match member.agent {
            AgentView::Connected(_) => false,
            AgentView::Unreachable(_) => true,
            AgentView::Absent => pod.deleting,
        };
        let node = pod.node.clone().filter(|_| lost)?;
        Some(async move { pod.node_state = state(client, &node).await })
    });
    futures::future::join_all(asked).await;
}

async fn state(client: &Client, name: &str) -> NodeState {
    let nodes: Api<Node> = Api::all(client.clone());
    match tokio::time::timeout(LIMIT, nodes.get_opt(name)).await {
        Ok(Ok(Some(node))) => judge(&node),
        // Without its object nobody can say anything about the machine.
        Ok(Ok(None)) => NodeState::NotReady,
        Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => NodeState::Hidden,
        Ok(Err(error)) => {
            debug!(%error, name, "the node cannot be read");
            NodeState::Unknown
        }
        Err(_) => NodeState::Unknown,
    }
}

/// As for Kubernetes itself, the taint counts only while the node is not ready: on one that is, it was
/// forgotten, and what runs there runs.
fn judge(node: &Node) -> NodeState {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let is_ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let is_out = taints
        .into_iter()
        .flatten()
        .any(|taint| taint.key == OUT_OF_SERVICE);
    match (is_ready, is_out) {
        (true, _) => NodeState::Ready,
        (false, true) => NodeState::OutOfService,
        (false, false) => NodeState::NotReady,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(ready: &str, taint: Option<&str>) -> Node {
        let taints: Vec<_> = taint
            .into_iter()
            .map(|key| json!({"key": key, "value": "nodeshutdown", "effect": "NoExecute"}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "n1"},
            "spec": {"taints": taints},
            "status": {"conditions": [
                {"type": "MemoryPressure", "status": "True"},
                {"type": "Ready", "status": ready},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn a_node_is_dead_once_it_is_not_ready_and_somebody_says_so() {
        assert_eq!(judge(&node("True", None)), NodeState::Ready);
        assert_eq!(judge(&node("Unknown", None)), NodeState::NotReady);
        let other = Some("node.kubernetes.io/unreachable");
        assert_eq!(judge(&node("False", other)), NodeState::NotReady);
        let out = Some(OUT_OF_SERVICE);
        assert_eq!(judge(&node("Unknown", out)), NodeState::OutOfService);
        assert_eq!(judge(&node("True", out)), NodeState::Ready, "forgotten");
    }
}
