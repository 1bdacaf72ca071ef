use std::collections::BTreeMap;

use hera_api::meta;
use hera_api::validate::Validated;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::Context;

/// `app.kubernetes.io/name` of everything that belongs to a `RedisInstance`, whatever its engine.
const NAME: &str = "redis-instance";
/// `app.kubernetes.io/component` of the pods with data.
const COMPONENT_DATA: &str = "data";

/// The labels by which a StatefulSet and a Service find the data pods. Immutable, so final.
pub fn selector_labels(v: &Validated) -> BTreeMap<String, String> {
    labels([
        (meta::LABEL_NAME, NAME),
        (meta::LABEL_INSTANCE, v.name.as_str()),
        (meta::LABEL_COMPONENT, COMPONENT_DATA),
    ])
}

/// The labels of every object that the operator makes.
pub fn common_labels(v: &Validated) -> BTreeMap<String, String> {
    labels([
        (meta::LABEL_NAME, NAME),
        (meta::LABEL_INSTANCE, v.name.as_str()),
        (meta::LABEL_MANAGED_BY, meta::MANAGED_BY),
    ])
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The object as an owner. It does not block its own deletion: that would need a right to the
/// object's finalizers.
pub fn owner_reference(v: &Validated, ctx: &Context, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: meta::API_VERSION.to_owned(),
        kind: "RedisInstance".to_owned(),
        name: v.name.to_string(),
        uid: ctx.uid.clone(),
        controller: controller.then_some(true),
        block_owner_deletion: None,
    }
}

/// Metadata of a child that goes with its owner.
pub(crate) fn child(v: &Validated, ctx: &Context, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(ctx.namespace.clone()),
        labels: Some(common_labels(v)),
        owner_references: Some(vec![owner_reference(v, ctx, true)]),
        ..ObjectMeta::default()
    }
}
