//! A roll that does not get on goes back, where the spec asks for it (issue 5).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing, ready};
use hera_tests_e2e::{Instance, Scenario, Space, Writer, wait_for};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::replicas::wait_in_sync;

pub const ALL: &[Scenario] = scenarios![Few;
    a_roll_that_fails_goes_back_where_that_is_asked_for,
    a_server_alone_that_does_not_come_back_goes_back,
    a_server_alone_goes_back_with_the_memory_that_it_had,
    a_roll_does_not_go_back_to_a_version_that_could_not_read_the_data,
];

const SOME: Duration = Duration::from_secs(60);
/// The deadline, and what comes before and after it on a busy machine.
const BACK: Duration = Duration::from_secs(180);
pub const NO_SUCH_IMAGE: &str = "localhost/hera-no-such-image:1";

/// `spec` with a way back after the shortest deadline.
pub fn with_way_back(mut spec: Value) -> Value {
    spec["updateStrategy"] = json!({
        "onFailure": "Rollback",
        "progressDeadline": "1m",
        "surge": "Never",
    });
    spec
}

async fn wait_degraded(instance: &Instance<'_>, reason: &str, words: &str) -> Result<String> {
    let what = format!("Degraded says {reason}: {words}");
    wait_for(&what, BACK, async || {
        let found = instance.condition(degraded::TYPE).await?;
        ensure!(
            found.reason == reason && found.message.contains(words),
            "{found:?}"
        );
        Ok(found.message)
    })
    .await
}

async fn pods(space: &Space<'_>) -> Result<Vec<Pod>> {
    Ok(space.api().list(&ListParams::default()).await?.items)
}

fn server(pod: &Pod) -> Option<&Container> {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.find(|c| c.name == "redis")
}

/// The image that the server of a pod has.
pub fn image(pod: &Pod) -> Option<&str> {
    server(pod)?.image.as_deref()
}

/// The memory that the server of a pod may take.
fn memory(pod: &Pod) -> Option<&str> {
    let limits = server(pod)?.resources.as_ref()?.limits.as_ref()?;
    Some(&limits.get("memory")?.0)
}

async fn a_roll_that_fails_goes_back_where_that_is_asked_for(space: &Space<'_>) -> Result<()> {
    let instance = space
        .ready("group", with_way_back(json!({"replicas": 3})))
        .await?;
    wait_in_sync(&instance, 3).await?;
    let primary = instance.primary_pod().await?;
    let before = image(&primary).context("no image")?.to_owned();
    let writer = Writer::start("along", instance.app().await?);
    instance.patch_spec(json!({"image": NO_SUCH_IMAGE})).await?;
    wait_for("a pod of the new image", SOME, async || {
        let pods = pods(space).await?;
        ensure!(pods.iter().any(|pod| image(pod) == Some(NO_SUCH_IMAGE)));
        Ok(())
    })
    .await?;
    let words = wait_degraded(&instance, degraded::ROLLED_BACK, "was not ready").await?;
    ensure!(words.contains("after 1 min"), "{words}");
    wait_in_sync(&instance, 3).await?;
    wait_degraded(&instance, degraded::ROLLED_BACK, &words).await?;
    for pod in pods(space).await? {
        ensure!(image(&pod) == Some(&before), "{:?}", image(&pod));
    }
    let same = instance.primary_pod().await?;
    ensure!(same.uid() == primary.uid(), "the primary was touched");
    let status = instance.status().await?;
    ensure!(status.image == Some(before.clone()), "{:?}", status.image);
    instance
        .wait_condition(progressing::TYPE, "False", progressing::BLOCKED)
        .await?;
    space.wait_event("group", degraded::ROLLED_BACK).await?;

    // It says so until the spec changes; then that is tried.
    let mended =
        json!({"image": null, "podTemplate": {"metadata": {"annotations": {"rolled": "yes"}}}});
    instance.patch_spec(mended).await?;
    wait_for("all pods are of the new spec", BACK, async || {
        for pod in pods(space).await? {
            let rolled = pod.annotations().contains_key("rolled");
            ensure!(rolled, "{} is not", pod.name_any());
        }
        Ok(())
    })
    .await?;
    wait_in_sync(&instance, 3).await?;
    instance.wait_settled().await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    writer.verify(&instance.app().await?).await?;
    Ok(())
}

