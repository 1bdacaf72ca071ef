//! What is true of the data pods of any kind.

pub mod certificate;
pub mod children;
pub mod command_tables;
pub mod deleted;
pub mod done_request;
pub mod events;
pub mod fence_busy;
pub mod holdings;
pub mod image;
pub mod labels;
pub mod members;
pub mod nodes;
pub mod observe;
pub mod password_news;
pub mod pod_monitor;
pub mod policy_status;
pub mod refusals;
pub mod requests;
pub mod rollback;
pub mod rotations;
mod secrets;
pub mod server_facts;
pub mod status;
pub mod term_floor;
pub mod written;
pub mod zones;
