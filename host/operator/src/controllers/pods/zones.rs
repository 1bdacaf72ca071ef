//! In which zones nodes are. Only those of clusters' pods are read, each once in a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hera_core::shard::Member;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::{Client, ResourceExt as _};

/// The label of Kubernetes.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Nothing waits for longer to know a zone.
const LIMIT: Duration = Duration::from_secs(1);
/// A label may be added, or a node of the same name come elsewhere: it is read anew after this.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// The zones of nodes; none of one that has none.
#[derive(Default)]
pub struct Zones(Mutex<HashMap<String, Known>>);

/// A zone, and when it was read.
type Known = (Option<String>, Instant);

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
        let known = self.with(|zones| {
            zones.retain(|_, (_, read)| read.elapsed() < GOOD_FOR);
            zones.get(node).cloned()
        });
        if let Some((zone, _)) = known {
            return zone;
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let read = tokio::time::timeout(LIMIT, nodes.get_opt(node)).await;
        // Without the right to read nodes there are no zones; what cannot be read now may be later.
        let zone = match read.ok()? {
            Ok(found) => found?.labels().get(ZONE).cloned(),
            Err(kube::Error::Api(status)) if status.is_forbidden() => None,
            Err(_) => return None,
        };
        self.with(|zones| zones.insert(node.to_owned(), (zone.clone(), Instant::now())));
        zone
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, Known>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
