//! Policies in the sandbox, natively, and before the guard.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod support;

mod backup;
mod cases;
mod fuzz;
mod hostile;
mod loading;
mod presets;
mod rebalance;
mod sandbox;
