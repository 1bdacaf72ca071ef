//! RedisCluster: what is refused, by the spec's rules and by the API server, and a name that two objects share.

use super::api_server::{Answer, Operator, SHOP};
use serde_json::{Value, json};

fn three() -> Value {
    json!({"version": "7.2", "masters": 3, "replicasPerMaster": 1})
}

async fn with_cluster() -> Operator {
    let operator = Operator::start().await;
    operator.apply_cluster("cache", three());
    for shard in 0..3 {
        let name = format!("cache-shard-{shard}");
        operator.wait_object("statefulsets", &name, |_| true).await;
    }
    operator
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_an_instances_name_leaves_its_objects_alone_and_says_so() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    operator.apply("cache", json!({"version": "7.2"}));
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    let theirs = store.find("services", SHOP, "cache");
    operator.apply_cluster("cache", three());
    let ready = operator
        .wait_reason_of_cluster("cache", "Ready", "NameTaken")
        .await;
    let words = ready["message"].as_str().unwrap();
    assert!(words.contains("is there"), "{words}");
    assert_eq!(store.find("services", SHOP, "cache"), theirs);
    assert!(store.find("statefulsets", SHOP, "cache-shard-0").is_none());
    // The other way round.
    operator.apply_cluster("other", three());
    operator
        .wait_object("statefulsets", "other-shard-0", |_| true)
        .await;
    let theirs = store.find("services", SHOP, "other");
    operator.apply("other", json!({"version": "7.2"}));
    operator.wait_reason("other", "Ready", "NameTaken").await;
    assert_eq!(store.find("services", SHOP, "other"), theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_pods_are_refused_holds_back_no_other_and_heals() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    store.refuse(|asked, _| {
        let refused = asked.writes() && asked.name == "cache-shard-1";
        let words = "exceeded quota: count/statefulsets.apps".to_owned();
        refused.then_some(Answer::Refuse(403, words))
    });
    operator.apply_cluster("cache", three());
    for shard in [0, 2] {
        let name = format!("cache-shard-{shard}");
        operator.wait_object("statefulsets", &name, |_| true).await;
    }
    let degraded = operator
        .wait_reason_of_cluster("cache", "Degraded", "ApplyFailed")
        .await;
    let words = degraded["message"].as_str().unwrap();
    assert!(
        words.contains("cache-shard-1") && words.contains("exceeded quota"),
        "{words}"
    );
    assert!(store.find("statefulsets", SHOP, "cache-shard-1").is_none());
    store.relent();
    operator
        .wait_object("statefulsets", "cache-shard-1", |_| true)
        .await;
    operator
        .wait_reason_of_cluster("cache", "Degraded", "AsExpected")
        .await;
}

/// For API servers that do not enforce the rules of the schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_be_carried_out_is_told_and_changes_nothing() {
    let operator = with_cluster().await;
    let store = &operator.server.store;
    let before = store.find("statefulsets", SHOP, "cache-shard-0").unwrap();
    let with = |key: &str, value: Value| {
        let mut spec = three();
        spec[key] = value;
        spec
    };
    for (spec, words) in [
        (with("masters", json!(2)), "masters"),
        (with("replicasPerMaster", json!(6)), "replicasPerMaster"),
        (with("version", json!("6.0")), "version"),
        (
            with("config", json!({"cluster-enabled": "no"})),
            "cluster-enabled",
        ),
    ] {
        operator.apply_cluster("cache", spec);
        let degraded = operator
            .wait_reason_of_cluster("cache", "Degraded", "SpecInvalid")
            .await;
        let message = degraded["message"].as_str().unwrap();
        assert!(message.contains(words), "{words}: {message}");
        operator.apply_cluster("cache", three());
        operator
            .wait_reason_of_cluster("cache", "Degraded", "AsExpected")
            .await;
    }
    let after = store.find("statefulsets", SHOP, "cache-shard-0").unwrap();
    assert_eq!(after["spec"], before["spec"]);
}
