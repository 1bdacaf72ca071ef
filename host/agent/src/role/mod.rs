//! Who leads: what this server is, and how it becomes something else.

pub mod follow;
pub mod leave;
pub mod look;
pub mod members;
pub mod pauses;
pub mod promote;
pub mod settle;
pub mod stale_clients;
