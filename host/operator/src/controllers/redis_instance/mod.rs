//! The controller of RedisInstance: observe → decide → apply → status.

mod acl;
mod act;
mod children;
mod converge;
mod deletion;
mod events;
mod handover;
mod heal;
mod image;
mod intents;
mod labels;
#[cfg(test)]
mod lying;
mod nodes;
mod observe;
mod pass;
mod refusals;
mod rollback;
mod site;
mod status;

use hera_api::RedisInstance;
use hera_kube::StatusWriter;

use super::driver::Controlled;
use super::outcome::{Outcome, PassError};
use crate::object::{Kind, ObjectKey};
use crate::shared::Shared;

pub use deletion::Deletions;

impl Controlled for RedisInstance {
    const KIND: Kind = Kind::RedisInstance;
    const LABEL: &'static str = "redisinstance";

    fn references(&self) -> Vec<&str> {
        let app = self
            .spec
            .auth
            .password_secret_ref
            .iter()
            .map(|secret| &secret.name);
        let users = self
            .spec
            .users
            .iter()
            .map(|user| &user.password_secret_ref.name);
        let policies = self.spec.policies.acl.iter().flat_map(|policy| {
            let shadow = policy.shadow.iter().map(|shadow| &shadow.config_map_ref);
            policy.config_map_ref.iter().chain(shadow)
        });
        let policies = policies.map(|reference| &reference.name);
        app.chain(users)
            .chain(policies)
            .map(String::as_str)
            .collect()
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
