//! Changes of the spec of an instance that serves.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing};
use hera_api::quantity;
use hera_tests_e2e::{Instance, Scenario, Space, Writer, wait_for};
use serde_json::{Value, json};

pub const ALL: &[Scenario] = scenarios![Together;
    a_log_of_writes_is_read_by_every_newer_version,
    a_snapshot_is_read_by_every_newer_version,
    a_redis_7_2_becomes_a_valkey,
    a_directive_that_the_server_takes_only_at_its_start_rolls_the_pod,
    a_refused_directive_leaves_the_server_serving,
    a_volume_grows_and_does_not_shrink,
    a_paused_instance_holds_changes_back_and_heals,
    a_directive_reaches_the_running_server,
];

const SOME: Duration = Duration::from_secs(60);

/// Row: version 7.0 → 7.2 → 8.0 with data, append-only file.
async fn a_log_of_writes_is_read_by_every_newer_version(space: &Space<'_>) -> Result<()> {
    upgrade(space, json!({"aof": {"enabled": true}})).await
}

/// Row: version 7.0 → 7.2 → 8.0 with data, snapshots only: the server saves when it is stopped.
async fn a_snapshot_is_read_by_every_newer_version(space: &Space<'_>) -> Result<()> {
    upgrade(
        space,
        json!({"aof": {"enabled": false}, "rdb": {"save": "3600 1"}}),
    )
    .await
}

async fn upgrade(space: &Space<'_>, persistence: Value) -> Result<()> {
    let spec = json!({"version": "7.0", "persistence": persistence});
    let instance = space.ready("cache", spec).await?;
    let claim = instance.claim().await?.metadata.uid;
    let app = instance.app().await?;
    let first = Writer::start("first", app.clone());
    first.wait_for_more(200, SOME).await?;
    for (wanted, exact) in [("7.2", "7.2."), ("8.0", "8.")] {
        let uid = instance.pod_uid().await?;
        let along = Writer::start(wanted, app.clone());
        along.wait_for_more(100, SOME).await?;
        // What the old pod's address acknowledges after the change counts as lost unless it is there.
        let old = Writer::start(&format!("old-{wanted}"), app.at(&instance.pod_ip().await?));
        old.wait_for_more(50, SOME).await?;
        instance.patch_spec(json!({"version": wanted})).await?;
        instance.wait_settled().await?;
        let version = instance.info("redis_version").await?;
        ensure!(
            version.starts_with(exact),
            "the server is {version}, not {wanted}"
        );
        let told = instance.status().await?.version;
        ensure!(
            told.as_deref() == Some(version.as_str()),
            "the status tells of {told:?}"
        );
        ensure!(instance.pod_uid().await? != uid, "the pod is the old one");
        along.wait_for_more(50, SOME).await?;
        for writer in [along, old] {
            writer
                .verify(&app)
                .await
                .with_context(|| format!("on {wanted}"))?;
        }
    }
    ensure!(
        instance.claim().await?.metadata.uid == claim,
        "the claim is another one"
    );
    first.verify(&app).await?;
    Ok(())
}

/// The other engine's files are read too, and the way back from newer ones is refused (design §2).
async fn a_redis_7_2_becomes_a_valkey(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let app = instance.app().await?;
    let writer = Writer::start("redis", app.clone());
    writer.wait_for_more(200, SOME).await?;
    instance
        .patch_spec(json!({"engine": "valkey", "version": "8.1"}))
        .await?;
    instance.wait_settled().await?;
    let version = instance.info("valkey_version").await?;
    ensure!(version.starts_with("8.1"), "the server is {version}");
    let status = instance.status().await?;
    ensure!(
        status.engine == Some(hera_api::Engine::Valkey),
        "{status:?}"
    );
    writer.wait_for_more(50, SOME).await?;
    writer.verify(&app).await?;
    Ok(())
}

