//! Pods that are deleted to be made anew.

use hera_core::shard::Target;
use hera_kube::{ApplyError, Refusal};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, Preconditions};

use crate::controllers::outcome::PassError;

/// Deletes a pod with its own grace period, or another; none of the same name that came after it.
///
/// # Errors
/// When the API server refuses it.
pub async fn delete_pod(
    client: &Client,
    namespace: &str,
    pod: &Target,
    grace_period_seconds: Option<u32>,
) -> Result<(), PassError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let only_this = DeleteParams {
        grace_period_seconds,
        preconditions: Some(Preconditions {
            uid: Some(pod.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = pods.delete(&pod.name, &only_this);
    match Refusal::within::<Pod, _>(&pod.name, false, deleted).await {
        Ok(deleted) => Ok(deleted.map(drop).map_err(ApplyError::from)?),
        Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
