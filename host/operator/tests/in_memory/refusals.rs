//! What the API server refuses of one child: everything else is applied, a condition tells of it, and it
//! heals within seconds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::api_server::{Answer, Operator, SHOP, wait_for};
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
    data.values()
        .any(|value| value.as_str().unwrap().contains(text))
}

fn limit(set: &Value) -> &Value {
    let containers = set["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    let server = containers
        .iter()
        .find(|container| container["name"] == "redis");
    &server.unwrap()["resources"]["limits"]["memory"]
}

/// An operator with an instance `cache` whose objects are there.
async fn with_instance() -> Operator {
    let operator = Operator::start().await;
    operator.apply("cache", first());
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
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
    let store = &operator.server.store;
    store.count(|asked| asked.writes() && asked.part == "status")
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
        .wait_object("configmaps", "cache-config", |map| {
            has_directive(map, "321")
        })
        .await;
    let set = operator
        .wait_object("statefulsets", "cache", |set| *limit(set) == "256Mi")
        .await;
    assert_eq!(set["spec"]["replicas"], 1, "the pod waits for its claim");
    let degraded = operator
        .wait_reason("cache", "Degraded", "ApplyFailed")
        .await;
    let words = degraded["message"].as_str().unwrap();
    assert!(
        words.starts_with("PersistentVolumeClaim data-cache-1: "),
        "{words}"
    );
    assert!(words.contains("exceeded quota: small"), "{words}");
    assert_eq!(degraded["status"], "True");
    operator
        .wait_reason("cache", "Progressing", "Blocked")
        .await;

    // While it lasts nothing is written anew, though the figures of the quota change.
    let before = status_writes(&operator);
    tokio::time::sleep(SECONDS).await;
    assert_eq!(status_writes(&operator), before);
    let told = store.all("events");
    let told: Vec<_> = told
        .iter()
        .filter(|event| {
            event["note"]
                .as_str()
                .is_some_and(|note| note.contains("quota"))
        })
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
        ("networkpolicies", "NetworkPolicy cache"),
        ("secrets", "Secret cache"),
        ("configmaps", "ConfigMap cache"),
        ("statefulsets", "StatefulSet cache"),
    ] {
        refuse_writes(&operator, plural);
        // Each is to be written anew.
        for (of, name) in [
            ("services", "cache"),
            ("networkpolicies", "cache"),
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
        let mut spec = changed();
        spec["config"]["maxclients"] = json!(format!("1{}", plural.len()));
        operator.apply("cache", spec);
        let message = wait_for(&format!("{plural} are told of"), || {
            let degraded = operator.condition("cache", "Degraded")?;
            let message = degraded["message"].as_str()?;
            message.contains(kind).then(|| message.to_owned())
        })
        .await;
        assert!(message.contains(&format!("no {plural}")), "{message}");
        for (of, name) in [
            ("services", "cache"),
            ("networkpolicies", "cache"),
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
    assert!(
        ready["message"].as_str().unwrap().contains("Secret cache"),
        "{ready}"
    );
    let store = &operator.server.store;
    assert!(store.find("services", SHOP, "cache").is_some());
    assert!(store.find("configmaps", SHOP, "cache-config").is_some());
    assert!(store.find("statefulsets", SHOP, "cache").is_none());
    store.relent();
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_does_not_answer_holds_back_nothing_else() {
    let operator = with_instance().await;
    operator.server.store.refuse(|asked, _| {
        let hangs = match asked.plural.as_str() {
            "persistentvolumeclaims" => asked.verb == "create",
            "services" => asked.writes(),
            _ => false,
        };
        hangs.then_some(Answer::Hang)
    });
    operator.apply("cache", changed());
    operator
        .wait_object("statefulsets", "cache", |set| *limit(set) == "256Mi")
        .await;
    let degraded = operator
        .wait_reason("cache", "Degraded", "ApplyFailed")
        .await;
    let words = degraded["message"].as_str().unwrap();
    assert!(
        words.contains("PersistentVolumeClaim data-cache-1: no answer"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_elses_is_left_alone_and_told() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": SHOP, "name": "cache"},
        "spec": {"type": "ClusterIP"},
    });
    let theirs = store.put("services", theirs);
    operator.apply("cache", first());
    let ready = operator.wait_reason("cache", "Ready", "NameTaken").await;
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .starts_with("Service cache is there"),
        "{ready}"
    );
    operator.wait_reason("cache", "Degraded", "NameTaken").await;
    assert!(store.find("configmaps", SHOP, "cache-config").is_some());
    assert!(store.find("statefulsets", SHOP, "cache").is_none());
    assert_eq!(store.find("services", SHOP, "cache"), Some(theirs));
    store.remove("services", SHOP, "cache");
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
}

/// The pod of the instance, as its StatefulSet would make it.
async fn put_pod(operator: &Operator, change: impl FnOnce(&mut Value)) {
    let set = operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    let mut pod = set["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!(SHOP);
    pod["metadata"]["name"] = json!("cache-0");
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
        "name": "cache", "uid": set["metadata"]["uid"],
    }]);
    change(&mut pod);
    operator.server.store.put("pods", pod);
}

/// Waits until the condition tells of an object, with another change of the spec in force.
async fn told_beside_a_change(operator: &Operator, object: &str) {
    operator.apply("cache", changed());
    operator
        .wait_object("statefulsets", "cache", |set| *limit(set) == "256Mi")
        .await;
    wait_for(&format!("{object} is told of"), || {
        let degraded = operator.condition("cache", "Degraded")?;
        let words = degraded["message"].as_str()?;
        (degraded["reason"] == "ApplyFailed" && words.contains(object)).then_some(())
    })
    .await;
    operator
        .wait_reason("cache", "Progressing", "Blocked")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_refused_hold_back_no_child() {
    let operator = with_instance().await;
    let object = operator
        .wait_object("redisinstances", "cache", |_| true)
        .await;
    refuse_writes(&operator, "endpointslices");
    operator.server.store.put(
        "endpointslices",
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": SHOP, "name": "cache-primary",
                "ownerReferences": [{
                    "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
                    "name": "cache", "uid": object["metadata"]["uid"],
                }],
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.9"]}],
        }),
    );
    told_beside_a_change(&operator, "EndpointSlice cache-primary: ").await;
    operator.server.store.relent();
    let led_nowhere = |slice: &Value| slice["endpoints"].as_array().is_none_or(Vec::is_empty);
    operator
        .wait_object("endpointslices", "cache-primary", led_nowhere)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_deletion_is_refused_holds_back_no_child() {
    let operator = with_instance().await;
    operator.server.store.refuse(|asked, _| {
        let deletes = asked.plural == "pods" && asked.verb == "delete";
        deletes.then(|| Answer::Refuse(500, "failed calling webhook \"guard\"".to_owned()))
    });
    put_pod(&operator, |pod| pod["status"] = json!({"phase": "Failed"})).await;
    told_beside_a_change(&operator, "Pod cache-0: failed calling webhook").await;
    operator.server.store.relent();
    wait_for("the pod is replaced", || {
        let pod = operator.server.store.find("pods", SHOP, "cache-0");
        pod.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_that_a_limit_range_gave_a_pod_bounds_the_server() {
    let operator = with_instance().await;
    put_pod(&operator, |pod| {
        for container in pod["spec"]["containers"].as_array_mut().unwrap() {
            container["resources"] = json!({"limits": {"memory": "1000M"}});
        }
    })
    .await;
    operator
        .wait_object("configmaps", "cache-config", |map| {
            has_directive(map, "700000000")
        })
        .await;
    let degraded = operator
        .wait_reason("cache", "Degraded", "MaxmemoryFromPods")
        .await;
    let words = degraded["message"].as_str().unwrap();
    assert!(words.contains("1000000000"), "{words}");
}
