//! What the guard lets through of what a policy says about backups.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod guard;
mod property;
