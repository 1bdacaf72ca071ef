//! The user as which the server is asked for its metrics: whatever becomes of a scrape, it can ask and no more.

use hera_core::acl::{AclSet, AclUser, METRICS_USER, MIGRATION_USER};
use hera_core::digest::sha256_hex;

use crate::agent::Agent;

/// What a scrape sends (see [`crate::control::metrics`]). One subcommand alone is allowed in the same words from
/// Redis 6.2 on; taken away from a command that is allowed, as 6.2 cannot, is none.
const RULES: [&str; 4] = ["+info", "+slowlog|len", "+slowlog|get", "+latency|latest"];
/// And where the server is in a cluster.
const CLUSTER_RULE: &str = "+cluster|info";

/// Users that the agent itself makes, beside the one as which it speaks to the server.
pub const OWN: [&str; 2] = [METRICS_USER, MIGRATION_USER];

/// The user; none where no metrics are served.
pub fn metrics_user(agent: &Agent) -> Option<AclUser> {
    let hash = sha256_hex(agent.metrics_password.as_bytes());
    let is_in_cluster = agent.cluster.is_some();
    let serves = agent.settings.serve_metrics;
    serves.then(|| with_rights(hash, is_in_cluster))
}

/// The users of `set`, and the agent's own, which no set names: one that does would be nobody's.
pub fn beside(set: &AclSet, own: impl IntoIterator<Item = AclUser>) -> AclSet {
    let mut all = set.clone();
    all.users.retain(|user| !OWN.contains(&user.name.as_str()));
    all.users.extend(own);
    all
}

fn with_rights(hash: String, is_in_cluster: bool) -> AclUser {
    let rules = RULES.into_iter();
    let rules = rules.chain(is_in_cluster.then_some(CLUSTER_RULE));
    AclUser {
        name: METRICS_USER.to_owned(),
        password_sha256: vec![hash],
        rules: rules.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_key_no_channel_and_single_commands_alone() {
        for is_in_cluster in [false, true] {
            let user = with_rights("ab".to_owned(), is_in_cluster);
            let is_command = |rule: &String| rule.starts_with('+') && !rule.contains('@');
            assert!(user.rules.iter().all(is_command), "{:?}", user.rules);
            let asks_cluster = user.rules.iter().any(|rule| rule == "+cluster|info");
            assert_eq!(asks_cluster, is_in_cluster);
        }
    }

    #[test]
    fn it_stands_beside_the_users_of_a_set_in_place_of_one_that_calls_itself_so() {
        let user = |name: &str| AclUser {
            name: name.to_owned(),
            password_sha256: vec!["ab".to_owned()],
            rules: vec!["+@all".to_owned()],
        };
        let set = AclSet {
            owner: "o".to_owned(),
            revision: 1,
            app: "app".to_owned(),
            users: vec![user("app"), user(METRICS_USER), user(MIGRATION_USER)],
            undecided: Default::default(),
        };
        let own = with_rights("cd".to_owned(), false);
        let all = beside(&set, Some(own.clone()));
        assert_eq!(all.users, [user("app"), own]);
        assert_eq!(beside(&set, None).users, [user("app")]);
    }
}
