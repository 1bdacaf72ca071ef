//! Instances that begin with a backup, and those that must not (issue 22).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::ready;
use hera_tests_e2e::{Content, Instance, Scenario, Space, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::backups::{MIDDLE, back_up, from_backup, store, to_store, wait_whole};
use crate::replicas::wait_in_sync;
use crate::scene::LONG;

pub const ALL: &[Scenario] = scenarios![Together;
    a_recovery_leaves_data_that_is_there_alone,
    an_instance_made_anew_does_not_meet_the_backups_of_the_one_before,
    a_server_that_is_too_old_for_a_backup_is_not_started,
    an_instance_without_volumes_begins_with_a_backup_too,
];

pub const ALONE: &[Scenario] = scenarios![Alone;
    an_operator_that_dies_in_a_backup_and_in_a_recovery_is_followed_by_one_that_ends_them,
];

const SOME: Duration = Duration::from_secs(60);

async fn set(instance: &Instance<'_>, value: &str) -> Result<()> {
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", value]).await?;
    Ok(())
}

async fn ensure_has(instance: &Instance<'_>, value: &str) -> Result<()> {
    let found: Option<String> = instance.app().await?.ask(&["GET", "key"]).await?;
    let name = instance.name();
    ensure!(found.as_deref() == Some(value), "{name} has {found:?}");
    Ok(())
}

/// Waits until it is said why an instance does not begin with its backup.
async fn wait_refused(instance: &Instance<'_>, word: &str) -> Result<String> {
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::RECOVERY_REFUSED)
        .await?;
    ensure!(words.starts_with(&format!("{word}: ")), "{words}");
    Ok(words)
}

fn no_server(instance: &Instance<'_>, pod: &Pod) -> Result<()> {
    let server = instance.pid_in(pod, "redis-server");
    ensure!(server.is_err(), "its server runs as {server:?}");
    Ok(())
}

/// Row: `DataPresent`: an instance that takes its predecessor's volume over keeps what is on it.
async fn a_recovery_leaves_data_that_is_there_alone(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    let spec = json!({"backup": to_store(), "persistence": {"reclaimPolicy": "Retain"}});
    let instance = space.ready("cache", spec.clone()).await?;
    set(&instance, "in the backup").await?;
    back_up(space, &instance, "first").await?;
    wait_whole(space, "first").await?;
    set(&instance, "later").await?;
    instance.delete().await?;

    let mut recovering = spec.clone();
    recovering["bootstrap"] = from_backup("first");
    let again = space.make("cache", recovering).await?;
    wait_refused(&again, "DataPresent").await?;
    let pod = again.pod().await?;
    no_server(&again, &pod)?;
    // A pod that starts again finds the same.
    again.delete_pod(true).await?;
    wait_for("another pod", SOME, async || {
        ensure!(again.pod_uid().await? != pod.uid().unwrap_or_default());
        again.pid("hera-agent").await
    })
    .await?;
    wait_refused(&again, "DataPresent").await?;
    again.delete().await?;

    let kept = space.ready("cache", spec).await?;
    ensure_has(&kept, "later").await
}

/// Row: two objects, one path: the same name twice, and each has its own backups.
async fn an_instance_made_anew_does_not_meet_the_backups_of_the_one_before(
    space: &Space<'_>,
) -> Result<()> {
    let store = store(space).await?;
    let spec = json!({"backup": to_store(), "persistence": {"reclaimPolicy": "Delete"}});
    let mut paths = Vec::new();
    for value in ["first", "second"] {
        let instance = space.ready("cache", spec.clone()).await?;
        let left: usize = instance.app().await?.ask(&["DBSIZE"]).await?;
        ensure!(left == 0, "it begins with {left} keys");
        set(&instance, value).await?;
        back_up(space, &instance, value).await?;
        paths.push(wait_whole(space, value).await?.path.context("no path")?);
        if value == "first" {
            instance.delete().await?;
            wait_for("its claim is gone", SOME, async || {
                ensure!(instance.claim_opt().await?.is_none(), "it is there");
                Ok(())
            })
            .await?;
        }
    }
    let files = store.files()?;
    let owners = files.iter().filter(|path| path.ends_with("owner.json"));
    ensure!(owners.count() == 2, "{files:?}");
    ensure!(
        paths.iter().all(|path| files.contains(path)) && paths[0] != paths[1],
        "{paths:?} of {files:?}"
    );
    let begun = async |value: &str| {
        let spec = json!({"bootstrap": from_backup(value)});
        let restored = space.ready(&format!("of-{value}"), spec).await?;
        ensure_has(&restored, value).await
    };
    tokio::try_join!(begun("first"), begun("second")).map(drop)
}

