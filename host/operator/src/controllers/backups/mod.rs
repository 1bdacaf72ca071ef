//! The controller of RedisBackup: whose turn it is, which copy is read, what its agent is ordered, what came of it.
//!
//! The operator never touches a store: it orders, agents do. How far a backup is stands in its status, and what an
//! agent does is asked of it; what is only remembered may be lost.

pub mod access;
mod controller;
mod memory;
mod owner;
mod pass;
mod status;
pub mod target;

pub use controller::run;
pub use owner::{Owners, SHARD};
