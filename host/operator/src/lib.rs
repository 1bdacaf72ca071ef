//! The operator: watches, decides, applies.
//!
//! `run` wires everything; each controller lies in `controllers/<kind>/`, split into what it
//! observes, what it makes of it, and what it writes. Decisions are in `hera-core`.

pub mod args;
pub mod run;
pub mod telemetry;

mod agents;
mod authority;
mod backoff;
mod controllers;
mod crd;
mod http;
mod inspect;
mod last_seen;
mod leaders;
mod metrics;
mod object;
mod policies;
mod shared;
mod terms;
mod users;
mod watches;
