//! The application user: its rights, and the Secret from which an application learns how to connect.

use std::collections::BTreeMap;

use super::api_server::{Operator, SHOP};
use super::cluster::Cluster;
use hera_core::acl::AclSet;
use hera_core::digest::sha256_hex;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// What a Secret holds, as text.
fn data(secret: &Value) -> BTreeMap<String, String> {
    let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
        .collect()
}

/// The users as they are written down.
fn users(secret: &Value) -> AclSet {
    serde_json::from_str(&data(secret)["acl.json"]).unwrap()
}

/// A rule of the application user.
fn app_has(secret: &Value, rule: &str) -> bool {
    let set = users(secret);
    let app = set.users.iter().find(|user| user.name == "app");
    app.is_some_and(|app| app.rules.iter().any(|is| is == rule))
}

/// The hash of the application user's password.
fn app_password(secret: &Value) -> Option<String> {
    let set = users(secret);
    let app = set.users.iter().find(|user| user.name == "app")?;
    app.password_sha256.first().cloned()
}

fn put_secret(operator: &Operator, name: &str, key: &str, text: &str) {
    operator.server.store.put(
        "secrets",
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": SHOP, "name": name},
            "data": {key: ByteString(text.into())},
        }),
    );
}

async fn serves(net: u8, auth: Value) -> (Operator, Cluster) {
    let operator = Operator::start().await;
    let cluster = Cluster::start(operator.server.store.clone(), net);
    operator.apply("cache", json!({"version": "7.2", "auth": auth}));
    operator.wait_reason("cache", "Ready", "Serving").await;
    (operator, cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_may_empty_the_database_and_a_narrower_preset_takes_that_away() {
    let (operator, _cluster) = serves(71, json!({"preset": "Owner"})).await;
    for rule in ["+flushall", "+client|list", "+slowlog|get"] {
        operator
            .wait_object("secrets", "cache-acl", |secret| app_has(secret, rule))
            .await;
    }
    operator
        .wait_reason("cache", "Degraded", "MaxmemoryUnset")
        .await;
    operator.apply("cache", json!({"version": "7.2"}));
    let secret = operator
        .wait_object("secrets", "cache-acl", |secret| {
            !app_has(secret, "+flushall")
        })
        .await;
    assert!(app_has(&secret, "+@write"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_some_keys_is_told_which_commands_it_lacks_for_that() {
    let (operator, _cluster) = serves(72, json!({"preset": "Owner", "keys": ["app:*"]})).await;
    let told = operator
        .wait_reason("cache", "Degraded", "RightsLimited")
        .await;
    assert_eq!(told["status"], "False");
    assert_eq!(
        told["message"],
        "the preset Owner gives users with limited keys or channels no command that reaches beyond them: app lacks \
         flushall, flushdb, function|delete, function|flush, function|load, function|restore, function|stats, \
         slowlog|get, swapdb; no memory limit is set, so the server has no maxmemory"
    );
    let secret = operator
        .wait_object("secrets", "cache-acl", |secret| app_has(secret, "~app:*"))
        .await;
    assert!(app_has(&secret, "+client|list") && !app_has(&secret, "+flushall"));

    let all = json!({"version": "7.2", "auth": {"preset": "Owner"}});
    operator.apply("cache", all);
    operator
        .wait_reason("cache", "Degraded", "MaxmemoryUnset")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_copies_all_data_is_refused_with_limited_keys() {
    let operator = Operator::start().await;
    let user = json!({
        "name": "copy", "preset": "Replication", "keys": ["app:*"],
        "passwordSecretRef": {"name": "copy"},
    });
    operator.apply("cache", json!({"version": "7.2", "users": [user]}));
    let told = operator.wait_reason("cache", "Ready", "SpecInvalid").await;
    let words = told["message"].as_str().unwrap();
    assert!(
        words.contains("spec.users[0].keys") && words.contains("copies all data"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_an_application_is_there_without_a_password_that_is_elsewhere() {
    let (operator, _cluster) = serves(73, json!({})).await;
    let generated = operator
        .wait_object("secrets", "cache-app", |secret| {
            data(secret).contains_key("password")
        })
        .await;
    let generated = data(&generated);
    assert_eq!(generated["type"], "redis");
    let first = &generated["password"];

    // One that cannot be read yet takes nothing away: the generated one is in force.
    let elsewhere = json!({"version": "7.2", "auth": {"passwordSecretRef": {"name": "mine"}}});
    operator.apply("cache", elsewhere);
    operator
        .wait_reason("cache", "Degraded", "SecretMissing")
        .await;
    let store = &operator.server.store;
    let kept = data(&store.find("secrets", SHOP, "cache-app").unwrap());
    assert_eq!(&kept, &generated);

    put_secret(&operator, "mine", "password", "of-the-shop");
    let without = operator
        .wait_object("secrets", "cache-app", |secret| {
            !data(secret).contains_key("password")
        })
        .await;
    let bare = |secret: &Value| {
        let uri = data(secret).remove("uri");
        uri.as_deref() == Some("redis://cache.shop.svc:6379/0")
    };
    let whole = operator.wait_object("secrets", "cache-app", bare).await;
    for (key, value) in [
        ("type", "redis"),
        ("username", "app"),
        ("host", "cache.shop.svc"),
        ("port", "6379"),
    ] {
        assert_eq!(data(&whole)[key], value);
    }
    assert_eq!(
        whole["metadata"]["uid"], without["metadata"]["uid"],
        "it is made anew"
    );
    let hash = sha256_hex(b"of-the-shop");
    operator
        .wait_object("secrets", "cache-acl", |secret| {
            app_password(secret).as_ref() == Some(&hash)
        })
        .await;
    let object = store.find("redisinstances", SHOP, "cache").unwrap();
    assert_eq!(object["status"]["binding"]["name"], "mine");

    operator.apply("cache", json!({"version": "7.2"}));
    let back = operator
        .wait_object("secrets", "cache-app", |secret| {
            data(secret).contains_key("password")
        })
        .await;
    assert_ne!(&data(&back)["password"], first);
    assert_ne!(data(&back)["password"], "of-the-shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_password_is_elsewhere_waits_for_no_secret_of_a_taken_name() {
    let operator = Operator::start().await;
    let _cluster = Cluster::start(operator.server.store.clone(), 74);
    put_secret(&operator, "mine", "password", "of-the-shop");
    put_secret(&operator, "cache-app", "note", "theirs");
    let elsewhere = json!({"version": "7.2", "auth": {"passwordSecretRef": {"name": "mine"}}});
    operator.apply("cache", elsewhere);
    operator.wait_reason("cache", "Ready", "Serving").await;
    let told = operator.wait_reason("cache", "Degraded", "NameTaken").await;
    let words = told["message"].as_str().unwrap();
    assert!(words.contains("Secret cache-app"), "{words}");
    let theirs = operator.server.store.find("secrets", SHOP, "cache-app");
    assert_eq!(data(&theirs.unwrap())["note"], "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_that_the_operator_makes_is_no_place_for_a_password_of_ones_own() {
    let operator = Operator::start().await;
    let own = json!({"version": "7.2", "auth": {"passwordSecretRef": {"name": "cache-app"}}});
    operator.apply("cache", own);
    let told = operator.wait_reason("cache", "Ready", "SpecInvalid").await;
    let words = told["message"].as_str().unwrap();
    assert!(
        words.contains("spec.auth.passwordSecretRef.name"),
        "{words}"
    );
}
