//! What is shown on other objects: roles on pods, and that a request is done.

use hera_api::RedisInstance;
use hera_api::meta::{ANNOTATION_PROMOTE, LABEL_ROLE};
use hera_core::agent::Role;
use hera_core::instance::Observation;
use hera_core::shard::shown_role;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tracing::debug;

use super::site::Site;
use crate::shared::Shared;

/// Puts the role that each server has on its pod, for people: nothing decides by it. What fails is tried in the next pass.
pub async fn show_roles(shared: &Shared, site: &Site<'_>) {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), site.owner.namespace);
    for pod in site.live.pods.values() {
        let is = match shown_role(&site.members, &pod.uid().unwrap_or_default()) {
            Some(Role::Primary) => Some("primary"),
            Some(Role::Replica) => Some("replica"),
            Some(Role::Held | Role::Unknown) | None => None,
        };
        if pod.labels().get(LABEL_ROLE).map(String::as_str) == is {
            continue;
        }
        let patch = json!({"metadata": {"uid": pod.uid(), "labels": {LABEL_ROLE: is}}});
        let name = pod.name_any();
        let params = PatchParams::default();
        if let Err(error) = pods.patch(&name, &params, &Patch::Merge(patch)).await {
            debug!(%error, name, "the role is not shown on its pod");
        }
    }
}

/// Takes the request to promote a pod away once that pod is the primary: later, another may be
/// promoted in its place, and nobody asked for it to come back.
pub async fn clear_request(shared: &Shared, site: &Site<'_>, seen: &Observation) {
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
