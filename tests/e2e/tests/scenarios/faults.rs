//! A primary with replicas dies, and something proves it (issue 5, `testing.md`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Instance, Scenario, Signal, Space, Writer, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::replicas::address;
use crate::scene::{FENCED, LONG, Scene, ensure_gap, sizes};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_killed_primary_is_followed_by_a_replica,
    a_killed_primary_that_needs_a_replica_is_followed_by_one,
    a_killed_pod_is_followed_by_a_replica,
    a_primary_out_of_memory_is_followed_by_a_replica,
    a_failover_is_finished_by_the_next_leader,
];

/// Row: process crash. Server side below 300 ms, through the ClusterIP below 1 s.
async fn a_killed_primary_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in [3, 2] {
        let scene = Scene::new(space, replicas).await?;
        let direct = at_each(&scene.instance, &scene.others().await?).await?;
        let pid = scene.server()?;
        let stream = scene.instance.info_at(&scene.primary, "master_replid");
        let stream = stream.await?;
        let fault = Instant::now();
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        let next = scene.wait_other().await?;
        scene.verifier.wait_for_more().await?;
        let pods = direct.iter().filter_map(|writer| writer.first_after(fault));
        let served = pods.min().context("no pod takes a write")?;
        space.bed().figures.note(
            format!("server killed, {replicas} pods: a write at a pod's address"),
            millis(served),
        );
        drop(direct);
        let others = scene.others().await?;
        for other in others.iter().filter(|pod| pod.name_any() != next) {
            wait_resumed(&scene.instance, other, &stream).await?;
        }
        let report = scene.finish(space, "server killed", fault).await?;
        ensure_gap(&report, Duration::from_secs(2))?;
        ensure!(report.lost_at_old_address == 0, "{}", report.line());
    }
    Ok(())
}

/// With `minReplicasToWrite` the next primary takes writes as soon as the other replica follows it.
async fn a_killed_primary_that_needs_a_replica_is_followed_by_one(space: &Space<'_>) -> Result<()> {
    let durable = json!({"durability": {"minReplicasToWrite": 1}});
    let scene = Scene::with(space, 3, durable).await?;
    let pid = scene.server()?;
    let fault = Instant::now();
    space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
    scene.wait_other().await?;
    wait_for(
        "the next primary has the replica it needs",
        LONG,
        async || {
            let pod = scene.instance.primary_pod().await?;
            // Servers that need none do not have this field.
            let good = scene.instance.info_at(&pod, "min_slaves_good_slaves");
            let good = good.await?;
            ensure!(good != "0", "it has none");
            Ok(())
        },
    )
    .await?;
    let report = scene
        .finish(space, "server killed, minReplicasToWrite 1", fault)
        .await?;
    ensure_gap(&report, Duration::from_secs(3))?;
    ensure!(report.lost_at_old_address == 0, "{}", report.line());
    Ok(())
}

/// A replica goes on where the stream of the dead primary ended: one that took all data anew would
/// know of that stream no more.
async fn wait_resumed(instance: &Instance<'_>, replica: &Pod, stream: &str) -> Result<()> {
    wait_for("the other replica resumes", LONG, async || {
        let before = instance.info_at(replica, "master_replid2").await?;
        ensure!(before == stream, "it went on from {before}, not {stream}");
        Ok(())
    })
    .await
}

/// A client at each of these pods' own addresses: no Service is between them.
async fn at_each(instance: &Instance<'_>, pods: &[Pod]) -> Result<Vec<Writer>> {
    let app = instance.app().await?;
    let start = |pod: &Pod| {
        let name = format!("at-{}", pod.name_any());
        Ok(Writer::start(&name, app.at(&address(pod)?)))
    };
    pods.iter().map(start).collect()
}

/// Agent and server killed together: the container ends, and the kubelet starts it again.
async fn a_killed_pod_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(2) {
        let scene = Scene::new(space, replicas).await?;
        let pid = scene.server()?;
        let fault = Instant::now();
        space.bed().testbed.kill_pod(&scene.uid()?)?;
        scene.wait_server_gone(pid, LONG).await?;
        scene.wait_other().await?;
        let report = scene
            .finish(space, "agent and server killed", fault)
            .await?;
        ensure_gap(&report, FENCED)?;
    }
    Ok(())
}

/// A client sends one value that is larger than the pod: the kernel kills the server for it.
async fn a_primary_out_of_memory_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(3) {
        let scene = Scene::new(space, replicas).await?;
        let pid = scene.server()?;
        let app = scene.instance.app().await?;
        let mut client = TcpStream::connect((address(&scene.primary)?.as_str(), 6379)).await?;
        let user = app.user.as_deref().context("no user")?;
        let login = format!("AUTH {user} {}\r\n", app.password);
        client.write_all(login.as_bytes()).await?;
        let fault = Instant::now();
        client
            .write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$500000000\r\n")
            .await?;
        let megabyte = vec![b'x'; 1 << 20];
        // Until the server is gone.
        while client.write_all(&megabyte).await.is_ok() {
            ensure!(fault.elapsed() < LONG, "it takes all of it");
        }
        scene.wait_server_gone(pid, LONG).await?;
        let report = scene.finish(space, "out of memory", fault).await?;
        ensure_gap(&report, FENCED)?;
    }
    Ok(())
}

/// The leader dies together with the primary: the next one finishes what it finds.
async fn a_failover_is_finished_by_the_next_leader(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(2) {
        let scene = Scene::new(space, replicas).await?;
        let operator = space.bed().operator();
        let leader = operator.leader().await?;
        let pid = scene.server()?;
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
    }
    Ok(())
}
