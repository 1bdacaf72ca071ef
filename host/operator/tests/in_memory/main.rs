//! The operator's program against an API server in memory: what needs neither servers nor a cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod api_server;
mod cluster;
#[path = "../../../policy/guests.rs"]
mod guests;

mod backups;
mod clusters;
mod deletion;
mod fences;
mod foreign;
mod images;
mod large;
mod log;
mod monitoring;
mod network;
mod passwords;
mod paused;
mod rebalancing;
mod recovery;
mod refusals;
mod replication_password;
mod rest;
mod retention;
mod rights;
mod schedules;
mod settling;
mod tenants;
