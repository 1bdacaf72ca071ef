//! A new instance begins with a backup: its first pod alone, once, and never over data.

use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::{Role, ServerState};
use hera_core::backup::{Failure, FailureReason, RecoveryNews};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::api_server::{Answer, Operator, SHOP, wait_for, wait_within};
use super::cluster::{BASE, Cluster};

const FIRST: &str = "cache-0";
/// What was refused is tried again after 15 s, or after 20 where the agent then says what it said before: that is no
/// news, and is seen 5 s later.
const TRIED_AGAIN: Duration = Duration::from_secs(45);
const PATH: &str = "shop.old/uid-of-old/backups/nightly.json";

fn spec(replicas: u32) -> Value {
    json!({
        "version": "7.2", "replicas": replicas,
        "bootstrap": {"recovery": {"backupRef": {"name": "nightly"}}},
    })
}

fn start(operator: &Operator, net: u8) -> Cluster {
    Cluster::start(Arc::clone(&operator.server.store), net)
}

/// A backup that is whole, but for what `change` does to it.
fn put_backup(operator: &Operator, name: &str, change: impl FnOnce(&mut Value)) {
    let mut backup = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
        "metadata": {"namespace": SHOP, "name": name},
        "spec": {"target": {"kind": "RedisInstance", "name": "old"}},
        "status": {
            "phase": "Completed", "store": "s3", "path": PATH, "engine": "redis", "version": "7.2.4",
            "storedSize": "3Mi", "attempts": 1,
            "shards": [{
                "shard": "0", "pod": "old-1", "podUid": "uid-of-old-1",
                "rawBytes": 10 << 20, "usedMemory": 100 << 20,
            }],
        },
    });
    change(&mut backup);
    operator.server.store.put("redisbackups", backup);
}

fn put_store(operator: &Operator) {
    let store = &operator.server.store;
    store.put(
        "redisbackupstores",
        json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackupStore",
            "metadata": {"namespace": SHOP, "name": "s3"},
            "spec": {"s3": {
                "bucket": "backups",
                "accessKeyIdRef": {"name": "s3-key", "key": "id"},
                "secretAccessKeyRef": {"name": "s3-key", "key": "secret"},
            }},
        }),
    );
    let bytes = |text: &str| json!(ByteString(text.into()));
    store.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": SHOP, "name": "s3-key"},
            "data": {"id": bytes("me"), "secret": bytes("hush")},
        }),
    );
}

fn put_all(operator: &Operator) {
    put_backup(operator, "nightly", |_| {});
    put_store(operator);
}

fn instance(operator: &Operator, name: &str) -> Value {
    let store = &operator.server.store;
    store.find("redisinstances", SHOP, name).unwrap()
}

fn recover() -> String {
    format!("Recover({PATH})")
}

fn waits_for_data(operator: &Operator) -> bool {
    let map = operator
        .server
        .store
        .find("configmaps", SHOP, "cache-config");
    map.is_some_and(|map| map["data"]["recovery.json"].is_string())
}

fn status_writes(operator: &Operator) -> usize {
    let store = &operator.server.store;
    store.count(|asked| asked.writes() && asked.part == "status" && asked.name == "cache")
}

async fn recovered(operator: &Operator) -> Value {
    let object = operator
        .wait_object("redisinstances", "cache", |object| {
            object["status"]["recovery"].is_object()
        })
        .await;
    object["status"]["recovery"].clone()
}

/// Waits until so many pods serve.
async fn ready(operator: &Operator, count: u32) {
    operator
        .wait_object("redisinstances", "cache", |object| {
            object["status"]["readyReplicas"] == count
        })
        .await;
    operator.wait_reason("cache", "Ready", "Serving").await;
}

