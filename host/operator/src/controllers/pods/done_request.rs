//! That a request is done.

use std::fmt::Debug;

use hera_api::{HasCommonSpec, Received};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tracing::debug;

/// Takes a request away once it `is_done`. Who asks for a pod to be promoted does not ask for it to come back
/// once another was promoted in its place, and who asks for another password does not ask for a third.
pub async fn clear<K>(
    client: &Client,
    object: &K,
    annotation: &str,
    is_done: impl FnOnce(&str) -> bool,
) where
    K: HasCommonSpec<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let asked = object.annotations().get(annotation);
    if !asked.is_some_and(|asked| is_done(asked)) {
        return;
    }
    let namespace = object.namespace().unwrap_or_default();
    let objects: Api<Received<K>> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({
        "metadata": {
            "resourceVersion": object.resource_version(),
            "annotations": {annotation: null},
        }
    });
    let (name, params) = (object.name_any(), PatchParams::default());
    if let Err(error) = objects.patch(&name, &params, &Patch::Merge(patch)).await {
        debug!(%error, "a request that is done is not taken away");
    }
}
