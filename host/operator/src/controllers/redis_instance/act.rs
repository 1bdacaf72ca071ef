//! Carries out a plan.

use std::net::IpAddr;

use hera_core::acl::AclSet;
use hera_core::agent::{Request, ServerConfig};
use hera_core::instance::{Plan, Step};
use hera_kube::Severity;
use hera_render::{AddressFamily, Owner, PrimaryEndpoint, build_endpoint_slice};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{Api, DeleteParams, Preconditions};
use tracing::{info, warn};

use super::observe::Live;
use super::{PassError, events};
use crate::agents::AgentError;
use crate::shared::Shared;

/// What the steps need.
pub struct Material<'a> {
    pub owner: Owner<'a>,
    pub live: &'a Live,
    pub about: &'a ObjectReference,
    pub pod_uid: &'a str,
    pub config: Option<&'a ServerConfig>,
    pub acl: Option<&'a AclSet>,
    pub term: u64,
}

/// Carries out the steps in order. One that fails holds back no other, but for the disruptive one:
/// no pod is deleted after something did not reach it.
///
/// # Errors
/// The first that failed; every step can be carried out again.
pub async fn carry_out(
    shared: &Shared,
    plan: &Plan,
    material: &Material<'_>,
) -> Result<(), PassError> {
    let mut failed = None;
    for planned in &plan.steps {
        if failed.is_some() && matches!(planned.step, Step::DeletePod { .. }) {
            break;
        }
        // Leadership may have been lost while the steps before were under way.
        if shared.leadership.term() != Some(material.term) {
            return Err(PassError::LeadershipLost);
        }
        info!(step = ?planned.step, reason = %planned.reason, "step");
        let (name, outcome) = match &planned.step {
            Step::SetEndpoint { ip } => (
                "set-endpoint",
                set_endpoint(shared, material, ip.as_deref()).await,
            ),
            Step::PushConfig => ("push-config", push_config(shared, material).await),
            Step::PushAcl => ("push-acl", push_acl(shared, material).await),
            Step::DeletePod { name, uid } => (
                "delete-pod",
                delete_pod(shared, material, name, uid, &planned.reason).await,
            ),
        };
        match outcome {
            Ok(()) => shared.metrics.steps.with_label_values(&[name]).inc(),
            Err(error) => {
                warn!(step = name, %error, "the step failed");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn set_endpoint(
    shared: &Shared,
    material: &Material<'_>,
    ip: Option<&str>,
) -> Result<(), PassError> {
    let pod = material.live.pod.as_ref();
    let known: Option<IpAddr> = super::observe::endpoint(material.live)
        .or_else(|| pod.and_then(|pod| pod.status.as_ref()?.pod_ip.clone()))
        .and_then(|ip| ip.parse().ok());
    let address: Option<IpAddr> = ip.and_then(|ip| ip.parse().ok());
    let Some(family) = address.or(known).map(AddressFamily::of) else {
        return Ok(());
    };
    let primary = address.zip(pod).map(|(ip, pod)| PrimaryEndpoint {
        ip,
        pod: pod.metadata.name.clone().unwrap_or_default(),
        pod_uid: material.pod_uid.to_owned(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    });
    let slice = build_endpoint_slice(&material.owner, family, primary.as_ref());
    shared
        .applier
        .apply(material.owner.namespace, material.owner.uid, &slice)
        .await?;
    Ok(())
}

async fn push_config(shared: &Shared, material: &Material<'_>) -> Result<(), PassError> {
    let agent = shared.agents.client(material.pod_uid);
    let (Some(agent), Some(config)) = (agent, material.config) else {
        return Ok(());
    };
    let request = Request {
        term: material.term,
        body: config.clone(),
    };
    agent
        .push_config(&request)
        .await
        .map(|_| ())
        .map_err(|error| refused(shared, error))
}

async fn push_acl(shared: &Shared, material: &Material<'_>) -> Result<(), PassError> {
    let agent = shared.agents.client(material.pod_uid);
    let (Some(agent), Some(acl)) = (agent, material.acl) else {
        return Ok(());
    };
    let request = Request {
        term: material.term,
        body: acl.clone(),
    };
    agent
        .push_acl(&request)
        .await
        .map(|_| ())
        .map_err(|error| refused(shared, error))
}

fn refused(shared: &Shared, error: AgentError) -> PassError {
    if let AgentError::OldTerm(term) = error {
        shared.leadership.raise_above(term);
    }
    PassError::Agent(error)
}

async fn delete_pod(
    shared: &Shared,
    material: &Material<'_>,
    name: &str,
    uid: &str,
    reason: &str,
) -> Result<(), PassError> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), material.owner.namespace);
    let only_this = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match pods.delete(name, &only_this).await {
        Ok(_) => {
            let note = format!("pod {name} is replaced: {reason}");
            let about = material.about;
            shared
                .events
                .publish(about, Severity::Normal, events::POD_REPLACED, &note)
                .await;
            Ok(())
        }
        Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
