//! PID 1 of a data pod: parent of the server, keeper of its files.
//!
//! # Guarantees
//! - A data server never starts as a primary: its configuration ends in `replicaof 127.0.0.1 1`
//!   (redis-facts §2.6), and it refuses reads until it is promoted.
//! - A server whose data is to come from a backup does not start before it is there, or before the operator says that
//!   it comes from elsewhere.
//! - Files are written aside, synced and renamed: a crash at any point leaves a startable pod.
//! - Passwords are never on disk, only their hashes.

pub mod settings;

mod agent;
mod apply;
mod backup;
mod cluster;
mod control;
mod fence;
mod role;
mod run;
mod server;
mod state;
mod volume;

pub use run::{install, run};
