//! Faults of a primary with replicas, under clients that write all along (issue 5, `testing.md`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Instance, Report, Scenario, Signal, Space, Verifier, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::replicas::{address, wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_killed_primary_is_followed_by_a_replica,
    a_killed_pod_is_followed_by_a_replica,
    a_stopped_server_is_given_up,
    a_frozen_pod_is_fenced_and_comes_back_as_a_replica,
    a_pod_deleted_by_force_is_followed_by_a_replica,
    a_partitioned_primary_stops_by_itself,
    a_cut_replica_link_moves_no_primary,
    a_failover_is_finished_by_the_next_leader,
];

/// Without proof: `fenceAfter` and its margin, and what noticing and promoting take.
const FENCED: Duration = Duration::from_secs(15 + 8);
const LONG: Duration = Duration::from_secs(120);

/// An instance, its primary, and clients that write.
struct Scene<'a> {
    instance: Instance<'a>,
    primary: Pod,
    verifier: Verifier,
    replicas: u32,
}

impl<'a> Scene<'a> {
    async fn new(space: &'a Space<'_>, replicas: u32) -> Result<Self> {
        let name = format!("of-{replicas}");
        let instance = space.ready(&name, json!({"replicas": replicas})).await?;
        wait_in_sync(&instance, replicas).await?;
        let primary = instance.primary_pod().await?;
        let verifier = Verifier::start(&instance, &address(&primary)?).await?;
        Ok(Self {
            instance,
            primary,
            verifier,
            replicas,
        })
    }

    /// Another leads, all are in sync again, and this is what clients saw.
    async fn finish(self, space: &Space<'_>, what: &str, fault: Instant) -> Result<Report> {
        self.verifier.wait_for_more().await?;
        let after = self.verifier.first_after(fault).context("no write")?;
        wait_in_sync(&self.instance, self.replicas).await?;
        let report = self.verifier.finish(&self.instance.app().await?).await?;
        let what = format!("{what}, {} pods", self.replicas);
        let figures = &space.bed().figures;
        figures.note(format!("{what}: to the next write"), millis(after));
        figures.note(what, report.line());
        self.instance.delete().await?;
        Ok(report)
    }

    async fn wait_other(&self) -> Result<String> {
        wait_other_primary(&self.instance, &self.primary.name_any()).await
    }
}

/// Row: process crash. Server side below 300 ms, through the ClusterIP below 1 s.
async fn a_killed_primary_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in [3, 2] {
        let scene = Scene::new(space, replicas).await?;
        let pid = scene.instance.pid_in(&scene.primary, "redis-server")?;
        let fault = Instant::now();
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        scene.wait_other().await?;
        let report = scene.finish(space, "server killed", fault).await?;
        ensure!(
            report.longest_gap < Duration::from_secs(2) && report.lost_at_old_address == 0,
            "{}",
            report.line()
        );
    }
    Ok(())
}

/// Agent and server killed together: the container ends, and the kubelet starts it again.
async fn a_killed_pod_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in [3, 2] {
        let scene = Scene::new(space, replicas).await?;
        let uid = scene.primary.uid().context("no uid")?;
        let fault = Instant::now();
        space.bed().testbed.kill_pod(&uid)?;
        scene.verifier.wait_for_more().await?;
        let report = scene
            .finish(space, "agent and server killed", fault)
            .await?;
        ensure!(report.longest_gap < FENCED, "{}", report.line());
    }
    Ok(())
}

/// A server that is stopped (SIGSTOP) answers nothing: after `hangAfter` its agent kills it.
async fn a_stopped_server_is_given_up(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let pid = scene.instance.pid_in(&scene.primary, "redis-server")?;
    let fault = Instant::now();
    space.bed().testbed.kill_process(pid, Signal::SIGSTOP)?;
    scene.wait_other().await?;
    let report = scene.finish(space, "server stopped", fault).await?;
    ensure!(report.longest_gap < FENCED, "{}", report.line());
    Ok(())
}

