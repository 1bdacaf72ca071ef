//! Talks RESP to one server: reads what it is, and carries out what was decided elsewhere.
//!
//! # Guarantees
//! - Every call has a time limit ([`Timeouts`]), but for what a person types ([`Session`]).
//! - An error answer of the server is told apart from no answer: a server that says LOADING, BUSY
//!   or NOAUTH is alive ([`Error::is_answer`], [`Answer`]).
//! - Passwords and hashes appear in no error, log or `Debug` output.

mod acl;
mod address;
mod answer;
mod categories;
mod cluster;
mod config;
mod error;
mod info;
pub mod nodes_conf;
mod roles;
mod scripts;
mod server;
mod session;
mod slot_jobs;
mod slot_stats;
mod slots;

pub use acl::{ListedUser, Patterns, parse_acl_line, patterns};
pub use address::{Address, Credentials, Timeouts};
pub use answer::Answer;
pub use config::ConfigSet;
pub use error::Error;
pub use info::{
    Append, Engine, InfoError, MasterLink, Replication, ServerInfo, ServerRole, Snapshot,
};
pub use roles::Shutdown;
pub use scripts::ScriptEnd;
pub use server::{Probe, Server};
pub use session::Session;
pub use slot_jobs::{JobState, SlotJob};
pub use slot_stats::{SlotStat, SlotStats};
pub use slots::{KeysOfSlot, Migrated, Migration, Sent, SlotOf};

pub use redis::{Cmd, ServerError, Value, cmd as command};
