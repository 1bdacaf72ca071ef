//! RedisCluster: it forms, heals and is rolled under clients that write all along (issue 18).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Cluster, Lane, Login, Scenario, Signal, Space, millis};
use kube::ResourceExt as _;

pub const ALL: &[Scenario] = scenarios![Alone;
    the_sample_of_a_cluster_forms_heals_and_keeps_every_key,
];

const AT_LEAST: usize = 100;
const SOME: Duration = Duration::from_secs(60);

/// The sample as it stands.
const SAMPLE: &str = include_str!("../../../../deploy/samples/cache_v1alpha1_rediscluster.yaml");

async fn writing(cluster: &Cluster<'_>) -> Result<Vec<Lane>> {
    let lanes = cluster.lanes().await?;
    wait_for_more(&lanes).await?;
    Ok(lanes)
}

async fn wait_for_more(lanes: &[Lane]) -> Result<()> {
    for lane in lanes {
        lane.writer().wait_for_more(AT_LEAST, SOME).await?;
    }
    Ok(())
}

/// Everything acknowledged is there; tells the longest gap of any lane.
async fn nothing_lost(what: &str, lanes: Vec<Lane>) -> Result<()> {
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
    let uid = primary.uid().context("a pod without uid")?;
    let processes = space.bed().testbed.pod_processes(&uid)?;
    let server = processes
        .iter()
        .find(|p| p.cmdline.contains("redis-server"));
    let pid = server.context("no server")?.pid;
    let since = Instant::now();
    space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
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
