//! The server's configuration and ACL file as text. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hera_core::acl::{AGENT_USER, AclUser, replication_user};
use hera_redis::nodes_conf;

use crate::settings::Settings;

/// Nobody listens there: a server starts as nobody's replica.
const BOOT_GUARD: (&str, u16) = ("127.0.0.1", 1);

/// What the agent's own user may do.
pub const AGENT_RULES: [&str; 3] = ["~*", "&*", "+@all"];

/// What the agent itself decides about one start of the server.
pub struct Start<'a> {
    /// Where things are.
    pub settings: &'a Settings,
    /// Directives of the operator.
    pub directives: &'a BTreeMap<String, String>,
    /// Start with the append-only file.
    pub append: bool,
    /// Do not start if that ends in the middle of a command.
    pub whole: bool,
    /// Listen on the port, not only on the socket.
    pub listens: bool,
    /// Password with which a server of a cluster follows another; empty if there is none.
    pub login: &'a str,
}

/// The configuration of the data server. The boot guard is its last line.
pub fn data_server(start: &Start<'_>) -> String {
    let Start {
        settings,
        directives,
        append,
        whole,
        listens,
        login,
    } = start;
    let mut text = String::new();
    for (name, value) in *directives {
        if name != "appendonly" {
            line(&mut text, name, value);
        }
    }
    line(&mut text, "appendonly", if *append { "yes" } else { "no" });
    if *whole {
        line(&mut text, "aof-load-truncated", "no");
    }
    line(
        &mut text,
        "dir",
        &quoted(&settings.data.display().to_string()),
    );
    let port = settings.port.to_string();
    line(&mut text, "port", if *listens { &port } else { "0" });
    // What a replica tells its primary, which nobody corrects once it listens.
    line(&mut text, "replica-announce-port", &port);
    line(&mut text, "bind", &settings.bind);
    line(&mut text, "protected-mode", "no");
    line(&mut text, "daemonize", "no");
    line(
        &mut text,
        "unixsocket",
        &quoted(&settings.socket().display().to_string()),
    );
    line(&mut text, "unixsocketperm", "700");
    line(
        &mut text,
        "aclfile",
        &quoted(&settings.run.join("users.acl").display().to_string()),
    );
    if let Some(shard) = settings.shard {
        of_cluster(&mut text, settings, shard, login);
        return text;
    }
    // Nothing is served before the promotion, not even old data (design §5).
    line(&mut text, "replica-serve-stale-data", "no");
    let (host, port) = BOOT_GUARD;
    line(&mut text, "replicaof", &format!("{host} {port}"));
    text
}

/// Servers of a cluster tell each other who leads, and where they are now: what they remember of their own
/// address is an old one (redis-facts §1.2).
fn of_cluster(text: &mut String, settings: &Settings, shard: u32, login: &str) {
    line(text, "cluster-enabled", "yes");
    line(text, "cluster-config-file", nodes_conf::NAME);
    if !settings.ip.is_empty() {
        line(text, "cluster-announce-ip", &settings.ip);
    }
    if let Some(hostname) = &settings.hostname {
        line(text, "cluster-announce-hostname", hostname);
    }
    if !login.is_empty() {
        line(text, "masteruser", &replication_user(shard));
        line(text, "masterauth", &quoted(login));
    }
}

/// True for the address that no server has, which the boot guard names.
pub fn is_boot_guard(host: &str, port: u16) -> bool {
    (host, port) == BOOT_GUARD
}

/// The configuration of a throwaway server in `folder` that reads no data and listens nowhere but
/// on a socket there.
pub fn trial_server(directives: &BTreeMap<String, String>, folder: &str) -> String {
    let mut text = String::new();
    for (name, value) in directives {
        if !matches!(name.as_str(), "appendonly" | "save") {
            line(&mut text, name, value);
        }
    }
    line(&mut text, "appendonly", "no");
    line(&mut text, "save", "\"\"");
    line(&mut text, "dir", &quoted(folder));
    line(&mut text, "port", "0");
    line(&mut text, "daemonize", "no");
    line(
        &mut text,
        "unixsocket",
        &quoted(&format!("{folder}/trial.sock")),
    );
    text
}

/// The ACL file: the server's own user, closed, the agent's, and `users`, each of which is good for
/// a line. The others come live.
///
/// `default` keeps every right but has no password and is off: without the rights, a server up to
/// Redis 8.0 and Valkey 8.1 drops transactions from its append-only file at start (redis-facts
/// §4.1).
pub fn acl_file(agent_password_sha256: &str, users: &[&AclUser]) -> String {
    let mut text = format!(
        "user default off resetpass ~* &* +@all\n\
         user {AGENT_USER} on #{agent_password_sha256} {}\n",
        AGENT_RULES.join(" ")
    );
    for user in users {
        // As it is set live: `reset` gives all channels on 6.2.
        let _ = write!(text, "user {} reset resetchannels on", user.name);
        for hash in &user.password_sha256 {
            let _ = write!(text, " #{hash}");
        }
        for rule in &user.rules {
            let _ = write!(text, " {rule}");
        }
        text.push('\n');
    }
    text
}

/// A value as `CONFIG SET` takes it: without the quotes of the file's notation.
pub fn unquoted(value: &str) -> String {
    match value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Nobody gets a second line into the file (P58).
    let clean: String = value.chars().filter(|c| !c.is_control()).collect();
    let value = if clean.is_empty() {
        "\"\""
    } else {
        clean.as_str()
    };
    let _ = writeln!(text, "{name} {value}");
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_guard_is_the_last_word() {
        let directives = BTreeMap::from([("maxmemory".to_owned(), "100".to_owned())]);
        let settings = Settings::of_a_pod();
        let start = Start {
            settings: &settings,
            directives: &directives,
            append: true,
            whole: false,
            listens: true,
            login: "",
        };
        let text = data_server(&start);
        assert!(text.ends_with("replicaof 127.0.0.1 1\n"));
        assert!(text.contains("replica-serve-stale-data no\n"));
        assert!(text.contains("appendonly yes\n") && text.contains("maxmemory 100\n"));
        assert!(text.contains("\nport 6379\n") && !text.contains("aof-load-truncated"));
        let silent = Start {
            whole: true,
            listens: false,
            ..start
        };
        let text = data_server(&silent);
        assert!(text.contains("\nport 0\n") && text.contains("\naof-load-truncated no\n"));
    }

    #[test]
    fn a_server_of_a_cluster_is_nobodys_replica_and_tells_where_it_is_now() {
        let mut settings = Settings::of_a_pod();
        settings.shard = Some(2);
        settings.ip = "10.0.0.7".to_owned();
        let start = Start {
            settings: &settings,
            directives: &BTreeMap::new(),
            append: true,
            whole: false,
            listens: true,
            login: "secret",
        };
        let text = data_server(&start);
        assert!(!text.contains("replicaof") && !text.contains("hostname"));
        assert!(text.contains("cluster-announce-ip 10.0.0.7\n"));
        assert!(text.contains("masterauth \"secret\"\n"));
    }

    #[test]
    fn a_value_cannot_add_a_line() {
        let mut text = String::new();
        line(&mut text, "maxmemory", "1\nrequirepass x\r");
        assert_eq!(text, "maxmemory 1requirepass x\n");
    }

    #[test]
    fn an_empty_value_in_either_notation_is_the_same() {
        assert_eq!(unquoted("\"\""), "");
        assert_eq!(unquoted("3600 1"), "3600 1");
    }
}
