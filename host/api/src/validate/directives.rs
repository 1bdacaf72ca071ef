//! Directives that the operator or the agent owns, under every name that a server gives them.

/// Directives that are refused for one and the same reason.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// Names, aliases included.
    pub names: &'static [&'static str],
    /// Beginnings of names.
    pub prefixes: &'static [&'static str],
    /// What to do instead, or why it is not to be had.
    pub instead: &'static str,
}

/// All of them.
pub const RESERVED: &[Reserved] = &[
    Reserved {
        names: &["appendonly", "appendfsync", "save"],
        prefixes: &[],
        instead: "set persistence.aof.enabled, persistence.aof.fsync and persistence.rdb.save",
    },
    Reserved {
        names: &["repl-diskless-load"],
        prefixes: &[],
        instead: "a replica receives its primary's data whole before it gives up its own",
    },
    Reserved {
        names: &["rdb-del-sync-files"],
        prefixes: &[],
        instead: "a server without persistence removes what it received as a replica, others keep it",
    },
    Reserved {
        names: &[
            "dir",
            "dbfilename",
            "appendfilename",
            "appenddirname",
            "backupdirname",
            "preload-file",
            "pidfile",
            "logfile",
            "aof-disable-auto-gc",
        ],
        prefixes: &["syslog-", "unixsocket"],
        instead: "the agent decides where files are, so that they survive a restart and logs are seen",
    },
    Reserved {
        names: &[
            "port",
            "bind",
            "bind-source-addr",
            "protected-mode",
            "socket-mark-id",
            "mptcp",
        ],
        prefixes: &["tls-"],
        instead: "the operator decides how the server is reached",
    },
    Reserved {
        names: &[
            "aclfile",
            "user",
            "requirepass",
            "masterauth",
            "masteruser",
            "primaryauth",
            "primaryuser",
            "acl-pubsub-default",
            "rename-command",
        ],
        prefixes: &[],
        instead: "set auth and users",
    },
    Reserved {
        names: &[
            "replicaof",
            "slaveof",
            "replica-announced",
            "slave-announced",
            "replica-priority",
            "slave-priority",
            "replica-serve-stale-data",
            "slave-serve-stale-data",
            "replica-read-only",
            "slave-read-only",
            "repl-ping-replica-period",
            "repl-ping-slave-period",
            "rdb-version-check",
            "import-mode",
        ],
        prefixes: &["replica-announce-", "slave-announce-"],
        instead: "the operator decides who is the primary and who follows it",
    },
    Reserved {
        names: &[
            "min-replicas-to-write",
            "min-slaves-to-write",
            "min-replicas-max-lag",
            "min-slaves-max-lag",
        ],
        prefixes: &[],
        instead: "set durability.minReplicasToWrite",
    },
    Reserved {
        names: &["sentinel"],
        prefixes: &["cluster-", "sentinel-", "slot-migration-"],
        instead: "a RedisInstance is no cluster, and the operator sets what makes a RedisCluster one; Sentinels \
                  are not configured here",
    },
    Reserved {
        names: &[
            "daemonize",
            "supervised",
            "shutdown-timeout",
            "shutdown-on-sigint",
            "shutdown-on-sigterm",
        ],
        prefixes: &[],
        instead: "the agent starts and stops the server",
    },
    Reserved {
        names: &["include", "loadmodule"],
        prefixes: &["enable-"],
        instead: "it would take the server out of the operator's hands",
    },
];

/// The group that reserves a directive.
pub fn reserved(directive: &str) -> Option<&'static Reserved> {
    RESERVED.iter().find(|group| group.has(directive))
}

impl Reserved {
    fn has(&self, directive: &str) -> bool {
        self.names.contains(&directive)
            || self
                .prefixes
                .iter()
                .any(|prefix| directive.starts_with(prefix))
    }

    /// Every name and, with a star, every beginning.
    fn listed(&self) -> String {
        let names = self.names.iter().map(|name| (*name).to_owned());
        let prefixes = self.prefixes.iter().map(|prefix| format!("{prefix}*"));
        names.chain(prefixes).collect::<Vec<_>>().join(", ")
    }

    /// What the API server says.
    pub(crate) fn message(&self) -> String {
        format!(
            "config: remove what belongs to the operator ({}): {}",
            self.listed(),
            self.instead
        )
    }

    /// The rule that the API server applies to the map: each name costs one look-up, however many
    /// directives there are.
    pub(crate) fn cel(&self) -> String {
        let quoted: Vec<_> = self.names.iter().map(|name| format!("'{name}'")).collect();
        let names =
            (!quoted.is_empty()).then(|| format!("[{}].all(d, !(d in self))", quoted.join(", ")));
        let prefixes = (!self.prefixes.is_empty()).then(|| {
            let tests: Vec<_> = self
                .prefixes
                .iter()
                .map(|prefix| format!("!k.startsWith('{prefix}')"))
                .collect();
            format!("self.all(k, {})", tests.join(" && "))
        });
        names
            .into_iter()
            .chain(prefixes)
            .collect::<Vec<_>>()
            .join(" && ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alias_is_reserved_with_its_directive() {
        for names in [
            ["replicaof", "slaveof"],
            ["masterauth", "primaryauth"],
            ["masteruser", "primaryuser"],
            ["replica-announce-ip", "slave-announce-ip"],
            ["replica-serve-stale-data", "slave-serve-stale-data"],
            ["min-replicas-to-write", "min-slaves-to-write"],
            ["min-replicas-max-lag", "min-slaves-max-lag"],
            ["replica-priority", "slave-priority"],
            ["replica-announce-port", "slave-announce-port"],
            ["tls-port", "tls-cert-file"],
            ["cluster-enabled", "cluster-announce-ip"],
            ["unixsocket", "unixsocketperm"],
            ["enable-debug-command", "enable-module-command"],
        ] {
            for name in names {
                assert!(reserved(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn what_users_tune_is_free() {
        for name in [
            "maxmemory",
            "maxmemory-policy",
            "maxclients",
            "timeout",
            "tcp-keepalive",
            "hz",
            "notify-keyspace-events",
            "repl-backlog-size",
            "repl-diskless-sync",
            "repl-diskless-sync-delay",
            "repl-timeout",
            "client-output-buffer-limit",
            "io-threads",
            "slowlog-log-slower-than",
            "databases",
            "lazyfree-lazy-eviction",
            "auto-aof-rewrite-percentage",
            "activedefrag",
            "lua-time-limit",
            "loglevel",
        ] {
            assert!(reserved(name).is_none(), "{name}");
        }
    }

    #[test]
    fn no_directive_is_in_two_groups() {
        for group in RESERVED {
            for name in group.names {
                assert_eq!(
                    RESERVED.iter().filter(|other| other.has(name)).count(),
                    1,
                    "{name}"
                );
            }
        }
    }
}
