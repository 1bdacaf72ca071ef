//! From `kubectl apply` to a working server, and back to one after something died.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, ready};
use hera_tests_e2e::{Scenario, Signal, Space, Writer, millis, text, wait_for};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    a_deleted_pod_comes_back_with_every_acknowledged_write,
    a_killed_server_comes_back_in_its_container_with_every_acknowledged_write,
    a_killed_agent_comes_back_with_every_acknowledged_write,
    an_applied_instance_becomes_ready_and_takes_writes,
    the_sample_works_as_it_stands,
    two_instances_live_side_by_side,
];

/// Writes a second before and after a fault that count as traffic.
const RATE: f64 = 5.0;
const BACK: Duration = Duration::from_secs(60);

/// Row: create → Ready → write.
async fn an_applied_instance_becomes_ready_and_takes_writes(space: &Space<'_>) -> Result<()> {
    let instance = space.make("cache", json!({})).await?;
    wait_for(
        "Ready=False, before it is true",
        Duration::from_secs(20),
        async || {
            let condition = instance.condition(ready::TYPE).await?;
            ensure!(condition.status == "False", "it is {}", condition.status);
            Ok(())
        },
    )
    .await?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    space.wait_event("cache", ready::SERVING).await?;

    // As an application connects: the generated Secret, the Service's name.
    let uri = space.secret("cache-app", "uri").await?;
    let host = space.secret("cache-app", "host").await?;
    let password = space.secret("cache-app", "password").await?;
    let namespace = space.namespace();
    ensure!(host == format!("cache.{namespace}.svc"), "host is {host}");
    ensure!(
        uri == format!("redis://app:{password}@{host}:6379/0"),
        "uri is not made of its parts"
    );
    let resolved = hera_testbed::resolve(&format!("{host}.cluster.local"))?;
    let app = instance.app().await?;
    ensure!(
        resolved == app.host,
        "{host} is {resolved}, the Service is {}",
        app.host
    );
    let mut client = app.connect().await?;
    text(&mut client, &["SET", "greeting", "hello"]).await?;
    ensure!(text(&mut client, &["GET", "greeting"]).await? == "hello");

    let status = instance.status().await?;
    ensure!(status.primary.as_deref() == Some("cache-0"), "{status:?}");
    ensure!(status.version.as_deref() == Some("7.2.4"), "{status:?}");
    ensure!(
        status.image.as_deref() == Some("localhost/redis:7.2.4"),
        "{status:?}"
    );
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;

    // Nobody gets in without a password.
    let stranger = hera_tests_e2e::Login {
        user: None,
        ..app.with_password("guess")
    };
    ensure!(
        stranger.connect().await.is_err(),
        "a client with a guessed password is let in"
    );
    Ok(())
}

/// Row: the sample exactly as given, class gp3 included; the columns of `kubectl get ri`.
async fn the_sample_works_as_it_stands(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let namespace = space.namespace();
    let sample = "deploy/samples/cache_v1alpha1_redisinstance.yaml";
    bed.kubectl(&["-n", namespace, "apply", "-f", sample])
        .await?;
    let instance = space.instance("my-redis");
    instance.wait_settled().await?;
    let claim = instance.claim().await?;
    let class = claim.spec.and_then(|spec| spec.storage_class_name);
    ensure!(
        class.as_deref() == Some("gp3"),
        "the claim's class is {class:?}"
    );
    let set: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    ensure!(set == "OK");
    // 70 % of 512Mi, as the docs say.
    let maxmemory = instance.config("maxmemory").await?;
    ensure!(
        maxmemory == (512_u64 * 1024 * 1024 * 7 / 10).to_string(),
        "maxmemory is {maxmemory}"
    );

    let table = bed.kubectl(&["-n", namespace, "get", "ri"]).await?;
    let mut lines = table.lines();
    let head: Vec<_> = lines
        .next()
        .context("no table")?
        .split_whitespace()
        .collect();
    ensure!(
        head == [
            "NAME", "READY", "REPLICAS", "STATUS", "PRIMARY", "VERSION", "AGE"
        ],
        "the columns are {head:?}"
    );
    let row: Vec<_> = lines.next().context("no row")?.split_whitespace().collect();
    ensure!(
        row.starts_with(&["my-redis", "1", "1", "Ready", "my-redis-0", "7.2.4"]),
        "the row is {row:?}"
    );
    let wide = bed
        .kubectl(&["-n", namespace, "get", "ri", "-o", "wide"])
        .await?;
    ensure!(
        wide.contains("Serving") && wide.contains("localhost/redis:7.2.4"),
        "{wide}"
    );
    Ok(())
}

