//! A node is lost with a primary on it (issue 5: pods stuck on a dead node).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hera_api::conditions::degraded;
use hera_tests_e2e::{Instance, Scenario, Space, Verifier, millis, wait_for};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;
use kube::api::Api;
use serde_json::json;

use crate::replicas::{address, wait_in_sync, wait_other_primary};
use crate::scene::{note_settled, sizes};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_killed_node_is_reported_and_its_pod_made_anew_once_somebody_says_that_it_is_off,
    where_fences_are_off_the_word_that_a_node_is_off_is_proof,
];

const LONG: Duration = Duration::from_secs(150);
/// Short of the limit of a scenario, so that a node that was tainted is always brought back.
const MEANWHILE: Duration = Duration::from_secs(180);
const TAINT: &str = "node.kubernetes.io/out-of-service";

fn node_of(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone())
        .context("a pod without node")
}

/// Somebody says that a node is off.
async fn taint(space: &Space<'_>, node: &str) -> Result<()> {
    let value = format!("{TAINT}=nodeshutdown:NoExecute");
    space
        .bed()
        .kubectl(&["taint", "nodes", node, &value])
        .await?;
    Ok(())
}

/// A node that is killed, and what is done about it; comes back whatever comes of that.
async fn with_dead_node(
    space: &Space<'_>,
    node: &str,
    meanwhile: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let dead = space.bed().testbed.kill_node(node)?;
    let outcome = tokio::time::timeout(MEANWHILE, meanwhile()).await;
    let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("it takes more than {MEANWHILE:?}")));
    // Nobody says any more that it is off before it comes back.
    let known = space
        .bed()
        .kubectl(&["get", "node", node, "-o", "yaml"])
        .await;
    let untainted = match known {
        Ok(text) if text.contains(TAINT) => {
            let taint = format!("{TAINT}-");
            space
                .bed()
                .kubectl(&["taint", "nodes", node, &taint])
                .await
                .map(drop)
        }
        other => other.map(drop),
    };
    dead.end()?;
    wait_for("the node is ready again", LONG, async || {
        let nodes: Api<Node> = Api::all(space.bed().client.clone());
        let status = nodes.get(node).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        ensure!(ready, "it is not");
        Ok(())
    })
    .await?;
    space.bed().operator().wait_rolled_out(LONG).await?;
    outcome.and(untainted)
}

async fn wait_node_lost(instance: &Instance<'_>, words: &[&str]) -> Result<()> {
    wait_for("the lost node is reported", LONG, async || {
        let found = instance.condition(degraded::TYPE).await?;
        ensure!(found.reason == degraded::NODE_LOST, "{found:?}");
        for word in words {
            ensure!(
                found.message.contains(word),
                "no {word} in {}",
                found.message
            );
        }
        Ok(())
    })
    .await
}

/// Without proof another leads after the fence; the condition names pod and node; the taint has the pod
/// made anew elsewhere; with the node back all is as before, and no write of before is lost but what
/// had not been sent.
async fn a_killed_node_is_reported_and_its_pod_made_anew_once_somebody_says_that_it_is_off(
    space: &Space<'_>,
) -> Result<()> {
    for replicas in sizes(3) {
        let name = format!("of-{replicas}");
        let instance = space.ready(&name, json!({"replicas": replicas})).await?;
        wait_in_sync(&instance, replicas).await?;
        let primary = instance.primary_pod().await?;
        let (name, node) = (primary.name_any(), node_of(&primary)?);
        let verifier = Verifier::start(&instance, &address(&primary)?).await?;
        let figures = &space.bed().figures;
        let fault = Instant::now();
        with_dead_node(space, &node, async || {
            wait_for("another primary", LONG, async || {
                let leads = instance.status().await?.primary.context("none")?;
                ensure!(leads != name, "it is still {leads}");
                Ok(())
            })
            .await?;
            verifier.wait_for_more().await?;
            note_settled(
                space,
                &format!("node killed, {replicas} pods"),
                &verifier,
                fault,
            )?;
            wait_node_lost(&instance, &[&name, &node, TAINT]).await?;
            figures.note(
                format!("node killed, {replicas} pods: until it is reported"),
                millis(fault.elapsed()),
            );
            let tree = space.hera(&["status", instance.name()]).await?.text;
            ensure!(tree.contains(&format!("{name}  not heard")), "{tree}");

            let tainted = Instant::now();
            taint(space, &node).await?;
            wait_for("its pod runs elsewhere", LONG, async || {
                let pod: Pod = space.api().get(&name).await?;
                ensure!(pod.uid() != primary.uid(), "it is the same pod");
                let now = node_of(&pod)?;
                ensure!(now != node, "it is on {now}");
                Ok(())
            })
            .await?;
            wait_in_sync(&instance, replicas).await?;
            figures.note(
                format!("node out of service: until {replicas} pods are in sync again"),
                millis(tainted.elapsed()),
            );
            Ok(())
        })
        .await?;
        wait_in_sync(&instance, replicas).await?;
        instance
            .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
            .await?;
        let report = verifier.finish(&instance.app().await?).await?;
        figures.note(format!("node killed, {replicas} pods"), report.line());
        ensure!(report.lost_at_old_address == 0, "{}", report.line());
    }
    Ok(())
}

/// Nobody takes over from a primary that may live; once somebody says that its node is off, another
/// does at once.
async fn where_fences_are_off_the_word_that_a_node_is_off_is_proof(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"replicas": 3, "failover": {"fenceAfter": "0s"}});
    let instance = space.ready("group", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    let primary = instance.primary_pod().await?;
    let (name, node) = (primary.name_any(), node_of(&primary)?);
    with_dead_node(space, &node, async || {
        wait_node_lost(&instance, &[&name, &node, TAINT]).await?;
        let leads = instance.status().await?.primary;
        ensure!(leads.is_none(), "{leads:?} leads");
        let tree = space.hera(&["status", "group"]).await?;
        ensure!(
            tree.code == 1 && tree.text.contains("fences are off"),
            "{tree:?}"
        );
        let tainted = Instant::now();
        taint(space, &node).await?;
        wait_other_primary(&instance, &name).await?;
        space.bed().figures.note(
            "fences off, node out of service: until another leads",
            millis(tainted.elapsed()),
        );
        // Nodes lead to the dead pod for a moment more.
        wait_for("clients reach it", LONG, async || {
            let value: String = app.ask(&["GET", "key"]).await?;
            ensure!(value == "value", "it is {value}");
            Ok(())
        })
        .await
    })
    .await?;
    wait_in_sync(&instance, 3).await
}
