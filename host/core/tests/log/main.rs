//! The log of a shard, kept by agents that freeze, crash and have other clocks, of servers that fail over: whatever is
//! recovered from it is what was written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod agent;
#[path = "../reshard/dice.rs"]
mod dice;
mod play;
mod properties;
mod recover;
mod store;
mod stories;
mod streams;
mod sweep;
mod sweeps;
mod world;
