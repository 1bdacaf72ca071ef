//! What the API server refuses of one child: everything else is applied, a condition tells of it, and it
//! heals within seconds. The operator's program against an API server in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::indexing_slicing, reason = "tests")]

mod api_server;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use api_server::{Answer, Operator, Request, SHOP, wait_for};
use serde_json::{Value, json};

/// A little more than between two attempts.
const SECONDS: Duration = Duration::from_secs(8);

fn first() -> Value {
    json!({"version": "7.2"})
}

/// Another configuration, another pod and one pod more.
fn changed() -> Value {
    json!({
        "version": "7.2", "replicas": 2, "config": {"maxclients": "321"},
        "resources": {"limits": {"memory": "256Mi"}},
    })
}

fn has_directive(map: &Value, text: &str) -> bool {
    let data = map["data"].as_object().unwrap();
    data.values().any(|value| value.as_str().unwrap().contains(text))
}

fn limit(set: &Value) -> &Value {
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let server = containers.iter().find(|container| container["name"] == "redis");
    &server.unwrap()["resources"]["limits"]["memory"]
}

/// An operator with an instance `cache` whose objects are there.
async fn with_instance() -> Operator {
    let operator = Operator::start().await;
    operator.apply("cache", first());
    operator.wait_object("statefulsets", "cache", |_| true).await;
    operator
        .wait_object("persistentvolumeclaims", "data-cache-0", |_| true)
        .await;
    operator
}

fn refuse_writes(operator: &Operator, plural: &'static str) {
    operator.server.store.refuse(move |asked, _| {
        let refused = asked.writes() && asked.plural == plural && asked.namespace == SHOP;
        let words = format!("admission webhook \"no.example\" denied the request: no {plural}");
        refused.then(|| Answer::Refuse(403, words))
    });
}