/// Waits until the instance tells that it cannot begin, for this reason.
async fn refused(operator: &Operator, name: &str, reason: &str) -> String {
    let what = format!("{name} is refused as {reason}");
    let message = wait_for(&what, || {
        let ready = operator.condition(name, "Ready")?;
        let message = ready["message"].as_str()?.to_owned();
        let is_it = ready["reason"] == "RecoveryRefused" && message.starts_with(reason);
        is_it.then_some(message)
    });
    message.await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_pods_the_first_is_filled_alone_and_the_others_follow_it() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 91);
    let store = &operator.server.store;
    put_all(&operator);
    cluster.recoveries().is_slow(SHOP, FIRST);
    operator.apply("cache", spec(3));

    let told = operator
        .wait_reason("cache", "Ready", "RecoveringData")
        .await;
    let words = told["message"].as_str().unwrap();
    for part in ["nightly", "3Mi", "s3"] {
        assert!(words.contains(part), "{words}");
    }
    wait_for("the data is fetched", || {
        let told = cluster.told(SHOP, FIRST)?;
        (told.recovery == Some(RecoveryNews::Running)).then_some(())
    })
    .await;
    let uid = instance(&operator, "cache")["metadata"]["uid"].clone();
    let map = store.find("configmaps", SHOP, "cache-config").unwrap();
    let file = map["data"]["recovery.json"].as_str().unwrap();
    let file: Value = serde_json::from_str(file).unwrap();
    assert_eq!(file, json!({"uid": uid}));
    let set = store.find("statefulsets", SHOP, "cache").unwrap();
    assert_eq!(set["spec"]["replicas"], 1);
    assert!(cluster.told(SHOP, "cache-1").is_none());
    let held = cluster.told(SHOP, FIRST).unwrap();
    assert!(!held.memory.was_primary && !held.acl.confirmed, "{held:?}");

    cluster.fills(SHOP, FIRST);
    let status = recovered(&operator).await;
    assert_eq!(status["store"], "s3");
    assert_eq!(status["base"], BASE);
    assert_eq!(status["reached"], "2026-01-01T00:00:00Z");
    assert!(status["completedAt"].is_string());
    ready(&operator, 3).await;
    let object = instance(&operator, "cache");
    assert_eq!(object["status"]["primary"], FIRST);
    assert!(!waits_for_data(&operator));
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [recover()]);
    for other in ["cache-1", "cache-2"] {
        assert_eq!(cluster.told(SHOP, other).unwrap().role, Role::Replica);
        assert!(cluster.recoveries().orders(SHOP, other).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recovered_is_refused_in_words_and_no_agent_is_asked() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 92);
    let spec = |backup: &str| {
        json!({
            "version": "7.2", "resources": {"limits": {"memory": "128Mi"}},
            "bootstrap": {"recovery": {"backupRef": {"name": backup}}},
        })
    };
    put_backup(&operator, "runs", |backup| {
        backup["status"]["phase"] = json!("Running");
    });
    put_backup(&operator, "newer", |backup| {
        backup["status"]["version"] = json!("8.6.3");
    });
    put_backup(&operator, "large", |_| {});
    put_backup(&operator, "long", |backup| {
        backup["status"]["shards"][0]["usedMemory"] = json!(1);
        backup["status"]["shards"][0]["rawBytes"] = json!(2_u64 << 30);
    });
    put_backup(&operator, "storeless", |backup| {
        backup["status"]["shards"][0]["usedMemory"] = json!(1);
    });
    let cases = [
        ("none", "NoSuchBackup: there is no RedisBackup none"),
        ("runs", "NoSuchBackup: "),
        ("newer", "VersionIncompatible: "),
        ("large", "TooSmall: "),
        ("long", "TooSmall: "),
    ];
    for (name, _) in cases {
        operator.apply(name, spec(name));
    }
    operator.apply("storeless", spec("storeless"));
    for (name, reason) in cases {
        refused(&operator, name, reason).await;
        operator.wait_reason(name, "Progressing", "Blocked").await;
    }
    let told = operator
        .wait_reason("storeless", "Ready", "RecoveryRefused")
        .await;
    assert!(told["message"].as_str().unwrap().contains("s3"), "{told}");
    for name in ["none", "runs", "newer", "large", "long", "storeless"] {
        let pod = format!("{name}-0");
        assert!(cluster.recoveries().orders(SHOP, &pod).is_empty(), "{name}");
        let told = cluster.told(SHOP, &pod).unwrap();
        assert_eq!(told.recovery, Some(RecoveryNews::Waiting), "{name}");
        assert_eq!(instance(&operator, name)["status"]["phase"], "Blocked");
    }

    // What is mended is found by itself.
    put_store(&operator);
    operator.wait_reason("storeless", "Ready", "Serving").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_told_once_and_asked_again() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 93);
    put_all(&operator);
    let down = Failure {
        reason: FailureReason::StoreUnreachable,
        message: "bucket backups: connection refused".to_owned(),
    };
    cluster.recoveries().fails(SHOP, FIRST, Some(down));
    operator.apply("cache", spec(1));
    let message = refused(&operator, "cache", "StoreUnreachable: ").await;
    assert_eq!(
        message,
        "StoreUnreachable: bucket backups: connection refused"
    );
    let asked = || cluster.recoveries().orders(SHOP, FIRST).len();
    assert_eq!(asked(), 1, "not again at once");
    let before = status_writes(&operator);
    wait_for("it is asked again", || (asked() == 2).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status_writes(&operator), before, "nothing new is told");
    cluster.recoveries().fails(SHOP, FIRST, None);
    operator.wait_reason("cache", "Ready", "Serving").await;
    recovered(&operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_data_is_refused_until_somebody_takes_that_away() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 94);
    put_all(&operator);
    cluster.recoveries().has_data(SHOP, FIRST, true);
    operator.apply("cache", spec(3));
    refused(&operator, "cache", "DataPresent: dump.rdb is there").await;
    wait_within(TRIED_AGAIN, "its agent is asked to look again", || {
        (cluster.recoveries().orders(SHOP, FIRST) == [recover()]).then_some(())
    })
    .await;
    refused(&operator, "cache", "DataPresent: dump.rdb is there").await;
    let told = cluster.told(SHOP, FIRST).unwrap();
    assert_eq!(told.server, ServerState::Fenced);
    assert!(cluster.told(SHOP, "cache-1").is_none());
    assert!(instance(&operator, "cache")["status"]["recovery"].is_null());

    cluster.recoveries().has_data(SHOP, FIRST, false);
    wait_within(TRIED_AGAIN, "the data is fetched", || {
        let object = instance(&operator, "cache");
        object["status"]["recovery"].is_object().then_some(())
    })
    .await;
    ready(&operator, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_an_object_of_this_name_left_for_another_pod_is_not_given_up() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 95);
    put_all(&operator);
    let store = &operator.server.store;
    let record = json!({"lineage": "old", "epoch": 9, "primaryUid": "gone", "led": true});
    store.put(
        "persistentvolumeclaims",
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "namespace": SHOP, "name": "data-cache-1",
                "labels": {
                    "app.kubernetes.io/name": "redis-instance",
                    "app.kubernetes.io/instance": "cache",
                    "app.kubernetes.io/component": "data",
                    "app.kubernetes.io/managed-by": "hera-operator",
                },
                "annotations": {"cache.hera.io/lineage": record.to_string()},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "volumeName": "pv-1",
                "resources": {"requests": {"storage": "1Gi"}},
            },
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }),
    );
    operator.apply("cache", spec(3));
    let message = refused(&operator, "cache", "DataPresent: ").await;
    assert!(message.contains("data-cache-1"), "{message}");
    assert!(cluster.recoveries().orders(SHOP, FIRST).is_empty());
    assert!(cluster.told(SHOP, "cache-1").is_none(), "pod 0 is alone");

    store.remove("persistentvolumeclaims", SHOP, "data-cache-1");
    operator.wait_reason("cache", "Ready", "Serving").await;
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [recover()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_ends_between_the_data_and_the_status_fetches_it_no_second_time() {
    let mut operator = Operator::start().await;
    let cluster = start(&operator, 96);
    put_all(&operator);
    cluster.recoveries().is_slow(SHOP, FIRST);
    operator.apply("cache", spec(3));
    wait_for("the data is fetched", || {
        let told = cluster.told(SHOP, FIRST)?;
        (told.recovery == Some(RecoveryNews::Running)).then_some(())
    })
    .await;
    operator.server.store.refuse(|asked, _| {
        let is_status = asked.plural == "redisinstances" && asked.part == "status";
        (is_status && asked.writes()).then(|| Answer::Refuse(500, "no".to_owned()))
    });
    cluster.fills(SHOP, FIRST);
    wait_for("it leads", || {
        let told = cluster.told(SHOP, FIRST)?;
        (told.role == Role::Primary).then_some(())
    })
    .await;
    assert!(instance(&operator, "cache")["status"]["recovery"].is_null());
    assert!(cluster.told(SHOP, "cache-1").is_none());
    operator.restart().await;
    operator.server.store.relent();
    recovered(&operator).await;
    ready(&operator, 3).await;
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [recover()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_is_over_whoever_waits_starts_without() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 97);
    put_all(&operator);
    operator.apply("cache", spec(3));
    recovered(&operator).await;
    ready(&operator, 3).await;
    // Its kubelet had an old copy of the ConfigMap.
    cluster.tell(SHOP, "cache-2", |told| {
        told.server = ServerState::Fenced;
        (told.role, told.link) = (Role::Unknown, None);
        told.recovery = Some(RecoveryNews::Waiting);
    });
    wait_for("it follows again", || {
        let told = cluster.told(SHOP, "cache-2")?;
        (told.recovery.is_none() && told.role == Role::Replica).then_some(())
    })
    .await;
    let orders = cluster.recoveries().orders(SHOP, "cache-2");
    assert_eq!(orders, ["StartWithout"]);
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [recover()]);
}

