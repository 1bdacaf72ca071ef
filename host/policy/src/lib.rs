//! Runs policies: sandboxed WebAssembly components that answer the operator's questions.
//!
//! [`Registry`] loads a module by its bytes, [`Policy`] asks it. What comes back is only an
//! answer: the guard of its [`Decision`] says whether it may be used.
//!
//! # Guarantees
//!
//! A policy cannot reach anything outside its instance, keep anything between calls, run past
//! [`Limits`], or crash the host. With a [`Trial`], its compilation cannot either.

pub mod builtin;
mod cases;
mod check;
mod conformance;
mod decisions;
mod description;
mod engine;
mod error;
#[cfg(test)]
mod evolution;
mod inspect;
mod limits;
mod load;
mod part;
mod policy;
mod queue;
mod record;
mod registry;
mod sandbox;
mod shape;
mod stack;
pub mod trial;
mod v0_1;

pub use cases::CaseResult;
pub use conformance::{Broken, Conformance, run as conformance};
pub use decisions::{Acl, Answered, Backup, Decision, GuardRefused, Rebalance};
pub use error::{CallError, LoadError, StartError};
pub use inspect::{Inspection, check, inspect};
pub use limits::Limits;
pub use load::encode as to_component;
pub use part::Part;
pub use policy::{Context, Decided, Policy};
pub use queue::{FairQueue, Places, Turn};
pub use record::{Call, Outcome, Record};
pub use registry::Registry;
pub use sandbox::LogLine;
pub use trial::Trial;
