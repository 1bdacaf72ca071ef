//! RedisCluster: it forms, heals and is rolled under clients that write all along (issue 18).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::meta::ANNOTATION_PROMOTE;
use hera_tests_e2e::{Cluster, Lane, Login, Scenario, Signal, Space, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Alone;
    the_sample_of_a_cluster_forms_heals_and_keeps_every_key,
    a_cluster_is_rolled_to_another_version,
    replicas_of_shards_come_and_go,
    a_primary_of_a_shard_whose_pod_is_deleted_hands_over,
    two_of_three_primaries_that_are_killed_together_are_followed,
    a_cluster_without_volumes_fails_over_and_is_filled_again,
];

const AT_LEAST: usize = 100;
const SOME: Duration = Duration::from_secs(60);
/// A roll of all pods.
const ROLL: Duration = Duration::from_secs(180);

/// The sample as it stands.
const SAMPLE: &str = include_str!("../../../../deploy/samples/cache_v1alpha1_rediscluster.yaml");

/// A client for each shard, which writes already.
pub async fn writing(cluster: &Cluster<'_>) -> Result<Vec<Lane>> {
    let lanes = cluster.lanes().await?;
    wait_for_more(&lanes).await?;
    Ok(lanes)
}

/// Waits until each has written on for a while.
pub async fn wait_for_more(lanes: &[Lane]) -> Result<()> {
    for lane in lanes {
        lane.writer().wait_for_more(AT_LEAST, SOME).await?;
    }
    Ok(())
}

/// Kills the server of a pod.
pub fn kill_server(cluster: &Cluster<'_>, pod: &Pod) -> Result<()> {
    let testbed = &cluster.space().bed().testbed;
    let uid = pod.uid().context("a pod without uid")?;
    let processes = testbed.pod_processes(&uid)?;
    let is_server = |words: &str| words.contains("redis-server") || words.contains("valkey-server");
    let mut servers = processes.iter().filter(|one| is_server(&one.cmdline));
    let pid = servers.next().context("no server")?.pid;
    testbed.kill_process(pid, Signal::SIGKILL)
}

/// The server of a primary is killed: another leads, and nothing acknowledged is lost.
pub async fn a_killed_primary_is_followed(cluster: &Cluster<'_>, what: &str) -> Result<()> {
    let lanes = writing(cluster).await?;
    let primary = cluster.primary(1).await?;
    kill_server(cluster, &primary)?;
    cluster.wait_other_primary(1, &primary.name_any()).await?;
    cluster.wait_settled().await?;
    nothing_lost(what, lanes).await
}

/// Everything acknowledged is there; tells the longest gap of any lane.
pub async fn nothing_lost(what: &str, lanes: Vec<Lane>) -> Result<()> {
    wait_for_more(&lanes).await?;
    read_back(what, lanes, None).await
}

/// The same, as another user reads it who may have come since.
async fn read_back(what: &str, lanes: Vec<Lane>, reader: Option<&Login>) -> Result<()> {
    let gap = lanes.iter().map(|lane| lane.writer().longest_gap()).max();
    let (mut all, mut lost) = (0, 0);
    for lane in lanes {
        let (count, missing) = lane.read_back(reader).await?;
        all += count;
        lost += missing;
    }
    println!(
        "FIGURE {what}: gap of the worst lane {}, lost {lost} of {all}",
        millis(gap.unwrap_or_default())
    );
    ensure!(
        lost == 0,
        "{lost} of {all} acknowledged writes are lost: {what}"
    );
    Ok(())
}

/// Rows: the sample applied is Ready; a client that goes where it is sent writes; a primary killed; all
/// pods deleted; the object deleted and applied again, with all keys there.
async fn the_sample_of_a_cluster_forms_heals_and_keeps_every_key(space: &Space<'_>) -> Result<()> {
    let since = Instant::now();
    space.apply(SAMPLE).await?;
    let cluster = Cluster::new(space, "my-redis-cluster");
    cluster.wait_settled().await?;
    println!("FIGURE a cluster formed: {}", millis(since.elapsed()));
    cluster.check().await?;

    let lanes = writing(&cluster).await?;
    let primary = cluster.primary(1).await?;
    let since = Instant::now();
    kill_server(&cluster, &primary)?;
    cluster.wait_other_primary(1, &primary.name_any()).await?;
    cluster.wait_settled().await?;
    println!(
        "FIGURE a primary killed: whole after {}",
        millis(since.elapsed())
    );
    nothing_lost("a primary killed", lanes).await?;
    cluster.check().await?;

    let lanes = writing(&cluster).await?;
    let since = Instant::now();
    cluster.delete_all_pods().await?;
    cluster.wait_settled().await?;
    println!(
        "FIGURE all pods deleted: whole after {}",
        millis(since.elapsed())
    );
    nothing_lost("all pods deleted", lanes).await?;
    cluster.check().await?;

    let lanes = writing(&cluster).await?;
    cluster.delete().await?;
    space.apply(SAMPLE).await?;
    cluster.wait_settled().await?;
    // Its password is another: the Secret went with the object.
    let app = cluster.app().await?;
    read_back("made anew", lanes, Some(&app)).await?;
    cluster.check().await
}

