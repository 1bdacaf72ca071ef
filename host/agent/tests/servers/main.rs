//! The agent as a process, with real servers, on loopback. Each fact runs on several engines and
//! versions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[macro_use]
mod engine;
mod certificates;
mod client;
mod group;
mod info;
mod news;
mod pod;
mod wait;

mod backup;
mod cluster;
mod config;
mod control;
mod crash;
mod crowds;
mod damage;
mod data;
mod fencing;
mod floods;
mod following;
mod guard;
mod handover;
mod identity;
mod knocking;
mod log;
mod log_and_back;
mod metrics;
mod probes;
mod promises;
mod recovery;
mod recovery_to;
mod restarts;
mod rotation;
mod scripts;
mod space;
mod story;
mod sweep;
mod switch;
mod users;
