//! Objects as large and as deep as the API server lets them be: they are refused, and harm no other.

use super::api_server::{Operator, SHOP};
use serde_json::{Value, json};

/// Decoded as they are, the settings of each object alone would take 16 MiB for as long as it lives.
const LARGE: usize = 6;
/// Most that the operator may have needed at any time.
const PEAK_MIB: u64 = 256;

fn with_settings(settings: Value) -> Value {
    let acl = json!({"configMapRef": {"name": "ours"}, "settings": settings});
    json!({"version": "7.2", "policies": {"acl": acl}})
}

/// A megabyte as text.
fn megabyte() -> Value {
    json!({"a": vec![0; 500_000]})
}

/// Deeper than a decoder follows.
fn deep() -> Value {
    (0..200).fold(json!({}), |inner, _| json!({"a": inner}))
}

/// The most memory that a process had.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().split_whitespace().next().unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

async fn is_refused(operator: &Operator, name: &str, words: &str) {
    let ready = operator.wait_reason(name, "Ready", "SpecInvalid").await;
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.policies.acl.settings: "),
        "{message}"
    );
    assert!(message.contains(words), "{message}");
}

async fn is_served(operator: &Operator, name: &str) {
    operator.apply(name, json!({"version": "7.2"}));
    operator.wait_object("statefulsets", name, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_with_a_megabyte_of_settings_are_refused_and_another_is_served() {
    let operator = Operator::start().await;
    let names: Vec<_> = (0..LARGE).map(|number| format!("large-{number}")).collect();
    for name in &names {
        operator.apply(name, with_settings(megabyte()));
    }
    for name in &names {
        is_refused(&operator, name, "1000007 bytes of JSON").await;
    }
    is_served(&operator, "cache").await;
    let peak = peak_mib(operator.pid());
    println!("{peak} MiB at most with {LARGE} objects of a megabyte");
    assert!(peak < PEAK_MIB, "{peak} MiB");
    // It heals like any spec.
    is_served(&operator, "large-0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_deeper_than_a_decoder_follows_are_refused_and_another_is_served() {
    let operator = Operator::start().await;
    let object = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
        "metadata": {
            "namespace": SHOP, "name": "deep",
            // As the API server keeps who set which field.
            "managedFields": [{"manager": "kubectl", "fieldsV1": deep()}],
        },
        "spec": with_settings(deep()),
    });
    operator.server.store.put("redisinstances", object);
    operator.apply_cluster("deep-too", with_settings(deep()));
    is_refused(&operator, "deep", "201 objects and lists within each other").await;
    operator
        .wait_reason_of_cluster("deep-too", "Degraded", "SpecInvalid")
        .await;
    is_served(&operator, "cache").await;
}
