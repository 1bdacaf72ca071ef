//! A password is replaced: the generated one on request, one of somebody's Secret by its next key.

use std::sync::Arc;

use hera_core::acl::AclSet;
use hera_core::digest::sha256_hex;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::api_server::{Operator, SHOP, wait_for};
use super::cluster::Cluster;

const ROTATE: &str = "cache.hera.io/rotate";

pub async fn three(net: u8, auth: Value) -> (Operator, Cluster) {
    three_of(net, json!({"version": "7.2", "replicas": 3, "auth": auth})).await
}

async fn three_of(net: u8, spec: Value) -> (Operator, Cluster) {
    let operator = Operator::start().await;
    let cluster = Cluster::start(Arc::clone(&operator.server.store), net);
    operator.apply("cache", spec);
    operator.wait_reason("cache", "Ready", "Serving").await;
    settled(&operator).await;
    (operator, cluster)
}

pub async fn settled(operator: &Operator) -> Value {
    operator
        .wait_reason("cache", "Progressing", "Settled")
        .await
}

fn ask(operator: &Operator, token: &str) {
    let store = &operator.server.store;
    store.edit("redisinstances", SHOP, "cache", |object| {
        object["metadata"]["annotations"][ROTATE] = json!(token);
    });
}

/// Waits until the request is there no more.
async fn taken_away(operator: &Operator) {
    let store = &operator.server.store;
    wait_for("the request is taken away", || {
        let object = store.find("redisinstances", SHOP, "cache")?;
        let asked = &object["metadata"]["annotations"][ROTATE];
        asked.is_null().then_some(())
    })
    .await;
}

/// A key of a Secret; none if it is not there.
pub fn secret(operator: &Operator, name: &str, key: &str) -> Option<String> {
    let secret = operator.server.store.find("secrets", SHOP, name)?;
    let bytes: ByteString = serde_json::from_value(secret["data"].get(key)?.clone()).unwrap();
    Some(String::from_utf8(bytes.0).unwrap())
}

fn shown(operator: &Operator) -> String {
    secret(operator, "cache-app", "password").unwrap()
}

fn put_secret(operator: &Operator, name: &str, pairs: &[(&str, &str)]) {
    let data: Value = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(ByteString((*value).into()))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    operator.server.store.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": SHOP, "name": name}, "data": data,
        }),
    );
}

/// What is written down of the rotation.
fn phase(operator: &Operator) -> Option<Value> {
    let text = secret(operator, "cache-system", "app-rotation")?;
    let rotation: Value = serde_json::from_str(&text).unwrap();
    Some(rotation["phase"].clone())
}

/// Hashes of a user, and the revision in which they are.
pub fn hashes(operator: &Operator, user: &str) -> (u64, Vec<String>) {
    let text = secret(operator, "cache-acl", "acl.json").unwrap();
    let set: AclSet = serde_json::from_str(&text).unwrap();
    let found = set.users.iter().find(|known| known.name == user).unwrap();
    (set.revision, found.password_sha256.clone())
}

pub fn hash(password: &str) -> String {
    sha256_hex(password.as_bytes())
}

pub fn sorted(passwords: [&str; 2]) -> Vec<String> {
    let mut all = passwords.map(hash).to_vec();
    all.sort();
    all
}

/// Every server has these users.
async fn all_have(cluster: &Cluster, revision: u64) {
    wait_for("all have the users", || {
        let has = |ordinal: u32| {
            let told = cluster.told(SHOP, &format!("cache-{ordinal}")).unwrap();
            told.acl.confirmed && told.acl.revision == revision
        };
        (0..3).all(has).then_some(())
    })
    .await;
}

/// Waits until the application's password is another, and its rotation has come to its end.
async fn ended(operator: &Operator, before: &str) -> String {
    rotated(|| phase(operator), || shown(operator), before).await
}

/// Waits until a password that is shown is another than `before`, and its rotation has come to its end.
pub async fn rotated(
    phase: impl Fn() -> Option<Value>,
    shown: impl Fn() -> String,
    before: &str,
) -> String {
    wait_for("the rotation ends", || {
        let (phase, now) = (phase()?, shown());
        (phase["name"] == "settled" && now != before).then_some(now)
    })
    .await
}

