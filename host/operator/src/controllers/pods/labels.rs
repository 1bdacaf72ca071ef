//! The role that a server has, on its pod, for people.

use std::collections::BTreeMap;

use hera_api::meta::LABEL_ROLE;
use hera_core::agent::Role;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tracing::debug;

/// Puts roles on pods, for people: nothing decides by it. What fails is tried in the next pass.
pub async fn show_roles(
    client: &Client,
    namespace: &str,
    pods: &BTreeMap<u32, Pod>,
    role_of: impl Fn(&str) -> Option<Role>,
) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for pod in pods.values() {
        let is = match role_of(&pod.uid().unwrap_or_default()) {
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
        if let Err(error) = api.patch(&name, &params, &Patch::Merge(patch)).await {
            debug!(%error, name, "the role is not shown on its pod");
        }
    }
}
