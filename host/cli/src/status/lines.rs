//! What the cluster tells of pods and volumes.

use std::collections::{BTreeMap, BTreeSet};

use hera_api::meta::{LABEL_ROLE, LABEL_SHARD};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::reach::is_ready;

/// Label of Kubernetes at a node: the zone that it is in.
const LABEL_ZONE: &str = "topology.kubernetes.io/zone";

/// A pod.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodLine {
    pub name: String,
    /// The shard of a cluster that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    pub phase: String,
    pub ready: bool,
    pub node: Option<String>,
    /// That of the node, where nodes may be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    pub ip: Option<String>,
    pub restarts: i32,
    /// What its server was when the operator last looked.
    pub role: Option<String>,
}

/// A volume claim.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeLine {
    pub name: String,
    pub phase: String,
    pub size: Option<String>,
    pub class: Option<String>,
}

/// Nodes, each with its zone.
pub type Zones = BTreeMap<String, String>;

/// The zones of the nodes of these pods; none of those that may not be read.
pub async fn zones(client: &Client, pods: &[Pod]) -> Zones {
    let nodes: BTreeSet<&String> = pods.iter().filter_map(node_of).collect();
    let mut asked = JoinSet::new();
    for name in nodes {
        let (api, name): (Api<Node>, _) = (Api::all(client.clone()), name.clone());
        asked.spawn(async move {
            let node = api.get_metadata(&name).await.ok()?;
            let zone = node.labels().get(LABEL_ZONE)?.clone();
            Some((name, zone))
        });
    }
    let answers = asked.join_all().await;
    answers.into_iter().flatten().collect()
}

fn node_of(pod: &Pod) -> Option<&String> {
    pod.spec.as_ref()?.node_name.as_ref()
}

/// What there is to say of a pod.
pub fn pod_line(pod: &Pod, zones: &Zones) -> PodLine {
    let status = pod.status.clone().unwrap_or_default();
    let phase = match &pod.metadata.deletion_timestamp {
        Some(_) => "Terminating".to_owned(),
        None => status.phase.unwrap_or_default(),
    };
    PodLine {
        name: pod.name_any(),
        shard: pod.labels().get(LABEL_SHARD).and_then(|id| id.parse().ok()),
        phase,
        ready: is_ready(pod),
        node: node_of(pod).cloned(),
        zone: node_of(pod).and_then(|node| zones.get(node)).cloned(),
        ip: status.pod_ip,
        restarts: status
            .container_statuses
            .iter()
            .flatten()
            .map(|container| container.restart_count)
            .sum(),
        role: pod.labels().get(LABEL_ROLE).cloned(),
    }
}

/// What there is to say of a volume claim.
pub fn volume_line(claim: &PersistentVolumeClaim) -> VolumeLine {
    let status = claim.status.clone().unwrap_or_default();
    VolumeLine {
        name: claim.name_any(),
        phase: status.phase.unwrap_or_default(),
        size: status
            .capacity
            .and_then(|capacity| Some(capacity.get("storage")?.0.clone())),
        class: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone()),
    }
}
