//! Rendered objects.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod support;

mod facts;
mod frozen;
mod golden;
mod network_policy;
mod pod_monitor;
