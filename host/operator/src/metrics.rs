//! Figures about the operator itself. Labels come from closed sets only.

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    /// Passes by kind and outcome (`ok`, `waiting`, `failed`).
    pub reconciles: IntCounterVec,
    /// Seconds that a pass takes, by kind.
    pub reconcile_seconds: HistogramVec,
    /// Steps carried out, by step.
    pub steps: IntCounterVec,
    /// Policy decisions by decision and outcome (`ok`, or the reason of the fault).
    pub decisions: IntCounterVec,
    /// Seconds that a policy decision takes, by decision.
    pub decision_seconds: HistogramVec,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// 1 while the custom resource definition is missing or older than this operator.
    pub crd_outdated: IntGauge,
    /// Agents connected.
    pub agents: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: Vec<f64>| {
            let opts = HistogramOpts::new(name, help).buckets(buckets);
            let histogram = HistogramVec::new(opts, labels)?;
            registry.register(Box::new(histogram.clone()))?;
            prometheus::Result::Ok(histogram)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let micro = prometheus::exponential_buckets(0.000_02, 2.0, 14)?;
        let milli = prometheus::exponential_buckets(0.002, 2.0, 14)?;
        Ok(Self {
            reconciles: counter("hera_reconciles_total", "Passes", &["kind", "outcome"])?,
            reconcile_seconds: histogram(
                "hera_reconcile_seconds",
                "Duration of a pass",
                &["kind"],
                milli,
            )?,
            steps: counter("hera_steps_total", "Steps carried out", &["step"])?,
            decisions: counter(
                "hera_policy_decisions_total",
                "Decisions of policies",
                &["decision", "outcome"],
            )?,
            decision_seconds: histogram(
                "hera_policy_decision_seconds",
                "Duration of a policy decision",
                &["decision"],
                micro,
            )?,
            leader: gauge("hera_leader", "1 while this replica leads")?,
            crd_outdated: gauge(
                "hera_crd_outdated",
                "1 while the custom resource definition is missing or too old",
            )?,
            agents: gauge("hera_agents_connected", "Agents connected")?,
            registry,
        })
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
