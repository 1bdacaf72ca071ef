//! Which annotation a request writes.

use super::*;
use crate::named::tests::{cluster, instance, target};

fn fenced(mut object: Object, names: Option<&str>) -> Object {
    let metadata = match &mut object {
        Object::Instance(object) => &mut object.metadata,
        Object::Cluster(object) => &mut object.metadata,
    };
    let names = names.map(|names| (ANNOTATION_FENCE.to_owned(), names.to_owned()));
    metadata.annotations = Some(names.into_iter().collect());
    object
}

fn waits(copies: &serde_json::Value) -> serde_json::Value {
    let since = "2026-11-28T00:00:00Z";
    json!({"approval": {"digest": "aa", "since": since, "copies": copies}})
}

fn copy(pod: &str, digest: &str) -> serde_json::Value {
    json!({"pod": pod, "digest": digest, "keys": 7, "bytes": 9, "epoch": 3, "left": false})
}

#[test]
fn a_copy_is_chosen_by_its_pod_and_approved_by_its_digest() {
    let choose = |pod: &str| Request::Approve {
        target: target("cart"),
        digest: None,
        copy: Some(pod.into()),
        yes: false,
    };
    let unasked = instance(json!({}));
    assert!(
        annotation(&choose("cart-1"), &unasked).is_err(),
        "not asked"
    );
    let status = waits(&json!([copy("cart-0", "bb"), copy("cart-1", "cc")]));
    let object = instance(status.clone());
    let chosen = annotation(&choose("cart-1"), &object).unwrap();
    assert_eq!(chosen.1.as_deref(), Some("cc"));
    assert!(annotation(&choose("cart-2"), &object).is_err());
    let words = annotation(&choose("cart-1"), &cluster(status)).unwrap_err();
    assert!(words.to_string().contains("delete the claim"), "{words}");
}

#[test]
fn what_waits_is_approved_by_its_digest_and_copies_are_not() {
    let ask = |object: &Object| what_waits(&target("cart"), object, true);
    assert!(ask(&instance(json!({}))).is_err(), "nothing waits");
    for object in [instance, cluster] {
        assert_eq!(ask(&object(waits(&json!([])))).unwrap(), "aa");
    }
    let copies = waits(&json!([copy("cart-0", "bb")]));
    let words = ask(&instance(copies)).unwrap_err().to_string();
    assert!(
        words.contains("--copy") && words.contains("cart-0"),
        "{words}"
    );
}

#[test]
fn the_first_replica_that_is_ready_and_stays_is_promoted() {
    let pod = |name: &str, role: &str, ready: &str, goes: bool| -> Pod {
        let mut metadata = json!({"name": name, "labels": {LABEL_ROLE: role}});
        if goes {
            metadata["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
        }
        let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    };
    let pods = [
        pod("cart-4", "replica", "True", false),
        pod("cart-0", "replica", "False", false),
        pod("cart-1", "replica", "True", true),
        pod("cart-2", "primary", "True", false),
        pod("cart-3", "replica", "True", false),
    ];
    let first = |pods: &[Pod]| ready_replica(&target("cart"), pods);
    assert_eq!(first(&pods).unwrap(), "cart-3");
    let words = first(&pods[1..4]).unwrap_err().to_string();
    assert!(words.contains("kubectl hera status cart"), "{words}");
}

#[test]
fn of_a_cluster_the_pod_that_is_to_lead_is_named() {
    let status = json!({"shards": [
        {"id": 0, "primary": "cart-shard-0-0", "replicas": ["cart-shard-0-1"]},
        {"id": 1, "primary": "cart-shard-1-1", "replicas": ["cart-shard-1-0"]},
    ]});
    let target = target("rdc/cart");
    let words = named_only(&target, &cluster(status))
        .unwrap_err()
        .to_string();
    assert!(
        words.contains("kubectl hera promote rdc/cart POD"),
        "{words}"
    );
    assert!(words.ends_with("in sync are cart-shard-0-1, cart-shard-1-0"));
    assert!(named_only(&target, &instance(json!({}))).is_ok());
    let promote = Request::Promote {
        target,
        pod: Some("cart-shard-1-0".into()),
    };
    let (name, value, what) = annotation(&promote, &cluster(json!({}))).unwrap();
    assert_eq!(name, ANNOTATION_PROMOTE);
    assert_eq!(value.as_deref(), Some("cart-shard-1-0"));
    assert_eq!(what, "cart-shard-1-0 becomes the primary of its shard");
}

#[test]
fn fences_add_up_and_are_lifted_one_by_one_or_together() {
    for object in [instance, cluster] {
        let ask = |request: &Request, names| {
            annotation(request, &fenced(object(json!({})), names)).map(|asked| asked.1)
        };
        let value = |request: &Request, names| ask(request, names).unwrap();
        let fence = Request::Fence {
            target: target("cart"),
            pods: vec!["cart-2".into()],
        };
        assert_eq!(value(&fence, None).as_deref(), Some("cart-2"));
        let more = value(&fence, Some("cart-1"));
        assert_eq!(more.as_deref(), Some("cart-1,cart-2"));
        let unfence = |pods: &[&str]| Request::Unfence {
            target: target("cart"),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
        };
        let both = Some("cart-1, cart-2");
        let less = value(&unfence(&["cart-1"]), both);
        assert_eq!(less.as_deref(), Some("cart-2"));
        assert_eq!(value(&unfence(&[]), both), None);
        assert!(ask(&unfence(&["cart-9"]), both).is_err());
    }
}

#[test]
fn a_password_that_the_operator_makes_is_replaced_and_one_of_the_users_is_not() {
    let rotate = Request::Rotate {
        target: target("cart"),
        replication: false,
    };
    for object in [instance(json!({})), cluster(json!({}))] {
        let (name, value, what) = annotation(&rotate, &object).unwrap();
        assert_eq!(name, ANNOTATION_ROTATE);
        assert!(value.is_some());
        assert!(
            what.contains("cart-app") && what.contains("for 1h"),
            "{what}"
        );
    }
    let Object::Instance(mut own) = instance(json!({})) else {
        panic!("no instance");
    };
    let mine = json!({"passwordSecretRef": {"name": "mine"}});
    own.spec.common.auth = serde_json::from_value(mine).unwrap();
    let own = Object::Instance(own);
    let words = annotation(&rotate, &own).unwrap_err();
    let words = words.to_string();
    assert!(
        words.contains("Secret mine") && words.contains("nextKey"),
        "{words}"
    );
    // That of replication is the operator's, whoever keeps the application's.
    let rotate = Request::Rotate {
        target: target("cart"),
        replication: true,
    };
    for object in [own, cluster(json!({}))] {
        let (name, value, what) = annotation(&rotate, &object).unwrap();
        assert_eq!(name, ANNOTATION_ROTATE_REPLICATION);
        assert!(value.is_some() && what.contains("of replication"), "{what}");
    }
}