/// The whole pod stands still for longer than its fence: it is followed by another, and its agent
/// kills the server when it wakes up. What that acknowledged meanwhile is reported.
async fn a_frozen_pod_is_fenced_and_comes_back_as_a_replica(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let uid = scene.primary.uid().context("no uid")?;
    let fault = Instant::now();
    let frozen = space.bed().testbed.freeze_pod(&uid)?;
    scene.wait_other().await?;
    frozen.end()?;
    let report = scene.finish(space, "pod frozen", fault).await?;
    ensure!(report.longest_gap < FENCED, "{}", report.line());
    Ok(())
}

/// A deleted pod object proves nothing; here the kubelet ends its containers all the same.
async fn a_pod_deleted_by_force_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let namespace = space.namespace();
    let name = scene.primary.name_any();
    let fault = Instant::now();
    let words = [
        "-n",
        namespace,
        "delete",
        "pod",
        &name,
        "--grace-period=0",
        "--force",
        "--wait=false",
    ];
    space.bed().kubectl(&words).await?;
    scene.verifier.wait_for_more().await?;
    let report = scene.finish(space, "pod deleted by force", fault).await?;
    ensure!(report.longest_gap < FENCED, "{}", report.line());
    Ok(())
}

/// A primary that reaches nobody stops within `fenceAfter`; only then another is promoted.
async fn a_partitioned_primary_stops_by_itself(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let ip = address(&scene.primary)?;
    let mut others = Vec::new();
    for ordinal in 0..3 {
        let pod = scene.instance.pod_of(ordinal).await?;
        if pod.name_any() != scene.primary.name_any() {
            others.push(address(&pod)?);
        }
    }
    for operator in space.bed().operator().pods().await? {
        others.push(address(&operator)?);
    }
    let pid = scene.instance.pid_in(&scene.primary, "redis-server")?;
    let fault = Instant::now();
    let mut cuts = Vec::new();
    for other in &others {
        cuts.push(space.bed().testbed.block(&ip, other)?);
        cuts.push(space.bed().testbed.block(other, &ip)?);
    }
    wait_for("the cut off server has stopped", FENCED, async || {
        let now = scene.instance.pid_in(&scene.primary, "redis-server");
        ensure!(now.map_or(true, |now| now != pid), "it runs");
        Ok(())
    })
    .await?;
    let stopped = fault.elapsed();
    scene.wait_other().await?;
    for cut in cuts {
        cut.end()?;
    }
    space.bed().figures.note(
        "primary cut off: until its agent killed it",
        millis(stopped),
    );
    let report = scene.finish(space, "primary cut off", fault).await?;
    ensure!(report.longest_gap < FENCED, "{}", report.line());
    Ok(())
}

/// A replica that is cut off from its primary is its own trouble.
async fn a_cut_replica_link_moves_no_primary(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let (from, name) = (address(&scene.primary)?, scene.primary.name_any());
    let last = match name.as_str() {
        "of-3-2" => 1,
        _ => 2,
    };
    let to = address(&scene.instance.pod_of(last).await?)?;
    let fault = Instant::now();
    let cut = space.bed().testbed.block(&from, &to)?;
    scene.verifier.wait_for_more().await?;
    cut.end()?;
    let primary = scene.instance.status().await?.primary;
    ensure!(primary.as_deref() == Some(&name), "{primary:?} leads");
    let report = scene.finish(space, "replica's link cut", fault).await?;
    ensure!(
        report.lost == 0 && report.longest_gap < Duration::from_secs(1),
        "{}",
        report.line()
    );
    Ok(())
}

/// The leader dies together with the primary: the next one finishes what it finds.
async fn a_failover_is_finished_by_the_next_leader(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let operator = space.bed().operator();
    let leader = operator.leader().await?;
    let pid = scene.instance.pid_in(&scene.primary, "redis-server")?;
    let fault = Instant::now();
    operator.kill(&leader).await?;
    space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
    wait_for("another primary", LONG, async || {
        let primary = scene.instance.status().await?.primary.context("none")?;
        ensure!(primary != scene.primary.name_any(), "it is still {primary}");
        Ok(())
    })
    .await?;
    operator.wait_rolled_out(LONG).await?;
    let report = scene
        .finish(space, "server and leader killed", fault)
        .await?;
    ensure!(report.lost_at_old_address == 0, "{}", report.line());
    Ok(())
}
