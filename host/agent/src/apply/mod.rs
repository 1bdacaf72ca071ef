//! Configuration and users, as files and in the running server.

pub mod altered_users;
pub mod append;
pub mod conf;
pub mod config_state;
pub mod metrics_user;
pub mod migration_user;
pub mod push_acl;
pub mod push_config;
pub mod trial;
