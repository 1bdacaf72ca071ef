//! Data of the server in a store outside the cluster, and data from there for a new server. What opens a store comes
//! with orders and stays in memory.

pub mod checksum;
mod files;
mod head;
mod headroom;
mod link;
pub mod orders;
mod pack;
pub mod recovery;
pub mod runs;
mod snapshot;

use hera_core::backup::{Failure, FailureReason};

/// Why nothing comes of it.
fn failed(reason: FailureReason, message: impl Into<String>) -> Failure {
    Failure {
        reason,
        message: message.into(),
    }
}
