//! The NetworkPolicy of an object: there unless the spec disables it, and nobody else's is touched.

use super::api_server::{Answer, HOME, Operator, SHOP, wait_for};
use serde_json::{Value, json};

const POLICIES: &str = "networkpolicies";

fn spec(choice: &str) -> Value {
    json!({"version": "7.2", "networkPolicy": choice})
}

async fn gone(operator: &Operator, name: &str) {
    let store = &operator.server.store;
    wait_for(&format!("the policy {name} is gone"), || {
        store.find(POLICIES, SHOP, name).is_none().then_some(())
    })
    .await;
}

/// Of somebody else.
fn put_theirs(operator: &Operator) -> Value {
    operator.server.store.put(
        POLICIES,
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": SHOP, "name": "cache"},
            "spec": {"podSelector": {}},
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_with_the_object_goes_when_it_is_disabled_and_comes_again() {
    let operator = Operator::start().await;
    operator.apply("cache", json!({"version": "7.2"}));
    let first = operator.wait_object(POLICIES, "cache", |_| true).await;
    let object = operator.server.store.find("redisinstances", SHOP, "cache");
    let owner = &first["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], object.unwrap()["metadata"]["uid"]);
    let home = json!({"matchLabels": {"kubernetes.io/metadata.name": HOME}});
    let control = &first["spec"]["ingress"][1];
    assert_eq!(control["from"][0]["namespaceSelector"], home);

    operator.apply("cache", spec("Disabled"));
    gone(&operator, "cache").await;
    operator.apply("cache", spec("Enabled"));
    let again = operator.wait_object(POLICIES, "cache", |_| true).await;
    assert_eq!(again["spec"], first["spec"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_of_a_cluster_has_its_bus_and_goes_as_well() {
    let operator = Operator::start().await;
    operator.apply_cluster("carts", spec("Enabled"));
    let policy = operator.wait_object(POLICIES, "carts", |_| true).await;
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["ports"][0]["port"] == 16379));
    operator.apply_cluster("carts", spec("Disabled"));
    gone(&operator, "carts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_changes_or_deletes_is_put_right() {
    let operator = Operator::start().await;
    operator.apply("cache", json!({"version": "7.2"}));
    let first = operator.wait_object(POLICIES, "cache", |_| true).await;
    let store = &operator.server.store;
    store.edit(POLICIES, SHOP, "cache", |policy| {
        policy["spec"]["ingress"] = json!([{}]);
    });
    let as_before = |policy: &Value| policy["spec"] == first["spec"];
    operator.wait_object(POLICIES, "cache", as_before).await;
    store.remove(POLICIES, SHOP, "cache");
    operator.wait_object(POLICIES, "cache", as_before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_somebody_elses_is_left_alone_and_told_while_it_is_in_the_way() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = put_theirs(&operator);
    operator.apply("cache", spec("Enabled"));
    let told = operator.wait_reason("cache", "Degraded", "NameTaken").await;
    let words = told["message"].as_str().unwrap();
    assert!(words.starts_with("NetworkPolicy cache is there"), "{words}");
    // No pod needs it.
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    // Who wants none minds none.
    operator.apply("cache", spec("Disabled"));
    wait_for("nothing is in the way", || {
        let told = operator.condition("cache", "Degraded")?;
        (told["reason"] != "NameTaken").then_some(())
    })
    .await;
    assert_eq!(store.find(POLICIES, SHOP, "cache"), Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_the_right_to_it_makes_everything_else_and_says_so() {
    let operator = Operator::start().await;
    operator.server.store.refuse(|asked, _| {
        let words = "networkpolicies.networking.k8s.io is forbidden".to_owned();
        (asked.plural == POLICIES).then_some(Answer::Refuse(403, words))
    });
    operator.apply("cache", json!({"version": "7.2"}));
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    let degraded = operator
        .wait_reason("cache", "Degraded", "ApplyFailed")
        .await;
    let words = degraded["message"].as_str().unwrap();
    assert!(
        words.contains("NetworkPolicy cache: networkpolicies"),
        "{words}"
    );
    operator.server.store.relent();
    operator.wait_object(POLICIES, "cache", |_| true).await;
}
