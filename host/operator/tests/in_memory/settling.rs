//! From a spec to an instance that serves, and to rest.

use std::sync::Arc;
use std::time::Duration;

use super::api_server::{Operator, Request, SHOP, wait_for};
use super::cluster::Cluster;
use serde_json::json;

/// Passes: each lists the pods once.
fn passes(operator: &Operator) -> usize {
    let is_pass = |asked: &Request| asked.verb == "list" && asked.plural == "pods";
    operator
        .server
        .store
        .count(|asked| is_pass(asked) && asked.namespace == SHOP)
}

async fn serves(replicas: u32, net: u8) -> (Operator, Cluster) {
    let operator = Operator::start().await;
    let cluster = Cluster::start(Arc::clone(&operator.server.store), net);
    operator.apply("cache", json!({"version": "7.2", "replicas": replicas}));
    operator.wait_reason("cache", "Ready", "Serving").await;
    operator
        .wait_reason("cache", "Progressing", "Settled")
        .await;
    (operator, cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_alone_serves_after_few_passes() {
    let (operator, cluster) = serves(1, 1).await;
    let told = cluster.told(SHOP, "cache-0").unwrap();
    assert!(told.memory.was_primary && told.acl.confirmed);
    let passes = passes(&operator);
    println!("{passes} passes for one pod");
    assert!(passes < 10, "{passes} passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_pods_one_is_promoted_and_two_follow() {
    let (operator, cluster) = serves(3, 2).await;
    let told = |ordinal: u32| cluster.told(SHOP, &format!("cache-{ordinal}")).unwrap();
    let leads = (0..3).filter(|ordinal| told(*ordinal).memory.was_primary);
    assert_eq!(leads.count(), 1);
    let passes = passes(&operator);
    println!("{passes} passes for three pods");
    assert!(passes < 10, "{passes} passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_right_though_the_watch_tells_late_what_was_written() {
    let (operator, cluster) = serves(3, 3).await;
    let store = &operator.server.store;
    let names: Vec<_> = (0..3).map(|ordinal| format!("cache-{ordinal}")).collect();
    let follows = |name: &&String| !cluster.told(SHOP, name).unwrap().memory.was_primary;
    let replica = names.iter().find(follows).unwrap();
    let link = |up: bool| {
        cluster.tell(SHOP, replica, |told| told.link.as_mut().unwrap().up = up);
    };
    let ready = |count: u64| {
        wait_for("as many are in sync", move || {
            let object = store.find("redisinstances", SHOP, "cache").unwrap();
            (object["status"]["readyReplicas"] == count).then_some(())
        })
    };

    store.delay("redisinstances", Duration::from_secs(3));
    link(false);
    ready(2).await;
    link(true);
    ready(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_somebody_else_writes_is_put_right() {
    let (operator, _cluster) = serves(1, 4).await;
    let store = &operator.server.store;
    let right = || {
        wait_for("the status is right", || {
            let object = store.find("redisinstances", SHOP, "cache").unwrap();
            (object["status"]["readyReplicas"] == 1).then_some(())
        })
    };
    store.edit("redisinstances", SHOP, "cache", |object| {
        object["status"]["readyReplicas"] = json!(7);
    });
    right().await;
    store.edit("redisinstances", SHOP, "cache", |object| {
        object["status"] = json!(null);
    });
    right().await;
}
