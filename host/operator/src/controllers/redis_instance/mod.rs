//! The controller of RedisInstance: observe → decide → apply → status.

mod act;
mod backup_orders;
mod backups;
mod converge;
mod deletion;
mod handover;
mod heal;
mod intents;
mod log;
#[cfg(test)]
mod lying;
mod observe;
mod pass;
mod recovery;
mod revocations;
mod site;
mod status;

use hera_api::{Kind, Phase, RedisInstance};
use hera_kube::StatusWriter;

use super::driver::Controlled;
use super::outcome::{Outcome, PassError};
use super::pods::requests::hibernates;
use crate::metrics::Figures;
use crate::object::ObjectKey;
use crate::shared::Shared;

pub use backups::Looks;
pub use deletion::Deletions;
pub use log::Logs;
pub use recovery::Attempts as Recoveries;

impl Controlled for RedisInstance {
    const KIND: Kind = Kind::RedisInstance;
    const LABEL: &'static str = "redisinstance";

    fn references(&self) -> Vec<&str> {
        // A store without a log is read when a backup is made.
        let backup = self
            .spec
            .backup
            .iter()
            .filter(|backup| backup.log.is_some());
        let store = backup.map(|backup| backup.store_ref.name.as_str());
        self.spec
            .common
            .references()
            .into_iter()
            .chain(store)
            .collect()
    }

    fn is_led(&self, leading: &[String]) -> bool {
        rests(self) || !leading.is_empty()
    }

    fn figures(&self) -> Figures<'_> {
        let status = self.status.as_ref();
        Figures {
            conditions: status.map_or(&[], |status| &status.conditions),
            pods: self.spec.replicas,
            pods_ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            primaries: 1,
            primaries_there: usize::from(status.is_some_and(|status| status.primary.is_some())),
            engine: status.and_then(|status| status.engine),
            version: status.and_then(|status| status.version.as_deref()),
            phase: status.and_then(|status| status.phase),
            hibernates: hibernates(self),
            policies: status.map_or(&[], |status| &status.policies),
            backup: status.and_then(|status| status.backup.as_ref()),
        }
    }

    fn status_writer(shared: &Shared) -> &StatusWriter<Self> {
        &shared.status
    }

    async fn pass(&self, shared: &Shared) -> Result<Outcome, PassError> {
        Box::pin(pass::run(self, shared)).await
    }

    async fn gone(object: &ObjectKey, shared: &Shared) {
        deletion::let_go(shared, object).await;
        deletion::drop_empty_claims(shared, object).await;
    }
}

/// True while it has no pods, as was asked for.
fn rests(instance: &RedisInstance) -> bool {
    let status = instance.status.as_ref();
    status.is_some_and(|status| status.phase == Some(Phase::Hibernated))
}
