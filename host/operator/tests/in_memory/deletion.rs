//! What is left of an instance that is deleted.

use super::api_server::{Answer, HOME, Operator, SHOP, wait_for};
use serde_json::{Value, json};

const CLAIMS: &str = "persistentvolumeclaims";
const OWNER: &str = "cache.hera.io/owner-uid";

/// An instance whose claim waits for a class that does not exist, and is marked as its own.
async fn waits_for_a_class(operator: &Operator) -> Value {
    let spec = json!({"version": "7.2", "persistence": {"storageClassName": "nowhere"}});
    operator.apply("cache", spec);
    operator.wait_object(CLAIMS, "data-cache-0", |_| true).await;
    let store = &operator.server.store;
    store.edit(CLAIMS, SHOP, "data-cache-0", |claim| {
        claim["status"] = json!({"phase": "Pending"});
    });
    operator
        .wait_reason("cache", "Ready", "StorageClassMissing")
        .await;
    operator
        .wait_object(CLAIMS, "data-cache-0", |claim| {
            claim["metadata"]["annotations"][OWNER].is_string()
        })
        .await
}

/// Puts a claim there like `like`, for another pod.
fn put_like(operator: &Operator, like: &Value, name: &str, change: impl FnOnce(&mut Value)) {
    let mut claim = like.clone();
    claim["metadata"]["name"] = json!(name);
    change(&mut claim);
    operator.server.store.put(CLAIMS, claim);
}

async fn gone(operator: &Operator, name: &str) {
    let store = &operator.server.store;
    wait_for(&format!("{name} is gone"), || {
        store.find(CLAIMS, SHOP, name).is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_never_had_a_volume_goes_with_its_instance_and_no_other_does() {
    let operator = Operator::start().await;
    let like = waits_for_a_class(&operator).await;
    put_like(&operator, &like, "data-cache-1", |claim| {
        claim["spec"]["volumeName"] = json!("pv-1");
        claim["status"]["phase"] = json!("Bound");
    });
    put_like(&operator, &like, "data-cache-2", |claim| {
        claim["spec"]["dataSource"] = json!({"kind": "VolumeSnapshot", "name": "of-yesterday"});
    });
    put_like(&operator, &like, "data-cache-3", |claim| {
        claim["status"]["phase"] = json!("Lost");
    });
    let store = &operator.server.store;
    store.remove("redisinstances", SHOP, "cache");
    gone(&operator, "data-cache-0").await;
    let left: Vec<_> = store.all(CLAIMS);
    let left: Vec<_> = left
        .iter()
        .map(|claim| &claim["metadata"]["name"])
        .collect();
    assert_eq!(left, ["data-cache-1", "data-cache-2", "data-cache-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_made_anew_with_another_class_gets_it() {
    let operator = Operator::start().await;
    waits_for_a_class(&operator).await;
    operator
        .server
        .store
        .remove("redisinstances", SHOP, "cache");
    gone(&operator, "data-cache-0").await;
    let spec = json!({"version": "7.2", "persistence": {"storageClassName": "there"}});
    operator.apply("cache", spec);
    operator
        .wait_object(CLAIMS, "data-cache-0", |claim| {
            claim["spec"]["storageClassName"] == "there"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_bound_just_then_stays() {
    let operator = Operator::start().await;
    waits_for_a_class(&operator).await;
    let store = &operator.server.store;
    store.refuse(|asked, _| {
        let deletes = asked.verb == "delete" && asked.plural == CLAIMS;
        deletes.then(|| {
            Answer::After(Box::new(|store| {
                store.edit(CLAIMS, SHOP, "data-cache-0", |claim| {
                    claim["spec"]["volumeName"] = json!("pv-0");
                    claim["status"]["phase"] = json!("Bound");
                });
            }))
        })
    });
    store.remove("redisinstances", SHOP, "cache");
    wait_for("it was tried", || {
        let asked = store.asked();
        let mut asked = asked.iter();
        asked
            .any(|asked| asked.verb == "delete" && asked.plural == CLAIMS)
            .then_some(())
    })
    .await;
    // What follows is an ordinary pass: the claim is looked at again, and not deleted.
    let other = json!({"version": "7.2", "persistence": {"enabled": false}});
    operator.apply("other", other);
    operator
        .wait_object("statefulsets", "other", |_| true)
        .await;
    assert!(store.find(CLAIMS, SHOP, "data-cache-0").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_on_purpose_stays() {
    let operator = Operator::start().await;
    waits_for_a_class(&operator).await;
    let store = &operator.server.store;
    // kubectl delete --cascade=orphan
    store.edit("statefulsets", SHOP, "cache", |set| {
        set["metadata"]["ownerReferences"] = json!([]);
    });
    store.remove("redisinstances", SHOP, "cache");
    let other = json!({"version": "7.2", "persistence": {"enabled": false}});
    operator.apply("other", other);
    operator
        .wait_object("statefulsets", "other", |_| true)
        .await;
    assert!(store.find(CLAIMS, SHOP, "data-cache-0").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_while_no_operator_led_is_seen_to_by_the_next() {
    let operator = Operator::start().await;
    operator.server.store.put(
        CLAIMS,
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "namespace": SHOP, "name": "data-cache-0", "annotations": {OWNER: "of-old"},
                "labels": {
                    "app.kubernetes.io/managed-by": "hera-operator",
                    "app.kubernetes.io/name": "redis-instance",
                    "app.kubernetes.io/instance": "cache",
                },
            },
            "spec": {"storageClassName": "nowhere"}, "status": {"phase": "Pending"},
        }),
    );
    // Somebody else leads, and ends.
    operator
        .server
        .store
        .edit("leases", HOME, "hera-operator", |lease| {
            lease["spec"]["holderIdentity"] = json!("another");
            lease["spec"]["leaseDurationSeconds"] = json!(6);
        });
    gone(&operator, "data-cache-0").await;
}

/// An instance whose claim goes with it. The operator has made that, and may not write to it since.
async fn made_and_not_written_to(operator: &Operator) {
    operator.server.store.refuse(|asked, _| {
        let writes = asked.verb == "patch" && asked.plural == CLAIMS;
        writes.then(|| Answer::Refuse(403, "not now".to_owned()))
    });
    let spec = json!({"version": "7.2", "persistence": {"reclaimPolicy": "Delete"}});
    operator.apply("cache", spec);
    let made = operator.wait_object(CLAIMS, "data-cache-0", |_| true).await;
    let uid = &made["metadata"]["ownerReferences"][0]["uid"];
    assert!(uid.is_string(), "{made}");
    assert_eq!(&made["metadata"]["annotations"][OWNER], uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_with_its_instance_though_nobody_came_to_write_to_it() {
    let operator = Operator::start().await;
    made_and_not_written_to(&operator).await;
    let store = &operator.server.store;
    store.edit(CLAIMS, SHOP, "data-cache-0", |claim| {
        claim["spec"]["volumeName"] = json!("pv-0");
        claim["status"] = json!({"phase": "Bound"});
    });
    store.remove("redisinstances", SHOP, "cache");
    gone(&operator, "data-cache-0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_made_to_go_with_its_instance_stays_once_it_is_to_stay() {
    let operator = Operator::start().await;
    made_and_not_written_to(&operator).await;
    let spec = json!({"version": "7.2", "persistence": {"reclaimPolicy": "Retain"}});
    operator.apply("cache", spec);
    operator.server.store.relent();
    operator
        .wait_object(CLAIMS, "data-cache-0", |claim| {
            let owners = claim["metadata"]["ownerReferences"].as_array();
            owners.is_none_or(Vec::is_empty)
        })
        .await;
}
