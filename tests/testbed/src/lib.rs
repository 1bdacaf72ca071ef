//! A real Kubernetes cluster of several nodes on one Linux machine.
//!
//! The binary brings it up and takes it down; this library is for tests: [`Testbed`] finds a
//! running cluster and breaks parts of it, [`servers`] gives server binaries for loopback, [`gateway`] a store for
//! backups.

mod audit;
mod cache;
mod cgroup;
mod clean;
mod cluster;
mod control;
mod faults;
pub mod gateway;
pub mod images;
mod install;
mod layout;
pub mod names;
mod network;
mod node;
mod owner;
mod pki;
mod process;
mod programs;
pub mod provisioner;
mod run;
pub mod servers;
mod spawn;
mod store;
mod up;

pub use audit::Request;
pub use clean::down;
pub use cluster::resolve;
pub use faults::{Fault, PodProcess, Testbed};
pub use layout::Layout;
pub use nix::sys::signal::Signal;
pub use programs::{prometheus, versitygw};
pub use store::store;
pub use up::{Options, status, up};
