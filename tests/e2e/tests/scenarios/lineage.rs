//! Whose copy of the data is the right one (issue 16, items 1 and 2).

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{progressing, ready};
use hera_api::meta::{ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE};
use hera_tests_e2e::{Instance, Login, Scenario, Space, not_yet, wait_for};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::Api;
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    an_instance_made_anew_goes_on_with_the_latest_data_and_not_with_the_most_keys,
    a_last_primary_beyond_the_wanted_pods_comes_and_hands_over,
    where_nothing_recorded_says_which_copy_is_right_a_person_chooses,
    a_pod_that_finds_no_place_keeps_no_new_instance_from_its_primary,
];

const WHILE: Duration = Duration::from_secs(60);

async fn put(app: &Login, name: &str, count: usize) -> Result<()> {
    let keys: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
    let mut words = vec!["MSET"];
    words.extend(keys.iter().flat_map(|key| [key.as_str(), "value"]));
    // A node may lead to the primary of a moment ago.
    wait_for("keys are written", WHILE, async || {
        let _: String = app.ask(&words).await?;
        Ok(())
    })
    .await
}

async fn wait_pods(instance: &Instance<'_>, count: i32) -> Result<()> {
    wait_for("the pods are as many as asked for", WHILE, async || {
        let status = instance.status().await?;
        match status.replicas.unwrap_or(0) == count {
            true => Ok(()),
            false => not_yet(format!("{:?} pods", status.replicas)),
        }
    })
    .await
}

/// Row: 3 pods and 1 000 keys, scaled to 1, 900 deleted; deleted, and the same file applied again.
async fn an_instance_made_anew_goes_on_with_the_latest_data_and_not_with_the_most_keys(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({"replicas": 3})).await?;
    let app = instance.app().await?;
    put(&app, "old", 1_000).await?;
    instance.patch_spec(json!({"replicas": 1})).await?;
    instance.wait_settled().await?;
    wait_pods(&instance, 1).await?;
    let gone: Vec<String> = (0..900).map(|number| format!("old{number}")).collect();
    let mut words = vec!["DEL"];
    words.extend(gone.iter().map(String::as_str));
    let deleted: usize = app.ask(&words).await?;
    ensure!(deleted == 900);
    let _: String = app.ask(&["SET", "newest", "yes"]).await?;
    instance.delete().await?;

    let instance = space.ready("cache", json!({"replicas": 3})).await?;
    let app = instance.app().await?;
    let newest: Option<String> = app.ask(&["GET", "newest"]).await?;
    let keys: usize = app.ask(&["DBSIZE"]).await?;
    ensure!(
        newest.as_deref() == Some("yes") && keys == 101,
        "newest is {newest:?}, and there are {keys} keys"
    );
    // The copies that were left behind are in sync now, and may lead.
    instance
        .annotate(ANNOTATION_PROMOTE, Some("cache-2"))
        .await?;
    wait_for("another leads", WHILE, async || {
        match instance.status().await?.primary.as_deref() {
            Some("cache-2") => Ok(()),
            other => not_yet(format!("{other:?} leads")),
        }
    })
    .await?;
    let keys: usize = app.ask(&["DBSIZE"]).await?;
    ensure!(keys == 101, "cache-2 has {keys} keys");
    Ok(())
}

/// Row: a claim that is not mounted has the latest data (scaled down while hibernated).
async fn a_last_primary_beyond_the_wanted_pods_comes_and_hands_over(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({"replicas": 2})).await?;
    instance
        .annotate(ANNOTATION_PROMOTE, Some("cache-1"))
        .await?;
    wait_for("another leads", WHILE, async || {
        match instance.status().await?.primary.as_deref() {
            Some("cache-1") => Ok(()),
            other => not_yet(format!("{other:?} leads")),
        }
    })
    .await?;
    instance.wait_settled().await?;
    put(&instance.app().await?, "key", 50).await?;
    instance
        .annotate(ANNOTATION_HIBERNATE, Some("true"))
        .await?;
    wait_pods(&instance, 0).await?;
    instance.patch_spec(json!({"replicas": 1})).await?;
    instance.annotate(ANNOTATION_HIBERNATE, None).await?;
    wait_for(
        "the one that stays leads",
        Duration::from_secs(90),
        async || {
            let status = instance.status().await?;
            match (status.primary.as_deref(), status.replicas) {
                (Some("cache-0"), Some(1)) => Ok(()),
                other => not_yet(format!("{other:?}")),
            }
        },
    )
    .await?;
    let keys: usize = instance.app().await?.ask(&["DBSIZE"]).await?;
    ensure!(keys == 50, "it has {keys} keys");
    Ok(())
}

/// Row: two copies of which nothing is recorded.
async fn where_nothing_recorded_says_which_copy_is_right_a_person_chooses(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({"replicas": 2})).await?;
    put(&instance.app().await?, "key", 70).await?;
    instance.delete().await?;
    let pods: Api<Pod> = space.api();
    wait_for("the other pod is gone", WHILE, async || {
        ensure!(pods.get_opt("cache-1").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let claims: Api<PersistentVolumeClaim> = space.api();
    for ordinal in 0..2 {
        let claim = claims.get(&format!("data-cache-{ordinal}")).await?;
        let volume = claim.spec.and_then(|spec| spec.volume_name);
        let volume = volume.context("the claim is bound")?;
        let folder = space.bed().testbed.volume_folder(&volume);
        std::fs::remove_dir_all(folder.join(".hera"))?;
        // The nodes share a clock: both may have written last in the same moment, and are the same then.
        let manifest = folder.join("appendonlydir/appendonly.aof.manifest");
        let written = SystemTime::now() + Duration::from_secs(ordinal);
        std::fs::File::options()
            .write(true)
            .open(manifest)?
            .set_modified(written)?;
    }
    let instance = space.make("cache", json!({"replicas": 2})).await?;
    let words = instance
        .wait_condition(progressing::TYPE, "True", progressing::WAITING_FOR_APPROVAL)
        .await?;
    ensure!(
        words.contains("two histories") && words.contains("70 keys"),
        "{words}"
    );
    let asked = instance.status().await?.approval.context("it asks")?;
    ensure!(asked.copies.len() == 2, "{asked:?}");
    let before = instance.condition(ready::TYPE).await?;
    ensure!(before.status == "False", "{before:?}");
    let said = space
        .hera(&["approve", "cache", "--copy", "cache-1"])
        .await?;
    said.with_code(0)?;
    wait_for(
        "the copy that was chosen leads",
        WHILE,
        async || match instance.status().await?.primary.as_deref() {
            Some("cache-1") => Ok(()),
            other => not_yet(format!("{other:?} leads")),
        },
    )
    .await?;
    instance.wait_settled().await?;
    let keys: usize = instance.app().await?.ask(&["DBSIZE"]).await?;
    ensure!(keys == 70, "it has {keys} keys");
    Ok(())
}

/// Row: a new instance, one pod of which no node takes.
async fn a_pod_that_finds_no_place_keeps_no_new_instance_from_its_primary(
    space: &Space<'_>,
) -> Result<()> {
    // Four pods that must keep apart, on three nodes.
    let apart = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "cache"}},
    }]});
    let spec = json!({
        "replicas": 4,
        "podTemplate": {"spec": {"affinity": {"podAntiAffinity": apart}}},
    });
    let instance = space.make("cache", spec).await?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    Ok(())
}
