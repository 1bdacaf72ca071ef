//! A server that is one of a cluster: when it starts, what it is told, what it knows, and who takes over
//! when its pod ends.

pub mod hold;
pub mod leave;
pub mod orders;
pub mod state;
