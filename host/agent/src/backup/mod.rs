//! Data of the server in a store outside the cluster, and data from there for a new server. What opens a store comes
//! with orders and stays in memory.

mod backlog;
pub mod checksum;
mod files;
mod head;
mod headroom;
mod job;
mod line;
mod link;
pub mod load;
pub mod log;
mod memory;
pub mod orders;
mod pack;
pub mod recovery;
pub mod runs;
mod snapshot;
pub mod sweep;

use hera_core::backup::{Failure, FailureReason};

/// As much of words is told: what a store has in its files may be in them.
const WORDS: usize = 1_000;

/// Why nothing comes of it.
fn failed(reason: FailureReason, message: impl Into<String>) -> Failure {
    let message: String = message.into();
    let told = message.chars().take(WORDS);
    let told = told.map(|c| if c.is_control() { ' ' } else { c });
    Failure::new(reason, told.collect::<String>())
}