/// An instant, and as it is ordered.
const TIME: &str = "2027-01-15T08:00:00.5Z";
const AT_TIME: &str = "Recover(shop/old at Some(1800000000500))";

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_object_that_is_gone_is_enough_to_begin_with_an_instant_of_it() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 99);
    put_store(&operator);
    cluster.recoveries().is_slow(SHOP, FIRST);
    let source = json!({"storeRef": {"name": "s3"}, "name": "old"});
    operator.apply(
        "cache",
        json!({
            "version": "7.2", "replicas": 2,
            "bootstrap": {"recovery": {"source": source, "time": TIME}},
        }),
    );
    let told = operator
        .wait_reason("cache", "Ready", "RecoveringData")
        .await;
    let words = told["message"].as_str().unwrap();
    for part in ["RedisInstance shop/old", TIME, "s3"] {
        assert!(words.contains(part), "{words}");
    }
    wait_for("the data is fetched", || {
        let told = cluster.told(SHOP, FIRST)?;
        (told.recovery == Some(RecoveryNews::Running)).then_some(())
    })
    .await;
    cluster.fills(SHOP, FIRST);
    let status = recovered(&operator).await;
    assert_eq!(status["store"], "s3");
    assert_eq!(status["requested"], TIME);
    assert_eq!(status["reached"], "2026-01-01T00:00:00Z");
    ready(&operator, 2).await;
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [AT_TIME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_of_the_object_of_a_backup_is_refused_in_the_words_of_who_looked_for_it() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 101);
    put_all(&operator);
    let not_covered = Failure {
        reason: FailureReason::TimeNotCovered,
        message: "the nearest is 2027-01-15T07:59:00Z".to_owned(),
    };
    cluster.recoveries().fails(SHOP, FIRST, Some(not_covered));
    operator.apply(
        "cache",
        json!({
            "version": "7.2",
            "bootstrap": {"recovery": {"backupRef": {"name": "nightly"}, "time": TIME}},
        }),
    );
    let message = refused(&operator, "cache", "TimeNotCovered: ").await;
    assert_eq!(
        message,
        "TimeNotCovered: the nearest is 2027-01-15T07:59:00Z"
    );
    assert_eq!(cluster.recoveries().orders(SHOP, FIRST), [AT_TIME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_the_spec_of_a_live_object_names_later_does_nothing() {
    let operator = Operator::start().await;
    let cluster = start(&operator, 98);
    put_all(&operator);
    operator.apply("cache", json!({"version": "7.2", "replicas": 3}));
    operator
        .wait_reason("cache", "Progressing", "Settled")
        .await;
    let before = cluster.told(SHOP, FIRST).unwrap();
    operator.apply("cache", spec(3));
    operator
        .wait_object("redisinstances", "cache", |object| {
            object["status"]["observedGeneration"] == 2
        })
        .await;
    operator.wait_reason("cache", "Ready", "Serving").await;
    assert!(!waits_for_data(&operator));
    let now = cluster.told(SHOP, FIRST).unwrap();
    assert_eq!((now.role, now.recovery), (before.role, None));
    let set = operator.server.store.find("statefulsets", SHOP, "cache");
    assert_eq!(set.unwrap()["spec"]["replicas"], 3);
    assert!(instance(&operator, "cache")["status"]["recovery"].is_null());
    for pod in [FIRST, "cache-1", "cache-2"] {
        assert!(cluster.recoveries().orders(SHOP, pod).is_empty(), "{pod}");
    }
}
