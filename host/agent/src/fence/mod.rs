//! Until when a primary may serve without being confirmed.

pub mod clock;
pub mod lease_timer;
pub mod tokens;
pub mod vouched;
pub mod watchdog;
