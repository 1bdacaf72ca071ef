//! Runs policies: sandboxed WebAssembly components that answer the operator's questions.
//!
//! [`Registry`] loads a module by its bytes, [`AclPolicy`] asks it. What comes back is only an
//! answer: [`hera_core::acl::guard`] says whether it may be used.
//!
//! # Guarantees
//!
//! A policy cannot reach anything outside its instance, keep anything between calls, run past
//! [`Limits`], or crash the host.
//!
//! # Caveats
//!
//! Compiling is bounded by the size of a module and of its functions, not by a clock.

mod acl;
pub mod builtin;
mod check;
mod engine;
mod error;
mod limits;
mod load;
mod registry;
mod sandbox;
mod v0_1;

pub use acl::{AclPolicy, Context, Decided};
pub use error::{CallError, LoadError, StartError};
pub use limits::Limits;
pub use registry::Registry;
pub use sandbox::LogLine;
