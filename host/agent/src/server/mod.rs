//! The process of the server: its start, its supervision, its end.

pub mod boot;
pub mod connections;
pub mod hang;
pub mod leftover;
pub mod listen;
pub mod process;
pub mod reaper;
pub mod script;
pub mod server_log;
pub mod stop;
pub mod supervise;
