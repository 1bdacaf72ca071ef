//! The controller of RedisInstance: observe → decide → apply → status.

mod act;
mod converge;
mod deletion;
mod handover;
mod heal;
mod intents;
#[cfg(test)]
mod lying;
mod observe;
mod pass;
mod revocations;
mod site;
mod status;

use hera_api::{Kind, RedisInstance};
use hera_kube::StatusWriter;

use super::driver::Controlled;
use super::outcome::{Outcome, PassError};
use crate::object::ObjectKey;
use crate::shared::Shared;

pub use deletion::Deletions;

impl Controlled for RedisInstance {
    const KIND: Kind = Kind::RedisInstance;
    const LABEL: &'static str = "redisinstance";

    fn references(&self) -> Vec<&str> {
        self.spec.common.references()
    }

    fn primaries(&self) -> usize {
        1
    }

    fn status_writer(shared: &Shared) -> &StatusWriter<Self> {
        &shared.status
    }

    async fn pass(&self, shared: &Shared) -> Result<Outcome, PassError> {
        pass::run(self, shared).await
    }

    async fn gone(object: &ObjectKey, shared: &Shared) {
        deletion::let_go(shared, object).await;
        deletion::drop_empty_claims(shared, object).await;
    }
}
