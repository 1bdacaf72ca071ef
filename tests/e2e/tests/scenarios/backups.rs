//! Backups of an instance, and faults while one is made (issue 22).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{available, completed, ready};
use hera_api::{
    BackupPhase, BackupTarget, RedisBackup, RedisBackupSpec, RedisBackupStatus, RedisBackupStore,
    TargetKind,
};
use hera_tests_e2e::{
    Content, Instance, Login, STORE_SECRET, Scenario, Space, Store, Writer, is_wrong_login, millis,
    put_key, wait_for,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::replicas::wait_in_sync;
use crate::scene::LONG;

pub const ALL: &[Scenario] = scenarios![Few;
    an_instance_under_load_that_is_flushed_begins_anew_from_its_backup,
    a_backup_whose_store_goes_down_is_whole_once_it_is_back,
    a_wrong_key_is_told_and_a_mended_secret_heals,
    a_pod_that_goes_while_it_is_read_is_followed_by_another_copy,
    a_backup_that_is_deleted_deletes_no_data,
];

const SOME: Duration = Duration::from_secs(30);
/// So much of the data has passed when something breaks.
pub const MIDDLE: u64 = 1 << 20;
/// Name of the store, and of the Secret with its keys.
pub const STORE: &str = "s3";

/// `spec.backup`.
pub fn to_store() -> Value {
    json!({"storeRef": {"name": STORE}})
}

/// `spec.bootstrap`.
pub fn from_backup(name: &str) -> Value {
    json!({"recovery": {"backupRef": {"name": name}}})
}

/// A store that is there for a namespace.
pub async fn store(space: &Space<'_>) -> Result<Store> {
    let store = Store::start().await?;
    store.offer(space, STORE).await?;
    Ok(store)
}

/// Asks for a backup.
pub async fn back_up(space: &Space<'_>, of: &Instance<'_>, name: &str) -> Result<()> {
    let target = BackupTarget {
        kind: TargetKind::RedisInstance,
        name: of.name().to_owned(),
    };
    let spec = RedisBackupSpec {
        target,
        source: None,
    };
    let backup = RedisBackup::new(name, spec);
    let backups = space.api::<RedisBackup>();
    backups.create(&PostParams::default(), &backup).await?;
    Ok(())
}

async fn status(space: &Space<'_>, name: &str) -> Result<RedisBackupStatus> {
    let backup = space.api::<RedisBackup>().get(name).await?;
    backup.status.context("no status yet")
}

/// Waits until a backup is whole.
pub async fn wait_whole(space: &Space<'_>, name: &str) -> Result<RedisBackupStatus> {
    let what = format!("the store holds the whole of {name}");
    wait_for(&what, LONG, async || {
        let status = status(space, name).await?;
        let (phase, conditions) = (status.phase, &status.conditions);
        ensure!(
            phase == Some(BackupPhase::Completed),
            "{phase:?} {conditions:?}"
        );
        Ok(status)
    })
    .await
}

/// Waits for a reason why a backup is not whole, and for the same of the store; gives the words.
async fn wait_trouble(space: &Space<'_>, name: &str, reason: &str) -> Result<String> {
    let found = |conditions: Vec<Condition>, type_: &str| -> Result<String> {
        let mut all = conditions.into_iter();
        let found = all.find(|condition| condition.type_ == type_);
        let found = found.with_context(|| format!("no condition {type_} yet"))?;
        ensure!(
            found.status == "False" && found.reason == reason,
            "{found:?}"
        );
        Ok(found.message)
    };
    wait_for(&format!("{reason} of {name}"), LONG, async || {
        let words = found(status(space, name).await?.conditions, completed::TYPE)?;
        let store = space.api::<RedisBackupStore>().get(STORE).await?;
        let status = store.status.context("the store has no status yet")?;
        found(status.conditions, available::TYPE)?;
        Ok(words)
    })
    .await
}

/// Waits until agents can use the store, as its status has it.
async fn wait_reached(space: &Space<'_>) -> Result<()> {
    wait_for("the store is available", SOME, async || {
        let store = space.api::<RedisBackupStore>().get(STORE).await?;
        let conditions = store.status.unwrap_or_default().conditions;
        let is_reached = |condition: &Condition| {
            condition.type_ == available::TYPE && condition.status == "True"
        };
        ensure!(conditions.iter().any(is_reached), "{conditions:?}");
        Ok(())
    })
    .await
}

/// An instance that begins with a backup, and has all of this.
pub async fn ensure_restores(space: &Space<'_>, from: &str, content: &Content) -> Result<()> {
    let spec = json!({"bootstrap": from_backup(from)});
    let restored = space.ready("restored", spec).await?;
    content.ensure_at(&restored.app().await?).await
}

/// The whole story: everything that was acknowledged before the backup began is in the new instance, which has
/// its users; the old one goes on as it was.
async fn an_instance_under_load_that_is_flushed_begins_anew_from_its_backup(
    space: &Space<'_>,
) -> Result<()> {
    let _store = store(space).await?;
    space
        .put_secret("worker", &[("password", "of-worker")])
        .await?;
    let spec = json!({
        "replicas": 3, "auth": {"preset": "Owner"}, "backup": to_store(),
        "users": [{
            "name": "worker", "preset": "ReadWrite", "keys": ["*"],
            "passwordSecretRef": {"name": "worker"},
        }],
    });
    let instance = space.ready("cache", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let app = instance.app().await?;
    let writer = Writer::start("load", app.clone());
    writer.wait_for_more(500, SOME).await?;

    let (began, before) = (Instant::now(), writer.count());
    let words = ["backup", "now", "cache", "--name", "first", "--wait"];
    space.hera(&words).await?.with_code(0)?;
    let (took, meanwhile) = (began.elapsed(), writer.since(began));
    space
        .bed()
        .figures
        .note("backup of three pods under load", millis(took));
    ensure!(meanwhile > 20, "only {meanwhile} writes in {took:?}");
    let status = status(space, "first").await?;
    let read = status.shards.first().context("no copy was read")?;
    let primary = instance.primary_pod().await?.name_any();
    ensure!(
        read.role.as_deref() == Some("replica") && read.pod != primary,
        "{read:?} was read, and {primary} leads"
    );
    space
        .hera(&["backup", "status", "cache"])
        .await?
        .with_code(0)?;

    let _: String = app.ask(&["FLUSHALL"]).await?;
    let gone: Option<String> = app.ask(&["GET", "load:1"]).await?;
    ensure!(gone.is_none(), "it is not flushed");
    writer.wait_for_more(100, SOME).await?;
    let old = instance.wait_quiet(Duration::from_secs(2)).await?;
    let run_id = instance.run_id().await?;

    let recover = ["recover", "cache", "--from", "first", "--as", "restored"];
    let refused = space
        .hera(&["recover", "cache", "--from", "first", "--as", "cache"])
        .await?;
    ensure!(
        refused.code == 3 && refused.errors.contains("never put over data"),
        "{refused:?}"
    );
    let printed = [&recover[..], &["-o", "json"]].concat();
    let said = space.hera(&printed).await?.with_code(0)?;
    let mut manifest: Value = serde_json::from_str(&said)?;
    manifest["spec"]["replicas"] = json!(2);
    let start = Instant::now();
    space.apply(&manifest.to_string()).await?;
    let restored = space.instance("restored");
    wait_in_sync(&restored, 2).await?;
    space
        .bed()
        .figures
        .note("two pods begin with a backup", millis(start.elapsed()));

    let new = restored.app().await?;
    let (count, lost) = writer.read_back(&new).await?;
    let missing = lost.iter().filter(|write| write.answered < began).count();
    ensure!(
        missing == 0 && count > before,
        "{missing} of {before} writes before the backup are not there, {count} in all"
    );
    let mut copies = Vec::new();
    for ordinal in 0..2 {
        let pod = restored.pod_of(ordinal).await?;
        copies.push(restored.info_at(&pod, "db0").await?);
    }
    ensure!(copies.windows(2).all(|two| two[0] == two[1]), "{copies:?}");
    let recovery = restored.status().await?.recovery;
    let recovery = recovery.context("no status.recovery")?;
    let uid = instance.get().await?.uid().context("no uid")?;
    ensure!(
        recovery.store == STORE && recovery.base.contains(&uid),
        "{recovery:?}"
    );

    let worker = Login::new(&new.host, "worker", "of-worker");
    let _: String = worker.ask(&["SET", "by-worker", "yes"]).await?;
    let other = new.with_password(&app.password).connect().await.err();
    ensure!(
        other.as_ref().is_some_and(is_wrong_login),
        "the old password of the application is answered {other:?}"
    );
    old.ensure_untouched(&instance.children().await?)?;
    ensure!(
        instance.run_id().await? == run_id,
        "the old server is another"
    );
    let absent: Option<String> = app.ask(&["GET", "by-worker"]).await?;
    ensure!(
        absent.is_none(),
        "the old instance has the new one's writes"
    );
    Ok(())
}

/// Row: store down. The server never waits, the reason is told, and nobody has to ask again.
async fn a_backup_whose_store_goes_down_is_whole_once_it_is_back(space: &Space<'_>) -> Result<()> {
    let mut store = store(space).await?;
    let instance = space.ready("cache", json!({"backup": to_store()})).await?;
    let app = instance.app().await?;
    let content = Content::write(&app).await?;
    let writer = Writer::start("along", app.clone());
    writer.wait_for_more(50, SOME).await?;
    store.hold_after(MIDDLE);
    back_up(space, &instance, "first").await?;
    store.wait_held().await?;
    store.stop();
    store.release();
    let words = wait_trouble(space, "first", completed::STORE_UNREACHABLE).await?;
    ensure!(!words.contains(STORE_SECRET), "{words}");
    let half: Vec<String> = store.files()?.into_iter().collect();
    ensure!(
        !half.iter().any(|path| path.ends_with("base.json")),
        "half a backup looks whole: {half:?}"
    );
    store.start_again().await?;
    wait_whole(space, "first").await?;
    wait_reached(space).await?;
    let gap = writer.longest_gap();
    ensure!(gap < Duration::from_secs(2), "a client waited {gap:?}");
    writer.verify(&app).await?;
    ensure_restores(space, "first", &content).await
}

/// Row: credentials refused: told at once, and a changed Secret heals.
async fn a_wrong_key_is_told_and_a_mended_secret_heals(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    put_key(space, STORE, "no-such-secret").await?;
    let instance = space.ready("cache", json!({"backup": to_store()})).await?;
    let pod = instance.pod_uid().await?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    back_up(space, &instance, "first").await?;
    let words = wait_trouble(space, "first", completed::CREDENTIALS_REFUSED).await?;
    ensure!(!words.contains("no-such-secret"), "{words}");
    let said = space.hera(&["backup", "status", "cache"]).await?;
    ensure!(
        said.code == 1 && said.text.contains(completed::CREDENTIALS_REFUSED),
        "{said:?}"
    );
    put_key(space, STORE, STORE_SECRET).await?;
    wait_whole(space, "first").await?;
    wait_reached(space).await?;
    ensure!(instance.pod_uid().await? == pod, "the pod is another one");
    space
        .hera(&["backup", "status", "first"])
        .await?
        .with_code(0)?;
    Ok(())
}

/// Row: agent or pod dies in a backup: another copy is read, and there is one base.
async fn a_pod_that_goes_while_it_is_read_is_followed_by_another_copy(
    space: &Space<'_>,
) -> Result<()> {
    let store = store(space).await?;
    let spec = json!({"replicas": 3, "backup": to_store()});
    let instance = space.ready("cache", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let content = Content::write(&instance.app().await?).await?;
    store.hold_after(MIDDLE);
    back_up(space, &instance, "first").await?;
    store.wait_held().await?;
    let read = wait_for("the status names the pod", SOME, async || {
        let status = status(space, "first").await?;
        let read = status.shards.into_iter().next();
        Ok(read.context("not yet")?.pod)
    })
    .await?;
    let at_once = DeleteParams::default().grace_period(0);
    space.api::<Pod>().delete(&read, &at_once).await?;
    store.release();
    let status = wait_whole(space, "first").await?;
    let next = status.shards.first().context("no copy was read")?;
    ensure!(
        next.pod != read && status.attempts > 1,
        "{read} was deleted, and {next:?} was read at attempt {}",
        status.attempts
    );
    let files = store.files()?;
    // What the agent ends with while it is killed may be a base, and is no backup.
    let backups = files.iter().filter(|path| path.contains("/backups/"));
    ensure!(backups.count() == 1, "{files:?}");
    ensure_restores(space, "first", &content).await
}

/// Row: neither the RedisBackup's end nor the instance's takes anything from the store.
async fn a_backup_that_is_deleted_deletes_no_data(space: &Space<'_>) -> Result<()> {
    let store = store(space).await?;
    let spec = json!({"backup": to_store(), "persistence": {"reclaimPolicy": "Delete"}});
    let instance = space.ready("cache", spec).await?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    for name in ["first", "second"] {
        back_up(space, &instance, name).await?;
        wait_whole(space, name).await?;
    }
    let before = store.files()?;
    ensure!(before.len() >= 2 * 3, "{before:?}");
    let backups = space.api::<RedisBackup>();
    backups.delete("first", &DeleteParams::default()).await?;
    wait_for("the RedisBackup is gone", SOME, async || {
        ensure!(backups.get_opt("first").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    instance.delete().await?;
    // Time for what must not happen.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = store.files()?;
    ensure!(after == before, "{before:?} became {after:?}");
    let spec = json!({"bootstrap": from_backup("second")});
    let restored = space.ready("restored", spec).await?;
    let value: String = restored.app().await?.ask(&["GET", "key"]).await?;
    ensure!(value == "value", "it is {value}");
    restored
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await
        .map(drop)
}
