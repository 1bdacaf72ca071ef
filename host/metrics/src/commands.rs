//! Statistics of each command and each kind of error.

use std::collections::BTreeSet;

use crate::families::Families;
use crate::info::{Info, number, parts};

/// Commands that are shown. Each has up to nine series.
const COMMANDS: usize = 28;
/// Kinds of errors that are shown: scripts make up their own.
const ERRORS: usize = 16;

/// What is shown, once and for all: those that were called most when they were seen first.
#[derive(Debug, Default)]
pub struct Shown {
    commands: BTreeSet<String>,
    errors: BTreeSet<String>,
}

/// A line of statistics: its name, its parts, and how often it was counted.
struct Counted<'a> {
    name: &'a str,
    value: &'a str,
    count: f64,
}

impl Shown {
    pub fn add(&mut self, info: &Info<'_>, families: &mut Families) {
        // cmdstat_get:calls=21,usec=175,usec_per_call=8.33,rejected_calls=0,failed_calls=0
        let commands = counted(info, "cmdstat_", "calls");
        let left_out = choose(&mut self.commands, &commands, COMMANDS);
        let help = "Commands that were called and have no metrics, as there is no room for them.";
        families.gauge("hera_commands_left_out", help, &[], left_out);
        for command in commands.iter().filter(|c| self.commands.contains(c.name)) {
            add_command(command, families);
            if let Some(value) = info.text(&format!("latency_percentiles_usec_{}", command.name)) {
                add_percentiles(command, value, families);
            }
        }
        // errorstat_WRONGTYPE:count=2
        let errors = counted(info, "errorstat_", "count");
        choose(&mut self.errors, &errors, ERRORS);
        for error in errors.iter().filter(|e| self.errors.contains(e.name)) {
            let labels = [("err", error.name)];
            let help = "Errors that clients got, by their first word.";
            families.counter("redis_errors_total", help, &labels, error.count);
        }
    }
}

fn counted<'a>(info: &Info<'a>, prefix: &str, count: &str) -> Vec<Counted<'a>> {
    let lines = info.under(prefix).filter_map(|(name, value)| {
        let count = number(parts(value).get(count)?)?;
        Some(Counted { name, value, count })
    });
    lines.collect()
}

/// Fills what room there is, and tells how many have none.
fn choose(shown: &mut BTreeSet<String>, counted: &[Counted<'_>], room: usize) -> f64 {
    let mut others: Vec<_> = counted.iter().filter(|c| !shown.contains(c.name)).collect();
    others.sort_by(|one, other| other.count.total_cmp(&one.count));
    let free = room.saturating_sub(shown.len()).min(others.len());
    let (chosen, left) = others.split_at(free);
    shown.extend(chosen.iter().map(|counted| counted.name.to_owned()));
    u32::try_from(left.len()).map_or(f64::MAX, f64::from)
}

fn add_command(command: &Counted<'_>, families: &mut Families) {
    let labels = [("cmd", command.name)];
    let parts = parts(command.value);
    let part = |name: &str| parts.get(name).and_then(|value| number(value));
    let help = "Calls of a command.";
    families.counter("redis_commands_total", help, &labels, command.count);
    if let Some(micros) = part("usec") {
        let help = "Time that calls of a command took.";
        let seconds = micros / 1e6;
        families.counter(
            "redis_commands_duration_seconds_total",
            help,
            &labels,
            seconds,
        );
    }
    for (field, name, help) in [
        (
            "rejected_calls",
            "redis_commands_rejected_calls_total",
            "Calls that were refused before they ran.",
        ),
        (
            "failed_calls",
            "redis_commands_failed_calls_total",
            "Calls that failed while they ran.",
        ),
    ] {
        if let Some(count) = part(field) {
            families.counter(name, help, &labels, count);
        }
    }
}

/// p50=8.031,p99=21.119,p99.9=21.119
fn add_percentiles(command: &Counted<'_>, value: &str, families: &mut Families) {
    let quantiles = parts(value).into_iter().filter_map(|(name, value)| {
        let percent = number(name.strip_prefix('p')?)?;
        Some((percent / 100.0, number(value)?))
    });
    let mut quantiles: Vec<(f64, f64)> = quantiles.collect();
    quantiles.sort_by(|one, other| one.0.total_cmp(&other.0));
    // As many as servers keep unless somebody wants more.
    quantiles.truncate(3);
    let parts = parts(command.value);
    let whole = |name: &str| parts.get(name).and_then(|value| value.parse::<u64>().ok());
    let sum = parts.get("usec").and_then(|value| number(value));
    let (Some(count), Some(sum)) = (whole("calls"), sum) else {
        return;
    };
    let help = "Time that calls of a command took, in microseconds.";
    let labels = [("cmd", command.name)];
    families.summary(
        "redis_latency_percentiles_usec",
        help,
        &labels,
        &quantiles,
        (count, sum),
    );
}
