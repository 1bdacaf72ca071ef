//! A server that is one of a cluster: when it starts, what it is told, what it knows, and who takes over
//! when its pod ends; and slots that move.

pub mod hold;
pub mod leave;
pub mod login;
pub mod moving;
pub mod orders;
mod rate;
pub mod slot_loads;
pub mod state;
