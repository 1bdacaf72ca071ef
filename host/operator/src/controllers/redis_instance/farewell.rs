//! An instance that is deleted: nobody is left to take over, so no primary waits for that.

use hera_api::RedisInstance;
use hera_core::agent::{Order, Request};
use kube::api::Api;
use tracing::{debug, info};

use crate::shared::{InstanceRef, Shared};

/// Lets the agents of an instance's pods that are asked to end stop at once, if the instance is gone
/// or going: not in a cache, which may know nothing of it yet. One that cannot be told waits as long
/// as its settings say.
pub async fn let_go(shared: &Shared, instance: &InstanceRef) {
    let waiting = shared.agents.leaving(instance);
    let Some(term) = shared.leadership.term().filter(|_| !waiting.is_empty()) else {
        return;
    };
    if !is_deleted(shared, instance).await {
        return;
    }
    let term = shared.groups.terms.speak(instance, term);
    for agent in waiting {
        let body = Order::Leave;
        match agent.order(&Request { term, body }).await {
            Ok(_) => info!(%instance, "the instance is deleted: its primary stops at once"),
            Err(error) => debug!(%instance, %error, "a primary still waits for a handover"),
        }
    }
}

async fn is_deleted(shared: &Shared, instance: &InstanceRef) -> bool {
    let namespace = instance.namespace.as_deref().unwrap_or_default();
    let objects: Api<RedisInstance> = Api::namespaced(shared.client.clone(), namespace);
    match objects.get_metadata_opt(&instance.name).await {
        Ok(found) => found.is_none_or(|object| object.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            debug!(%instance, %error, "nobody can tell whether the instance is deleted");
            false
        }
    }
}
