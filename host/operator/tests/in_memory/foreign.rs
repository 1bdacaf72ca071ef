//! What is somebody else's and has the name of a child: it is told, and neither written to, nor read as the
//! object's own, nor deleted. What depends on it waits.

use std::sync::atomic::{AtomicBool, Ordering};

use super::api_server::{Answer, Operator, SHOP};
use super::cluster::Cluster;
use serde_json::{Value, json};

const CLAIMS: &str = "persistentvolumeclaims";
const ADOPT: &str = "cache.hera.io/adopt";

/// As somebody makes one by hand.
fn their_claim(name: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": SHOP, "name": name, "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeName": "pv-of-theirs",
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
    })
}

fn put_claim(operator: &Operator, name: &str, annotations: Value) -> Value {
    let store = &operator.server.store;
    store.put(CLAIMS, their_claim(name, annotations))
}

/// From now on somebody makes a claim of this name just when the operator is about to make one, or a StatefulSet: it
/// has looked by then, and found none.
fn make_claim_first(operator: &Operator, name: &'static str) {
    let was_made = AtomicBool::new(false);
    operator.server.store.refuse(move |asked, _| {
        let of_claims = asked.plural == CLAIMS && asked.verb == "create";
        let of_sets = asked.plural == "statefulsets" && asked.writes();
        let is_first = (of_claims || of_sets) && !was_made.swap(true, Ordering::Relaxed);
        is_first.then(|| {
            Answer::After(Box::new(move |store| {
                store.put(CLAIMS, their_claim(name, json!({})));
            }))
        })
    });
}

/// A pod that has finished, with the name and the labels of the instance's, and another controller.
fn their_pod(set_uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": SHOP, "name": "cache-0",
            "labels": {
                "app.kubernetes.io/managed-by": "hera-operator",
                "app.kubernetes.io/name": "redis-instance",
                "app.kubernetes.io/instance": "cache",
                "app.kubernetes.io/component": "data",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
                "name": "theirs", "uid": set_uid,
            }],
        },
        "spec": {"containers": [{"name": "redis", "image": "theirs"}]},
        "status": {"phase": "Failed"},
    })
}

fn deletes() -> Value {
    json!({"version": "7.2", "persistence": {"size": "2Gi", "reclaimPolicy": "Delete"}})
}

/// Takes the instance away, and waits until the operator has done something else since.
async fn delete(operator: &Operator) {
    let store = &operator.server.store;
    store.remove("redisinstances", SHOP, "cache");
    let other = json!({"version": "7.2", "persistence": {"enabled": false}});
    operator.apply("other", other);
    operator
        .wait_object("statefulsets", "other", |_| true)
        .await;
}

