//! RedisCluster: nodes, the API server and single servers fail or go; Valkey (issue 18).

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Cluster, Scenario, Space, millis};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::cluster::{
    a_killed_primary_is_followed, kill_server, nothing_lost, promote_once, small, wait_for_more,
    writing,
};
use crate::outages::node;

pub const ALL: &[Scenario] = scenarios![Alone;
    a_drained_node_hands_its_primaries_over,
    a_primary_of_a_shard_on_a_partitioned_node_is_followed,
    a_frozen_primary_of_a_shard_is_followed,
    without_an_api_server_the_cluster_votes_itself,
    a_cluster_of_valkey_forms_and_fails_over,
];

/// Row: planned: drain of a node with a primary.
async fn a_drained_node_hands_its_primaries_over(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    let primary = cluster.primary(0).await?;
    let (node, pod) = (node(&primary)?, primary.name_any());
    let selector = "--pod-selector=app.kubernetes.io/instance=shop";
    let since = Instant::now();
    let words = ["drain", &node, "--delete-emptydir-data", selector];
    let drained = space.bed().kubectl(&words).await;
    println!(
        "FIGURE node of a primary drained: {}",
        millis(since.elapsed())
    );
    let back = space.bed().kubectl(&["uncordon", &node]).await;
    let drained = drained?;
    back?;
    ensure!(drained.contains(&format!("pod/{pod}")), "{drained}");
    cluster.wait_settled().await?;
    nothing_lost("node drained", lanes).await?;
    cluster.check().await
}

/// Row: node partitioned: nobody reaches its pods, and they reach nobody.
async fn a_primary_of_a_shard_on_a_partitioned_node_is_followed(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    let (shard, primary) = in_the_minority(&cluster).await?;
    let since = Instant::now();
    let cut = space.bed().testbed.partition_node(&node(&primary)?)?;
    cluster
        .wait_other_primary(shard, &primary.name_any())
        .await?;
    wait_for_more(&lanes).await?;
    cut.end()?;
    cluster.wait_settled().await?;
    println!(
        "FIGURE node partitioned, and back: whole after {}",
        millis(since.elapsed())
    );
    nothing_lost("node partitioned", lanes).await?;
    cluster.check().await
}

/// A primary, with its shard, that is on a node of its own: with most of them on one node nobody may vote, as those
/// who are cut off go on. A cluster leads them apart after five minutes only.
async fn in_the_minority(cluster: &Cluster<'_>) -> Result<(usize, Pod)> {
    if let Some(found) = alone(cluster, 3).await?.pop() {
        return Ok(found);
    }
    promote_once(cluster, 0).await?;
    let found = alone(cluster, 3).await?.pop();
    found.context("all primaries are on one node")
}

/// The primaries of so many shards that share their node with none, each with its shard.
pub async fn alone(cluster: &Cluster<'_>, shards: usize) -> Result<Vec<(usize, Pod)>> {
    let mut primaries = Vec::new();
    for shard in 0..shards {
        let primary = cluster.primary(shard).await?;
        primaries.push((shard, node(&primary)?, primary));
    }
    let on = |place: &str| primaries.iter().filter(|(_, at, _)| at == place).count();
    let alone = primaries.iter().filter(|(_, at, _)| on(at) == 1);
    let alone = alone.map(|(shard, _, primary)| (*shard, primary.clone()));
    Ok(alone.collect())
}

/// Row: a pod frozen: it neither serves nor dies.
async fn a_frozen_primary_of_a_shard_is_followed(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    let primary = cluster.primary(2).await?;
    let uid = primary.uid().unwrap_or_default();
    let frozen = space.bed().testbed.freeze_pod(&uid)?;
    cluster.wait_other_primary(2, &primary.name_any()).await?;
    wait_for_more(&lanes).await?;
    frozen.end()?;
    cluster.wait_settled().await?;
    nothing_lost("a primary frozen", lanes).await?;
    cluster.check().await
}

/// Row: API server down: a primary that dies meanwhile is followed by the cluster's own vote.
async fn without_an_api_server_the_cluster_votes_itself(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let lanes = writing(&cluster).await?;
    let primary = cluster.primary(0).await?;
    let down = space.bed().testbed.kill_api()?;
    let killed = kill_server(&cluster, &primary);
    let written = wait_for_more(&lanes).await;
    down.end()?;
    killed?;
    written?;
    cluster.wait_settled().await?;
    nothing_lost("API server down, a primary killed", lanes).await?;
    cluster.check().await
}

/// Row: the other engine.
async fn a_cluster_of_valkey_forms_and_fails_over(space: &Space<'_>) -> Result<()> {
    let valkey = json!({"engine": "valkey", "version": "8.1"});
    let cluster = small(space, valkey).await?;
    cluster.check().await?;
    a_killed_primary_is_followed(&cluster, "a primary of Valkey killed").await?;
    cluster.check().await
}
