use hera_api::validate::Validated;
use hera_core::agent::METRICS_PORT;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Context, Owner, metadata, pod};

/// A PodMonitor of the prometheus-operator, of which there is no generated type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitor {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    /// Whatever somebody else wrote: only what is made here is looked into.
    #[serde(default)]
    spec: Value,
}

impl Resource for PodMonitor {
    const API_VERSION: &'static str = "monitoring.coreos.com/v1";
    const GROUP: &'static str = "monitoring.coreos.com";
    const KIND: &'static str = "PodMonitor";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "podmonitors";
    type Scope = NamespaceResourceScope;
}

impl Metadata for PodMonitor {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Leads a Prometheus of the prometheus-operator to the data pods of an object. None where the spec wants none.
///
/// The port of the metrics is none that the pods declare, as to declare it would replace every pod. Prometheus makes
/// a target of each declared port alone, and both fields for a number (`targetPort`, which is deprecated, and the newer
/// `portNumber`) only choose among these. So the target of the probes' port is taken, by its name, and led to the
/// other one, which every prometheus-operator can do.
pub fn build_pod_monitor(v: &Validated, ctx: &Context) -> Option<PodMonitor> {
    let wanted = v.pod_monitor.as_ref()?;
    let mut child = metadata::child(&Owner::of(v, ctx), v.name.pod_monitor());
    let mut labels = wanted.labels.clone();
    labels.extend(child.labels.take().unwrap_or_default());
    child.labels = Some(labels);
    let endpoint = json!({
        "port": pod::PROBES,
        "path": "/metrics",
        "interval": prometheus_duration(wanted.interval_ms),
        "relabelings": [
            {
                "action": "replace",
                // An address of IPv6 keeps its brackets.
                "sourceLabels": ["__address__"],
                "regex": "(.+):[0-9]+",
                "targetLabel": "__address__",
                "replacement": format!("$1:{METRICS_PORT}"),
            },
            // The labels by which rules and dashboards go (deploy/monitoring), in the words of the operator's metrics.
            {"action": "replace", "targetLabel": "kind", "replacement": v.name.kind().name().to_lowercase()},
            {"action": "replace", "targetLabel": "name", "replacement": v.name.as_str()},
            {
                "action": "replace",
                "sourceLabels": ["__meta_kubernetes_pod_label_cache_hera_io_shard"],
                "targetLabel": "shard",
            },
            {"action": "replace", "targetLabel": "job", "replacement": "hera-data"},
            {"action": "replace", "targetLabel": "endpoint", "replacement": "metrics"},
        ],
    });
    Some(PodMonitor {
        api_version: PodMonitor::API_VERSION.to_owned(),
        kind: PodMonitor::KIND.to_owned(),
        metadata: child,
        spec: json!({
            "selector": {"matchLabels": metadata::selector_labels(v, None)},
            "podMetricsEndpoints": [endpoint],
        }),
    })
}

/// Prometheus reads no fractions, which Go's notation has.
fn prometheus_duration(millis: u64) -> String {
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}
