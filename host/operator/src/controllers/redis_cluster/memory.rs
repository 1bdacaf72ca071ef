//! What this process remembers of clusters: which id a pod's server last had, for as long as nobody hears of it,
//! and since when too many primaries are in one place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_core::cluster::NodeId;

use super::rebalance::Rebalances;
use crate::object::ObjectKey;

/// Memory of all clusters.
#[derive(Default)]
pub struct Clusters {
    known: Mutex<HashMap<ObjectKey, Cluster>>,
    /// What is known of slots that move.
    pub rebalances: Rebalances,
}

#[derive(Default)]
struct Cluster {
    /// By the name of the pod.
    servers: HashMap<String, Known>,
    /// Since when it is whole and its primaries are where they had better not be, in milliseconds since the
    /// machine started.
    drifted_since: Option<u64>,
}

/// What is known of the pod of one place.
#[derive(Clone, Debug, Default)]
struct Known {
    last_id: Option<NodeId>,
    /// Since when its agent was not heard, in milliseconds since the machine started.
    unheard_since: Option<u64>,
}

impl Clusters {
    /// The pod of this name is heard, and its server has this id, or had it last. Tells the id that it last had.
    pub fn heard(&self, cluster: &ObjectKey, pod: &str, id: Option<&NodeId>) -> Option<NodeId> {
        let mut clusters = self.lock();
        let known = clusters.entry(cluster.clone()).or_default();
        let known = known.servers.entry(pod.to_owned()).or_default();
        known.unheard_since = None;
        if let Some(id) = id {
            known.last_id = Some(id.clone());
        }
        known.last_id.clone()
    }

    /// The pod of this name is not heard at `now`: the id that its server last had, and since when.
    pub fn unheard(&self, cluster: &ObjectKey, pod: &str, now: u64) -> (Option<NodeId>, u64) {
        let mut clusters = self.lock();
        let known = clusters.entry(cluster.clone()).or_default();
        let known = known.servers.entry(pod.to_owned()).or_default();
        let since = *known.unheard_since.get_or_insert(now);
        (known.last_id.clone(), since)
    }

    /// Primaries of the cluster are where they had better not be at `now`. Tells since when.
    pub fn drifts(&self, cluster: &ObjectKey, now: u64) -> u64 {
        let mut clusters = self.lock();
        let known = clusters.entry(cluster.clone()).or_default();
        *known.drifted_since.get_or_insert(now)
    }

    /// They are not, or one has just been led away.
    pub fn drifts_no_more(&self, cluster: &ObjectKey) {
        if let Some(known) = self.lock().get_mut(cluster) {
            known.drifted_since = None;
        }
    }

    /// The cluster is gone.
    pub fn forget(&self, cluster: &ObjectKey) {
        self.lock().remove(cluster);
        self.rebalances.forget(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Cluster>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hera_api::Kind;

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey {
            kind: Kind::RedisCluster,
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
        }
    }

    #[test]
    fn an_id_is_known_while_its_pod_is_not_heard() {
        let (clusters, key) = (Clusters::default(), key());
        let _ = clusters.heard(&key, "a", Some(&"id".to_owned()));
        assert_eq!(clusters.unheard(&key, "a", 5), (Some("id".to_owned()), 5));
        assert_eq!(clusters.unheard(&key, "a", 9).1, 5);
        assert_eq!(clusters.heard(&key, "a", None), Some("id".to_owned()));
        assert_eq!(clusters.unheard(&key, "a", 9), (Some("id".to_owned()), 9));
        clusters.forget(&key);
        assert_eq!(clusters.unheard(&key, "a", 9).0, None);
    }

    #[test]
    fn how_long_primaries_are_in_one_place_counts_from_when_that_began() {
        let (clusters, key) = (Clusters::default(), key());
        assert_eq!(clusters.drifts(&key, 5), 5);
        assert_eq!(clusters.drifts(&key, 9), 5);
        clusters.drifts_no_more(&key);
        assert_eq!(clusters.drifts(&key, 11), 11);
    }
}
