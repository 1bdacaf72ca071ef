//! `status`: an instance as a tree.

mod text;
mod topology;
mod tree;

use std::time::Duration;

use anyhow::Context as _;
use hera_api::RedisInstance;
use hera_api::meta::{LABEL_INSTANCE, LABEL_ROLE};
use hera_core::instance::InstanceView;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::args::Cluster;
use crate::cluster::Connected;
use crate::output::Output;
use crate::{Verdict, cluster};

/// The operator asks agents for two seconds at most; its own port may lead nowhere.
const OPERATOR_LIMIT: Duration = Duration::from_secs(8);

/// Everything that is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    object: RedisInstance,
    pods: Vec<PodLine>,
    volumes: Vec<VolumeLine>,
    /// What the operator that leads knows; none if it cannot be asked.
    operator: Option<InstanceView>,
    /// Why it cannot be asked.
    operator_error: Option<String>,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodLine {
    name: String,
    phase: String,
    ready: bool,
    node: Option<String>,
    ip: Option<String>,
    restarts: i32,
    /// What its server was when the operator last looked.
    role: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeLine {
    name: String,
    phase: String,
    size: Option<String>,
    class: Option<String>,
}

/// Prints an instance; the answer is no while it does not serve, whether or not the operator can be
/// asked.
///
/// # Errors
/// When the cluster cannot be asked, or there is no such instance.
pub async fn run(name: &str, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let namespace = connected.namespace.as_str();
    let objects: Api<RedisInstance> = Api::namespaced(connected.client.clone(), namespace);
    let object = objects
        .get_opt(name)
        .await?
        .with_context(|| format!("there is no RedisInstance {name} in namespace {namespace}"))?;
    let ours = ListParams::default().labels(&format!("{LABEL_INSTANCE}={name}"));
    let pods: Api<Pod> = Api::namespaced(connected.client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(connected.client.clone(), namespace);
    let (pods, claims) = tokio::try_join!(pods.list(&ours), claims.list(&ours))?;
    let (operator, operator_error) = match ask_operator(&connected, name).await {
        Ok(view) => (Some(view), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let seen = Seen {
        pods: pods.iter().map(pod_line).collect(),
        volumes: claims.iter().map(volume_line).collect(),
        object,
        operator,
        operator_error,
    };
    let serves = is_true(&seen.object, "Ready");
    output.print(&seen, text::describe)?;
    Ok(Verdict::from(serves))
}

async fn ask_operator(connected: &Connected, name: &str) -> anyhow::Result<InstanceView> {
    let path = format!("/instances/{}/{name}", connected.namespace);
    let answer = tokio::time::timeout(OPERATOR_LIMIT, connected.ask_leader(&path)).await;
    let seconds = OPERATOR_LIMIT.as_secs();
    let text = answer.with_context(|| format!("it does not answer within {seconds} s"))??;
    serde_json::from_str(&text).context("its answer is not understood: is it of another version?")
}

fn pod_line(pod: &Pod) -> PodLine {
    let status = pod.status.clone().unwrap_or_default();
    let phase = match &pod.metadata.deletion_timestamp {
        Some(_) => "Terminating".to_owned(),
        None => status.phase.unwrap_or_default(),
    };
    PodLine {
        name: pod.name_any(),
        phase,
        ready: status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ip: status.pod_ip,
        restarts: status
            .container_statuses
            .iter()
            .flatten()
            .map(|container| container.restart_count)
            .sum(),
        role: pod.labels().get(LABEL_ROLE).cloned(),
    }
}

fn volume_line(claim: &PersistentVolumeClaim) -> VolumeLine {
    let status = claim.status.clone().unwrap_or_default();
    VolumeLine {
        name: claim.name_any(),
        phase: status.phase.unwrap_or_default(),
        size: status
            .capacity
            .and_then(|capacity| Some(capacity.get("storage")?.0.clone())),
        class: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone()),
    }
}

fn is_true(object: &RedisInstance, type_: &str) -> bool {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == type_ && condition.status == "True")
}
