//! The controller of RedisBackup: whose turn it is, which copy is read, what its agent is ordered, what came of it; and
//! which backups go.
//!
//! The operator never touches a store: it orders, agents do. How far a backup is stands in its status, and what an
//! agent does is asked of it; what is only remembered may be lost.

pub mod access;
pub mod bases;
mod controller;
mod dropping;
pub mod known;
mod memory;
mod owner;
mod pass;
pub mod question;
pub mod record;
pub mod remove;
pub mod retention;
mod status;
pub mod target;

use known::Known;
use retention::Sweeps;

pub use controller::run;
pub use owner::{Owners, SHARD};

/// The backups that there are, and sweeps of what nothing needs.
#[derive(Default)]
pub struct Backups {
    pub known: Known,
    pub sweeps: Sweeps,
}