pub fn replica(cluster: &Cluster) -> String {
    let names = (0..3).map(|ordinal| format!("cache-{ordinal}"));
    let mut replicas = names.filter(|name| !cluster.told(SHOP, name).unwrap().memory.was_primary);
    replicas.next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_password_is_replaced_once_for_each_request() {
    let (operator, cluster) = three(41, json!({"overlap": "0s"})).await;
    let before = shown(&operator);
    assert_eq!(phase(&operator), None, "nothing is written before");
    ask(&operator, "one");
    let now = ended(&operator, &before).await;
    let (revision, known) = hashes(&operator, "app");
    assert_eq!(known, [hash(&now)]);
    all_have(&cluster, revision).await;
    assert!(
        secret(&operator, "cache-app", "uri")
            .unwrap()
            .contains(&now)
    );
    taken_away(&operator).await;
    settled(&operator).await;

    // A tool that keeps the object as it was written puts it there again.
    ask(&operator, "one");
    taken_away(&operator).await;
    assert_eq!(shown(&operator), now);
    wait_for("it is told that it was done before", || {
        let events = operator.server.store.all("events");
        let mut told = events.iter().filter(|e| e["reason"] == "RotatedBefore");
        told.any(|event| {
            event["note"]
                .as_str()
                .is_some_and(|note| note.contains("\"one\""))
        })
        .then_some(())
    })
    .await;
    ask(&operator, "two");
    assert_ne!(ended(&operator, &now).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_away_holds_the_old_one_open_also_through_a_restart_of_the_operator() {
    let (mut operator, cluster) = three(42, json!({"overlap": "0s"})).await;
    let before = shown(&operator);
    let away = replica(&cluster);
    cluster.is_away(SHOP, &away, true);
    ask(&operator, "one");
    let told = operator
        .wait_reason("cache", "Progressing", "RotationWaiting")
        .await;
    let words = told["message"].as_str().unwrap();
    assert!(words.contains(&away), "{words}");
    assert_eq!(shown(&operator), before);
    let next = phase(&operator).unwrap()["next"].clone();
    let next = next.as_str().unwrap();
    let both = sorted([&before, next]);
    assert_eq!(hashes(&operator, "app").1, both);

    operator.restart().await;
    cluster.is_away(SHOP, &away, false);
    assert_eq!(ended(&operator, &before).await, next);
    let (revision, known) = hashes(&operator, "app");
    assert_eq!(known, [hash(next)]);
    all_have(&cluster, revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_user_with_the_generated_password_has_both_as_long_as_the_application() {
    let worker = json!({
        "name": "worker", "preset": "ReadOnly", "keys": ["*"], "passwordSecretRef": {"name": "cache-app"},
    });
    let spec = json!({
        "version": "7.2", "replicas": 3, "auth": {"overlap": "0s"}, "users": [worker],
    });
    let (operator, cluster) = three_of(45, spec).await;
    let before = shown(&operator);
    assert_eq!(hashes(&operator, "worker").1, [hash(&before)]);
    let away = replica(&cluster);
    cluster.is_away(SHOP, &away, true);
    ask(&operator, "one");
    let told = operator
        .wait_reason("cache", "Progressing", "RotationWaiting")
        .await;
    let words = told["message"].as_str().unwrap();
    assert!(words.contains("app, worker"), "{words}");
    let both = hashes(&operator, "app").1;
    assert_eq!(both.len(), 2);
    assert_eq!(hashes(&operator, "worker").1, both);
    cluster.is_away(SHOP, &away, false);
    let now = ended(&operator, &before).await;
    assert_eq!(hashes(&operator, "worker").1, [hash(&now)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_while_one_is_on_its_way_it_is_told_that_servers_may_accept_it() {
    let (operator, cluster) = three(49, json!({})).await;
    cluster.is_away(SHOP, &replica(&cluster), true);
    ask(&operator, "one");
    let waits = operator.wait_reason("cache", "Progressing", "RotationWaiting");
    waits.await;
    let spec = json!({"version": "7.2", "replicas": 3, "paused": true});
    operator.apply("cache", spec);
    let told = operator.wait_reason("cache", "Progressing", "Paused").await;
    let words = told["message"].as_str().unwrap();
    let wanted = "servers may accept the next password of user app";
    assert!(words.contains(wanted), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_paused_it_is_told_that_the_former_one_is_accepted() {
    let (operator, _cluster) = three(46, json!({})).await;
    ask(&operator, "one");
    let accepted = |words: &'static str| {
        let operator = &operator;
        wait_for("the former one is told", move || {
            let condition = operator.condition("cache", "Progressing")?;
            condition["message"].as_str()?.contains(words).then_some(())
        })
    };
    accepted("app is accepted until").await;
    let both = hashes(&operator, "app");
    operator.apply(
        "cache",
        json!({"version": "7.2", "replicas": 3, "paused": true, "auth": {"overlap": "0s"}}),
    );
    accepted("app is accepted at least until changes go on").await;
    let told = operator.condition("cache", "Progressing").unwrap();
    assert_eq!(told["reason"], "Paused");
    assert_eq!(hashes(&operator, "app"), both);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_the_overlap_both_are_accepted_and_the_status_says_until_when() {
    let (operator, cluster) = three(43, json!({})).await;
    let before = shown(&operator);
    ask(&operator, "one");
    let told = wait_for("the former one is told", || {
        let condition = operator.condition("cache", "Progressing")?;
        let words = condition["message"].as_str()?.to_owned();
        words.contains("is accepted until").then_some(words)
    })
    .await;
    assert!(told.contains("user app"), "{told}");
    let now = shown(&operator);
    assert_ne!(now, before);
    let (revision, known) = hashes(&operator, "app");
    assert_eq!(known, sorted([&before, &now]));
    all_have(&cluster, revision).await;
    assert_eq!(phase(&operator).unwrap()["name"], "overlap");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_password_of_a_secret_is_accepted_beside_the_current_one() {
    let operator = Operator::start().await;
    let cluster = Cluster::start(Arc::clone(&operator.server.store), 44);
    put_secret(&operator, "mine", &[("password", "one")]);
    let spec = json!({
        "version": "7.2", "replicas": 3,
        "auth": {"passwordSecretRef": {"name": "mine", "nextKey": "next"}},
    });
    operator.apply("cache", spec);
    operator.wait_reason("cache", "Ready", "Serving").await;
    settled(&operator).await;
    assert_eq!(
        hashes(&operator, "app").1,
        [hash("one")],
        "no next one is fine"
    );

    let away = replica(&cluster);
    cluster.is_away(SHOP, &away, true);
    put_secret(&operator, "mine", &[("password", "one"), ("next", "two")]);
    let told = operator
        .wait_reason("cache", "Progressing", "RotationWaiting")
        .await;
    assert!(told["message"].as_str().unwrap().contains(&away));
    assert_eq!(hashes(&operator, "app").1, sorted(["one", "two"]));
    cluster.is_away(SHOP, &away, false);
    let told = settled(&operator).await;
    let words = told["message"].as_str().unwrap();
    assert!(
        words.contains("every server accepts the next password of app"),
        "{words}"
    );

    put_secret(&operator, "mine", &[("password", "two"), ("next", "two")]);
    let told = operator
        .wait_reason("cache", "Degraded", "NextPasswordSame")
        .await;
    assert_eq!(told["status"], "False");
    wait_for("the former one is gone", || {
        (hashes(&operator, "app").1 == [hash("two")]).then_some(())
    })
    .await;
    put_secret(&operator, "mine", &[("password", "two")]);
    operator
        .wait_reason("cache", "Degraded", "MaxmemoryUnset")
        .await;

    ask(&operator, "one");
    let told = operator
        .wait_reason("cache", "Degraded", "RequestRefused")
        .await;
    assert!(told["message"].as_str().unwrap().contains("nextKey"));
}
