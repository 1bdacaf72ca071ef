//! What the guard lets through, and what it does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod ceiling;
mod fixtures;
mod guard;
mod limits;
mod model;
mod property;
mod revoke;
mod strategies;
mod withheld;
