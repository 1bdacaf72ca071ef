//! How far a user's commands may reach, whatever a policy or a spec says.

use super::{CommandTable, Limits, Preset, UserGrants, UserRequest};

/// How far a user's commands may reach: that of its preset, and not around its own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The user's preset.
    pub preset: Preset,
    /// Which of its keys and channels are limited.
    pub limits: Limits,
}

/// Why a command is not for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Beyond {
    /// It is for nobody of the preset.
    #[error("is beyond what the preset may reach")]
    Preset,
    /// It is for those of the preset who have all keys and channels.
    #[error("goes around the limits of the user's keys or channels")]
    Limits,
}

impl Ceiling {
    /// That of a user who gets the keys and channels that its spec asks for.
    pub fn asked(request: &UserRequest) -> Self {
        Self {
            preset: request.preset,
            limits: Limits::asked(request),
        }
    }

    /// That of a user who is granted these keys and channels, which may be fewer than those of its spec.
    pub fn granted(preset: Preset, grants: &UserGrants) -> Self {
        Self {
            preset,
            limits: Limits::granted(grants),
        }
    }

    /// True if the user may ever be allowed `command` (`get`, `config|resetstat`).
    pub fn permits(self, command: &str, table: &CommandTable) -> bool {
        self.beyond(command, table).is_none()
    }

    /// Why the user may not be allowed `command`; none if it may.
    pub fn beyond(self, command: &str, table: &CommandTable) -> Option<Beyond> {
        // With subcommands the container's own bit allows nothing: each of them is looked at.
        if table.is_container(command) {
            return None;
        }
        if !of_preset(self.preset, command, table) {
            return Some(Beyond::Preset);
        }
        (!self.limits.hold(command, table)).then_some(Beyond::Limits)
    }
}

/// Connection and introspection: nothing here reads or changes data, or another client.
const HARMLESS: &[&str] = &[
    "acl|whoami",
    "asking",
    "auth",
    "client|caching",
    "client|capa",
    "client|getname",
    "client|getredir",
    "client|id",
    "client|info",
    "client|no-touch",
    "client|reply",
    "client|setinfo",
    "client|setname",
    "client|tracking",
    "client|trackinginfo",
    "cluster|countkeysinslot",
    "cluster|getkeysinslot",
    "cluster|info",
    "cluster|keyslot",
    "cluster|links",
    "cluster|myid",
    "cluster|myshardid",
    "cluster|nodes",
    "cluster|shards",
    "cluster|slots",
    "command",
    "discard",
    "echo",
    "exec",
    "hello",
    "lolwut",
    "multi",
    "ping",
    "psubscribe",
    "pubsub",
    "punsubscribe",
    "quit",
    "readonly",
    "readwrite",
    "reset",
    "select",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "time",
    "unsubscribe",
    "unwatch",
    "wait",
    "waitaof",
    "watch",
];

/// In `@dangerous`, because they are slow or tell about the server, yet reads.
const TOLERATED_READS: &[&str] = &["info", "keys", "role", "sort_ro"];

/// Categories of `ReadWrite`.
const READWRITE: &[&str] = &[
    "read",
    "write",
    "transaction",
    "scripting",
    "pubsub",
    "blocking",
];

/// What `Owner` has beyond `ReadWrite`: all about the data, and looking at the server. A list, as what a later
/// server adds may steer it.
pub(super) const OWNER: &[&str] = &[
    "client|list",
    "cluster|count-failure-reports",
    "cluster|replicas",
    "cluster|slot-stats",
    "commandlog|get",
    "commandlog|len",
    "commandlog|reset",
    "flushall",
    "flushdb",
    "hotkeys|get",
    "hotkeys|reset",
    "hotkeys|start",
    "hotkeys|stop",
    "lastsave",
    "latency|doctor",
    "latency|graph",
    "latency|histogram",
    "latency|history",
    "latency|latest",
    "latency|reset",
    "memory|doctor",
    "memory|malloc-stats",
    "memory|purge",
    "memory|stats",
    "module|list",
    "restore",
    "slowlog|get",
    "slowlog|len",
    "slowlog|reset",
    "swapdb",
];

