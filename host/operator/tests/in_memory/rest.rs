//! What waits for somebody causes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::api_server::{Operator, SHOP, wait_for};
use super::cluster::Cluster;
use super::rebalancing::{Shop, spec};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// Longer than an object that is not at rest is left alone.
const LONG: Duration = Duration::from_secs(17);

/// Requests about the namespace of instances, but for watches.
fn asked(operator: &Operator) -> Vec<String> {
    let asked = operator.server.store.asked().into_iter();
    let about = asked.filter(|asked| asked.namespace == SHOP && asked.verb != "watch");
    about
        .map(|asked| format!("{} {} {}", asked.verb, asked.plural, asked.name))
        .collect()
}

/// Waits until nothing was asked for two seconds.
async fn quiet(operator: &Operator) {
    let mut seen = (asked(operator).len(), Instant::now());
    wait_for("nothing is asked any more", || {
        let now = asked(operator).len();
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        (seen.1.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
}

fn put(operator: &Operator, name: &str, annotations: Value, spec: Value) {
    operator.server.store.put(
        "redisinstances",
        json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
            "metadata": {"namespace": SHOP, "name": name, "annotations": annotations},
            "spec": spec,
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hibernates_or_has_a_spec_that_cannot_be_is_left_alone() {
    let operator = Operator::start().await;
    let asleep = json!({"cache.hera.io/hibernate": "true"});
    put(&operator, "asleep", asleep, json!({"version": "7.2"}));
    let wrong = json!({"version": "7.2", "config": {"port": "1"}});
    put(&operator, "wrong", json!({}), wrong);
    operator.wait_reason("asleep", "Ready", "Hibernated").await;
    operator.wait_reason("wrong", "Ready", "SpecInvalid").await;
    let object = operator
        .wait_object("redisinstances", "asleep", |_| true)
        .await;
    assert_eq!(object["status"]["phase"], "Hibernated");
    quiet(&operator).await;
    let before = asked(&operator).len();
    tokio::time::sleep(LONG).await;
    assert_eq!(asked(&operator).split_off(before), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_and_has_what_it_asked_for_is_left_alone() {
    let operator = Operator::start().await;
    let _cluster = Cluster::start(Arc::clone(&operator.server.store), 41);
    for (name, replicas) in [("alone", 1), ("three", 3)] {
        operator.apply(name, json!({"version": "7.2", "replicas": replicas}));
        operator.wait_reason(name, "Ready", "Serving").await;
        operator.wait_reason(name, "Progressing", "Settled").await;
    }
    quiet(&operator).await;
    let before = asked(&operator).len();
    tokio::time::sleep(LONG).await;
    assert_eq!(asked(&operator).split_off(before), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_slots_have_moved_is_left_alone() {
    let shop = Shop::of(69, spec(3)).await;
    shop.set("masters", json!(4));
    shop.settles().await;
    quiet(&shop.operator).await;
    let before = asked(&shop.operator).len();
    tokio::time::sleep(LONG).await;
    assert_eq!(
        asked(&shop.operator).split_off(before),
        Vec::<String>::new()
    );
}

fn put_password(operator: &Operator, pairs: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> = pairs
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(ByteString((*text).into()))))
        .collect();
    operator.server.store.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": SHOP, "name": "mine"}, "data": data,
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_paused_waits_for_no_next_password() {
    let operator = Operator::start().await;
    let _cluster = Cluster::start(Arc::clone(&operator.server.store), 47);
    put_password(&operator, &[("password", "one")]);
    let mut spec = json!({
        "version": "7.2",
        "auth": {"passwordSecretRef": {"name": "mine", "nextKey": "next"}},
    });
    operator.apply("cache", spec.clone());
    operator.wait_reason("cache", "Ready", "Serving").await;
    operator
        .wait_reason("cache", "Progressing", "Settled")
        .await;
    spec["paused"] = json!(true);
    operator.apply("cache", spec);
    operator.wait_reason("cache", "Progressing", "Paused").await;
    put_password(&operator, &[("password", "one"), ("next", "two")]);
    quiet(&operator).await;
    let before = asked(&operator).len();
    tokio::time::sleep(LONG).await;
    assert_eq!(asked(&operator).split_off(before), Vec::<String>::new());
}
