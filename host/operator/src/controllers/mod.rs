//! One folder per kind of object, and what runs them all.

pub mod driver;
pub mod outcome;
pub mod redis_instance;
mod wakes;
