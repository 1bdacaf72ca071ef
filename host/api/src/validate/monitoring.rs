use std::collections::BTreeMap;

use super::error::Problems;
use super::{labels, messages};
use crate::duration;
use crate::spec::{Metrics, Monitoring};

const SHORTEST_MS: u64 = 1000;
const LONGEST_MS: u64 = 3_600_000;

/// How a Prometheus of the prometheus-operator finds the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMonitor {
    /// Milliseconds between two scrapes of a pod.
    pub interval_ms: u64,
    /// Labels of the user's own for the PodMonitor.
    pub labels: BTreeMap<String, String>,
}

pub(super) fn pod_monitor(spec: &Monitoring, problems: &mut Problems) -> Option<PodMonitor> {
    let wanted = spec.pod_monitor.as_ref()?;
    let field = "spec.monitoring.podMonitor";
    if spec.metrics == Metrics::Disabled {
        problems.add(field, messages::MONITORED_HAS_METRICS);
    }
    let within = |millis: &u64| (SHORTEST_MS..=LONGEST_MS).contains(millis);
    let interval_ms = duration::parse_millis(&wanted.interval).filter(within);
    if interval_ms.is_none() {
        problems.add(format!("{field}.interval"), messages::SCRAPE_INTERVAL);
    }
    let of_labels = format!("{field}.labels");
    labels::check_keys(&of_labels, &wanted.labels, problems);
    labels::check_values(&of_labels, &wanted.labels, problems);
    Some(PodMonitor {
        interval_ms: interval_ms?,
        labels: wanted.labels.clone(),
    })
}