/// All that `Replication` has. A replica, and `redis-cli --rdb`, say nothing else once they logged in, and
/// logging in needs no right (redis-facts §2.1, §3.1). PSYNC with the first argument `?` alone, which asks for a
/// full copy: with the id of a history it also promotes the server that follows it (`PSYNC <id> <offset> FAILOVER`).
const REPLICATION: &[&str] = &["ping", "psync|?", "replconf", "sync"];

/// What takes the server out of the operator's hands, for everybody; [`REPLICATION`] is a list of its own.
const FORBIDDEN: &[&str] = &[
    // who leads, and from where data comes
    "failover",
    "replicaof",
    "slaveof",
    "psync",
    "replconf",
    "sync",
    "trimslots",
    // the process itself; SAVE blocks it until it looks hung
    "debug",
    "save",
    "shutdown",
];

/// Containers that hold both harmless and forbidden subcommands: what is listed is allowed. A
/// list of the forbidden ones would let through what a later server adds. Nothing here shows a
/// password or its hash, or goes around limits of keys and channels (`limits.rs`).
const CONTAINERS: &[(&str, &[&str])] = &[
    (
        // LIST and GETUSER show the unsalted hash of every password: of any Secret that a spec names.
        "acl",
        &["cat", "dryrun", "genpass", "help", "log", "users", "whoami"],
    ),
    (
        // PAUSE and UNPAUSE are the operator's: it pauses writes during a switchover.
        "client",
        &[
            "caching",
            "capa",
            "getname",
            "getredir",
            "help",
            "id",
            "info",
            "kill",
            "list",
            "no-evict",
            "no-touch",
            "reply",
            "setinfo",
            "setname",
            "tracking",
            "trackinginfo",
            "unblock",
        ],
    ),
    (
        "cluster",
        &[
            "count-failure-reports",
            "countkeysinslot",
            "getkeysinslot",
            "help",
            "info",
            "keyslot",
            "links",
            "myid",
            "myshardid",
            "nodes",
            "replicas",
            "shards",
            "slaves",
            "slot-stats",
            "slots",
        ],
    ),
    // GET shows the password of replication, with which PSYNC gives all data; no server limits what
    // it is asked for.
    ("config", &["help", "resetstat"]),
    ("module", &["help", "list"]),
];

/// True for a command whose subcommands are allowed one by one, to nobody but as [`CONTAINERS`] says.
pub(super) fn opens_in_part(command: &str) -> bool {
    CONTAINERS.iter().any(|(name, _)| *name == command)
}

fn of_preset(preset: Preset, command: &str, table: &CommandTable) -> bool {
    if by_name(preset, command, table) {
        return true;
    }
    // `get|x` narrows a plain command to one first argument.
    match command.split_once('|') {
        Some((base, _)) if !table.has(command) => by_name(preset, base, table),
        _ => false,
    }
}

fn by_name(preset: Preset, command: &str, table: &CommandTable) -> bool {
    let is_in = |category| table.is_in(command, category);
    let help = table.has(command) && command.ends_with("|help");
    let reads = help
        || is_harmless(command)
        || TOLERATED_READS.contains(&command)
        || (is_in("read") && !is_in("write") && !is_in("admin") && !is_in("dangerous"));
    match preset {
        Preset::ReadOnly => reads,
        Preset::ReadWrite | Preset::Owner => {
            let data = READWRITE.iter().any(|category| is_in(category));
            let owned = preset == Preset::Owner && OWNER.contains(&command);
            reads || owned || command == "sort" || (data && !is_in("admin") && !is_in("dangerous"))
        }
        Preset::Admin => admin(command, table),
        Preset::Replication => REPLICATION.contains(&command),
    }
}

/// `command`, or its subcommand of a container that is harmless as a whole (`pubsub|numsub`).
fn is_harmless(command: &str) -> bool {
    let base = command.split('|').next().unwrap_or(command);
    HARMLESS.contains(&command) || HARMLESS.contains(&base)
}

fn admin(command: &str, table: &CommandTable) -> bool {
    let (base, sub) = match command.split_once('|') {
        Some((base, sub)) => (base, Some(sub)),
        None => (command, None),
    };
    if FORBIDDEN.contains(&base) {
        return false;
    }
    match CONTAINERS.iter().find(|(name, _)| *name == base) {
        Some((_, subs)) => sub.is_some_and(|sub| subs.contains(&sub)),
        None => table.has(command),
    }
}