/// Row: wrong version: the server that cannot read it never runs, and no volume is written.
async fn a_server_that_is_too_old_for_a_backup_is_not_started(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    let spec = json!({"version": "8.0", "backup": to_store()});
    let instance = space.ready("cache", spec).await?;
    set(&instance, "of a later one").await?;
    back_up(space, &instance, "first").await?;
    wait_whole(space, "first").await?;
    let older = json!({"version": "7.2", "bootstrap": from_backup("first")});
    let older = space.make("older", older).await?;
    let words = wait_refused(&older, "VersionIncompatible").await?;
    ensure!(words.contains("8.0") && words.contains("7.2"), "{words}");
    no_server(&older, &older.pod().await?)?;
    older.delete().await?;
    let same = json!({"version": "8.0", "bootstrap": from_backup("first")});
    let same = space.ready("same", same).await?;
    ensure_has(&same, "of a later one").await
}

/// A server in memory alone begins with the backup once, and goes on with its replica's data after that.
async fn an_instance_without_volumes_begins_with_a_backup_too(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    let instance = space.ready("cache", json!({"backup": to_store()})).await?;
    set(&instance, "in the backup").await?;
    back_up(space, &instance, "first").await?;
    wait_whole(space, "first").await?;
    let spec = json!({
        "replicas": 2, "persistence": {"enabled": false}, "bootstrap": from_backup("first"),
    });
    let restored = space.ready("restored", spec).await?;
    wait_in_sync(&restored, 2).await?;
    ensure_has(&restored, "in the backup").await?;
    set(&restored, "later").await?;
    let first = restored.pod().await?;
    restored.delete_pod(false).await?;
    wait_for("another pod", SOME, async || {
        ensure!(restored.pod_uid().await? != first.uid().unwrap_or_default());
        Ok(())
    })
    .await?;
    wait_in_sync(&restored, 2).await?;
    ensure_has(&restored, "later").await
}

/// The leader dies; the next one takes over, without what the one before had in memory.
async fn next_leader(space: &Space<'_>) -> Result<()> {
    let operator = space.bed().operator();
    let leader = operator.leader().await?;
    operator.kill(&leader).await?;
    operator.delete_pod(&leader).await?;
    Ok(())
}

/// Row: operator restarts: runs go on without it, and the next one knows them from the agents.
async fn an_operator_that_dies_in_a_backup_and_in_a_recovery_is_followed_by_one_that_ends_them(
    space: &Space<'_>,
) -> Result<()> {
    let store = store(space).await?;
    let operator = space.bed().operator();
    let instance = space.ready("cache", json!({"backup": to_store()})).await?;
    let content = Content::write(&instance.app().await?).await?;
    store.hold_after(MIDDLE);
    back_up(space, &instance, "first").await?;
    store.wait_held().await?;
    next_leader(space).await?;
    store.release();
    let status = wait_whole(space, "first").await?;
    ensure!(status.attempts == 1, "{} attempts", status.attempts);
    operator.wait_rolled_out(LONG).await?;

    store.hold_after(MIDDLE);
    let spec: Value = json!({"bootstrap": from_backup("first"), "replicas": 2});
    let restored = space.make("restored", spec).await?;
    store.wait_held().await?;
    let held = restored.condition(ready::TYPE).await?;
    ensure!(held.status == "False", "{held:?}");
    next_leader(space).await?;
    store.release();
    wait_in_sync(&restored, 2).await?;
    operator.wait_rolled_out(LONG).await?;
    content.ensure_at(&restored.app().await?).await
}
