//! The controller of RedisCluster: observe → heal → converge → status.

mod converge;
mod heal;
mod memory;
mod pass;
mod roll;
mod site;
mod spread;
mod status;

use hera_api::{Kind, RedisCluster};
use hera_kube::StatusWriter;

use super::driver::Controlled;
use super::outcome::{Outcome, PassError};
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

    fn primaries(&self) -> usize {
        usize::try_from(self.spec.masters).unwrap_or(0)
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
            policies: status.map_or(&[], |status| &status.policies),
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
