//! RedisCluster: changes that fail or wait for somebody, an operator killed in formation, the oldest version
//! (issue 18).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing};
use hera_tests_e2e::{Cluster, Scenario, Space, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;

use crate::cluster::{a_killed_primary_is_followed, nothing_lost, small, writing};
use crate::rollback::{NO_SUCH_IMAGE, image, with_way_back};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_roll_that_fails_in_a_shard_goes_back_and_stops,
    somebody_approves_each_step_that_touches_a_primary_of_a_shard,
    an_operator_killed_while_a_cluster_forms_leaves_nothing_half_done,
    a_cluster_of_the_oldest_version_forms_and_fails_over,
];

const SOME: Duration = Duration::from_secs(60);
/// The deadline of a roll, and what comes before and after it on a busy machine.
const BACK: Duration = Duration::from_secs(180);

async fn wait_condition(cluster: &Cluster<'_>, type_: &str, reason: &str) -> Result<String> {
    wait_for(&format!("{type_} says {reason}"), BACK, async || {
        let status = cluster.status().await?;
        let found = status.conditions.iter().find(|c| c.type_ == type_);
        let found = found.context("no such condition yet")?;
        let (is, message) = (&found.reason, &found.message);
        ensure!(is == reason, "{is}: {message}");
        Ok(message.clone())
    })
    .await
}

/// Rows: a way back; no other shard is touched once one has failed.
async fn a_roll_that_fails_in_a_shard_goes_back_and_stops(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, with_way_back(json!({}))).await?;
    let lanes = writing(&cluster).await?;
    let before = image(&cluster.primary(0).await?)
        .context("no image")?
        .to_owned();
    let led = primaries(&cluster).await?;
    cluster.patch_spec(json!({"image": NO_SUCH_IMAGE})).await?;
    wait_for("a pod of the new image", SOME, async || {
        let pods = cluster.pods().await?;
        ensure!(pods.iter().any(|pod| image(pod) == Some(NO_SUCH_IMAGE)));
        Ok(())
    })
    .await?;
    let words = wait_condition(&cluster, degraded::TYPE, degraded::ROLLED_BACK).await?;
    ensure!(words.contains("after 1 min"), "{words}");
    wait_condition(&cluster, progressing::TYPE, progressing::BLOCKED).await?;
    cluster.wait_settled().await?;
    for pod in cluster.pods().await? {
        ensure!(image(&pod) == Some(&before), "{:?}", image(&pod));
    }
    ensure!(
        primaries(&cluster).await? == led,
        "a primary was touched: {led:?}"
    );
    // Nor is a pod of another shard made of what failed.
    let replicas = cluster.shard(2).await?.replicas;
    let replica = replicas.first().context("no replica in sync")?;
    let pods = space.api::<Pod>();
    let old = pods.get(replica).await?.uid();
    pods.delete(replica, &DeleteParams::default()).await?;
    wait_for("the pod is made anew, and follows", SOME, async || {
        let pod = pods.get(replica).await?;
        ensure!(pod.uid() != old, "it is the old one");
        ensure!(image(&pod) == Some(&before), "{:?}", image(&pod));
        let follows = cluster.shard(2).await?.replicas;
        ensure!(is_ready(&pod) && follows.contains(replica), "it does not");
        Ok(())
    })
    .await?;
    cluster.wait_settled().await?;
    cluster.check().await?;

    // The next spec is tried.
    let metadata = json!({"annotations": {"rolled": "yes"}});
    let mended = json!({"image": null, "podTemplate": {"metadata": metadata}});
    cluster.patch_spec(mended).await?;
    wait_for("all pods are of the new spec", BACK, async || {
        for pod in cluster.pods().await? {
            let rolled = pod.annotations().contains_key("rolled");
            ensure!(rolled, "{} is not", pod.name_any());
        }
        Ok(())
    })
    .await?;
    cluster.wait_settled().await?;
    wait_condition(&cluster, degraded::TYPE, degraded::AS_EXPECTED).await?;
    nothing_lost("a roll that went back, and another", lanes).await?;
    cluster.check().await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn primaries(cluster: &Cluster<'_>) -> Result<Vec<Option<String>>> {
    let mut led = Vec::new();
    for shard in 0..3 {
        led.push(cluster.primary(shard).await?.uid());
    }
    Ok(led)
}

