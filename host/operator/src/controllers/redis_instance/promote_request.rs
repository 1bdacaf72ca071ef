//! That a request to promote a pod is done.

use hera_api::RedisInstance;
use hera_api::meta::ANNOTATION_PROMOTE;
use hera_core::instance::Observation;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tracing::debug;

use super::site::Site;
use crate::shared::Shared;

/// Takes the request to promote a pod away once that pod is the primary: later, another may be
/// promoted in its place, and nobody asked for it to come back.
pub async fn clear(shared: &Shared, site: &Site<'_>, seen: &Observation) {
    let asked = site.object.annotations().get(ANNOTATION_PROMOTE);
    let Some(asked) = asked else { return };
    if seen.primary().is_none_or(|primary| primary.name() != asked) {
        return;
    }
    let objects: Api<RedisInstance> = Api::namespaced(shared.client.clone(), site.owner.namespace);
    let patch = json!({
        "metadata": {
            "resourceVersion": site.object.resource_version(),
            "annotations": {ANNOTATION_PROMOTE: null},
        }
    });
    let params = PatchParams::default();
    let name = site.owner.name.as_str();
    if let Err(error) = objects.patch(name, &params, &Patch::Merge(patch)).await {
        debug!(%error, "a request that is done is not taken away");
    }
}