async fn a_server_alone_that_does_not_come_back_goes_back(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", with_way_back(json!({}))).await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    instance.patch_spec(json!({"image": NO_SUCH_IMAGE})).await?;
    instance
        .wait_condition(ready::TYPE, "False", ready::IMAGE_PULL_FAILED)
        .await?;
    wait_degraded(&instance, degraded::ROLLED_BACK, "cache-0").await?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    let value: String = app.ask(&["GET", "key"]).await?;
    ensure!(value == "value", "{value}");
    // Asked for once more, it fails once more.
    instance
        .annotate("cache.hera.io/restart", Some("again"))
        .await?;
    instance
        .wait_condition(ready::TYPE, "False", ready::IMAGE_PULL_FAILED)
        .await?;
    wait_degraded(&instance, degraded::ROLLED_BACK, "cache-0").await?;
    let value: String =
        wait_for("it serves", SOME, async || app.ask(&["GET", "key"]).await).await?;
    ensure!(value == "value", "{value}");
    Ok(())
}

/// Row: P51, on the way back: the spec asks for more memory than the container has again.
async fn a_server_alone_goes_back_with_the_memory_that_it_had(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", with_way_back(json!({}))).await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    let before = instance.config("maxmemory").await?;
    let more = json!({
        "image": NO_SUCH_IMAGE,
        "resources": {"limits": {"memory": "192Mi"}},
    });
    instance.patch_spec(more).await?;
    wait_degraded(&instance, degraded::ROLLED_BACK, "cache-0").await?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    instance.wait_settled().await?;
    let pod = instance.primary_pod().await?;
    ensure!(memory(&pod) == Some("128Mi"), "{:?}", memory(&pod));
    let now = instance.config("maxmemory").await?;
    ensure!(now == before, "it takes {now} bytes instead of {before}");
    let value: String = app.ask(&["GET", "key"]).await?;
    ensure!(value == "value", "{value}");

    // With an image that there is, it gets what was asked for.
    instance.patch_spec(json!({"image": null})).await?;
    let (before, what) = (before.parse::<u64>()?, "it takes more memory");
    wait_for(what, BACK, async || {
        let now: u64 = instance.config("maxmemory").await?.parse()?;
        ensure!(now > before, "it takes {now} bytes, as before");
        Ok(())
    })
    .await?;
    instance.wait_settled().await?;
    let pod = instance.primary_pod().await?;
    ensure!(memory(&pod) == Some("192Mi"), "{:?}", memory(&pod));
    let value: String = app.ask(&["GET", "key"]).await?;
    ensure!(value == "value", "{value}");
    Ok(())
}

async fn a_roll_does_not_go_back_to_a_version_that_could_not_read_the_data(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space
        .ready("group", with_way_back(json!({"replicas": 2})))
        .await?;
    wait_in_sync(&instance, 2).await?;
    let primary = instance.primary_pod().await?;
    let nowhere = json!({
        "version": "8.0",
        "podTemplate": {"spec": {"nodeSelector": {"there-is": "no-such-node"}}},
    });
    instance.patch_spec(nowhere).await?;
    let words = "it does not go back: redis 7.2";
    wait_degraded(&instance, degraded::ROLL_STOPPED, words).await?;
    let same = instance.primary_pod().await?;
    ensure!(same.uid() == primary.uid(), "the primary was touched");
    // Mended, it goes on.
    let mended = json!({"podTemplate": {"spec": {"nodeSelector": null}}});
    instance.patch_spec(mended).await?;
    wait_for("the new version leads", BACK, async || {
        let version = instance
            .info_at(&instance.primary_pod().await?, "redis_version")
            .await?;
        ensure!(version.starts_with("8."), "it is {version}");
        Ok(())
    })
    .await?;
    wait_in_sync(&instance, 2).await
}