/// Row: pod deleted → same data. A second client keeps writing to the pod's old address.
async fn a_deleted_pod_comes_back_with_every_acknowledged_write(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let app = instance.app().await?;
    let (uid, run_id) = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    let claim = instance.claim().await?.metadata.uid;
    let writer = Writer::start("service", app.clone());
    let old = Writer::start("old-address", app.at(&instance.pod_ip().await?));
    let start = Instant::now();
    writer.wait_for_more(100, BACK).await?;
    old.wait_for_more(100, BACK).await?;

    let fault = Instant::now();
    instance.delete_pod(false).await?;
    wait_for("another pod that is Ready", BACK, async || {
        let now = instance.pod_uid().await?;
        ensure!(now != uid, "it is still the old one");
        Ok(())
    })
    .await?;
    instance.wait_settled().await?;
    let back = Instant::now();
    writer.wait_for_more(100, BACK).await?;

    ensure!(
        instance.run_id().await? != run_id,
        "the server is the same process"
    );
    ensure!(
        instance.claim().await?.metadata.uid == claim,
        "the claim is another one"
    );
    check_rates(&writer, start, fault, back)?;
    let app = instance.app().await?;
    space.bed().figures.note(
        "pod deleted: longest gap of a client",
        millis(writer.longest_gap()),
    );
    writer.verify(&app).await?;
    old.verify(&app).await?;
    Ok(())
}

/// Row: server killed → same data, no kubelet restart loop. `fsync: always`, so that everything
/// acknowledged must be there: `everysec` may postpone what it writes while the disk is busy.
async fn a_killed_server_comes_back_in_its_container_with_every_acknowledged_write(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"persistence": {"aof": {"fsync": "Always"}}});
    let instance = space.ready("cache", spec).await?;
    let app = instance.app().await?;
    let (uid, container) = tokio::try_join!(instance.pod_uid(), instance.container())?;
    let writer = Writer::start("service", app.clone());
    let start = Instant::now();
    writer.wait_for_more(100, BACK).await?;

    let before = Instant::now();
    for round in 1..=2 {
        let run_id = instance.run_id().await?;
        let pid = instance.pid("redis-server").await?;
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        writer
            .wait_for_more(50, BACK)
            .await
            .with_context(|| format!("after kill {round}"))?;
        ensure!(
            instance.run_id().await? != run_id,
            "the fault did not happen"
        );
    }
    let back = Instant::now();
    writer.wait_for_more(100, BACK).await?;

    instance.wait_settled().await?;
    ensure!(instance.pod_uid().await? == uid, "the pod is another one");
    let now = instance.container().await?;
    ensure!(
        now == container,
        "the container was {container:?} and is {now:?}"
    );
    check_rates(&writer, start, before, back)?;
    writer.verify(&app).await?;
    Ok(())
}

/// Row: agent killed. It is the container's first process, so the kubelet starts the container
/// again, once; `fsync: always` as above.
async fn a_killed_agent_comes_back_with_every_acknowledged_write(space: &Space<'_>) -> Result<()> {
    let spec = json!({"persistence": {"aof": {"fsync": "Always"}}});
    let instance = space.ready("cache", spec).await?;
    let app = instance.app().await?;
    let (uid, run_id) = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    let (restarts, _) = instance.container().await?;
    let writer = Writer::start("service", app.clone());
    let start = Instant::now();
    writer.wait_for_more(100, BACK).await?;

    let fault = Instant::now();
    space
        .bed()
        .testbed
        .kill_process(instance.pid("hera-agent").await?, Signal::SIGKILL)?;
    wait_for("the container was started again", BACK, async || {
        let (now, _) = instance.container().await?;
        ensure!(now == restarts + 1, "restartCount is {now}");
        Ok(())
    })
    .await?;
    instance.wait_settled().await?;
    writer.wait_for_more(100, BACK).await?;
    let back = Instant::now();
    writer.wait_for_more(100, BACK).await?;

    ensure!(
        instance.run_id().await? != run_id,
        "the server outlived its agent"
    );
    ensure!(instance.pod_uid().await? == uid, "the pod is another one");
    let (now, _) = instance.container().await?;
    ensure!(now == restarts + 1, "the kubelet restarted it {now} times");
    check_rates(&writer, start, fault, back)?;
    writer.verify(&app).await?;
    Ok(())
}

/// Row: two instances side by side, in one namespace: neither's clients, data nor deletion
/// reach the other.
async fn two_instances_live_side_by_side(space: &Space<'_>) -> Result<()> {
    let one = space.make("one", json!({})).await?;
    let two = space.make("one-more", json!({"version": "7.0"})).await?;
    tokio::try_join!(one.wait_settled(), two.wait_settled())?;
    let (first, second) = tokio::try_join!(one.app(), two.app())?;
    let _: String = first.ask(&["SET", "whose", "one"]).await?;
    let _: String = second.ask(&["SET", "whose", "two"]).await?;
    let whose: String = first.ask(&["GET", "whose"]).await?;
    ensure!(whose == "one", "the data of one is that of {whose}");
    let crossed = second.with_password(&first.password).connect().await;
    ensure!(crossed.is_err(), "the password of one opens the other");

    let before = two.wait_quiet(Duration::from_secs(1)).await?;
    one.delete().await?;
    let whose: String = second.ask(&["GET", "whose"]).await?;
    ensure!(whose == "two", "the data of two is that of {whose}");
    before.ensure_untouched(&two.children().await?)
}

fn check_rates(writer: &Writer, start: Instant, fault: Instant, back: Instant) -> Result<()> {
    let (before, after) = (writer.rate(start, fault), writer.rate(back, Instant::now()));
    ensure!(
        before >= RATE && after >= RATE,
        "{before:.0} and {after:.0} writes a second"
    );
    Ok(())
}
