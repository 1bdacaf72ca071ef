//! What a server says of itself, as metrics under the names of redis_exporter, which dashboards and rules of
//! others ask for (redis-facts §6.1).
//!
//! Pure: texts in, text out. What makes series (commands, errors, databases, replicas, events) is bounded, so that
//! a pod has at most [`MOST_SERIES`] of them whatever its clients do.

mod cluster;
mod commands;
mod events;
mod families;
mod fields;
mod info;
mod keyspace;
mod replication;

pub use events::{LatencyEvent, Slowest};
pub use families::{CONTENT_TYPE, Families};

use commands::Shown;
use info::Info;

/// Most series of one pod: a budget that this crate's tests hold it to.
pub const MOST_SERIES: usize = 500;

/// What a server answered at one scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers<'a> {
    /// Its `INFO`, with the statistics of commands, errors and latency.
    pub info: &'a str,
    /// Its `CLUSTER INFO`, if it is in a cluster.
    pub cluster: Option<&'a str>,
    /// Its log of slow commands.
    pub slowest: Slowest,
    /// What it says took long lately.
    pub events: &'a [LatencyEvent],
    /// Milliseconds since 1970, where the server does not tell the time.
    pub now_ms: u64,
}

/// Turns answers into metrics. Kept from scrape to scrape: of commands and errors more than there is room for,
/// those that were there first stay, as a counter that comes and goes counts nothing.
#[derive(Debug, Default)]
pub struct Exporter {
    shown: Shown,
}

impl Exporter {
    /// What of a server's answers there are metrics for.
    pub fn of_server(&mut self, answers: &Answers<'_>, families: &mut Families) {
        let info = Info::of(answers.info);
        fields::add(&info, families);
        fields::add_instance(&info, families);
        fields::add_ages(&info, answers.now_ms, families);
        keyspace::add(&info, families);
        replication::add(&info, families);
        self.shown.add(&info, families);
        events::add(answers.slowest, answers.events, families);
        if let Some(text) = answers.cluster {
            cluster::add(&Info::of(text), families);
        }
    }
}

#[cfg(test)]
mod tests;
