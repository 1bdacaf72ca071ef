//! What goes on although something about the object is wrong, and what nobody may do to it by mistake.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, ready};
use hera_tests_e2e::{Instance, Login, Scenario, Space, Writer, is_wrong_login, wait_for};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    a_spec_that_cannot_be_carried_out_stops_no_healing,
    a_user_that_left_while_the_pod_was_down_stays_out,
    a_secret_that_is_replaced_shuts_nobody_out,
    deleted_children_are_made_anew_and_changes_go_on,
    a_volume_that_cannot_grow_holds_nothing_else_back,
    a_deleted_claim_keeps_its_pod,
    a_pod_that_cannot_be_made_says_why,
];

const SOME: Duration = Duration::from_secs(30);
const BACK: Duration = Duration::from_secs(60);

async fn wait_other_pod(instance: &Instance<'_>, uid: &str) -> Result<()> {
    wait_for("another pod", BACK, async || {
        ensure!(instance.pod_uid().await? != uid, "it is the old one");
        Ok(())
    })
    .await
}

/// Row: bad input, nothing lost, healed when corrected. Requests above limits pass the schema.
async fn a_spec_that_cannot_be_carried_out_stops_no_healing(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let writer = Writer::start("along", instance.app().await?);
    writer.wait_for_more(50, SOME).await?;
    let too_much = json!({"resources": {"requests": {"memory": "256Mi"}}});
    instance.patch_spec(too_much).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::SPEC_INVALID)
        .await?;
    ensure!(words.contains("spec.resources.requests.memory"), "{words}");
    let serves = instance.condition(ready::TYPE).await?;
    ensure!(serves.status == "True", "{serves:?}");

    let uid = instance.pod_uid().await?;
    instance.delete_pod(false).await?;
    wait_other_pod(&instance, &uid).await?;
    writer
        .wait_for_more(50, BACK)
        .await
        .context("clients are led to the new pod")?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;

    instance
        .patch_spec(json!({"resources": {"requests": {"memory": "64Mi"}}}))
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    instance.wait_settled().await?;
    writer.verify(&instance.app().await?).await?;
    Ok(())
}

/// Row: revoked rights stay revoked through a restart, also where the revocation comes while no
/// server runs.
async fn a_user_that_left_while_the_pod_was_down_stays_out(space: &Space<'_>) -> Result<()> {
    space
        .put_secret("worker", &[("password", "of-the-worker")])
        .await?;
    let spec = json!({"users": [{
        "name": "worker", "preset": "ReadWrite", "keys": ["*"], "passwordSecretRef": {"name": "worker"},
    }], "updateStrategy": {"surge": "Never"}});
    let instance = space.ready("cache", spec).await?;
    let worker = Login::new(&instance.cluster_ip().await?, "worker", "of-the-worker");
    let _: String = worker.ask(&["PING"]).await?;

    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there-is": "no-such-node"}}}});
    instance.patch_spec(nowhere).await?;
    instance
        .wait_condition(ready::TYPE, "False", ready::UNSCHEDULABLE)
        .await?;
    instance
        .patch_spec(json!({"users": [], "podTemplate": {"spec": {"nodeSelector": null}}}))
        .await?;
    let direct = wait_for("an address", BACK, async || {
        Ok(worker.at(&instance.pod_ip().await?))
    })
    .await?;
    // From before the server answers until long after it serves.
    let mut refused = 0;
    wait_for("it serves", BACK, async || {
        match direct.connect().await {
            Ok(_) => return Ok(Err("the user that left is let in")),
            Err(error) if is_wrong_login(&error) => refused += 1,
            Err(_) => {}
        }
        let serves = instance.condition(ready::TYPE).await?;
        ensure!(serves.status == "True" && refused > 3, "not yet");
        Ok(Ok(()))
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    instance.wait_settled().await
}

/// Row: missing Secret. Some tools delete and create where others change: meanwhile the application
/// user stays who it was, and its clients stay connected.
async fn a_secret_that_is_replaced_shuts_nobody_out(space: &Space<'_>) -> Result<()> {
    let first = [("password", "first-of-the-shop")];
    space.put_secret("mine", &first).await?;
    let instance = space
        .ready(
            "cache",
            json!({"auth": {"username": "shop", "passwordSecretRef": {"name": "mine"}}}),
        )
        .await?;
    let shop = Login::new(&instance.cluster_ip().await?, "shop", "first-of-the-shop");
    let mut client = shop.connect().await?;
    let namespace = space.namespace();
    space
        .bed()
        .kubectl(&["-n", namespace, "delete", "secret", "mine"])
        .await?;
    instance
        .wait_condition(degraded::TYPE, "True", degraded::SECRET_MISSING)
        .await?;
    hera_tests_e2e::text(&mut client, &["SET", "key", "value"])
        .await
        .context("the connection of the application")?;
    let _: String = shop
        .ask(&["GET", "key"])
        .await
        .context("a new connection")?;

    let second = [("password", "second-of-the-shop")];
    space.put_secret("mine", &second).await?;
    wait_for("the new password is taken", SOME, async || {
        Ok(shop
            .with_password("second-of-the-shop")
            .connect()
            .await
            .map(drop)?)
    })
    .await?;
    hera_tests_e2e::text(&mut client, &["GET", "key"])
        .await
        .context("the connection of the application")?;
    instance.wait_settled().await
}

/// A ConfigMap or Secret of the operator's that somebody deletes: made anew, and what changes later
/// reaches the server all the same.
async fn deleted_children_are_made_anew_and_changes_go_on(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    for round in ["21", "22"] {
        // So that revisions are beyond the first.
        instance
            .patch_spec(json!({"config": {"slowlog-max-len": round}}))
            .await?;
        instance.wait_settled().await?;
    }
    let (run_id, app) = tokio::try_join!(instance.run_id(), instance.app())?;
    let namespace = space.namespace();
    for child in [
        "configmap/cache-config",
        "secret/cache-acl",
        "secret/cache-system",
        "secret/cache-agent-tls",
        "service/cache",
    ] {
        space
            .bed()
            .kubectl(&["-n", namespace, "delete", child])
            .await?;
        wait_for(child, SOME, async || {
            space
                .bed()
                .kubectl(&["-n", namespace, "get", child])
                .await
                .map(drop)
        })
        .await?;
    }
    instance
        .patch_spec(json!({"config": {"slowlog-max-len": "23"}}))
        .await?;
    wait_for("a change reaches the server", BACK, async || {
        let found = instance.config("slowlog-max-len").await?;
        ensure!(found == "23", "it is {found}");
        Ok(())
    })
    .await?;
    space
        .put_secret("cache-app", &[("password", "another-of-app")])
        .await?;
    let host = instance.cluster_ip().await?;
    wait_for("a new password is taken", BACK, async || {
        let login = app.with_password("another-of-app").at(&host);
        Ok(login.connect().await.map(drop)?)
    })
    .await?;
    instance.wait_settled().await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    Ok(())
}

/// Row: volume grown; here the class does not allow it.
async fn a_volume_that_cannot_grow_holds_nothing_else_back(space: &Space<'_>) -> Result<()> {
    let class = format!("fixed-{}", space.namespace());
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
        "provisioner": "testbed.hera.io/local", "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": false,
    });
    space.apply(&object.to_string()).await?;
    let outcome = growth_refused(space, &class).await;
    space
        .bed()
        .kubectl(&["delete", "storageclass", &class])
        .await?;
    outcome
}