/// Row: config live.
async fn a_directive_reaches_the_running_server(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let (run_id, uid) = tokio::try_join!(instance.run_id(), instance.pod_uid())?;
    instance
        .patch_spec(json!({"config": {"maxmemory-policy": "allkeys-lru", "slowlog-max-len": "7"}}))
        .await?;
    wait_config(&instance, "maxmemory-policy", "allkeys-lru").await?;
    wait_config(&instance, "slowlog-max-len", "7").await?;
    instance.wait_settled().await?;
    ensure!(instance.run_id().await? == run_id && instance.pod_uid().await? == uid);
    // It is still there after a restart.
    instance.delete_pod(false).await?;
    wait_other_run(&instance, &run_id).await?;
    wait_config(&instance, "maxmemory-policy", "allkeys-lru").await
}

/// Row: a directive that needs a roll; and a change of resources, which needs one too.
async fn a_directive_that_the_server_takes_only_at_its_start_rolls_the_pod(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let app = instance.app().await?;
    let writer = Writer::start("along", app.clone());
    writer.wait_for_more(100, SOME).await?;
    let run_id = instance.run_id().await?;
    instance
        .patch_spec(json!({"config": {"databases": "32"}}))
        .await?;
    wait_other_run(&instance, &run_id).await?;
    instance.wait_settled().await?;
    ensure!(
        instance.config("databases").await? == "32",
        "the directive is not in force"
    );
    let replaced = space.wait_event("cache", "PodReplaced").await?;
    ensure!(
        replaced.contains("databases"),
        "the Event does not say why: {replaced}"
    );

    let run_id = instance.run_id().await?;
    instance
        .patch_spec(json!({"resources": {"limits": {"memory": "160Mi"}}}))
        .await?;
    wait_other_run(&instance, &run_id).await?;
    instance.wait_settled().await?;
    let maxmemory = instance.config("maxmemory").await?;
    ensure!(
        maxmemory == (160_u64 * 1024 * 1024 * 7 / 10).to_string(),
        "maxmemory is {maxmemory}"
    );
    writer.wait_for_more(50, SOME).await?;
    writer.verify(&app).await?;
    Ok(())
}

/// Row: bad config value: a condition with the server's words, it serves on, heals when corrected;
/// a restart in between is survived.
async fn a_refused_directive_leaves_the_server_serving(space: &Space<'_>) -> Result<()> {
    let instance = space
        .ready(
            "cache",
            json!({"config": {"maxmemory-policy": "allkeys-lru"}}),
        )
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    let run_id = instance.run_id().await?;
    let bad = json!({"config": {"maxmemory-policy": "sometimes", "slowlog-max-len": "9"}});
    instance.patch_spec(bad).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::CONFIG_REJECTED)
        .await?;
    ensure!(
        words.contains("maxmemory-policy"),
        "the message names nothing: {words}"
    );
    space.wait_event("cache", degraded::CONFIG_REJECTED).await?;
    wait_config(&instance, "slowlog-max-len", "9")
        .await
        .context("the good one beside it")?;
    wait_config(&instance, "maxmemory-policy", "allkeys-lru")
        .await
        .context("the last good")?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;

    instance.delete_pod(false).await?;
    wait_other_run(&instance, &run_id).await?;
    wait_for("it serves after a restart", SOME, async || {
        let value: String = instance.app().await?.ask(&["GET", "key"]).await?;
        ensure!(value == "value", "{value}");
        Ok(())
    })
    .await?;
    instance
        .wait_condition(degraded::TYPE, "True", degraded::CONFIG_REJECTED)
        .await?;
    wait_config(&instance, "maxmemory-policy", "allkeys-lru")
        .await
        .context("after a restart")?;

    instance
        .patch_spec(json!({"config": {"maxmemory-policy": "volatile-lru"}}))
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    wait_config(&instance, "maxmemory-policy", "volatile-lru").await
}