/// Waits until `Ready` says that something is in the way.
async fn is_told(operator: &Operator, begin: &str) {
    let ready = operator.wait_reason("cache", "Ready", "NameTaken").await;
    let words = ready["message"].as_str().unwrap();
    assert!(words.starts_with(begin), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_somebody_elses_is_not_mounted_and_outlives_the_object_as_it_was() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = put_claim(&operator, "data-cache-0", json!({}));
    operator.apply("cache", deletes());
    is_told(
        &operator,
        "PersistentVolumeClaim data-cache-0 is there already",
    )
    .await;
    let set = store.find("statefulsets", SHOP, "cache").unwrap();
    assert_eq!(set["spec"]["replicas"], 0, "its pod would mount it");
    assert!(store.find("configmaps", SHOP, "cache-config").is_some());
    delete(&operator).await;
    assert_eq!(store.find(CLAIMS, SHOP, "data-cache-0"), Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_somebody_takes_before_a_new_pod_holds_back_that_pod_alone() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let _cluster = Cluster::start(store.clone(), 31);
    operator.apply("cache", json!({"version": "7.2"}));
    operator.wait_reason("cache", "Ready", "Serving").await;
    let theirs = put_claim(&operator, "data-cache-1", json!({}));
    operator.apply("cache", json!({"version": "7.2", "replicas": 2}));
    let degraded = operator.wait_reason("cache", "Degraded", "NameTaken").await;
    let words = degraded["message"].as_str().unwrap();
    assert!(words.contains("data-cache-1"), "{words}");
    let set = store.find("statefulsets", SHOP, "cache").unwrap();
    assert_eq!(set["spec"]["replicas"], 1);
    operator.wait_reason("cache", "Ready", "Serving").await;
    assert_eq!(store.find(CLAIMS, SHOP, "data-cache-1"), Some(theirs));
    assert!(store.find("pods", SHOP, "cache-0").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_just_before_the_first_pod_is_neither_mounted_nor_owned_nor_deleted() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let cluster = Cluster::start(store.clone(), 34);
    make_claim_first(&operator, "data-cache-0");
    operator.apply("cache", deletes());
    is_told(
        &operator,
        "PersistentVolumeClaim data-cache-0 is there already",
    )
    .await;
    let set = operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    assert_eq!(set["spec"]["replicas"], 0, "its pod would mount it");
    assert!(cluster.told(SHOP, "cache-0").is_none());
    let theirs = store.find(CLAIMS, SHOP, "data-cache-0").unwrap();
    assert_eq!(theirs["spec"]["volumeName"], "pv-of-theirs", "not mounted");
    delete(&operator).await;
    assert_eq!(store.find(CLAIMS, SHOP, "data-cache-0"), Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_a_shard_holds_back_the_pods_of_that_shard_alone() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = put_claim(&operator, "data-cache-shard-1-0", json!({}));
    let mut spec = deletes();
    spec["masters"] = json!(3);
    spec["replicasPerMaster"] = json!(1);
    operator.apply_cluster("cache", spec);
    let ready = operator.wait_reason_of_cluster("cache", "Ready", "NameTaken");
    let ready = ready.await;
    let words = ready["message"].as_str().unwrap();
    assert!(words.contains("data-cache-shard-1-0"), "{words}");
    for (shard, replicas) in [(0, 2), (1, 0), (2, 2)] {
        let name = format!("cache-shard-{shard}");
        let set = store.find("statefulsets", SHOP, &name).unwrap();
        assert_eq!(set["spec"]["replicas"], replicas, "{name}");
    }
    let now = store.find(CLAIMS, SHOP, "data-cache-shard-1-0");
    assert_eq!(now, Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_lent_is_used_as_it_is_and_never_owned_grown_or_deleted() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let _cluster = Cluster::start(store.clone(), 32);
    let lent = put_claim(&operator, "data-cache-0", json!({ADOPT: "cache"}));
    operator.apply("cache", deletes());
    operator.wait_reason("cache", "Ready", "Serving").await;
    operator
        .wait_reason("cache", "Progressing", "Settled")
        .await;
    let used = store.find(CLAIMS, SHOP, "data-cache-0").unwrap();
    assert_eq!(used["spec"]["volumeName"], "pv-of-data-cache-0", "mounted");
    let lineage = &used["metadata"]["annotations"]["cache.hera.io/lineage"];
    assert!(lineage.is_string(), "whose data it holds is on it: {used}");
    let metadata = &used["metadata"];
    assert!(metadata["ownerReferences"].is_null(), "{used}");
    assert!(metadata["labels"].is_null(), "{used}");
    assert_eq!(used["spec"]["resources"], lent["spec"]["resources"]);
    delete(&operator).await;
    let left = store.find(CLAIMS, SHOP, "data-cache-0").unwrap();
    assert_eq!(left["metadata"]["uid"], lent["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_lent_later_is_owned_no_more() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    operator.apply("cache", deletes());
    let owned = |claim: &Value| claim["metadata"]["ownerReferences"][0]["uid"].is_string();
    operator.wait_object(CLAIMS, "data-cache-0", owned).await;
    store.edit(CLAIMS, SHOP, "data-cache-0", |claim| {
        claim["metadata"]["annotations"][ADOPT] = json!("cache");
    });
    operator
        .wait_object(CLAIMS, "data-cache-0", |claim| !owned(claim))
        .await;
    delete(&operator).await;
    assert!(store.find(CLAIMS, SHOP, "data-cache-0").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_that_an_object_left_behind_is_that_of_the_next_one() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    operator.apply("cache", json!({"version": "7.2"}));
    operator.wait_object(CLAIMS, "data-cache-0", |_| true).await;
    store.edit(CLAIMS, SHOP, "data-cache-0", |claim| {
        claim["spec"]["volumeName"] = json!("pv-0");
        claim["status"] = json!({"phase": "Bound"});
    });
    let left = store.find(CLAIMS, SHOP, "data-cache-0").unwrap();
    delete(&operator).await;
    operator.apply("cache", deletes());
    let object = operator
        .wait_object("redisinstances", "cache", |_| true)
        .await;
    let uid = &object["metadata"]["uid"];
    let taken_over = operator
        .wait_object(CLAIMS, "data-cache-0", |claim| {
            claim["metadata"]["ownerReferences"][0]["uid"] == *uid
        })
        .await;
    assert_eq!(taken_over["metadata"]["uid"], left["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_somebody_elses_is_not_deleted() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = store.put("pods", their_pod("theirs"));
    operator.apply("cache", json!({"version": "7.2"}));
    is_told(&operator, "Pod cache-0 is there already").await;
    assert_eq!(store.find("pods", SHOP, "cache-0"), Some(theirs));
    assert_eq!(pod_deletions(&operator), 0);
}

fn pod_deletions(operator: &Operator) -> usize {
    let store = &operator.server.store;
    store.count(|asked| asked.verb == "delete" && asked.plural == "pods")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_takes_the_place_of_one_that_is_just_deleted_is_not_deleted() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    operator.apply("cache", json!({"version": "7.2"}));
    let set = operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    let was_asked = AtomicBool::new(false);
    store.refuse(move |asked, _| {
        let deletes = asked.verb == "delete" && asked.plural == "pods";
        (deletes && !was_asked.swap(true, Ordering::Relaxed)).then(|| {
            Answer::After(Box::new(|store| {
                store.remove("pods", SHOP, "cache-0");
                store.put("pods", their_pod("theirs"));
            }))
        })
    });
    store.put("pods", their_pod(set["metadata"]["uid"].as_str().unwrap()));
    is_told(&operator, "Pod cache-0 is there already").await;
    assert!(pod_deletions(&operator) > 0);
    let pod = store.find("pods", SHOP, "cache-0").unwrap();
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_a_stateful_set_of_somebody_elses() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let labels = json!({"app": "theirs"});
    let theirs = store.put(
        "statefulsets",
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"namespace": SHOP, "name": "cache", "annotations": {"of": "theirs"}},
            "spec": {
                "replicas": 1, "serviceName": "theirs", "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "redis", "image": "theirs"}]},
                },
            },
        }),
    );
    // Beside a pod of an instance the lists of its pods are written on its StatefulSet.
    let mut pod = their_pod(theirs["metadata"]["uid"].as_str().unwrap());
    pod["status"] = json!({"phase": "Running"});
    store.put("pods", pod);
    operator.apply("cache", json!({"version": "7.2"}));
    is_told(&operator, "StatefulSet cache is there already").await;
    assert_eq!(store.find("statefulsets", SHOP, "cache"), Some(theirs));
    let writes = store.count(|asked| asked.writes() && asked.plural == "statefulsets");
    assert_eq!(writes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_somebody_elses_are_told_and_hold_back_no_child() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let _cluster = Cluster::start(store.clone(), 33);
    let theirs = store.put(
        "endpointslices",
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"namespace": SHOP, "name": "cache-primary"},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.9"]}],
        }),
    );
    operator.apply("cache", json!({"version": "7.2"}));
    let degraded = operator.wait_reason("cache", "Degraded", "NameTaken").await;
    let words = degraded["message"].as_str().unwrap();
    assert!(words.starts_with("EndpointSlice cache-primary"), "{words}");
    let changed = json!({"version": "7.2", "config": {"maxclients": "321"}});
    operator.apply("cache", changed);
    let in_force = |map: &Value| map["data"].to_string().contains("321");
    operator
        .wait_object("configmaps", "cache-config", in_force)
        .await;
    let now = store.find("endpointslices", SHOP, "cache-primary");
    assert_eq!(now, Some(theirs));
}
