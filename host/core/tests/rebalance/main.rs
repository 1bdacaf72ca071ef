//! What becomes of a table of slots, and what the guard lets through.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod fixtures;
mod guard;
mod loads;
mod property;
