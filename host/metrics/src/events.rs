//! What took long: the log of slow commands, and the latency monitor.

use crate::families::Families;

/// Kinds of events that are shown; servers know about twenty.
const EVENTS: usize = 16;

/// What the log of slow commands says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slowest {
    /// Commands in it.
    pub length: Option<u64>,
    /// Id of the last one, and how long that took, in microseconds.
    pub last: Option<(u64, u64)>,
}

/// One line of `LATENCY LATEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyEvent {
    /// What took long.
    pub name: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// How long, in milliseconds.
    pub took_ms: u64,
}

pub fn add(slowest: Slowest, events: &[LatencyEvent], families: &mut Families) {
    if let Some(length) = slowest.length {
        let help = "Commands in the log of slow ones.";
        families.gauge("redis_slowlog_length", help, &[], float(length));
    }
    let (id, micros) = slowest.last.unwrap_or_default();
    let help = "Id of the last slow command.";
    families.gauge("redis_slowlog_last_id", help, &[], float(id));
    let help = "How long the last slow command took.";
    let seconds = float(micros) / 1e6;
    families.gauge(
        "redis_last_slow_execution_duration_seconds",
        help,
        &[],
        seconds,
    );
    for event in events.iter().take(EVENTS) {
        let labels = [("event_name", event.name.as_str())];
        let help = "When something took long last, in seconds since 1970.";
        families.gauge("redis_latency_spike_last", help, &labels, float(event.at));
        let help = "How long it took.";
        let seconds = float(event.took_ms) / 1e3;
        families.gauge(
            "redis_latency_spike_duration_seconds",
            help,
            &labels,
            seconds,
        );
    }
}

/// Counts of servers are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
