//! Figures about the operator itself. Labels come from closed sets only.

mod moves;
mod objects;

use std::time::Duration;

use hera_api::ShadowVerdict;
use hera_metrics::Families;
use hera_policy::{Call, LoadError, Outcome};
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

pub use moves::{Moves, Place};
use objects::Objects;
pub use objects::{Figures, SlotFigures};

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    /// Passes by kind and outcome (`ok`, `waiting`, `failed`).
    pub reconciles: IntCounterVec,
    /// Seconds that a pass takes, by kind.
    pub reconcile_seconds: HistogramVec,
    /// Seconds that an object waits for its pass, by kind.
    pub reconcile_wait_seconds: HistogramVec,
    /// Steps carried out, by step.
    pub steps: IntCounterVec,
    /// Policy decisions by decision, source (`builtin`, `default`, `configMap`) and outcome (`ok`,
    /// or the reason of the fault).
    decisions: IntCounterVec,
    /// Seconds that an answer takes, by decision.
    decision_seconds: HistogramVec,
    /// Fuel that an answer takes, by decision.
    decision_fuel: HistogramVec,
    /// Answers that the guard refused, by decision and rule.
    guard_refusals: IntCounterVec,
    /// Answers of policies in a shadow, by decision and verdict.
    shadows: IntCounterVec,
    /// Modules compiled, by decision and outcome (`ok`, or why not).
    policy_loads: IntCounterVec,
    /// Modules in memory.
    pub policy_modules: IntGauge,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// 1 while the custom resource definition is missing or older than this operator.
    pub crd_outdated: IntGauge,
    /// Agents connected.
    pub agents: IntGauge,
    /// The objects, of which the replica that leads tells.
    pub objects: Objects,
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
                milli.clone(),
            )?,
            reconcile_wait_seconds: histogram(
                "hera_reconcile_wait_seconds",
                "Time that an object waits for its pass, as others have theirs",
                &["kind"],
                milli,
            )?,
            steps: counter("hera_steps_total", "Steps carried out", &["step"])?,
            decisions: counter(
                "hera_policy_decisions_total",
                "Decisions of policies",
                &["decision", "source", "outcome"],
            )?,
            decision_fuel: histogram(
                "hera_policy_decision_fuel",
                "Fuel of a policy decision",
                &["decision"],
                prometheus::exponential_buckets(10_000.0, 2.0, 14)?,
            )?,
            guard_refusals: counter(
                "hera_policy_guard_refusals_total",
                "Answers that the guard refused",
                &["decision", "rule"],
            )?,
            shadows: counter(
                "hera_policy_shadow_total",
                "Answers of policies that are only compared",
                &["decision", "verdict"],
            )?,
            policy_loads: counter(
                "hera_policy_loads_total",
                "Modules that were compiled, or could not be",
                &["decision", "outcome"],
            )?,
            policy_modules: gauge("hera_policy_modules", "Modules in memory")?,
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
            objects: Objects::default(),
            registry,
        })
    }

    /// Counts a call of the policy that decides.
    pub fn decided<A>(&self, decision: &str, call: &Call<A>) {
        let source = call.source.split(' ').next().unwrap_or_default();
        self.decisions
            .with_label_values(&[decision, source, call.outcome.name()])
            .inc();
        if let Outcome::GuardRefused { refused, .. } = &call.outcome {
            self.guard_refusals
                .with_label_values(&[decision, &refused.rule])
                .inc();
        }
        // Without an answer there is no figure.
        if call.fuel > 0 {
            let seconds = Duration::from_micros(call.micros).as_secs_f64();
            self.decision_seconds
                .with_label_values(&[decision])
                .observe(seconds);
            #[allow(clippy::cast_precision_loss, reason = "at most 50 million")]
            self.decision_fuel
                .with_label_values(&[decision])
                .observe(call.fuel as f64);
        }
    }

    /// Counts a module that was compiled, or could not be.
    pub fn loaded(&self, decision: &str, error: Option<&LoadError>) {
        let outcome = error.map_or("ok", LoadError::reason);
        self.policy_loads
            .with_label_values(&[decision, outcome])
            .inc();
    }

    /// Counts an answer of a policy that is only compared.
    pub fn compared(&self, decision: &str, verdict: ShadowVerdict) {
        let verdict = match verdict {
            ShadowVerdict::Same => "same",
            ShadowVerdict::Differs => "differs",
            ShadowVerdict::Faulty => "faulty",
            ShadowVerdict::NotLoaded => "not-loaded",
        };
        self.shadows.with_label_values(&[decision, verdict]).inc();
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        // What only the leader writes only the leader knows.
        if self.leader.get() == 1 {
            let mut families = Families::default();
            self.objects.add(&mut families);
            text.extend(families.text()?);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    const DOCS: &str = include_str!("../../../docs/metrics.md");
    const CODE: &str = concat!(
        include_str!("metrics.rs"),
        include_str!("metrics/objects.rs")
    );

    /// Whatever stands between `quote`s and begins as a metric does.
    fn named(text: &str, quote: char) -> BTreeSet<&str> {
        text.split(quote)
            .filter(|word| word.starts_with("hera_"))
            .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .collect()
    }

    #[test]
    fn every_metric_has_a_row_in_the_docs_and_every_row_a_metric() {
        let documented = named(DOCS, '`');
        let mut known = named(CODE, '"');
        // What this test looks for.
        known.remove("hera_");
        assert_eq!(known, documented);
        assert!(known.len() > 10);
    }
}
