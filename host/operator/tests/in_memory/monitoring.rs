//! The PodMonitor of an object: there where the spec asks for one, and of no concern to anybody else.

use super::api_server::{Answer, Operator, SHOP, wait_for};
use serde_json::{Value, json};

const MONITORS: &str = "podmonitors";

fn spec(monitoring: &Value) -> Value {
    json!({"version": "7.2", "monitoring": monitoring})
}

fn wanted(interval: &str) -> Value {
    json!({"podMonitor": {"interval": interval, "labels": {"release": "prom"}}})
}

async fn gone(operator: &Operator, name: &str) {
    let store = &operator.server.store;
    wait_for(&format!("the PodMonitor {name} is gone"), || {
        store.find(MONITORS, SHOP, name).is_none().then_some(())
    })
    .await;
}

fn requests(operator: &Operator) -> usize {
    let store = &operator.server.store;
    store.count(|asked| asked.plural == MONITORS)
}

/// As in a cluster without the prometheus-operator.
fn forget_the_kind(operator: &Operator) {
    operator.server.store.refuse(|asked, _| {
        let words = "the server could not find the requested resource".to_owned();
        (asked.plural == MONITORS).then_some(Answer::Refuse(404, words))
    });
}

/// Has an object be looked at anew.
fn poke(operator: &Operator, plural: &str, name: &str) {
    operator.server.store.edit(plural, SHOP, name, |object| {
        object["metadata"]["annotations"]["cache.hera.io/ask-policies"] = json!("again");
    });
}

fn interval(monitor: &Value) -> &Value {
    &monitor["spec"]["podMetricsEndpoints"][0]["interval"]
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_and_changes_and_goes_as_the_spec_says() {
    let operator = Operator::start().await;
    operator.apply("cache", spec(&wanted("30s")));
    let first = operator.wait_object(MONITORS, "cache", |_| true).await;
    let object = operator.server.store.find("redisinstances", SHOP, "cache");
    let owner = &first["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], object.unwrap()["metadata"]["uid"]);
    assert_eq!(first["metadata"]["labels"]["release"], "prom");
    assert_eq!(interval(&first), "30s");

    operator.apply("cache", spec(&wanted("1m")));
    let changed = |monitor: &Value| interval(monitor) == "60s";
    operator.wait_object(MONITORS, "cache", changed).await;
    operator.apply("cache", spec(&json!({})));
    gone(&operator, "cache").await;
    operator.apply("cache", spec(&wanted("30s")));
    operator.wait_object(MONITORS, "cache", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_of_a_cluster_comes_and_goes_as_well() {
    let operator = Operator::start().await;
    operator.apply_cluster("carts", spec(&wanted("30s")));
    let monitor = operator.wait_object(MONITORS, "carts", |_| true).await;
    let selected = &monitor["spec"]["selector"]["matchLabels"];
    assert_eq!(selected["app.kubernetes.io/name"], "redis-cluster");
    operator.apply_cluster("carts", spec(&json!({"metrics": "Disabled"})));
    gone(&operator, "carts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_none_causes_no_request() {
    let operator = Operator::start().await;
    operator.apply("cache", json!({"version": "7.2"}));
    operator.apply_cluster("carts", json!({"version": "7.2"}));
    for set in ["cache", "carts-shard-0"] {
        operator.wait_object("statefulsets", set, |_| true).await;
    }
    assert_eq!(requests(&operator), 0);

    // Nor does who had one, once it is gone.
    operator.apply("cache", spec(&wanted("30s")));
    operator.wait_object(MONITORS, "cache", |_| true).await;
    operator.apply("cache", json!({"version": "7.2"}));
    gone(&operator, "cache").await;
    let forgotten = |map: &Value| {
        let annotations = &map["metadata"]["annotations"];
        annotations["cache.hera.io/pod-monitor"].is_null()
    };
    operator
        .wait_object("configmaps", "cache-config", forgotten)
        .await;
    let before = requests(&operator);
    operator.apply(
        "cache",
        json!({"version": "7.2", "networkPolicy": "Disabled"}),
    );
    let store = &operator.server.store;
    wait_for("another pass is over", || {
        let policy = store.find("networkpolicies", SHOP, "cache");
        policy.is_none().then_some(())
    })
    .await;
    assert_eq!(requests(&operator), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_somebody_elses_is_left_alone_and_told_while_it_is_in_the_way() {
    let operator = Operator::start().await;
    let store = &operator.server.store;
    let theirs = store.put(
        MONITORS,
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor",
            "metadata": {"namespace": SHOP, "name": "cache"},
            "spec": {"selector": {}},
        }),
    );
    operator.apply("cache", spec(&wanted("30s")));
    let told = operator.wait_reason("cache", "Degraded", "NameTaken").await;
    let words = told["message"].as_str().unwrap();
    assert!(words.starts_with("PodMonitor cache is there"), "{words}");
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    operator.apply("cache", spec(&json!({})));
    wait_for("nothing is in the way", || {
        let told = operator.condition("cache", "Degraded")?;
        (told["reason"] != "NameTaken").then_some(())
    })
    .await;
    assert_eq!(store.find(MONITORS, SHOP, "cache"), Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_kind_is_told_holds_nothing_back_and_heals() {
    let operator = Operator::start().await;
    forget_the_kind(&operator);
    operator.apply("cache", spec(&wanted("30s")));
    let reason = "PodMonitorCrdMissing";
    let told = operator.wait_reason("cache", "Degraded", reason).await;
    assert_eq!(told["status"], "False");
    operator
        .wait_object("statefulsets", "cache", |_| true)
        .await;
    operator.server.store.relent();
    poke(&operator, "redisinstances", "cache");
    operator.wait_object(MONITORS, "cache", |_| true).await;
    wait_for("it is told no more", || {
        let told = operator.condition("cache", "Degraded")?;
        (told["reason"] != reason).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_deletes_comes_back_with_the_next_pass() {
    let operator = Operator::start().await;
    operator.apply("cache", spec(&wanted("30s")));
    operator.wait_object(MONITORS, "cache", |_| true).await;
    operator.server.store.remove(MONITORS, SHOP, "cache");
    poke(&operator, "redisinstances", "cache");
    operator.wait_object(MONITORS, "cache", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_is_told_of_a_cluster_and_who_asks_no_more_is_told_nothing() {
    let operator = Operator::start().await;
    forget_the_kind(&operator);
    operator.apply_cluster("carts", spec(&wanted("30s")));
    let reason = "PodMonitorCrdMissing";
    let told = operator.wait_reason_of_cluster("carts", "Degraded", reason);
    assert_eq!(told.await["status"], "False");
    operator.apply_cluster("carts", spec(&json!({})));
    let told = operator.wait_reason_of_cluster("carts", "Degraded", "AsExpected");
    assert_eq!(told.await["status"], "False");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_of_nothing_is_refused_with_what_to_write() {
    let operator = Operator::start().await;
    operator.apply("cache", spec(&wanted("0s")));
    let told = operator.wait_reason("cache", "Ready", "SpecInvalid").await;
    let words = told["message"].as_str().unwrap();
    let expected = "spec.monitoring.podMonitor.interval: write a duration from 1s to 1h";
    assert!(words.contains(expected), "{words}");
    assert_eq!(requests(&operator), 0);
}
