//! PID 1 of a data pod: parent of the server, keeper of its files.
//!
//! # Guarantees
//! - A data server never starts as a primary: its configuration ends in `replicaof 127.0.0.1 1`
//!   (redis-facts §2.6), and it refuses reads until it is promoted.
//! - Files are written aside, synced and renamed: a crash at any point leaves a startable pod.
//! - Passwords are never on disk, only their hashes.

pub mod settings;

mod agent;
mod append;
mod board;
mod boot;
mod conf;
mod control;
mod durable;
mod files;
mod held;
mod leftover;
mod look;
mod probes;
mod process;
mod push_acl;
mod push_config;
mod reaper;
mod run;
mod state;
mod stop;
mod supervise;
mod tls;
mod trial;
mod words;

pub use run::{install, run};
