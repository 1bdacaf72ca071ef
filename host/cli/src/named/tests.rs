//! Names, and what they lead to. The objects serve other tests, too.

use serde_json::json;

use super::*;

/// An instance `shop/cart` with this spec beside the version, and this status.
pub fn instance(status: serde_json::Value) -> Object {
    let object = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"version": "7.2", "replicas": 3},
        "status": status,
    });
    Object::Instance(serde_json::from_value(object).unwrap())
}

/// A cluster `shop/cart` with this status.
pub fn cluster(status: serde_json::Value) -> Object {
    let object = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"version": "7.2"},
        "status": status,
    });
    Object::Cluster(serde_json::from_value(object).unwrap())
}

/// What is called so.
pub fn target(spelled: &str) -> Target {
    spelled.parse().unwrap()
}

fn forbidden() -> kube::Error {
    let status = json!({"status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
    kube::Error::Api(serde_json::from_value(status).unwrap())
}

fn chosen(
    spelled: &str,
    instance: kube::Result<Option<Object>>,
    cluster: kube::Result<Option<Object>>,
) -> Result<Kind, String> {
    let found = target(spelled).choose("shop", instance, cluster);
    found
        .map(|object| object.kind())
        .map_err(|error| error.to_string())
}

#[test]
fn a_kind_is_named_as_kubectl_takes_it() {
    let kind = |word: &str| target(&format!("{word}/cart")).kind;
    for word in [
        "ri",
        "redisinstance",
        "redisinstances",
        "RedisInstance",
        "redisinstances.cache.hera.io",
    ] {
        assert_eq!(kind(word), Some(Kind::RedisInstance), "{word}");
    }
    for word in ["rdc", "RDC", "rediscluster", "redisclusters"] {
        assert_eq!(kind(word), Some(Kind::RedisCluster), "{word}");
    }
    assert_eq!(target("cart").kind, None);
    assert_eq!(target("rdc/cart").name(), "cart");
    assert_eq!(target("rdc/cart").to_string(), "rdc/cart");
}

#[test]
fn other_kinds_and_no_name_are_refused() {
    let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
    assert!(error("pod/cart").contains("pod is no kind"));
    assert!(error("ri.apps/cart").contains("ri.apps is no kind"));
    for text in ["", "ri/", "ri/a/b"] {
        assert_eq!(error(text), "say NAME, ri/NAME or rdc/NAME");
    }
}

#[test]
fn a_name_alone_means_whichever_there_is() {
    let (one, other) = (|| instance(json!({})), || cluster(json!({})));
    assert_eq!(
        chosen("cart", Ok(Some(one())), Ok(None)),
        Ok(Kind::RedisInstance)
    );
    assert_eq!(
        chosen("cart", Ok(None), Ok(Some(other()))),
        Ok(Kind::RedisCluster)
    );
    let both = chosen("cart", Ok(Some(one())), Ok(Some(other()))).unwrap_err();
    assert!(both.ends_with("say ri/cart or rdc/cart"), "{both}");
    let none = chosen("cart", Ok(None), Ok(None)).unwrap_err();
    assert_eq!(
        none,
        "there is no RedisInstance or RedisCluster cart in namespace shop"
    );
    let none = chosen("rdc/cart", Ok(None), Ok(None)).unwrap_err();
    assert_eq!(none, "there is no RedisCluster cart in namespace shop");
}

#[test]
fn who_may_look_at_one_kind_alone_means_that_one() {
    let one = || instance(json!({}));
    assert_eq!(
        chosen("cart", Ok(Some(one())), Err(forbidden())),
        Ok(Kind::RedisInstance)
    );
    let none = chosen("cart", Ok(None), Err(forbidden()));
    assert!(none.unwrap_err().contains("no"));
}
