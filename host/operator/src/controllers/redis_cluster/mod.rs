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

    fn status_writer(shared: &Shared) -> &StatusWriter<Self> {
        &shared.cluster_status
    }

    async fn pass(&self, shared: &Shared) -> Result<Outcome, PassError> {
        pass::run(self, shared).await
    }

    async fn gone(object: &ObjectKey, shared: &Shared) {
        shared.clusters.forget(object);
    }
}
