use std::collections::HashMap;
use std::fmt;

/// Which program a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Engine {
    /// Its name, as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The role in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// Takes writes.
    Primary,
    /// Follows another server.
    Replica,
}

/// A replica's link to its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterLink {
    /// The primary's host, as the replica was told.
    pub host: String,
    /// The primary's port.
    pub port: u16,
    /// True when the replica is connected and in sync.
    pub up: bool,
    /// For so many seconds it has been down; none if it is up, or never was since the server started.
    pub down_seconds: Option<u64>,
    /// True while it takes in a whole dataset.
    pub syncing: bool,
    /// Seconds since the primary was heard; none while there is no link.
    pub quiet_seconds: Option<u64>,
}

/// Role, histories and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// The role.
    pub role: ServerRole,
    /// The link to the primary; none on a primary.
    pub master_link: Option<MasterLink>,
    /// Id of the history that the dataset belongs to.
    pub replid: String,
    /// Id of the history before the last promotion, if any.
    pub replid2: Option<String>,
    /// How much of that history the dataset has.
    pub offset2: Option<u64>,
    /// How far in its history the dataset is.
    pub offset: u64,
    /// Replicas connected.
    pub connected_replicas: u64,
    /// Those of them that wait for the whole dataset, or take it in. A link that announced no port is none: by such
    /// somebody draws a copy of the data.
    pub syncing_replicas: u64,
}

/// The append-only file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// On, or being turned on.
    pub enabled: bool,
    /// Being rewritten, or to be as soon as no other child of the server runs.
    pub rewriting: bool,
    /// The latter.
    pub rewrite_waits: bool,
    /// The last rewrite worked.
    pub last_rewrite_ok: bool,
    /// The last write to it worked.
    pub last_write_ok: bool,
    /// Bytes that it takes.
    pub size: u64,
}

/// Snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// One is being written in the background.
    pub saving: bool,
    /// The last one in the background worked.
    pub last_ok: bool,
    /// Writes since the last one.
    pub changes_since: u64,
}

/// What `INFO` tells, of any supported version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The program.
    pub engine: Engine,
    /// Its own version (not the Redis version that Valkey claims to be compatible with).
    pub version: String,
    /// Id of this run of the process.
    pub run_id: String,
    /// The process id in its own namespace.
    pub process_id: u32,
    /// Cluster mode.
    pub cluster: bool,
    /// True while the dataset is read from disk.
    pub loading: bool,
    /// Role, histories and offsets.
    pub replication: Replication,
    /// The append-only file.
    pub append: Append,
    /// Snapshots.
    pub snapshot: Snapshot,
    /// Bytes of memory in use.
    pub used_memory: u64,
    /// The limit in bytes; 0 when there is none.
    pub max_memory: u64,
    /// Commands that it carried out since its start; none of a server that does not tell.
    pub commands: Option<u64>,
    /// Keys in all databases.
    pub keys: u64,
    /// Writes that it refused since its start because it is a replica.
    pub turned_away: u64,
    /// Kinds of errors that it has a line for.
    pub error_kinds: usize,
    /// Connections that count for its limit: of clients, replicas and servers of its cluster.
    pub connections: u64,
    /// That limit, `maxclients`; none of a server that does not tell it.
    pub max_connections: Option<u64>,
}

