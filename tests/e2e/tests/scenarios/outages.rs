//! Nodes, the API server and the leader of the operator fail, or go (issue 5, `testing.md`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_core::agent::Order;
use hera_tests_e2e::{Forger, Instance, Scenario, Signal, Space, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::Api;
use serde_json::json;

use crate::replicas::{wait_in_sync, wait_other_primary};
use crate::scene::{FENCED, LONG, Scene, ensure_gap, ensure_nothing_lost, sizes};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_primary_on_a_partitioned_node_is_followed_by_a_replica,
    a_primary_serves_while_the_api_server_is_down,
    a_killed_operator_interrupts_no_client,
    a_leader_that_slept_through_a_failover_changes_nothing,
    a_drained_node_hands_its_primary_over,
];

/// The node that a pod is on.
pub fn node(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.clone());
    node.context("the pod is on no node")
}

/// The pod of the operator that leads.
async fn leader(space: &Space<'_>) -> Result<Pod> {
    let name = space.bed().operator().leader().await?;
    let pods: Api<Pod> = Api::namespaced(space.bed().client.clone(), "hera-system");
    Ok(pods.get(&name).await?)
}

/// An instance whose primary is not where the leader is.
async fn away_from_the_leader<'a>(space: &'a Space<'_>, replicas: u32) -> Result<Instance<'a>> {
    let name = format!("of-{replicas}");
    let instance = space.ready(&name, json!({"replicas": replicas})).await?;
    wait_in_sync(&instance, replicas).await?;
    let (leader, primary) = (node(&leader(space).await?)?, instance.primary_pod().await?);
    if node(&primary)? != leader {
        return Ok(instance);
    }
    for ordinal in 0..replicas {
        let pod = instance.pod_of(ordinal).await?;
        if node(&pod)? != leader {
            let to = pod.name_any();
            instance
                .annotate("cache.hera.io/promote", Some(&to))
                .await?;
            wait_other_primary(&instance, &primary.name_any()).await?;
            wait_in_sync(&instance, replicas).await?;
            break;
        }
    }
    Ok(instance)
}

/// Row: node partitioned: nobody reaches its pods, and they reach nobody.
async fn a_primary_on_a_partitioned_node_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(3) {
        let instance = away_from_the_leader(space, replicas).await?;
        let scene = Scene::of(instance, replicas).await?;
        let pid = scene.server()?;
        let fault = Instant::now();
        let cut = space.bed().testbed.partition_node(&node(&scene.primary)?)?;
        scene.wait_other().await?;
        // The kubelet starts the container no sooner than it may: it is the agent that stopped it.
        scene.wait_server_gone(pid, LONG).await?;
        scene.verifier.wait_for_more().await?;
        cut.end()?;
        let report = scene.finish(space, "node partitioned", fault).await?;
        ensure_gap(&report, FENCED)?;
    }
    Ok(())
}

/// Row: API server down: nobody leads, nobody is promoted, and no primary stops that its peers
/// confirm. What dies meanwhile is followed once the API server is back.
async fn a_primary_serves_while_the_api_server_is_down(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(2) {
        let scene = Scene::new(space, replicas).await?;
        let (pid, uid) = (scene.server()?, scene.uid()?);
        let fault = Instant::now();
        let down = space.bed().testbed.kill_api()?;
        // Longer than a primary goes on that nobody confirms.
        tokio::time::sleep(FENCED).await;
        let written = scene.verifier.written_since(fault);
        let servers = space.bed().testbed.pod_processes(&uid)?;
        ensure!(
            servers.iter().any(|process| process.pid == pid),
            "the primary has stopped: {servers:?}"
        );
        ensure!(written > 1000, "only {written} writes meanwhile");
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        down.end()?;
        let back = Instant::now();
        scene.wait_other().await?;
        // Clients of the Service wait longer: kube-proxy looks for the API server at its own pace.
        space.bed().figures.note(
            format!("API server back, {replicas} pods: until another leads"),
            millis(back.elapsed()),
        );
        space.bed().operator().wait_rolled_out(LONG).await?;
        let report = scene.finish(space, "API server down", fault).await?;
        ensure!(report.lost_at_old_address == 0, "{}", report.line());
        ensure_gap(&report, LONG)?;
    }
    Ok(())
}

