//! What can never change, because a StatefulSet cannot or because pods would restart with an
//! upgrade of the operator. Do NOT update a literal here to follow the code: change the code back.

use hera_api::validate::Validated;
use hera_render::{Context, LiveStatefulSet, build_stateful_set, roll_hash, selector_labels};
use serde_json::{Value, json};

use crate::support::{context, sample, validated};

const EVERYTHING: &str = include_str!("specs/everything.yaml");
const MEMORY_ONLY: &str = include_str!("specs/memory-only.yaml");

fn stateful_set(v: &Validated, ctx: &Context) -> Value {
    serde_json::to_value(build_stateful_set(v, ctx)).unwrap()
}

#[test]
fn the_roll_hash_of_a_spec_is_the_one_of_the_first_release() {
    for (spec, image, want) in [
        (sample().as_str(), "redis:7.2", "4ca252534ab21351"),
        (MEMORY_ONLY, "valkey:8.1", "09f940f17b1e9cf3"),
        (EVERYTHING, "redis:6.2", "4ab62a4b01349af3"),
    ] {
        assert_eq!(roll_hash(&validated(spec), image), want, "{image}");
    }
}

/// Pods of a node pool had no default spread once: that they have it now is no reason to replace them.
#[test]
fn the_roll_hash_of_a_node_pool_is_the_one_of_the_first_release() {
    let pool = "spec:\n  podTemplate: {spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
                {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: Exists}]}]}}}}}\n";
    let manifest = sample().replacen("spec:\n", pool, 1);
    assert_eq!(
        roll_hash(&validated(&manifest), "redis:7.2"),
        "5632880ad442a396"
    );
}

#[test]
fn what_a_stateful_set_cannot_change_is_what_it_was_in_the_first_release() {
    let v = validated(&sample());
    let set = stateful_set(&v, &context(&v));
    let labels = json!({
        "app.kubernetes.io/name": "redis-instance",
        "app.kubernetes.io/instance": "my-redis",
        "app.kubernetes.io/component": "data",
    });
    assert_eq!(json!(selector_labels(&v, None)), labels);
    assert_eq!(set["metadata"]["name"], "my-redis");
    assert_eq!(set["spec"]["selector"], json!({"matchLabels": labels}));
    assert_eq!(set["spec"]["serviceName"], "my-redis-headless");
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    assert_eq!(
        set["spec"]["volumeClaimTemplates"],
        json!([{
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data",
                // Of a StatefulSet that is made now; that of one that is there stays as it is.
                "annotations": {"cache.hera.io/lineage": "new"},
                "labels": {
                    "app.kubernetes.io/name": "redis-instance",
                    "app.kubernetes.io/instance": "my-redis",
                    "app.kubernetes.io/component": "data",
                    "app.kubernetes.io/managed-by": "hera-operator",
                },
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "gp3",
                "volumeMode": "Filesystem",
            },
        }])
    );
}

#[test]
fn a_live_claim_template_stays_whatever_the_spec_says() {
    let small = validated(&sample());
    let first = build_stateful_set(&small, &context(&small));
    let live = first.spec.unwrap().volume_claim_templates.unwrap();
    let grown = validated(&sample().replace("1Gi", "9Gi"));
    let ctx = Context {
        live: Some(LiveStatefulSet {
            claim_templates: live.clone(),
        }),
        ..context(&grown)
    };
    assert_eq!(
        stateful_set(&grown, &ctx)["spec"]["volumeClaimTemplates"],
        json!(live)
    );
}

#[test]
fn without_a_live_claim_template_none_is_added_and_the_pod_still_has_its_volume() {
    let v = validated(&sample());
    let ctx = Context {
        live: Some(LiveStatefulSet::default()),
        ..context(&v)
    };
    let set = stateful_set(&v, &ctx);
    assert_eq!(set["spec"]["volumeClaimTemplates"], Value::Null);
    let volumes = set["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .unwrap();
    assert!(
        volumes
            .iter()
            .any(|volume| volume["name"] == "data" && volume["emptyDir"].is_object())
    );
}

#[test]
fn a_new_operator_or_agent_rolls_no_pod() {
    let v = validated(&sample());
    let old = context(&v);
    let new = Context {
        restart: None,
        rollback: None,
        agent_image: "registry.example/hera-operator:0.2.0".into(),
        generation: 8,
        ..old.clone()
    };
    let revision = |ctx: &Context| {
        stateful_set(&v, ctx)["spec"]["template"]["metadata"]["annotations"]["cache.hera.io/revision"].clone()
    };
    assert_eq!(revision(&old), revision(&new));
}

#[test]
fn more_or_fewer_pods_roll_none() {
    let v = validated(&sample());
    let revision = |replicas| {
        let ctx = Context {
            replicas,
            ..context(&v)
        };
        let set = stateful_set(&v, &ctx);
        assert_eq!(set["spec"]["replicas"], replicas);
        set["spec"]["template"]["metadata"]["annotations"]["cache.hera.io/revision"].clone()
    };
    assert_eq!(revision(1), revision(3));
    assert_eq!(revision(1), revision(0));
}

#[test]
fn what_is_applied_live_rolls_no_pod_and_what_needs_one_does() {
    let base = roll_hash(&validated(EVERYTHING), "i");
    for (from, to) in [
        ("allkeys-lru", "noeviction"),
        ("size: 5Gi", "size: 6Gi"),
        ("reclaimPolicy: Delete", "reclaimPolicy: Retain"),
        ("\"900 1 60 1000\"", "\"900 1\""),
        ("preset: ReadOnly", "preset: Admin"),
        ("defaultUser: true", "defaultUser: false"),
        ("strict: true", "strict: false"),
        ("paused: true", "paused: false"),
        ("paused: true", "networkPolicy: Disabled"),
        ("paused: true", "monitoring: {podMonitor: {interval: 1m}}"),
        ("paused: true", "replicas: 5"),
        (
            "paused: true",
            "failover: {fenceAfter: 0s, hangAfter: 1m, scriptAfter: 5m}",
        ),
        (
            "paused: true",
            "replicas: 3\n  durability: {minReplicasToWrite: 2}",
        ),
        ("paused: true", "updateStrategy: {mode: Supervised}"),
        (
            "paused: true",
            "updateStrategy: {surge: Never, maxWait: 1h}",
        ),
        (
            "paused: true",
            "updateStrategy: {onFailure: Rollback, progressDeadline: 1h}",
        ),
    ] {
        assert!(EVERYTHING.contains(from), "{from}");
        assert_eq!(
            roll_hash(&validated(&EVERYTHING.replace(from, to)), "i"),
            base,
            "{from} to {to}"
        );
    }
    assert_ne!(roll_hash(&validated(EVERYTHING), "j"), base);
    for (from, to) in [
        ("cpu: 100m", "cpu: 200m"),
        ("memory: 1Gi}", "memory: 2Gi}"),
        ("team: orders, app", "team: sales, app"),
        ("note: hello", "note: bye"),
        ("disk: ssd", "disk: hdd"),
        ("values: [a, b]", "values: [a]"),
        ("key: dedicated", "key: other"),
        ("maxSkew: 1", "maxSkew: 2"),
        ("ClassName: high", "ClassName: low"),
        ("name: pull", "name: pull2"),
        ("paused: true", "monitoring: {metrics: Disabled}"),
    ] {
        assert!(EVERYTHING.contains(from), "{from}");
        assert_ne!(
            roll_hash(&validated(&EVERYTHING.replace(from, to)), "i"),
            base,
            "{from} to {to}"
        );
    }
}
