//! What end-to-end scenarios need: a running testbed with the operator installed, a namespace for
//! each scenario, waits with a bound and a reason, clients that remember what was acknowledged.
//!
//! The scenarios stand in `tests/scenarios`. `make testbed-up image` first, then
//! `cargo test -p hera-tests-e2e`, with the name of a scenario or a part of it to run only that.

mod audit;
mod bed;
mod children;
mod cluster;
mod content;
mod ends;
mod figures;
mod forger;
mod http;
mod insider;
mod instance;
mod keyspace;
mod modules;
pub mod monitors;
mod operator;
mod pace;
mod patient;
pub mod plugin;
mod prometheus;
mod proxy;
mod resp;
mod runner;
mod settled;
mod space;
mod store;
mod usage;
mod verifier;
mod wait;
mod writer;

pub use audit::{Audit, Request};
pub use bed::Bed;
pub use children::Children;
pub use cluster::{Cluster, holds};
pub use content::Content;
pub use ends::EndsWatch;
pub use figures::{Figures, millis};
pub use forger::Forger;
pub use hera_testbed::{Fault, Signal};
pub use instance::{Instance, manifest};
pub use keyspace::{Keyspace, slot_of};
pub use modules::{Module, module, oversized, padded};
pub use operator::Operator;
pub use patient::Patient;
pub use prometheus::{Alert, Prometheus};
pub use resp::{Login, is_denied, is_wrong_login, text};
pub use runner::{Phase, Scenario, run};
pub use settled::Settled;
pub use space::Space;
pub use store::{STORE_SECRET, Store, put_key};
pub use usage::Usage;
pub use verifier::{Report, Verifier};
pub use wait::{not_yet, wait_for, wait_within};
pub use writer::{Acknowledged, Lane, Writer, Written};