/// Row: operator killed: no client waits, and whoever leads then finds everything as it was.
async fn a_killed_operator_interrupts_no_client(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(2) {
        let scene = Scene::new(space, replicas).await?;
        let operator = space.bed().operator();
        let leader = operator.leader().await?;
        let fault = Instant::now();
        operator.kill(&leader).await?;
        operator.delete_pod(&leader).await?;
        operator.wait_leader(&[&leader], LONG).await?;
        operator.wait_rolled_out(LONG).await?;
        scene.verifier.wait_for_more().await?;
        scene.ensure_same_primary().await?;
        let report = scene.finish(space, "operator killed", fault).await?;
        ensure_nothing_lost(&report)?;
        ensure_gap(&report, Duration::from_secs(1))?;
    }
    Ok(())
}

/// Row: a leader stopped in mid-failover and resumed after another has finished: its orders are
/// refused by term, and it leads no more.
async fn a_leader_that_slept_through_a_failover_changes_nothing(space: &Space<'_>) -> Result<()> {
    let operator = space.bed().operator();
    let forger = Forger::new(space.bed()).await?;
    // Once it waits for a fence, and once it has just begun to promote.
    let sizes = sizes(3).into_iter();
    for (replicas, proof) in sizes.flat_map(|size| [(size, false), (size, true)]) {
        let scene = Scene::new(space, replicas).await?;
        let leader = leader(space).await?;
        let uid = leader.uid().context("no uid")?;
        let processes = space.bed().testbed.pod_processes(&uid)?;
        let asleep = processes.first().context("the leader has no process")?.pid;
        let testbed = &space.bed().testbed;
        let fault = Instant::now();
        let frozen = match proof {
            true => {
                testbed.kill_process(scene.server()?, Signal::SIGKILL)?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                None
            }
            false => {
                let frozen = testbed.freeze_pod(&scene.uid()?)?;
                wait_for("the failover has begun", LONG, async || {
                    let ready = scene.instance.status().await?.ready_replicas;
                    ensure!(ready == Some(0), "{ready:?} are ready");
                    Ok(())
                })
                .await?;
                Some(frozen)
            }
        };
        testbed.kill_process(asleep, Signal::SIGSTOP)?;
        // It is in the middle of it: what it has done to the end it would have told.
        let told = scene.instance.status().await?.primary;
        let before = scene.primary.name_any();
        ensure!(told.is_none_or(|told| told == before), "it has finished");
        let term = operator.term().await?;
        let done = async {
            operator.wait_leader(&[&leader.name_any()], LONG).await?;
            scene.wait_other().await
        };
        let done = done.await;
        testbed.kill_process(asleep, Signal::SIGCONT)?;
        let next = done?;
        frozen.map_or(Ok(()), hera_tests_e2e::Fault::end)?;
        wait_in_sync(&scene.instance, replicas).await?;
        scene.verifier.wait_for_more().await?;
        let primary = scene.instance.primary_pod().await?;
        ensure!(
            primary.name_any() == next,
            "{next} led, {} leads",
            primary.name_any()
        );
        // What it would order now.
        let order = Order::Fence { epoch: u64::MAX };
        let (status, words) = forger.order(&primary, term, order).await?;
        ensure!(status == 409, "its term is answered {status}: {words}");
        let what = match proof {
            true => "leader stopped while it promotes",
            false => "leader stopped while it waits for the fence",
        };
        let instance = scene.instance.name().to_owned();
        let report = scene.finish(space, what, fault).await?;
        ensure!(report.lost_at_old_address == 0, "{}", report.line());
        space.instance(&instance).delete().await?;
        operator.wait_rolled_out(LONG).await?;
    }
    Ok(())
}

/// Row: planned: drain of the primary's node. Nothing is lost.
async fn a_drained_node_hands_its_primary_over(space: &Space<'_>) -> Result<()> {
    space.wait_alone().await?;
    for replicas in sizes(3) {
        let scene = Scene::new(space, replicas).await?;
        let (node, pod) = (node(&scene.primary)?, scene.primary.name_any());
        let selector = format!(
            "--pod-selector=app.kubernetes.io/instance={}",
            scene.instance.name()
        );
        let fault = Instant::now();
        let words = ["drain", &node, "--delete-emptydir-data", &selector];
        let drained = space.bed().kubectl(&words).await;
        let back = space.bed().kubectl(&["uncordon", &node]).await;
        let drained = drained?;
        back?;
        ensure!(drained.contains(&format!("pod/{pod}")), "{drained}");
        scene.wait_other().await?;
        let report = scene.finish(space, "node drained", fault).await?;
        ensure_nothing_lost(&report)?;
        ensure_gap(&report, Duration::from_secs(1))?;
    }
    Ok(())
}
