//! `rebalance`: slots that move between the shards of a cluster.

mod plan;
pub mod progress;
pub mod text;

use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use hera_api::meta::{
    ANNOTATION_REBALANCE, ANNOTATION_REBALANCE_APPROVE, ANNOTATION_REBALANCE_NOW, REBALANCE_CANCEL,
    REBALANCE_PAUSED,
};
use hera_api::{RebalanceMode, RebalancePhase, RebalanceStatus, RedisCluster};
use hera_core::rebalance::{RebalanceAnswer, RebalanceInput};
use hera_policy::{Decision as _, Rebalance, Record};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::args::{Cluster, RebalanceCommand};
use crate::cluster::{self, Connected};
use crate::named::{Object, Target};
use crate::output::Output;
use crate::requests::{Annotation, approved, ask};
use crate::{Verdict, policy, status};
use plan::Plan;

/// Shows a plan, or writes the annotation of a request about it.
///
/// # Errors
/// When the cluster cannot be asked, there is no such RedisCluster, or nothing that the request is about.
pub async fn run(
    command: &RebalanceCommand,
    wanted: &Cluster,
    output: Output,
) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let target = command.target();
    let object = target.find(&connected.client, &connected.namespace).await?;
    let Object::Cluster(cluster) = &object else {
        bail!("{target} is a RedisInstance, which has no slots");
    };
    if let RebalanceCommand::Plan { .. } = command {
        let plan = seen(&connected, cluster).await;
        output.print(&plan, |plan| text::plan(plan, target))?;
        return Ok(Verdict::Yes);
    }
    let annotation = annotation(command, cluster, Timestamp::now())?;
    if let RebalanceCommand::Approve {
        digest: None,
        yes: false,
        ..
    } = command
    {
        if !std::io::stdin().is_terminal() {
            bail!(
                "say which plan is approved: kubectl hera rebalance approve {target} {}, or --yes for whichever waits",
                annotation.1.unwrap_or_default()
            );
        }
        let plan = seen(&connected, cluster).await;
        approved(&text::plan(&plan, target))?;
    }
    // What was seen is approved, and nothing else. All others go for whatever moves now: its status changes often.
    let as_read = matches!(command, RebalanceCommand::Approve { .. });
    let client = &connected.client;
    ask(annotation, &object, as_read, target, client, output).await
}

/// The plan, with what the operator that leads knows of it.
async fn seen(connected: &Connected, object: &RedisCluster) -> Plan {
    let name = object.name_any();
    let (view, asked) = tokio::join!(
        Box::pin(status::cluster_view(connected, &name)),
        Box::pin(last_asked(connected, &name))
    );
    // Without the operator the status says who has which slots, as of its last pass.
    let status = object.status.clone().unwrap_or_default();
    let owners = progress::owners(&status, view.ok().as_ref());
    let asked = asked.map_err(|error| format!("{error:#}"));
    Plan::of(
        object,
        &owners,
        asked.as_ref().map_err(Clone::clone),
        Timestamp::now(),
    )
}

/// What the policy for slots was asked last.
async fn last_asked(connected: &Connected, name: &str) -> anyhow::Result<RebalanceInput> {
    let path = format!("/decisions/{}/{name}", connected.namespace);
    let text = connected.ask_leader(&path).await?;
    last_input(policy::records(&text).context("the operator's answer")?)
}

fn last_input(records: Vec<Value>) -> anyhow::Result<RebalanceInput> {
    let is_ours =
        |record: &Value| record.get("decision").and_then(Value::as_str) == Some(Rebalance::NAME);
    let last = records.into_iter().rev().find(is_ours);
    let last = last.context("the operator remembers no decision about these slots")?;
    let record: Record<RebalanceInput, RebalanceAnswer> = serde_json::from_value(last)
        .context("the decision log is not understood: is the operator of another version?")?;
    Ok(record.input)
}

/// What is written, and what that means.
fn annotation(
    command: &RebalanceCommand,
    object: &RedisCluster,
    now: Timestamp,
) -> anyhow::Result<Annotation> {
    let status = object.status.as_ref();
    let plan = status.and_then(|status| status.rebalance.as_ref());
    let target = command.target();
    Ok(match command {
        RebalanceCommand::Approve { digest, .. } => {
            let waits = waiting(target, plan)?;
            if let Some(digest) = digest.as_ref().filter(|digest| *digest != waits) {
                bail!(
                    "{digest} is no plan that waits: {waits} does, and kubectl hera rebalance plan {target} shows it"
                );
            }
            let what = format!("the plan {waits} may be carried out");
            (ANNOTATION_REBALANCE_APPROVE, Some(waits.to_owned()), what)
        }
        RebalanceCommand::Pause { .. } => (
            ANNOTATION_REBALANCE,
            Some(REBALANCE_PAUSED.to_owned()),
            "no move is begun until kubectl hera rebalance resume".to_owned(),
        ),
        RebalanceCommand::Resume { .. } => {
            let asked = object.annotations().get(ANNOTATION_REBALANCE);
            if asked.is_none_or(|asked| asked != REBALANCE_PAUSED) {
                bail!("nobody asked that the moves of {target} rest");
            }
            let what = "moves go on".to_owned();
            (ANNOTATION_REBALANCE, None, what)
        }
        RebalanceCommand::Cancel { .. } => {
            if plan.is_none_or(|plan| plan.moves.is_empty()) {
                bail!("{target} has no plan that could be dropped");
            }
            let what = "the plan is dropped, and slots that moved stay where they are".to_owned();
            let value = Some(REBALANCE_CANCEL.to_owned());
            (ANNOTATION_REBALANCE, value, what)
        }
        RebalanceCommand::Now { .. } => {
            if object.spec.rebalance.mode == RebalanceMode::Disabled {
                bail!(
                    "rebalance.mode of {target} is Disabled, so nothing moves: set it to Auto or Approve"
                );
            }
            let what = "the policy is asked which slots are to move".to_owned();
            (ANNOTATION_REBALANCE_NOW, Some(now.to_string()), what)
        }
        RebalanceCommand::Plan { .. } => bail!("a plan is only shown"),
    })
}

/// The digest of the plan that waits for an approval.
fn waiting<'a>(target: &Target, plan: Option<&'a RebalanceStatus>) -> anyhow::Result<&'a str> {
    let waits = plan.filter(|plan| plan.phase == RebalancePhase::Planned);
    waits
        .and_then(|plan| plan.digest.as_deref())
        .with_context(|| format!("no plan of {target} waits for an approval"))
}

#[cfg(test)]
mod tests;
