//! How a password is replaced, whatever happens between two steps.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod properties;
mod replication;
mod steps;
mod world;
