//! The data volume: its space, and what people put there.

pub mod dump;
pub mod gauge;
pub mod room;
