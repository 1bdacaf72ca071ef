//! What prometheus-operator makes of `deploy/monitoring`, where there is none: its monitors as what a Prometheus
//! scrapes, its rules as a file.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::Bed;

const FOLDER: &str = "deploy/monitoring";

/// What the `PodMonitor` finds in a namespace.
///
/// # Errors
/// When it lacks what is needed.
pub fn pods(bed: &Bed, namespace: &str) -> Result<Value> {
    let monitor = object(bed, "podmonitor.yaml")?;
    let endpoint = part(&monitor, "/spec/podMetricsEndpoints/0")?;
    let mut rules = selected("pod", &monitor)?;
    let port = part(endpoint, "/port")?;
    rules.push(keep("__meta_kubernetes_pod_container_port_name", port));
    rules.extend([
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_name", "pod"),
    ]);
    job(bed, "pod", namespace, endpoint, rules)
}

/// What the `ServiceMonitor` finds: the replicas of the operator.
///
/// # Errors
/// When it lacks what is needed.
pub fn operator(bed: &Bed) -> Result<Value> {
    let monitor = object(bed, "servicemonitor.yaml")?;
    let endpoint = part(&monitor, "/spec/endpoints/0")?;
    let mut rules = selected("service", &monitor)?;
    let port = part(endpoint, "/port")?;
    rules.push(keep("__meta_kubernetes_endpointslice_port_name", port));
    let label = part(&monitor, "/spec/jobLabel")?.as_str();
    let job_name = meta("service", label.unwrap_or_default());
    rules.extend([
        copy("__meta_kubernetes_namespace", "namespace"),
        copy("__meta_kubernetes_pod_name", "pod"),
        copy(&job_name, "job"),
    ]);
    let namespace = part(&monitor, "/metadata/namespace")?.as_str();
    let namespace = namespace.context("no namespace")?;
    job(bed, "endpointslice", namespace, endpoint, rules)
}

/// The rules, cut out as the docs say. What an alert has to wait for is `hold` instead.
///
/// # Errors
/// When there are none.
pub fn rules(bed: &Bed, hold: &str) -> Result<String> {
    let text = read(bed, "rules.yaml")?;
    let (_, spec) = text.split_once("\nspec:\n").context("no spec")?;
    let lines = spec.lines().map(|line| {
        let line = line.strip_prefix("  ").unwrap_or(line);
        match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: {hold}\n"),
            _ => format!("{line}\n"),
        }
    });
    Ok(lines.collect())
}

/// A dashboard.
///
/// # Errors
/// When it is none.
pub fn dashboard(bed: &Bed, name: &str) -> Result<Value> {
    let text = read(bed, &format!("dashboards/{name}.json"))?;
    serde_json::from_str(&text).with_context(|| name.to_owned())
}

fn read(bed: &Bed, name: &str) -> Result<String> {
    let path = bed.repo().join(FOLDER).join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn object(bed: &Bed, name: &str) -> Result<Value> {
    serde_saphyr::from_str(&read(bed, name)?).with_context(|| name.to_owned())
}

fn part<'a>(value: &'a Value, pointer: &str) -> Result<&'a Value> {
    value
        .pointer(pointer)
        .with_context(|| format!("no {pointer} in {value}"))
}

/// The name under which Prometheus finds a label of a Kubernetes object.
fn meta(role: &str, label: &str) -> String {
    let label: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("__meta_kubernetes_{role}_label_{label}")
}

fn selected(role: &str, monitor: &Value) -> Result<Vec<Value>> {
    let labels = part(monitor, "/spec/selector/matchLabels")?.as_object();
    let labels = labels.context("no labels")?;
    let kept = labels
        .iter()
        .map(|(label, value)| keep(&meta(role, label), value));
    Ok(kept.collect())
}

fn keep(source: &str, value: &Value) -> Value {
    json!({"source_labels": [source], "regex": value, "action": "keep"})
}

fn copy(source: &str, target: &str) -> Value {
    json!({"source_labels": [source], "target_label": target})
}

/// A rule of a monitor as Prometheus spells it.
fn spelled(rule: &Value) -> Value {
    let fields = rule.as_object().into_iter().flatten();
    let renamed = fields.map(|(name, value)| {
        let name = match name.as_str() {
            "sourceLabels" => "source_labels",
            "targetLabel" => "target_label",
            other => other,
        };
        (name.to_owned(), value.clone())
    });
    renamed.collect()
}

fn job(
    bed: &Bed,
    role: &str,
    namespace: &str,
    endpoint: &Value,
    mut rules: Vec<Value>,
) -> Result<Value> {
    let own = endpoint.pointer("/relabelings").and_then(Value::as_array);
    rules.extend(own.into_iter().flatten().map(spelled));
    let honor = endpoint.pointer("/honorLabels").and_then(Value::as_bool);
    Ok(json!({
        "job_name": format!("by {role}"),
        "metrics_path": part(endpoint, "/path")?,
        "honor_labels": honor.unwrap_or(false),
        "kubernetes_sd_configs": [{
            "role": role,
            "kubeconfig_file": bed.testbed.kubeconfig(),
            "namespaces": {"names": [namespace]},
        }],
        "relabel_configs": rules,
    }))
}