/// A small one, alone on the testbed.
pub async fn small<'a>(space: &'a Space<'_>, spec: serde_json::Value) -> Result<Cluster<'a>> {
    space.wait_alone().await?;
    Cluster::ready(space, "shop", spec).await
}

/// Rows: shards are rolled in turn, replicas first, without losing a write (P10); the operator is killed in the
/// middle.
async fn a_cluster_is_rolled_to_another_version(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    promote_once(&cluster, 2).await?;
    let since = Instant::now();
    cluster.patch_spec(json!({"version": "8.0"})).await?;
    wait_for("the roll has begun", SOME, async || {
        let pods = cluster.pods().await?;
        let ends = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
        ensure!(pods.iter().any(ends), "no pod is replaced yet");
        Ok(())
    })
    .await?;
    let operator = space.bed().operator();
    operator.kill(&operator.leader().await?).await?;
    wait_for("the version is another", ROLL, async || {
        let version = cluster.status().await?.version;
        let is_new = version.as_deref().is_some_and(|v| v.starts_with("8.0"));
        ensure!(is_new, "it is {version:?}");
        Ok(())
    })
    .await?;
    cluster.wait_settled().await?;
    println!(
        "FIGURE six pods rolled, operator killed: {}",
        millis(since.elapsed())
    );
    nothing_lost("six pods rolled", lanes).await?;
    cluster.check().await
}

/// Somebody has a replica of a shard lead. It is done once: whoever leads later is nobody to come back from.
pub async fn promote_once(cluster: &Cluster<'_>, shard: usize) -> Result<()> {
    let replicas = cluster.shard(shard).await?.replicas;
    let replica = replicas.first().context("no replica in sync")?;
    cluster.annotate(ANNOTATION_PROMOTE, Some(replica)).await?;
    wait_for("it leads, and nobody asks any more", SOME, async || {
        let primary = cluster.shard(shard).await?.primary;
        ensure!(primary.as_ref() == Some(replica), "{primary:?} leads");
        let asked = cluster.annotation(ANNOTATION_PROMOTE).await?;
        ensure!(asked.is_none(), "{asked:?} is asked for still");
        Ok(())
    })
    .await
}

/// Rows: `replicasPerMaster` 1, 2, 0 and 1 again; what a scale-down leaves loses nothing.
async fn replicas_of_shards_come_and_go(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    for replicas in [2, 0, 1] {
        let spec = json!({"replicasPerMaster": replicas});
        cluster.patch_spec(spec).await?;
        let wanted = 3 * (replicas + 1);
        wait_for("as many pods as wanted", ROLL, async || {
            let count = cluster.pods().await?.len();
            ensure!(count == wanted, "{count} of {wanted}");
            Ok(())
        })
        .await?;
        cluster.wait_settled().await?;
        cluster.check().await?;
    }
    nothing_lost("replicas 1, 2, 0, 1", lanes).await
}

/// Rows: a pod's end hands over first, with and without an operator.
async fn a_primary_of_a_shard_whose_pod_is_deleted_hands_over(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    for (what, shard) in [("pod of a primary deleted", 0), ("the same once more", 1)] {
        let lanes = writing(&cluster).await?;
        let primary = cluster.primary(shard).await?.name_any();
        let pods = space.api::<Pod>();
        pods.delete(&primary, &DeleteParams::default()).await?;
        cluster.wait_other_primary(shard, &primary).await?;
        cluster.wait_settled().await?;
        nothing_lost(what, lanes).await?;
        cluster.check().await?;
    }
    Ok(())
}

/// P22: with most primaries dead nobody can vote, and each is known to be dead.
async fn two_of_three_primaries_that_are_killed_together_are_followed(
    space: &Space<'_>,
) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    let (one, other) = (cluster.primary(0).await?, cluster.primary(2).await?);
    let since = Instant::now();
    kill_server(&cluster, &one)?;
    kill_server(&cluster, &other)?;
    cluster.wait_other_primary(0, &one.name_any()).await?;
    cluster.wait_other_primary(2, &other.name_any()).await?;
    cluster.wait_settled().await?;
    println!(
        "FIGURE two of three primaries killed: whole after {}",
        millis(since.elapsed())
    );
    nothing_lost("two of three primaries killed", lanes).await?;
    cluster.check().await
}

/// Rows: without volumes a dead primary's keys are its replica's; pods that end all at once leave an empty
/// cluster, which is whole and takes writes.
async fn a_cluster_without_volumes_fails_over_and_is_filled_again(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({"persistence": {"enabled": false}})).await?;
    a_killed_primary_is_followed(&cluster, "a primary without a volume killed").await?;
    cluster.check().await?;
    cluster.delete_all_pods().await?;
    cluster.wait_settled().await?;
    cluster.check().await?;
    wait_for_more(&cluster.lanes().await?).await
}