/// Rows: volume grown, online; shrunk volume refused with a condition, healed when set back.
async fn a_volume_grows_and_does_not_shrink(space: &Space<'_>) -> Result<()> {
    let instance = space
        .ready("cache", json!({"persistence": {"size": "64Mi"}}))
        .await?;
    let (run_id, claim) = tokio::try_join!(instance.run_id(), instance.claim())?;
    let app = instance.app().await?;
    let writer = Writer::start("along", app.clone());
    instance
        .patch_spec(json!({"persistence": {"size": "128Mi"}}))
        .await?;
    wait_capacity(&instance, 128 << 20).await?;
    instance.wait_settled().await?;

    instance
        .patch_spec(json!({"persistence": {"size": "64Mi"}}))
        .await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::VOLUME_SHRINK_REFUSED)
        .await?;
    ensure!(
        words.contains("persistence.size"),
        "the message names no field: {words}"
    );
    wait_capacity(&instance, 128 << 20).await?;
    writer.wait_for_more(50, SOME).await?;

    instance
        .patch_spec(json!({"persistence": {"size": "128Mi"}}))
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    ensure!(
        instance.claim().await?.metadata.uid == claim.metadata.uid,
        "another claim"
    );
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    writer.verify(&app).await?;
    Ok(())
}

async fn wait_capacity(instance: &Instance<'_>, bytes: u64) -> Result<()> {
    wait_for(&format!("a volume of {bytes} bytes"), SOME, async || {
        let claim = instance.claim().await?;
        let capacity = claim
            .status
            .and_then(|status| status.capacity)
            .unwrap_or_default();
        let found = capacity.get("storage").context("no capacity yet")?;
        ensure!(quantity::units(found)? == bytes, "it is {}", found.0);
        Ok(())
    })
    .await
}

/// Pause (design §2): changes wait, healing goes on, and what waited arrives when it ends.
async fn a_paused_instance_holds_changes_back_and_heals(space: &Space<'_>) -> Result<()> {
    let instance = space
        .ready("cache", json!({"config": {"slowlog-max-len": "5"}}))
        .await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    instance.patch_spec(json!({"paused": true})).await?;
    instance
        .wait_condition(progressing::TYPE, "False", progressing::PAUSED)
        .await?;
    instance
        .patch_spec(json!({"version": "8.0", "config": {"slowlog-max-len": "6"}}))
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let version = instance.info("redis_version").await?;
    ensure!(
        version.starts_with("7.2"),
        "the version changed to {version} while paused"
    );
    ensure!(
        instance.config("slowlog-max-len").await? == "5",
        "a directive changed while paused"
    );

    let run_id = instance.run_id().await?;
    instance.delete_pod(false).await?;
    wait_other_run(&instance, &run_id).await?;
    wait_for("it serves again while paused", SOME, async || {
        let value: String = app.ask(&["GET", "key"]).await?;
        ensure!(value == "value", "{value}");
        Ok(())
    })
    .await?;
    ensure!(
        instance.info("redis_version").await?.starts_with("7.2"),
        "upgraded while paused"
    );

    instance.patch_spec(json!({"paused": false})).await?;
    wait_for("the new version", SOME, async || {
        let version = instance.info("redis_version").await?;
        ensure!(version.starts_with("8."), "it is {version}");
        Ok(())
    })
    .await?;
    instance.wait_settled().await?;
    wait_config(&instance, "slowlog-max-len", "6").await?;
    let value: String = app.ask(&["GET", "key"]).await?;
    ensure!(value == "value");
    Ok(())
}

async fn wait_config(instance: &Instance<'_>, directive: &str, wanted: &str) -> Result<()> {
    wait_for(&format!("{directive} {wanted}"), SOME, async || {
        let found = instance.config(directive).await?;
        ensure!(found == wanted, "it is {found}");
        Ok(())
    })
    .await
}

async fn wait_other_run(instance: &Instance<'_>, old: &str) -> Result<()> {
    wait_for(
        "another run of the server",
        Duration::from_secs(60),
        async || {
            let now = instance.run_id().await?;
            ensure!(now != old, "it is the old one");
            Ok(())
        },
    )
    .await
}
