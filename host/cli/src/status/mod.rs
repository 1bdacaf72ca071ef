//! `status`: an instance or a cluster as a tree, or a line for each.

pub mod fleet;
mod lines;
mod shards;
pub mod slots;
mod text;
mod topology;
mod tree;

use std::time::Duration;

use anyhow::Context as _;
use hera_api::conditions::ready;
use hera_core::cluster::ClusterView;
use hera_core::instance::InstanceView;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Cluster;
use crate::cluster::Connected;
use crate::named::{Object, Target};
use crate::output::Output;
use crate::rebalance::progress::{Progress, owners};
use crate::{Verdict, cluster};
use lines::{PodLine, VolumeLine, pod_line, volume_line};

/// The operator asks agents for two seconds at most; its own port may lead nowhere.
const OPERATOR_LIMIT: Duration = Duration::from_secs(8);

/// Everything that is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// As somebody calls the object, for commands that are suggested.
    #[serde(skip)]
    target: Target,
    object: Object,
    pods: Vec<PodLine>,
    volumes: Vec<VolumeLine>,
    /// How far slots of a cluster are that move.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebalance: Option<Progress>,
    /// What the operator that leads knows; none if it cannot be asked.
    operator: Option<View>,
    /// Why it cannot be asked.
    operator_error: Option<String>,
}

/// What the operator knows of an object.
#[derive(Serialize)]
#[serde(untagged)]
enum View {
    Instance(Box<InstanceView>),
    Cluster(ClusterView),
}

/// Prints an object; the answer is no while it does not serve, whether or not the operator can be
/// asked.
///
/// # Errors
/// When the cluster cannot be asked, or there is no such object.
pub async fn run(target: &Target, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let client = &connected.client;
    let object = target.find(client, &connected.namespace).await?;
    let (pods, claims) = tokio::try_join!(
        object.children::<Pod>(client),
        object.children::<PersistentVolumeClaim>(client)
    )?;
    let (zones, operator) = tokio::join!(
        lines::zones(client, &pods),
        ask_operator(&connected, &object)
    );
    let (operator, operator_error) = match operator {
        Ok(view) => (Some(view), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let seen = Seen {
        rebalance: rebalance(&object, operator.as_ref(), jiff::Timestamp::now()),
        target: target.clone(),
        pods: pods.iter().map(|pod| pod_line(pod, &zones)).collect(),
        volumes: claims.iter().map(volume_line).collect(),
        object,
        operator,
        operator_error,
    };
    let serves = seen.object.status().is_true(ready::TYPE);
    output.print(&seen, text::describe)?;
    Ok(Verdict::from(serves))
}

/// How far the plan of a cluster is, as the servers tell it now where the operator can be asked.
fn rebalance(object: &Object, view: Option<&View>, now: jiff::Timestamp) -> Option<Progress> {
    let Object::Cluster(object) = object else {
        return None;
    };
    let status = object.status.as_ref()?;
    let view = match view {
        Some(View::Cluster(view)) => Some(view),
        _ => None,
    };
    Progress::of(status, &owners(status, view), now)
}

async fn ask_operator(connected: &Connected, object: &Object) -> anyhow::Result<View> {
    Ok(match object {
        Object::Instance(_) => {
            let view = ask(connected, "instances", object.name()).await?;
            View::Instance(Box::new(view))
        }
        Object::Cluster(_) => View::Cluster(cluster_view(connected, object.name()).await?),
    })
}

/// What the operator that leads knows of a cluster.
///
/// # Errors
/// When it cannot be asked.
pub async fn cluster_view(connected: &Connected, name: &str) -> anyhow::Result<ClusterView> {
    ask(connected, "clusters", name).await
}

async fn ask<V: DeserializeOwned>(
    connected: &Connected,
    kind: &str,
    name: &str,
) -> anyhow::Result<V> {
    let path = format!("/{kind}/{}/{name}", connected.namespace);
    let answer = tokio::time::timeout(OPERATOR_LIMIT, connected.ask_leader(&path)).await;
    let seconds = OPERATOR_LIMIT.as_secs();
    let text = answer.with_context(|| format!("it does not answer within {seconds} s"))??;
    serde_json::from_str(&text).context("its answer is not understood: is it of another version?")
}
