//! In which zones nodes are. Only those of clusters' pods are read, each once: a node does not move.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hera_core::shard::Member;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::{Client, ResourceExt as _};

/// The label of Kubernetes.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Nothing waits for longer to know a zone.
const LIMIT: Duration = Duration::from_secs(1);
/// More are known anew from time to time, so that nodes that are gone take no memory for ever.
const MOST: usize = 10_000;

/// The zones of nodes; none of one that has none.
#[derive(Default)]
pub struct Zones(Mutex<HashMap<String, Option<String>>>);

impl Zones {
    /// Notes the zone of each pod's node, as far as it can be read.
    pub async fn note(&self, client: &Client, members: &mut [Member]) {
        let pods = members.iter_mut().filter_map(|member| member.pod.as_mut());
        let noted = pods.map(|pod| async move {
            if let Some(node) = &pod.node {
                pod.zone = self.of(client, node).await;
            }
        });
        join_all(noted).await;
    }

    async fn of(&self, client: &Client, node: &str) -> Option<String> {
        let known = self.with(|zones| zones.get(node).cloned());
        if let Some(known) = known {
            return known;
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let read = tokio::time::timeout(LIMIT, nodes.get_opt(node)).await;
        // Without the right to read nodes there are no zones; what cannot be read now may be later.
        let zone = match read.ok()? {
            Ok(found) => found?.labels().get(ZONE).cloned(),
            Err(kube::Error::Api(status)) if status.is_forbidden() => None,
            Err(_) => return None,
        };
        self.with(|zones| {
            if zones.len() >= MOST {
                zones.clear();
            }
            zones.insert(node.to_owned(), zone.clone());
        });
        zone
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, Option<String>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
