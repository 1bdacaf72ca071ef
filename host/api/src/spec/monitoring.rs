use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::messages;
use crate::{duration, schema};

/// What is told to Prometheus, and how it comes to know where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::MONITORED_HAS_METRICS).message(messages::MONITORED_HAS_METRICS))]
pub struct Monitoring {
    /// Enabled: each data pod serves metrics at port 9121, path /metrics. Disabled: none does, and the NetworkPolicy
    /// lets nobody come to that port. A change replaces the pods, as any other of how they are started.
    #[serde(default)]
    pub metrics: Metrics,

    /// A PodMonitor of the object's name, by which a Prometheus of the prometheus-operator finds the pods. Without
    /// it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_monitor: Option<PodMonitor>,
}

impl Monitoring {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether data pods serve metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metrics {
    /// They do.
    #[default]
    Enabled,
    /// They do not.
    Disabled,
}

/// How a Prometheus of the prometheus-operator finds the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitor {
    /// Between two scrapes of a pod. From 1s to 1h.
    #[serde(default = "default_interval")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::SCRAPE_INTERVAL).message(messages::SCRAPE_INTERVAL))]
    pub interval: String,

    /// Labels for the PodMonitor, such as your Prometheus selects by; the operator's own win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::monitor_labels")]
    pub labels: BTreeMap<String, String>,
}

fn default_interval() -> String {
    "30s".to_owned()
}
