//! A small model of an instance with two to five data pods: servers, their agents, two operators, the
//! API server and a fallible network. It is stepped at random and held against the guarantees of
//! design §7; `docs/simulation.md` says what is in it.
//!
//! The fence is the real one ([`hera_core::fence`]), and so are the operator's decisions
//! ([`hera_core::instance`]); the rules of the agent (`pod`) are small functions here that say the same
//! as the real ones.

#![expect(
    clippy::indexing_slicing,
    reason = "a wrong index is a fault of the model, and is to stop it"
)]

mod data;
mod history;
mod net;
mod operator;
mod pod;
mod rules;
mod story;
mod world;

pub use data::Data;
pub use history::{Outcome, Tally, run};
pub use operator::Operator;
pub use pod::{Persistence, Pod, Process, Role};
pub use rules::{Fault, Rules};
pub use story::{NEVER_MS, SHORT_MS, Seen, Step, Story, TERM};
pub use world::{Api, Breach, Guarantee, Setup, World};
