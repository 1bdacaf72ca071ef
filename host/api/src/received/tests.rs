use kube::ResourceExt as _;
use kube::core::{ObjectList, WatchEvent};

use super::*;
use crate::spec::{MAX_SETTINGS, MAX_SETTINGS_DEPTH};
use crate::validate::{validate, validate_cluster};

/// An object as the API server writes it, with these settings of its policy and of the one in the shadow.
fn manifest(kind: &str, settings: &str, shadow: &str) -> String {
    format!(
        r#"{{"apiVersion":"cache.hera.io/v1alpha1","kind":"{kind}","metadata":{{"name":"cache","namespace":"shop"}},"spec":{{"version":"7.2","policies":{{"acl":{{"configMapRef":{{"name":"ours"}},"settings":{settings},"shadow":{{"configMapRef":{{"name":"next"}},"settings":{shadow}}}}}}}}}}}"#
    )
}

fn instance(settings: &str, shadow: &str) -> String {
    manifest("RedisInstance", settings, shadow)
}

fn received(json: &str) -> RedisInstance {
    let received: Received<RedisInstance> = serde_json::from_str(json).unwrap();
    received.0.unwrap()
}

/// Many small values: what takes the most memory for its length.
fn megabyte() -> String {
    format!(r#"{{"a":[{}0]}}"#, "0,".repeat(500_000))
}

fn nested(depth: usize) -> String {
    format!(
        r#"{{"a":{}0{}}}"#,
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

fn settings(object: &RedisInstance) -> (&Settings, &Settings) {
    let acl = object.spec.common.policies.acl.as_ref().unwrap();
    (&acl.settings, &acl.shadow.as_ref().unwrap().settings)
}

#[test]
fn settings_within_their_bounds_are_there() {
    let object = received(&instance(r#"{"a":1}"#, "{}"));
    let (own, shadow) = settings(&object);
    assert_eq!((own.json(), shadow.json()), (Ok(r#"{"a":1}"#), Ok("")));
    let deep = nested(MAX_SETTINGS_DEPTH);
    assert!(
        settings(&received(&instance(&deep, &deep)))
            .0
            .json()
            .is_ok()
    );
}

#[test]
fn a_megabyte_of_settings_is_refused_with_its_field_and_size() {
    let large = megabyte();
    let object = received(&instance(&large, "{}"));
    let (own, shadow) = settings(&object);
    assert_eq!(own.json(), Err(Excess::Bytes(large.len())));
    assert!(shadow.is_empty());
    let problems = validate("cache", &object.spec).unwrap_err().0;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec.policies.acl.settings");
    let words = format!(
        "{} bytes of JSON are more than the {MAX_SETTINGS}",
        large.len()
    );
    assert!(problems[0].message.starts_with(&words), "{}", problems[0]);

    let object = received(&instance("{}", &large));
    let problems = validate("cache", &object.spec).unwrap_err().0;
    assert_eq!(problems[0].field, "spec.policies.acl.shadow.settings");
}

#[test]
fn settings_deeper_than_a_decoder_follows_are_refused_and_spoil_nothing() {
    for depth in [MAX_SETTINGS_DEPTH + 1, 127, 4_000] {
        let object = received(&instance(&nested(depth), &nested(depth)));
        let (own, shadow) = settings(&object);
        let refused = Err(Excess::Depth(depth));
        assert_eq!((own.json(), shadow.json()), (refused, refused));
    }
}

#[test]
fn the_settings_of_a_cluster_have_the_same_bounds() {
    let json = manifest("RedisCluster", &nested(200), "{}");
    let received: Received<RedisCluster> = serde_json::from_str(&json).unwrap();
    let problems = validate_cluster("cache", &received.0.unwrap().spec)
        .unwrap_err()
        .0;
    assert_eq!(problems[0].field, "spec.policies.acl.settings");
}

#[test]
fn the_settings_of_each_policy_have_the_same_bounds() {
    let json = manifest("RedisCluster", &nested(200), &megabyte());
    let json = json.replace(r#""acl""#, r#""rebalance""#);
    let cluster: Received<RedisCluster> = serde_json::from_str(&json).unwrap();
    let problems = validate_cluster("cache", &cluster.0.unwrap().spec)
        .unwrap_err()
        .0;
    let fields: Vec<_> = problems.into_iter().map(|problem| problem.field).collect();
    let both = |decision: &str| {
        ["settings", "shadow.settings"].map(|field| format!("spec.policies.{decision}.{field}"))
    };
    assert_eq!(fields, both("rebalance"));

    let json = instance(&nested(200), &megabyte()).replace(r#""acl""#, r#""backup""#);
    let problems = validate("cache", &received(&json).spec).unwrap_err().0;
    let fields: Vec<_> = problems.into_iter().map(|problem| problem.field).collect();
    assert_eq!(fields, both("backup"));
}

#[test]
fn lists_and_watches_hold_such_objects_beside_others() {
    let (bad, good) = (instance(&nested(200), &megabyte()), instance("{}", "{}"));
    let list = format!(
        r#"{{"apiVersion":"v1","kind":"List","metadata":{{"resourceVersion":"7"}},"items":[{bad},{good}]}}"#
    );
    let list: ObjectList<Received<RedisInstance>> = serde_json::from_str(&list).unwrap();
    assert!(list.items.iter().all(|object| object.0.is_ok()));
    let event = format!(r#"{{"type":"ADDED","object":{bad}}}"#);
    let event: WatchEvent<Received<RedisInstance>> = serde_json::from_str(&event).unwrap();
    let WatchEvent::Added(object) = event else {
        panic!("{event:?}");
    };
    let object = object.0.unwrap();
    assert_eq!(settings(&object).0.json(), Err(Excess::Depth(200)));
}

#[test]
fn of_the_metadata_what_repeats_the_spec_is_not_kept() {
    let fields = nested(200);
    let metadata = format!(
        r#""metadata":{{"name":"cache","uid":"u","labels":{{"team":"a"}},"annotations":{{"cache.hera.io/fence":"*","cache.hera.iot/x":"y","kubectl.kubernetes.io/last-applied-configuration":"z"}},"managedFields":[{{"fieldsV1":{fields}}}]}}"#
    );
    let json = format!(r#"{{{metadata},"spec":{{"version":"7.2"}}}}"#);
    let object = received(&json);
    assert_eq!(object.uid().as_deref(), Some("u"));
    assert_eq!(object.labels().len(), 1);
    let kept: Vec<_> = object.annotations().keys().collect();
    assert_eq!(kept, ["cache.hera.io/fence"]);
    assert_eq!(object.metadata.managed_fields, None);
}

#[test]
fn an_object_that_cannot_be_decoded_is_known_by_name_and_says_why() {
    for spec in [r#"{"version":1}"#, "7", r#"{"policies":{"acl":"x"}}"#] {
        let json = format!(r#"{{"metadata":{{"name":"cache","namespace":"shop"}},"spec":{spec}}}"#);
        let received: Received<RedisInstance> = serde_json::from_str(&json).unwrap();
        assert_eq!(received.name_any(), "cache");
        let bad = received.0.unwrap_err();
        assert!(!bad.error.is_empty(), "{spec}");
    }
    assert!(serde_json::from_str::<Received<RedisInstance>>("[]").is_err());
}
