//! One controller per kind.

pub mod redis_instance;
