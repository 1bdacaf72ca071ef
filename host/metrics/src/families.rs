//! Metrics as Prometheus reads them.

use std::collections::BTreeMap;

use prometheus::proto::{
    Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};
use prometheus::{Encoder as _, TextEncoder};

/// Content type of [`Families::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Metrics of one scrape, by name.
#[derive(Debug, Default)]
pub struct Families(BTreeMap<String, MetricFamily>);

/// Names of labels and their values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Families {
    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.push(name, help, MetricType::GAUGE, metric);
    }

    /// Something that only goes up, until its process starts anew.
    pub fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.push(name, help, MetricType::COUNTER, metric);
    }

    /// Values at quantiles, with the number of all and their sum.
    pub fn summary(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        quantiles: &[(f64, f64)],
        (count, sum): (u64, f64),
    ) {
        let quantiles = quantiles.iter().map(|(quantile, value)| {
            let mut known = Quantile::default();
            known.set_quantile(*quantile);
            known.set_value(*value);
            known
        });
        let mut summary = Summary::default();
        summary.set_quantile(quantiles.collect());
        summary.set_sample_count(count);
        summary.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_summary(summary);
        self.push(name, help, MetricType::SUMMARY, metric);
    }

    /// The text that a scrape gets.
    ///
    /// # Errors
    /// None that are known: each family has a name and a metric.
    pub fn text(self) -> prometheus::Result<Vec<u8>> {
        let families: Vec<_> = self.0.into_values().collect();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }

    fn push(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    Metric::from_label(labels.collect())
}
