use std::fmt::Write as _;

use hera_api::Metrics;
use hera_api::meta::ANNOTATION_REVISION;
use hera_api::validate::Validated;
use hera_core::digest;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

use crate::Context;

/// Hash of what in the spec needs a new pod when it changes.
///
/// # Guarantees
///
/// It depends on the spec and the image alone: a new operator, a new agent or another default of
/// rendering changes no hash, and so restarts no pod. A frozen test pins it. Nor does it depend on
/// how many pods there are, or on `failover`: what the pods must know of either, they are told.
pub fn roll_hash(v: &Validated, image: &str) -> String {
    let mut inputs = json!({
        "image": image,
        "imagePullSecrets": v.image_pull_secrets,
        "requests": v.resources.requests,
        "limits": v.resources.limits,
        "persistent": v.persistence.is_on(),
        "labels": v.pod.metadata.labels,
        "annotations": v.pod.metadata.annotations,
        "nodeSelector": v.pod.spec.node_selector,
        "affinity": v.pod.spec.affinity,
        "tolerations": v.pod.spec.tolerations,
        "topologySpreadConstraints": v.pod.spec.topology_spread_constraints,
        "priorityClassName": v.pod.spec.priority_class_name,
        "metrics": (v.metrics == Metrics::Disabled).then_some("Disabled"),
    });
    if let Some(map) = inputs.as_object_mut() {
        map.retain(|_, value| !is_empty(value));
    }
    let mut text = String::new();
    canonical(&inputs, &mut text);
    digest::sha256_hex(text.as_bytes())
        .chars()
        .take(16)
        .collect()
}

/// The revision of a pod: [`roll_hash`], and the restart that somebody asked for; or that of the
/// template that pods go back to.
pub fn pod_revision(v: &Validated, ctx: &Context) -> String {
    if let Some(revision) = ctx.rollback.as_ref().and_then(template_revision) {
        return revision.to_owned();
    }
    let hash = roll_hash(v, &ctx.image);
    match &ctx.restart {
        None => hash,
        Some(text) => {
            let restart = digest::sha256_hex(text.as_bytes());
            let short: String = restart.chars().take(8).collect();
            format!("{hash}-{short}")
        }
    }
}

/// The revision of the pods that are made from a template.
pub fn template_revision(template: &PodTemplateSpec) -> Option<&str> {
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.get(ANNOTATION_REVISION).map(String::as_str)
}

/// JSON with sorted keys and without nulls, so that neither a feature of the JSON library nor a
/// field that is added later and left alone changes a hash.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
