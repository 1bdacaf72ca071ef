//! Specs that cannot be carried out: refused when applied where the API server can know, and a
//! condition that heals where only the operator can.

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, ready};
use hera_tests_e2e::{Scenario, Space, manifest};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    an_unknown_version_is_answered_with_the_known_ones,
    a_missing_storage_class_is_said_and_heals,
    what_the_schema_knows_to_be_wrong_is_refused_with_what_to_do,
    a_child_of_somebody_else_is_left_alone,
    a_spread_that_no_node_meets_is_said_and_heals,
];

/// Row: unknown version; of a new instance, and of one that serves.
async fn an_unknown_version_is_answered_with_the_known_ones(space: &Space<'_>) -> Result<()> {
    let instance = space.make("cache", json!({"version": "6.9"})).await?;
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::UNKNOWN_VERSION)
        .await?;
    for known in ["7.0", "7.2", "8.0"] {
        ensure!(
            words.contains(known),
            "the message does not list {known}: {words}"
        );
    }
    space.wait_event("cache", ready::UNKNOWN_VERSION).await?;
    instance.patch_spec(json!({"version": "7.2"})).await?;
    instance.wait_settled().await?;

    let app = instance.app().await?;
    let run_id = instance.run_id().await?;
    instance.patch_spec(json!({"version": "7.9"})).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::UNKNOWN_VERSION)
        .await?;
    ensure!(
        words.contains("7.2"),
        "the message does not list 7.2: {words}"
    );
    let serves = instance.condition(ready::TYPE).await?;
    ensure!(
        serves.status == "True",
        "Ready={} {}",
        serves.status,
        serves.reason
    );
    let _: String = app.ask(&["SET", "key", "value"]).await?;

    // An older server cannot read these files.
    instance.patch_spec(json!({"version": "7.0"})).await?;
    let reason = degraded::VERSION_INCOMPATIBLE;
    instance
        .wait_condition(degraded::TYPE, "True", reason)
        .await?;
    instance.patch_spec(json!({"version": "7.2"})).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    Ok(())
}

/// Row: unknown StorageClass; the claim binds once the class is there.
async fn a_missing_storage_class_is_said_and_heals(space: &Space<'_>) -> Result<()> {
    let class = format!("late-{}", space.namespace());
    let spec = json!({"persistence": {"storageClassName": class, "size": "64Mi"}});
    let instance = space.make("cache", spec).await?;
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::STORAGE_CLASS_MISSING)
        .await?;
    ensure!(
        words.contains(&class),
        "the message does not name the class: {words}"
    );
    space
        .wait_event("cache", ready::STORAGE_CLASS_MISSING)
        .await?;
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
        "provisioner": "testbed.hera.io/local", "volumeBindingMode": "WaitForFirstConsumer",
    });
    space.apply(&object.to_string()).await?;
    let healed = instance.wait_settled().await;
    space
        .bed()
        .kubectl(&["delete", "storageclass", &class])
        .await?;
    healed?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    Ok(())
}

