//! What survives the agent: files on the volume and what they mean.

pub mod durable;
pub mod files;
pub mod remembered;
pub mod state_file;