fn status_writes(operator: &Operator) -> usize {
    let is_status = |asked: &&Request| asked.writes() && asked.part == "status";
    operator.server.store.asked().iter().filter(is_status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claims_quota_holds_back_the_claim_and_its_pod_alone_and_heals() {
    let operator = with_instance().await;
    let store = &operator.server.store;
    let used = AtomicU32::new(0);
    store.refuse(move |asked, _| {
        let used = match asked.plural == "persistentvolumeclaims" && asked.verb == "create" {
            true => used.fetch_add(1, Ordering::Relaxed),
            false => return None,
        };
        let words = format!(
            "persistentvolumeclaims \"{}\" is forbidden: exceeded quota: small, requested: \
             persistentvolumeclaims=1, used: persistentvolumeclaims={used}, limited: persistentvolumeclaims=1",
            asked.name
        );
        Some(Answer::Refuse(403, words))
    });
    operator.apply("cache", changed());

    operator
        .wait_object("configmaps", "cache-config", |map| has_directive(map, "321"))
        .await;
    let set = operator
        .wait_object("statefulsets", "cache", |set| *limit(set) == "256Mi")
        .await;
    assert_eq!(set["spec"]["replicas"], 1, "the pod waits for its claim");
    let degraded = operator.wait_reason("cache", "Degraded", "ApplyFailed").await;
    let words = degraded["message"].as_str().unwrap();
    assert!(words.starts_with("PersistentVolumeClaim data-cache-1: "), "{words}");
    assert!(words.contains("exceeded quota: small"), "{words}");
    assert_eq!(degraded["status"], "True");
    operator.wait_reason("cache", "Progressing", "Blocked").await;

    // While it lasts nothing is written anew, though the figures of the quota change.
    let before = status_writes(&operator);
    tokio::time::sleep(SECONDS).await;
    assert_eq!(status_writes(&operator), before);
    let told = store.all("events");
    let told: Vec<_> = told
        .iter()
        .filter(|event| event["note"].as_str().is_some_and(|note| note.contains("quota")))
        .collect();
    let of_degraded = told.iter().filter(|event| event["reason"] == "ApplyFailed");
    assert_eq!(of_degraded.count(), 1, "{told:?}");

    store.relent();
    let since = Instant::now();
    operator
        .wait_object("persistentvolumeclaims", "data-cache-1", |_| true)
        .await;
    operator
        .wait_object("statefulsets", "cache", |set| set["spec"]["replicas"] == 2)
        .await;
    wait_for("nothing is refused any more", || {
        let degraded = operator.condition("cache", "Degraded")?;
        (degraded["reason"] != "ApplyFailed").then_some(())
    })
    .await;
    assert!(since.elapsed() < SECONDS, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_child_is_refused_the_others_are_applied() {
    let operator = with_instance().await;
    let store = &operator.server.store;
    for (plural, kind) in [
        ("services", "Service cache"),
        ("poddisruptionbudgets", "PodDisruptionBudget cache"),
        ("secrets", "Secret cache"),
        ("configmaps", "ConfigMap cache"),
        ("statefulsets", "StatefulSet cache"),
    ] {
        // Each is to be written anew.
        for (of, name) in [
            ("services", "cache"),
            ("secrets", "cache-acl"),
            ("configmaps", "cache-config"),
            ("statefulsets", "cache"),
        ] {
            store.edit(of, SHOP, name, |object| {
                object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("somebody");
            });
        }
        if store.find("poddisruptionbudgets", SHOP, "cache").is_some() {
            store.remove("poddisruptionbudgets", SHOP, "cache");
        }
        refuse_writes(&operator, plural);
        let mut spec = changed();
        spec["config"]["maxclients"] = json!(format!("1{}", plural.len()));
        operator.apply("cache", spec);
        let degraded = wait_for(&format!("{plural} are told of"), || {
            let degraded = operator.condition("cache", "Degraded")?;
            let message = degraded["message"].as_str()?;
            message.contains(kind).then(|| message.to_owned())
        });
        let message = degraded.await;
        assert!(message.contains(&format!("no {plural}")), "{message}");
        for (of, name) in [
            ("services", "cache"),
            ("secrets", "cache-acl"),
            ("configmaps", "cache-config"),
            ("statefulsets", "cache"),
        ] {
            if of == plural {
                continue;
            }
            let ours = |object: &Value| {
                object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hera-operator"
            };
            operator.wait_object(of, name, ours).await;
        }
        store.relent();
        wait_for(&format!("{plural} heal"), || {
            let degraded = operator.condition("cache", "Degraded")?;
            (degraded["reason"] != "ApplyFailed").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_is_made_before_what_it_mounts() {
    let operator = Operator::start().await;
    refuse_writes(&operator, "secrets");
    operator.apply("cache", first());
    let ready = operator.wait_reason("cache", "Ready", "ApplyFailed").await;
    assert!(ready["message"].as_str().unwrap().contains("Secret cache"), "{ready}");
    let store = &operator.server.store;
    assert!(store.find("services", SHOP, "cache").is_some());
    assert!(store.find("configmaps", SHOP, "cache-config").is_some());
    assert!(store.find("statefulsets", SHOP, "cache").is_none());
    store.relent();
    operator.wait_object("statefulsets", "cache", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_does_not_answer_holds_back_nothing_else() {
    let operator = with_instance().await;
    operator.server.store.refuse(|asked, _| {
        let hangs = asked.writes()
            && matches!(asked.plural.as_str(), "persistentvolumeclaims" | "services");
        hangs.then_some(Answer::Hang)
    });
    operator.apply("cache", changed());
    operator
        .wait_object("statefulsets", "cache", |set| *limit(set) == "256Mi")
        .await;
    let degraded = operator.wait_reason("cache", "Degraded", "ApplyFailed").await;
    let words = degraded["message"].as_str().unwrap();
    assert!(words.contains("PersistentVolumeClaim data-cache-1: no answer"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_that_a_limit_range_gave_a_pod_bounds_the_server() {
    let operator = with_instance().await;
    let set = operator.wait_object("statefulsets", "cache", |_| true).await;
    let mut pod = set["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!(SHOP);
    pod["metadata"]["name"] = json!("cache-0");
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        container["resources"] = json!({"limits": {"memory": "1000M"}});
    }
    operator.server.store.put("pods", pod);
    operator
        .wait_object("configmaps", "cache-config", |map| has_directive(map, "700000000"))
        .await;
    let degraded = operator
        .wait_reason("cache", "Degraded", "MaxmemoryFromPods")
        .await;
    assert!(degraded["message"].as_str().unwrap().contains("1000000000"), "{degraded}");
}
