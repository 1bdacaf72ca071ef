//! Slots that move, played to the end on servers that die, forget and hear late.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod agents;
mod dice;
mod play;
mod property;
mod stories;
mod world;
