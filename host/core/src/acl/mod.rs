//! Users and their rights: what is asked, what a policy grants, what reaches a server.

mod ceiling;
mod diff;
mod guard;
mod limits;
mod model;
mod patterns;
mod request;
mod revoke;
mod rules;
mod table;
mod tokens;
mod withheld;

pub use ceiling::{Beyond, Ceiling};
pub use diff::{diff, granted};
pub use guard::{GuardRule, MAX_GRANTS, Violation, guard};
pub use limits::Limits;
pub use model::{
    AclAnswer, AclInput, AclSet, AclUser, Categories, CommandRule, KeyAccess, KeyGrant, Preset,
    UserGrants, UserRequest,
};
pub use request::{RequestProblem, check_request};
pub use revoke::{Answer, Rights, Standing, cut, in_force, is_no_wider, revocations};
pub use rules::{CLEAR, compile, decompile};
pub use table::{CommandTable, UnknownName};
pub use tokens::{MAX_NAME, MAX_PATTERN, is_pattern, is_user_name, printable};
pub use withheld::withheld;

/// Prefix of users that belong to the operator; no policy may name one.
pub const SYSTEM_PREFIX: &str = "hera-";
/// The user as which the agent speaks to its own server.
pub const AGENT_USER: &str = "hera-agent";
/// The user as which the agent asks its server for what metrics there are.
pub const METRICS_USER: &str = "hera-metrics";
/// The user as which replicas speak to their primary.
pub const REPLICATION_USER: &str = "hera-replication";
/// The name that [`REPLICATION_USER`] has at the servers of a cluster's shard: who comes to another shard's
/// server, by an address that was its primary's, is nobody there (decision 021).
pub fn replication_user(shard: u32) -> String {
    format!("{REPLICATION_USER}-{shard}")
}
/// True if a server calls [`REPLICATION_USER`] so, in a shard or not.
pub fn is_replication_user(name: &str) -> bool {
    name.strip_prefix(REPLICATION_USER)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
/// The user as which another server of the cluster brings keys of slots that move here.
pub const MIGRATION_USER: &str = "hera-migration";
/// The server's built-in user.
pub const DEFAULT_USER: &str = "default";

/// True for a user that only the operator may define.
pub fn is_system_user(name: &str) -> bool {
    name == DEFAULT_USER || name.starts_with(SYSTEM_PREFIX)
}