/// Rows: reserved directive and its alias, name too long; and what else the schema knows. The
/// message says what to do.
async fn what_the_schema_knows_to_be_wrong_is_refused_with_what_to_do(
    space: &Space<'_>,
) -> Result<()> {
    let long = "a".repeat(41);
    let config = |directive: &str| manifest("cache", json!({"config": {directive: "1"}}));
    let user = |name: &str| {
        let secret = json!({"name": "x"});
        let user =
            json!({"name": name, "preset": "ReadOnly", "keys": ["*"], "passwordSecretRef": secret});
        manifest("cache", json!({"users": [user]}))
    };
    let refused = [
        (config("replicaof"), "who is the primary"),
        (config("slaveof"), "who is the primary"),
        (config("slave-priority"), "who is the primary"),
        (config("dir"), "the agent decides where files are"),
        (config("requirepass"), "set auth and users"),
        (config("appendonly"), "persistence.aof"),
        (
            config("unixsocketperm"),
            "the agent decides where files are",
        ),
        (config("MaxMemory"), "lower-case"),
        (
            manifest(
                "cache",
                json!({"config": {"maxmemory-policy": "a\nuser x on nopass"}}),
            ),
            "config",
        ),
        (
            manifest(
                "cache",
                json!({"users": [{
                    "name": "copy", "preset": "Replication", "keys": ["app:*"], "passwordSecretRef": {"name": "x"},
                }]}),
            ),
            "copies all data",
        ),
        (
            manifest(
                "cache",
                json!({"auth": {"preset": "Replication", "keys": ["app:*"]}}),
            ),
            "copies all data",
        ),
        (manifest(&long, json!({})), "at most 40"),
        (manifest("9-lives", json!({})), "beginning with a letter"),
        (
            manifest("cache", json!({"version": null})),
            "say what to run",
        ),
        (manifest("cache", json!({"version": "latest"})), "version"),
        (
            manifest("cache", json!({"persistence": {"size": "-1Gi"}})),
            "size",
        ),
        (
            manifest(
                "cache",
                json!({"persistence": {"aof": {"enabled": false}, "rdb": {"save": ""}}}),
            ),
            "nothing would be written",
        ),
        (manifest("cache", json!({"replicas": 0})), "use 1 to 7"),
        (manifest("cache", json!({"replicas": 8})), "use 1 to 7"),
        (
            manifest(
                "cache",
                json!({"replicas": 2, "durability": {"minReplicasToWrite": 2}}),
            ),
            "must be less than replicas",
        ),
        (user("default"), "belong to the operator"),
        (user("hera-x"), "belong to the operator"),
    ];
    for (manifest, words) in refused {
        let said = space
            .apply_refused(&manifest)
            .await
            .with_context(|| manifest.clone())?;
        ensure!(said.contains(words), "no {words:?} in: {said}");
    }

    // What cannot change on a live object.
    let instance = space
        .make("cache", json!({"persistence": {"storageClassName": "gp3"}}))
        .await?;
    for (persistence, words) in [
        (
            json!({"storageClassName": "standard"}),
            "create another object",
        ),
        (
            json!({"enabled": false, "storageClassName": "gp3"}),
            "create another object",
        ),
    ] {
        let changed = manifest("cache", json!({"persistence": persistence}));
        let said = space.apply_refused(&changed).await?;
        ensure!(said.contains(words), "no {words:?} in: {said}");
    }
    instance.wait_settled().await
}

/// A child's name that is taken (docs/conditions.md, `NameTaken`): said, nothing taken over.
async fn a_child_of_somebody_else_is_left_alone(space: &Space<'_>) -> Result<()> {
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cache-config"},
        "data": {"mine": "yes"},
    });
    space.apply(&theirs.to_string()).await?;
    let instance = space.make("cache", json!({})).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", ready::NAME_TAKEN)
        .await;
    let words = match words {
        Ok(words) => words,
        Err(_) => {
            instance
                .wait_condition(ready::TYPE, "False", ready::NAME_TAKEN)
                .await?
        }
    };
    ensure!(
        words.contains("cache-config"),
        "the message names no object: {words}"
    );
    let bed = space.bed();
    let namespace = space.namespace();
    let left = bed
        .kubectl(&["-n", namespace, "get", "cm", "cache-config", "-o", "yaml"])
        .await?;
    ensure!(
        left.contains("mine: \"yes\"") && !left.contains("server.json"),
        "{left}"
    );
    bed.kubectl(&["-n", namespace, "delete", "cm", "cache-config"])
        .await?;
    instance.wait_settled().await
}

/// Row of issue 5: unschedulable spread. All pods wait for a node, and are made anew once the spec is
/// mended: none waits for another.
async fn a_spread_that_no_node_meets_is_said_and_heals(space: &Space<'_>) -> Result<()> {
    let spread = json!([{
        "maxSkew": 1, "topologyKey": "hera.test/nowhere", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "cache"}},
    }]);
    let spec =
        json!({"replicas": 3, "podTemplate": {"spec": {"topologySpreadConstraints": spread}}});
    let instance = space.make("cache", spec).await?;
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::UNSCHEDULABLE)
        .await?;
    ensure!(words.contains("topology spread"), "{words}");
    space.wait_event("cache", ready::UNSCHEDULABLE).await?;
    instance
        .patch_spec(json!({"podTemplate": {"spec": {"topologySpreadConstraints": null}}}))
        .await?;
    instance.wait_settled().await
}