/// Rows: Supervised: replicas are replaced, each primary once somebody says so.
async fn somebody_approves_each_step_that_touches_a_primary_of_a_shard(
    space: &Space<'_>,
) -> Result<()> {
    let supervised = json!({"updateStrategy": {"mode": "Supervised", "surge": "Never"}});
    let cluster = small(space, supervised).await?;
    let lanes = writing(&cluster).await?;
    let metadata = json!({"annotations": {"rolled": "yes"}});
    cluster
        .patch_spec(json!({"podTemplate": {"metadata": metadata}}))
        .await?;
    let mut approved = Vec::new();
    for _ in 0..3 {
        let digest = wait_for("a step waits", BACK, async || {
            let waits = cluster.status().await?.approval.context("nothing waits")?;
            ensure!(!approved.contains(&waits.digest), "the last one waits");
            Ok(waits.digest)
        })
        .await?;
        let count = rolled(&cluster.pods().await?);
        ensure!(count == 2 * approved.len() + 1, "{count} pods are rolled");
        cluster
            .annotate("cache.hera.io/approve", Some(&digest))
            .await?;
        approved.push(digest);
    }
    wait_for("all pods are rolled", BACK, async || {
        let count = rolled(&cluster.pods().await?);
        ensure!(count == 6, "{count} are");
        Ok(())
    })
    .await?;
    cluster.wait_settled().await?;
    let waits = cluster.status().await?.approval;
    ensure!(waits.is_none(), "something waits still: {waits:?}");
    nothing_lost("a supervised roll", lanes).await?;
    cluster.check().await
}

fn rolled(pods: &[Pod]) -> usize {
    let new = pods
        .iter()
        .filter(|pod| pod.annotations().contains_key("rolled"));
    new.count()
}

/// Row: the operator killed in formation, twice: when the first pods run, and when servers know each other.
async fn an_operator_killed_while_a_cluster_forms_leaves_nothing_half_done(
    space: &Space<'_>,
) -> Result<()> {
    space.wait_alone().await?;
    space.apply(&Cluster::manifest("shop", json!({}))).await?;
    let cluster = Cluster::new(space, "shop");
    let operator = space.bed().operator();
    wait_for("a server runs", SOME, async || {
        let pods = cluster.pods().await?;
        let runs = |pod: &Pod| {
            let status = pod.status.as_ref();
            status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
        };
        ensure!(pods.iter().any(runs), "none yet");
        Ok(())
    })
    .await?;
    operator.kill(&operator.leader().await?).await?;
    wait_for("slots are told of", SOME, async || {
        let shards = cluster.status().await?.shards;
        ensure!(shards.iter().any(|shard| !shard.slots.is_empty()), "none");
        Ok(())
    })
    .await?;
    operator.kill(&operator.leader().await?).await?;
    cluster.wait_settled().await?;
    cluster.check().await?;
    let lanes = writing(&cluster).await?;
    nothing_lost("operator killed in formation", lanes).await
}

/// Row: the oldest version that is taken, which lacks ranges of slots, hostnames and shard ids.
async fn a_cluster_of_the_oldest_version_forms_and_fails_over(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({"version": "6.2"})).await?;
    cluster.check().await?;
    a_killed_primary_is_followed(&cluster, "6.2: a primary killed").await?;
    let lanes = writing(&cluster).await?;
    cluster.delete_all_pods().await?;
    cluster.wait_settled().await?;
    nothing_lost("6.2: all pods deleted", lanes).await?;
    cluster.check().await
}
