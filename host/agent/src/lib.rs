//! PID 1 of a data pod: parent of the server, keeper of its files.
//!
//! # Guarantees
//! - A data server never starts as a primary: its configuration ends in `replicaof 127.0.0.1 1`
//!   (redis-facts §2.6), and it refuses reads until it is promoted.
//! - Files are written aside, synced and renamed: a crash at any point leaves a startable pod.
//! - Passwords are never on disk, only their hashes.

pub mod settings;

mod agent;
mod answer;
mod append;
mod armed;
mod board;
mod boot;
mod caller;
mod clock;
mod conf;
mod control;
mod dump;
mod durable;
mod events;
mod expiry;
mod fence;
mod files;
mod follow;
mod gauge;
mod hang;
mod held;
mod keeper;
mod leave;
mod leftover;
mod listen;
mod look;
mod members;
mod orders;
mod pauses;
mod peers;
mod probes;
mod process;
mod promote;
mod push_acl;
mod push_config;
mod reaper;
mod role;
mod room;
mod run;
mod state;
mod stop;
mod strays;
mod supervise;
mod tickets;
mod tls;
mod trial;
mod vouched;
mod words;

pub use run::{install, run};