/// Why a text is no `INFO`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// A field that every supported version has is not there.
    #[error("INFO has no field {0}")]
    Missing(&'static str),
    /// A field has a value that is not understood.
    #[error("INFO has {field}:{value}, which is not understood")]
    Odd {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Self {
        Self(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once(':'))
                .collect(),
        )
    }

    fn text(&self, field: &'static str) -> Result<&'a str, InfoError> {
        self.0.get(field).copied().ok_or(InfoError::Missing(field))
    }

    fn number<T: std::str::FromStr>(&self, field: &'static str) -> Result<T, InfoError> {
        let value = self.text(field)?;
        value.parse().map_err(|_| InfoError::Odd {
            field,
            value: value.to_owned(),
        })
    }

    fn flag(&self, field: &'static str) -> bool {
        self.0.get(field).is_some_and(|value| *value == "1")
    }

    fn is(&self, field: &'static str, wanted: &str) -> bool {
        self.0.get(field).is_some_and(|value| *value == wanted)
    }

    /// Answers with this error: `errorstat_READONLY:count=3`. None are not told.
    fn errors(&self, name: &str) -> u64 {
        let text = self.0.get(format!("errorstat_{name}").as_str());
        let count = text.and_then(|text| text.strip_prefix("count=")?.parse().ok());
        count.unwrap_or(0)
    }

    fn error_kinds(&self) -> usize {
        let names = self.0.keys();
        names.filter(|name| name.starts_with("errorstat_")).count()
    }

    /// `slave0:ip=10.0.0.7,port=6379,state=online,offset=14,lag=0`.
    fn syncing_replicas(&self) -> u64 {
        let is_replica = |name: &str| {
            let number = name.strip_prefix("slave");
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let has = |text: &str, pair: &str| text.split(',').any(|one| one == pair);
        let replicas = self.0.iter().filter(|(name, _)| is_replica(name));
        let syncing =
            replicas.filter(|(_, text)| !has(text, "state=online") && !has(text, "port=0"));
        u64::try_from(syncing.count()).unwrap_or(u64::MAX)
    }

    /// Databases without keys are not told: `db0:keys=3,expires=0`.
    fn keys(&self) -> u64 {
        let number = |name: &str| name.strip_prefix("db")?.parse::<u32>().ok();
        let keys = |text: &str| {
            let (first, _) = text.split_once(',').unwrap_or((text, ""));
            first.strip_prefix("keys=")?.parse::<u64>().ok()
        };
        self.0
            .iter()
            .filter(|(name, _)| number(name).is_some())
            .filter_map(|(_, text)| keys(text))
            .fold(0, u64::saturating_add)
    }
}

impl ServerInfo {
    /// Reads the text of `INFO`.
    ///
    /// # Errors
    /// When a field that all supported versions have is missing or is not understood.
    pub fn parse(text: &str) -> Result<Self, InfoError> {
        let fields = Fields::read(text);
        // Valkey also tells the Redis version that it is compatible with.
        let valkey = fields.text("valkey_version");
        let (engine, version) = match valkey {
            Ok(version) => (Engine::Valkey, version),
            Err(_) if fields.is("server_name", "valkey") => {
                (Engine::Valkey, fields.text("redis_version")?)
            }
            Err(_) => (Engine::Redis, fields.text("redis_version")?),
        };
        Ok(Self {
            engine,
            version: version.to_owned(),
            run_id: fields.text("run_id")?.to_owned(),
            process_id: fields.number("process_id")?,
            cluster: fields.is("redis_mode", "cluster") || fields.is("server_mode", "cluster"),
            loading: fields.flag("loading"),
            replication: read_replication(&fields)?,
            append: Append {
                enabled: fields.flag("aof_enabled"),
                rewriting: fields.flag("aof_rewrite_in_progress")
                    || fields.flag("aof_rewrite_scheduled"),
                rewrite_waits: fields.flag("aof_rewrite_scheduled"),
                last_rewrite_ok: fields.is("aof_last_bgrewrite_status", "ok"),
                last_write_ok: fields.is("aof_last_write_status", "ok"),
                // Told only while it is on.
                size: fields.number("aof_current_size").unwrap_or(0),
            },
            snapshot: Snapshot {
                saving: fields.flag("rdb_bgsave_in_progress"),
                last_ok: fields.is("rdb_last_bgsave_status", "ok"),
                changes_since: fields.number("rdb_changes_since_last_save")?,
            },
            used_memory: fields.number("used_memory")?,
            max_memory: fields.number("maxmemory")?,
            commands: fields.number("total_commands_processed").ok(),
            keys: fields.keys(),
            turned_away: fields.errors("READONLY"),
            error_kinds: fields.error_kinds(),
            connections: connections(&fields),
            max_connections: fields.number("maxclients").ok(),
        })
    }
}

/// A server tells of clients, of replicas and of the servers of its cluster apart from each other.
fn connections(fields: &Fields<'_>) -> u64 {
    let kinds = [
        "connected_clients",
        "connected_slaves",
        "cluster_connections",
    ];
    kinds
        .into_iter()
        .filter_map(|kind| fields.number::<u64>(kind).ok())
        .fold(0, u64::saturating_add)
}

fn read_replication(fields: &Fields<'_>) -> Result<Replication, InfoError> {
    let role = match fields.text("role")? {
        "master" | "primary" => ServerRole::Primary,
        "slave" | "replica" => ServerRole::Replica,
        other => {
            return Err(InfoError::Odd {
                field: "role",
                value: other.to_owned(),
            });
        }
    };
    let replid2 = fields.text("master_replid2").ok();
    let (master_link, offset) = match role {
        ServerRole::Primary => (None, fields.number("master_repl_offset")?),
        ServerRole::Replica => {
            let link = MasterLink {
                host: fields.text("master_host")?.to_owned(),
                port: fields.number("master_port")?,
                up: fields.is("master_link_status", "up"),
                // -1 of one that never was up.
                down_seconds: fields.number("master_link_down_since_seconds").ok(),
                syncing: fields.flag("master_sync_in_progress"),
                // -1 without a link.
                quiet_seconds: fields.number("master_last_io_seconds_ago").ok(),
            };
            // -1 while it takes in a whole dataset: it has no place in the history yet.
            let offset: i64 = fields.number("slave_repl_offset")?;
            (Some(link), u64::try_from(offset).unwrap_or(0))
        }
    };
    Ok(Replication {
        role,
        master_link,
        replid: fields.text("master_replid")?.to_owned(),
        replid2: replid2
            .filter(|id| id.chars().any(|c| c != '0'))
            .map(str::to_owned),
        // One more than that; -1 without one.
        offset2: fields
            .number::<u64>("second_repl_offset")
            .ok()
            .map(|next| next.saturating_sub(1)),
        offset,
        connected_replicas: fields.number("connected_slaves")?,
        syncing_replicas: fields.syncing_replicas(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(head: &str, replication: &str) -> String {
        format!(
            "# Server\r\n{head}\r\nredis_mode:standalone\r\nprocess_id:7\r\nrun_id:abc\r\n\r\n\
             # Memory\r\nused_memory:916752\r\nmaxmemory:0\r\n\r\n\
             # Persistence\r\nloading:0\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n\
             aof_rewrite_scheduled:0\r\naof_last_write_status:ok\r\nrdb_bgsave_in_progress:0\r\n\
             rdb_last_bgsave_status:ok\r\nrdb_changes_since_last_save:3\r\n\r\n\
             # Replication\r\n{replication}\r\nconnected_slaves:0\r\n\
             master_replid:f268b1a1945b4cb0d92ca291ebe4fd355785d3ad\r\n\
             master_replid2:0000000000000000000000000000000000000000\r\n\
             master_repl_offset:14\r\n"
        )
    }

    const PRIMARY: &str = "role:master";
    const HELD: &str = "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:1\r\n\
        master_link_status:down\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:9";

    #[test]
    fn redis_tells_its_own_version() {
        for version in ["6.2.16", "7.0.15", "7.4.1", "8.6.3"] {
            let info =
                ServerInfo::parse(&text(&format!("redis_version:{version}"), PRIMARY)).unwrap();
            assert_eq!(info.engine, Engine::Redis);
            assert_eq!(info.version, version);
        }
    }

    #[test]
    fn valkey_is_not_taken_for_the_redis_it_is_compatible_with() {
        let v81 = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\n\
            valkey_release_stage:ga";
        let info = ServerInfo::parse(&text(v81, PRIMARY)).unwrap();
        assert_eq!(
            (info.engine, info.version.as_str()),
            (Engine::Valkey, "8.1.1")
        );

        let v72 = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.7";
        let info = ServerInfo::parse(&text(v72, PRIMARY)).unwrap();
        assert_eq!(
            (info.engine, info.version.as_str()),
            (Engine::Valkey, "7.2.7")
        );
    }

    #[test]
    fn a_primary_has_its_own_offset_and_no_link() {
        let info = ServerInfo::parse(&text("redis_version:7.0.15", PRIMARY)).unwrap();
        assert_eq!(info.replication.role, ServerRole::Primary);
        assert_eq!(info.replication.offset, 14);
        assert_eq!(info.replication.master_link, None);
        assert_eq!(info.replication.replid2, None);
        assert!(info.append.enabled && info.snapshot.last_ok);
        assert_eq!(info.snapshot.changes_since, 3);
    }

    #[test]
    fn writes_that_came_to_a_replica_are_counted() {
        let errors = "redis_version:7.0.15\r\nerrorstat_READONLY:count=3\r\n\
            errorstat_MASTERDOWN:count=2\r\nerrorstat_ERR:count=9";
        let info = ServerInfo::parse(&text(errors, HELD)).unwrap();
        assert_eq!(info.turned_away, 3);
        let info = ServerInfo::parse(&text("redis_version:7.0.15", HELD)).unwrap();
        assert_eq!(info.turned_away, 0);
    }

    #[test]
    fn whoever_takes_a_connection_counts_for_the_limit() {
        let clients = "redis_version:7.0.15\r\nconnected_clients:7\r\ncluster_connections:2\r\n\
            maxclients:10";
        let info = ServerInfo::parse(&text(clients, PRIMARY)).unwrap();
        assert_eq!((info.connections, info.max_connections), (9, Some(10)));
        let info = ServerInfo::parse(&text("redis_version:6.0.1", PRIMARY)).unwrap();
        assert_eq!(info.max_connections, None);
    }

    #[test]
    fn a_held_server_is_a_replica_without_a_link() {
        let info = ServerInfo::parse(&text("redis_version:7.0.15", HELD)).unwrap();
        assert_eq!(info.replication.role, ServerRole::Replica);
        assert_eq!(info.replication.offset, 9);
        let link = info.replication.master_link.unwrap();
        assert_eq!(
            (link.host.as_str(), link.port, link.up),
            ("127.0.0.1", 1, false)
        );
    }

    #[test]
    fn how_long_the_primary_is_quiet_is_known_while_there_is_a_link() {
        let quiet = |seconds: &str| {
            let held = format!("{HELD}\r\nmaster_last_io_seconds_ago:{seconds}");
            let info = ServerInfo::parse(&text("redis_version:7.0.15", &held)).unwrap();
            info.replication.master_link.unwrap().quiet_seconds
        };
        assert_eq!((quiet("12"), quiet("-1")), (Some(12), None));
    }

    #[test]
    fn a_replica_in_full_sync_has_no_offset_yet() {
        let syncing = HELD.replace("slave_repl_offset:9", "slave_repl_offset:-1");
        let info = ServerInfo::parse(&text("redis_version:7.0.15", &syncing)).unwrap();
        assert_eq!(info.replication.offset, 0);
    }

    #[test]
    fn replicas_that_are_not_online_take_in_the_dataset_and_a_link_without_a_port_is_none() {
        let syncing = |lines: &str| {
            let primary = format!("{PRIMARY}\r\n{lines}");
            let info = ServerInfo::parse(&text("redis_version:7.0.15", &primary)).unwrap();
            info.replication.syncing_replicas
        };
        let online = "slave0:ip=10.0.0.7,port=6379,state=online,offset=14,lag=0";
        let draws = "slave1:ip=,port=0,state=wait_bgsave,offset=0,lag=0";
        let waits = "slave2:ip=fd00::7,port=6379,state=wait_bgsave,offset=0,lag=0,type=replica";
        assert_eq!(syncing(""), 0);
        assert_eq!(syncing(&format!("{online}\r\n{draws}")), 0);
        assert_eq!(syncing(&format!("{online}\r\n{waits}\r\n{draws}")), 1);
    }

    #[test]
    fn a_rewrite_that_waits_is_told_from_one_that_is_under_way() {
        let append = |scheduled: &str| {
            let text = text("redis_version:7.0.15", PRIMARY);
            let text = text.replace("scheduled:0", &format!("scheduled:{scheduled}"));
            let append = ServerInfo::parse(&text).unwrap().append;
            (append.rewriting, append.rewrite_waits)
        };
        assert_eq!((append("0"), append("1")), ((false, false), (true, true)));
    }

    #[test]
    fn the_keys_of_all_databases_are_counted() {
        let with = |keyspace: &str| {
            let text = text("redis_version:7.0.15", PRIMARY);
            ServerInfo::parse(&format!("{text}{keyspace}"))
                .unwrap()
                .keys
        };
        assert_eq!(with(""), 0);
        let two = "# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb15:keys=4,expires=1\r\n";
        assert_eq!(with(two), 7);
        assert_eq!(with("dbx:keys=3\r\n"), 0);
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(
            ServerInfo::parse("role:master"),
            Err(InfoError::Missing("redis_version"))
        );
    }

    #[test]
    fn an_unknown_role_is_no_guess() {
        let odd = text("redis_version:7.0.15", "role:regent");
        assert!(matches!(
            ServerInfo::parse(&odd),
            Err(InfoError::Odd { field: "role", .. })
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,400}") {
            let _ = ServerInfo::parse(&text);
        }

        #[test]
        fn fields_may_come_in_any_order(seed in any::<u64>()) {
            let whole = text("redis_version:7.0.15", HELD);
            let mut lines: Vec<&str> = whole.lines().collect();
            let turn = usize::try_from(seed % lines.len() as u64).unwrap();
            lines.rotate_left(turn);
            prop_assert_eq!(ServerInfo::parse(&lines.join("\r\n")), ServerInfo::parse(&whole));
        }
    }
}
