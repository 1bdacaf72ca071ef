//! That a request to promote a pod is done.

use std::fmt::Debug;

use hera_api::meta::ANNOTATION_PROMOTE;
use hera_api::{HasCommonSpec, Received};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tracing::debug;

/// Takes the request to promote a pod away once that pod `leads`: later, another may be promoted in its
/// place, and nobody asked for it to come back.
pub async fn clear<K>(client: &Client, object: &K, leads: impl FnOnce(&str) -> bool)
where
    K: HasCommonSpec<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let asked = object.annotations().get(ANNOTATION_PROMOTE);
    if !asked.is_some_and(|asked| leads(asked)) {
        return;
    }
    let namespace = object.namespace().unwrap_or_default();
    let objects: Api<Received<K>> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({
        "metadata": {
            "resourceVersion": object.resource_version(),
            "annotations": {ANNOTATION_PROMOTE: null},
        }
    });
    let (name, params) = (object.name_any(), PatchParams::default());
    if let Err(error) = objects.patch(&name, &params, &Patch::Merge(patch)).await {
        debug!(%error, "a request that is done is not taken away");
    }
}
