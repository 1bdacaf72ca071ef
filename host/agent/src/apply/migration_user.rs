//! The user as which another server of the cluster brings keys of slots that move here.

use hera_core::acl::{AclSet, AclUser, MIGRATION_USER, replication_user};

use crate::agent::Agent;

/// What a server sends with keys, one by one (redis-facts §1.3).
const KEYS: [&str; 3] = ["~*", "+select", "+restore-asking"];
/// What Valkey sends from 9.0 on, with whole slots: a snapshot as commands, and each write meanwhile as its clients
/// sent it, those that write beside what they read among them; and nothing that touches all keys.
const STREAM: [&str; 8] = [
    "+cluster|syncslots",
    "+@write",
    "+pfcount",
    "-flushall",
    "-flushdb",
    "-swapdb",
    "-function",
    "-migrate",
];

/// The user, with the password of replicas; none outside of a cluster, and before that password is known.
pub fn migration_user(agent: &Agent, set: &AclSet) -> Option<AclUser> {
    let replicas = replication_user(agent.settings.shard?);
    let replicas = set.users.iter().find(|user| user.name == replicas)?;
    let status = agent.board.status();
    let streams = gives_streams(status.engine.as_deref(), status.version.as_deref());
    Some(with_rights(replicas.password_sha256.clone(), streams))
}

/// Earlier ones refuse a user whose rules name what they do not know.
fn gives_streams(engine: Option<&str>, version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    engine == Some("valkey") && major.is_some_and(|major| major >= 9)
}

fn with_rights(password_sha256: Vec<String>, streams: bool) -> AclUser {
    let stream = STREAM.iter().filter(|_| streams);
    let rules = KEYS.iter().chain(stream);
    AclUser {
        name: MIGRATION_USER.to_owned(),
        password_sha256,
        rules: rules.map(|rule| (*rule).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::Way;
    use hera_core::reshard::way;

    use super::*;

    #[test]
    fn it_puts_keys_there_and_reads_copies_and_empties_nothing() {
        for streams in [false, true] {
            let user = with_rights(vec!["ab".to_owned()], streams);
            let has = |rule: &str| user.rules.iter().any(|known| known == rule);
            assert!(has("~*") && has("+restore-asking"));
            for other in ["+@all", "+@read", "+get", "+psync", "+sync", "+replconf"] {
                assert!(!has(other), "{other}");
            }
            assert_eq!(has("+@write"), streams);
            assert_eq!(has("-flushall"), streams);
        }
    }

    /// Of each version on which slots move in a way, keys come with what that way needs.
    #[test]
    fn p33_the_user_has_the_rights_for_the_way_in_which_slots_move() {
        let versions = [
            ("redis", "6.2.16"),
            ("redis", "7.2.6"),
            ("redis", "8.4.1"),
            ("redis", "8.6.3"),
            ("valkey", "7.2.7"),
            ("valkey", "8.1.1"),
            ("valkey", "9.0.0"),
            ("valkey", "9.1.2"),
            ("valkey", "10.0.0"),
        ];
        for (engine, version) in versions {
            let own = (Some(engine), Some(version));
            let user = with_rights(Vec::new(), gives_streams(own.0, own.1));
            let has = |rule: &str| user.rules.iter().any(|known| known == rule);
            let needs: &[&str] = match way([own].into_iter()) {
                // One is half moved by hand, or while the way was another: it goes on key by key.
                Way::Keys | Way::Import => &["~*", "+select", "+restore-asking"],
                Way::Export => &[
                    "~*",
                    "+select",
                    "+restore-asking",
                    "+cluster|syncslots",
                    "+@write",
                ],
            };
            for right in needs {
                assert!(has(right), "{engine} {version}: {right}");
            }
        }
    }

    /// A login that the other does not know would be refused key by key (P37).
    #[test]
    fn p37_the_user_has_the_password_that_every_server_of_the_cluster_knows() {
        let replicas = vec!["ab".to_owned(), "cd".to_owned()];
        for streams in [false, true] {
            let user = with_rights(replicas.clone(), streams);
            assert_eq!(user.password_sha256, replicas);
            assert_eq!(user.name, MIGRATION_USER);
        }
    }

    #[test]
    fn only_a_server_that_knows_of_streams_is_told_of_them() {
        assert!(gives_streams(Some("valkey"), Some("9.1.2")));
        assert!(gives_streams(Some("valkey"), Some("10.0.0")));
        for (engine, version) in [
            (Some("valkey"), Some("8.1.1")),
            (Some("redis"), Some("9.0.0")),
            (Some("valkey"), None),
            (None, None),
        ] {
            assert!(!gives_streams(engine, version), "{engine:?} {version:?}");
        }
    }
}