async fn growth_refused(space: &Space<'_>, class: &str) -> Result<()> {
    let persistence = |size: &str| json!({"storageClassName": class, "size": size});
    let instance = space
        .ready("cache", json!({"persistence": persistence("64Mi")}))
        .await?;
    instance
        .patch_spec(json!({
            "persistence": persistence("128Mi"), "config": {"slowlog-max-len": "31"},
        }))
        .await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::VOLUME_GROWTH_REFUSED)
        .await?;
    ensure!(words.contains("data-cache-0"), "{words}");
    wait_for("what stands beside it", SOME, async || {
        let found = instance.config("slowlog-max-len").await?;
        ensure!(found == "31", "it is {found}");
        Ok(())
    })
    .await?;
    instance
        .patch_spec(json!({"persistence": persistence("64Mi")}))
        .await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    instance.wait_settled().await
}

/// A claim that somebody deleted lives as long as its pod: no roll may be what ends both.
async fn a_deleted_claim_keeps_its_pod(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let writer = Writer::start("along", instance.app().await?);
    writer.wait_for_more(50, SOME).await?;
    let (uid, run_id) = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    let namespace = space.namespace();
    let words = [
        "-n",
        namespace,
        "delete",
        "pvc",
        "data-cache-0",
        "--wait=false",
    ];
    space.bed().kubectl(&words).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::VOLUME_DELETED)
        .await?;
    ensure!(words.contains("data-cache-0"), "{words}");
    space.wait_event("cache", degraded::VOLUME_DELETED).await?;
    instance
        .patch_spec(json!({"resources": {"limits": {"memory": "160Mi"}}}))
        .await?;
    // Time for what must not happen.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let now = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    ensure!(now == (uid, run_id), "the pod was replaced");
    writer.wait_for_more(50, SOME).await?;
    writer.verify(&instance.app().await?).await?;
    Ok(())
}

/// Row: every wait says for what. Here a quota lets no pod in.
async fn a_pod_that_cannot_be_made_says_why(space: &Space<'_>) -> Result<()> {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "nothing"},
        "spec": {"hard": {"pods": "0"}},
    });
    space.apply(&quota.to_string()).await?;
    let instance = space.make("cache", json!({})).await?;
    wait_for("the quota is named", BACK, async || {
        let condition = instance.condition(ready::TYPE).await?;
        ensure!(
            condition.reason == ready::CREATING && condition.message.contains("quota"),
            "it is {condition:?}"
        );
        Ok(())
    })
    .await?;
    let namespace = space.namespace();
    space
        .bed()
        .kubectl(&["-n", namespace, "delete", "resourcequota", "nothing"])
        .await?;
    instance.wait_settled().await
}
