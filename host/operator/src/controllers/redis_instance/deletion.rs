//! An instance that is deleted: nobody is left to take over, so no primary waits for that; and a claim
//! that never had a volume is of no use to anybody.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hera_api::names::ObjectName;
use hera_api::{Kind, Received, RedisInstance};
use hera_core::agent::{Order, Request};
use hera_kube::{ClaimPlace, Standing};
use hera_render::is_never_bound;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource as _, ResourceExt as _};
use tracing::{debug, info, warn};

use crate::controllers::pods::observe::{by_ordinal, children_of};
use crate::object::ObjectKey;
use crate::shared::Shared;

/// A replica that does not lead yet sees to what is left of an instance if it leads within this.
const SUCCESSION: Duration = Duration::from_secs(60);

/// Lets the agents of an instance's pods that are asked to end stop at once, if the instance is gone
/// or going: not in a cache, which may know nothing of it yet. One that cannot be told waits as long
/// as its settings say.
pub async fn let_go(shared: &Shared, instance: &ObjectKey) {
    let waiting = shared.agents.leaving(instance);
    let Some(term) = shared.leadership.term().filter(|_| !waiting.is_empty()) else {
        return;
    };
    if !is_deleted(shared, instance).await {
        return;
    }
    let term = shared.leaders.terms.speak(instance, term);
    for agent in waiting {
        let body = Order::Leave;
        match agent.order(&Request { term, body }).await {
            Ok(_) => info!(%instance, "the instance is deleted: its primary stops at once"),
            Err(error) => debug!(%instance, %error, "a primary still waits for a handover"),
        }
    }
}

/// Deletes the claims that an instance which is gone left behind and that never had a volume: as a rule their
/// class does not exist, and an instance of the same name, made anew with another class, would find them
/// again. They have no owner that would take them along, as it would take those with data.
pub async fn drop_empty_claims(shared: &Shared, instance: &ObjectKey) {
    if !comes_to_lead(shared, instance).await || !is_deleted(shared, instance).await {
        return;
    }
    if let Err(error) = drop_claims(shared, instance).await {
        warn!(%instance, %error, "claims without a volume that it left behind stay");
    }
}

/// The one who led may have ended just when the instance did. Waited for once, whatever comes of news.
async fn comes_to_lead(shared: &Shared, instance: &ObjectKey) -> bool {
    let mut leadership = shared.leadership.clone();
    if leadership.term().is_some() {
        return true;
    }
    if !shared.deletions.begin(instance) {
        return false;
    }
    let leads = async {
        while leadership.term().is_none() {
            leadership.changed().await;
        }
    };
    let leads = tokio::time::timeout(SUCCESSION, leads).await.is_ok();
    shared.deletions.end(instance);
    leads
}

/// Instances that are gone, while this replica waits whether it comes to lead.
#[derive(Default)]
pub struct Deletions(Mutex<HashSet<ObjectKey>>);

impl Deletions {
    /// False if somebody waits already.
    fn begin(&self, instance: &ObjectKey) -> bool {
        self.lock().insert(instance.clone())
    }

    fn end(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ObjectKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drop_claims(shared: &Shared, instance: &ObjectKey) -> kube::Result<()> {
    let Ok(name) = ObjectName::new(Kind::RedisInstance, &instance.name) else {
        return Ok(());
    };
    let pods = name.pods(None);
    let namespace = instance.namespace.as_str();
    let sets: Api<StatefulSet> = Api::namespaced(shared.client.clone(), namespace);
    let set = sets.get_metadata_opt(&pods.stateful_set()).await?;
    if set.is_some_and(|set| set.metadata.deletion_timestamp.is_none()) {
        // It makes them anew, or was left behind on purpose.
        return Ok(());
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(shared.client.clone(), namespace);
    let found = claims.list(&children_of(&name)).await?.items;
    let found = by_ordinal(&found, &pods.claim(0));
    let left = found.into_iter().filter(|(ordinal, claim)| {
        let place = ClaimPlace {
            object: &name,
            uid: None,
            shard: None,
            ordinal: *ordinal,
        };
        place.standing(&claim.metadata) == Standing::Own && is_never_bound(claim)
    });
    let left: Vec<_> = left.map(|(_, claim)| claim).collect();
    for claim in left {
        // Bound meanwhile, or another of its name: it stays.
        let only_this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: claim.uid(),
                resource_version: claim.resource_version(),
            }),
            ..DeleteParams::default()
        };
        let claim = claim.name_any();
        match claims.delete(&claim, &only_this).await {
            Ok(_) => {
                info!(%instance, claim, "deleted: it never had a volume, and its instance is gone")
            }
            Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn is_deleted(shared: &Shared, instance: &ObjectKey) -> bool {
    let namespace = instance.namespace.as_str();
    let objects: Api<Received<RedisInstance>> = Api::namespaced(shared.client.clone(), namespace);
    match objects.get_opt(&instance.name).await {
        Ok(found) => found.is_none_or(|object| object.meta().deletion_timestamp.is_some()),
        Err(error) => {
            debug!(%instance, %error, "nobody can tell whether the instance is deleted");
            false
        }
    }
}
