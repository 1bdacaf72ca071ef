use std::collections::BTreeMap;

use hera_api::meta;
use hera_api::names::{ObjectName, PodNames};
use hera_api::validate::Validated;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::Context;

/// `app.kubernetes.io/component` of the pods with data.
const COMPONENT_DATA: &str = "data";

/// The labels by which a StatefulSet finds its data pods, or a Service those of all shards. Immutable, so
/// final.
pub fn selector_labels(v: &Validated, shard: Option<u32>) -> BTreeMap<String, String> {
    let mut labels = labels(selector(&v.name));
    labels.extend(shard.map(shard_label));
    labels
}

fn shard_label(shard: u32) -> (String, String) {
    (meta::LABEL_SHARD.to_owned(), shard.to_string())
}

/// The same labels in the notation of `kubectl get pods --selector`.
pub fn pod_selector(name: &ObjectName) -> String {
    selector(name)
        .map(|(key, value)| format!("{key}={value}"))
        .join(",")
}

fn selector(name: &ObjectName) -> [(&str, &str); 3] {
    [
        (meta::LABEL_NAME, name.kind().label()),
        (meta::LABEL_INSTANCE, name.as_str()),
        (meta::LABEL_COMPONENT, COMPONENT_DATA),
    ]
}

/// The object that a child belongs to, known also where its spec is none.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

impl<'a> Owner<'a> {
    /// The object of a valid spec.
    pub fn of(v: &'a Validated, ctx: &'a Context) -> Self {
        Self {
            name: &v.name,
            namespace: &ctx.namespace,
            uid: &ctx.uid,
        }
    }
}

/// The names of the pods that are rendered.
pub(crate) fn pods(v: &Validated, ctx: &Context) -> PodNames {
    v.name.pods(ctx.shard)
}

/// Metadata of a child that belongs to the pods that are rendered, and goes with its owner.
pub(crate) fn child_of_pods(v: &Validated, ctx: &Context, name: String) -> ObjectMeta {
    let mut metadata = child(&Owner::of(v, ctx), name);
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(ctx.shard.map(shard_label));
    metadata
}

/// The labels of every object that the operator makes.
pub fn common_labels(name: &ObjectName) -> BTreeMap<String, String> {
    labels([
        (meta::LABEL_NAME, name.kind().label()),
        (meta::LABEL_INSTANCE, name.as_str()),
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
pub fn owner_reference(owner: &Owner<'_>, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: meta::API_VERSION.to_owned(),
        kind: owner.name.kind().name().to_owned(),
        name: owner.name.to_string(),
        uid: owner.uid.to_owned(),
        controller: controller.then_some(true),
        block_owner_deletion: None,
    }
}

/// Metadata of a child that goes with its owner.
pub(crate) fn child(owner: &Owner<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.namespace.to_owned()),
        labels: Some(common_labels(owner.name)),
        owner_references: Some(vec![owner_reference(owner, true)]),
        ..ObjectMeta::default()
    }
}
