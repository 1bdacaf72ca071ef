//! Which image an instance runs.

use super::api_server::{HOME, Operator, SHOP, wait_for};
use serde_json::{Value, json};

const DIGEST: &str = "registry.example/redis@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn override_with(operator: &Operator, name: &str, images: Value) {
    operator.server.store.put(
        "configmaps",
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "namespace": HOME, "name": name,
                "labels": {"cache.hera.io/image-catalog": "overrides"},
            },
            "data": images,
        }),
    );
}

fn image(set: &Value) -> &Value {
    let containers = set["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    let server = containers
        .iter()
        .find(|container| container["name"] == "redis");
    &server.unwrap()["image"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_wins_over_the_catalog_and_its_digest_is_shown() {
    let operator = Operator::start().await;
    override_with(&operator, "ours", json!({"redis-7.2": DIGEST}));
    operator.apply("cache", json!({"version": "7.2"}));
    let set = operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    assert_eq!(image(&set), DIGEST);
    let shown = |object: &Value| object["status"]["image"] == DIGEST;
    operator.wait_object("redisinstances", "cache", shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_overrides_of_a_version_neither_is_taken_until_one_is_gone() {
    let operator = Operator::start().await;
    override_with(&operator, "one", json!({"redis-7.2": "one"}));
    override_with(
        &operator,
        "two",
        json!({"redis-7.2": "two", "redis-7.4": "new"}),
    );
    operator.apply("cache", json!({"version": "7.2"}));
    let ready = operator
        .wait_reason("cache", "Ready", "ImageDisputed")
        .await;
    let words = ready["message"].as_str().unwrap();
    assert!(words.contains("one and two"), "{words}");
    let store = &operator.server.store;
    assert!(store.find("statefulsets", SHOP, "cache").is_none());

    // One that asks for another version is not concerned.
    operator.apply("other", json!({"version": "7.4"}));
    let set = operator
        .wait_object("statefulsets", "other", |_| true)
        .await;
    assert_eq!(image(&set), "new");
    // And keeps its image when it asks for the disputed one.
    operator.apply("other", json!({"version": "7.2"}));
    operator
        .wait_reason("other", "Degraded", "ImageDisputed")
        .await;
    let set = store.find("statefulsets", SHOP, "other").unwrap();
    assert_eq!(image(&set), "new");

    store.remove("configmaps", HOME, "two");
    let set = operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    assert_eq!(image(&set), "one");
    wait_for("nothing is disputed", || {
        let degraded = operator.condition("other", "Degraded")?;
        (degraded["reason"] != "ImageDisputed").then_some(())
    })
    .await;
}
