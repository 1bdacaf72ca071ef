//! What goes on while the changes of an object wait, or are refused.

use super::api_server::{Operator, SHOP};
use super::cluster::Cluster;
use serde_json::{Value, json};

const INSTANCES: (&str, &str) = ("redisinstances", "cache");
const CLUSTERS: (&str, &str) = ("redisclusters", "carts");

/// Has the agents' certificate be gone, or unreadable, or whatever `harm` does to its Secret, and awaits another.
async fn is_renewed(operator: &Operator, object: (&str, &str), harm: impl Fn(&str)) {
    let (plural, name) = object;
    let secret = format!("{name}-agent-tls");
    let store = &operator.server.store;
    let before = store.find("secrets", SHOP, &secret).unwrap();
    harm(&secret);
    store.edit(plural, SHOP, name, |object| {
        object["metadata"]["annotations"]["cache.hera.io/ask-policies"] =
            before["metadata"]["resourceVersion"].clone();
    });
    let is_new = |secret: &Value| {
        let text = secret["data"]["tls.crt"].as_str();
        text.is_some_and(|text| text.len() > 100) && secret["data"] != before["data"]
    };
    operator.wait_object("secrets", &secret, is_new).await;
}

/// Whatever else the spec asks for waits.
fn assert_waits(operator: &Operator, name: &str) {
    let policy = operator.server.store.find("networkpolicies", SHOP, name);
    assert!(policy.is_some(), "the spec is carried out");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_its_agents_is_renewed() {
    let operator = Operator::start().await;
    let store = operator.server.store.clone();
    let _cluster = Cluster::start(store.clone(), 81);
    operator.apply("cache", json!({"version": "7.2"}));
    operator.wait_reason("cache", "Ready", "Serving").await;
    let settled = operator.wait_reason("cache", "Progressing", "Settled");
    settled.await;
    let spec = json!({"version": "7.2", "paused": true, "networkPolicy": "Disabled"});
    operator.apply("cache", spec);
    operator.wait_reason("cache", "Progressing", "Paused").await;
    let expire = |secret: &str| {
        store.edit("secrets", SHOP, secret, |object| {
            object["data"]["tls.crt"] = json!("AAAA");
        });
    };
    is_renewed(&operator, INSTANCES, expire).await;
    let remove = |secret: &str| store.remove("secrets", SHOP, secret);
    is_renewed(&operator, INSTANCES, remove).await;
    assert_waits(&operator, "cache");
    let wrong = json!({"version": "7.2", "networkPolicy": "Disabled", "config": {"port": "1"}});
    operator.apply("cache", wrong);
    let refused = operator.wait_reason("cache", "Degraded", "SpecInvalid");
    refused.await;
    is_renewed(&operator, INSTANCES, expire).await;
    assert_waits(&operator, "cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_of_a_cluster_is_renewed_as_well() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    operator.apply_cluster("carts", json!({"version": "7.2"}));
    let set = operator.wait_object("statefulsets", "carts-shard-2", |_| true);
    set.await;
    let spec = json!({"version": "7.2", "paused": true, "networkPolicy": "Disabled"});
    operator.apply_cluster("carts", spec);
    let paused = operator.wait_reason_of_cluster("carts", "Progressing", "Paused");
    paused.await;
    let remove = |secret: &str| store.remove("secrets", SHOP, secret);
    is_renewed(&operator, CLUSTERS, remove).await;
    assert_waits(&operator, "carts");
    let wrong = json!({"version": "7.2", "networkPolicy": "Disabled", "masters": 2});
    operator.apply_cluster("carts", wrong);
    let refused = operator.wait_reason_of_cluster("carts", "Degraded", "SpecInvalid");
    refused.await;
    is_renewed(&operator, CLUSTERS, remove).await;
    assert_waits(&operator, "carts");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_was_paused_before_anything_was_made_there_is_nothing() {
    let operator = Operator::start().await;
    operator.apply("cache", json!({"version": "7.2", "paused": true}));
    operator.wait_reason("cache", "Ready", "Paused").await;
    let store = &operator.server.store;
    assert!(store.find("secrets", SHOP, "cache-agent-tls").is_none());
}
