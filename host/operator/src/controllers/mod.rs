//! One folder per kind of object, and what runs them all.

pub mod backups;
pub mod driver;
pub mod outcome;
pub mod pods;
pub mod redis_cluster;
pub mod redis_instance;
pub mod turns;
mod wakes;
