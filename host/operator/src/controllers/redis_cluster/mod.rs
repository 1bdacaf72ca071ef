//! The controller of RedisCluster: observe → heal → converge → status.

mod converge;
mod heal;
mod memory;
mod pass;
mod rebalance;
mod roll;
mod site;
mod spread;
mod status;

use hera_api::names::ObjectName;
use hera_api::{Kind, RedisCluster};
use hera_kube::StatusWriter;
use kube::ResourceExt as _;

use super::driver::Controlled;
use super::outcome::{Outcome, PassError};
use super::pods::requests::hibernates;
use crate::metrics::Figures;
use crate::object::ObjectKey;
use crate::shared::Shared;

pub use memory::Clusters;
pub use site::Site;

impl Controlled for RedisCluster {
    const KIND: Kind = Kind::RedisCluster;
    const LABEL: &'static str = "rediscluster";

    fn references(&self) -> Vec<&str> {
        self.spec.common.references()
    }

    fn is_led(&self, leading: &[String]) -> bool {
        let Ok(name) = ObjectName::new(Self::KIND, &self.name_any()) else {
            return false;
        };
        let shards = u32::try_from(self.spec.masters).unwrap_or(0);
        // Two of one shard make up for none of another.
        (0..shards).all(|shard| {
            let pods = format!("{}-", name.pods(Some(shard)).stateful_set());
            leading.iter().any(|server| server.starts_with(&pods))
        })
    }

    fn figures(&self) -> Figures<'_> {
        let status = self.status.as_ref();
        let shards = status.map_or(&[][..], |status| &status.shards);
        Figures {
            conditions: status.map_or(&[], |status| &status.conditions),
            pods: self
                .spec
                .masters
                .saturating_mul(self.spec.replicas_per_master.saturating_add(1)),
            pods_ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            primaries: self.spec.masters,
            primaries_there: shards
                .iter()
                .filter(|shard| shard.primary.is_some())
                .count(),
            engine: status.and_then(|status| status.engine),
            version: status.and_then(|status| status.version.as_deref()),
            phase: status.and_then(|status| status.phase),
            hibernates: hibernates(self),
            policies: status.map_or(&[], |status| &status.policies),
            backup: None,
        }
    }

    fn status_writer(shared: &Shared) -> &StatusWriter<Self> {
        &shared.cluster_status
    }

    async fn pass(&self, shared: &Shared) -> Result<Outcome, PassError> {
        Box::pin(pass::run(self, shared)).await
    }

    async fn gone(object: &ObjectKey, shared: &Shared) {
        shared.clusters.forget(object);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shard_without_a_primary_is_led_by_nobody_whatever_the_others_have() {
        let cluster: RedisCluster = serde_json::from_value(json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "carts"}, "spec": {"version": "7.2", "masters": 3},
        }))
        .unwrap();
        let leading = |pods: [&str; 3]| {
            let servers = pods.map(|pod| format!("{pod}.carts-headless.shop.svc"));
            cluster.is_led(&servers)
        };
        assert!(leading([
            "carts-shard-0-1",
            "carts-shard-1-0",
            "carts-shard-2-0"
        ]));
        assert!(!leading([
            "carts-shard-0-1",
            "carts-shard-0-0",
            "carts-shard-2-0"
        ]));
        assert!(!cluster.is_led(&[]));
    }
}
