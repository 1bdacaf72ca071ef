//! Who has not all keys, or not all channels, is given no command that goes around that.

use super::ceiling::opens_in_part;
use super::{CommandTable, KeyAccess, UserGrants, UserRequest};

/// The pattern without which there is a limit. Whether another one matches everything too is not guessed.
const ALL: &str = "*";

/// What of a user is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// There are keys that it may not read and write.
    pub keys: bool,
    /// There are channels that it may not use.
    pub channels: bool,
}

/// In `@admin` or `@dangerous`, yet within any limit: servers hold them to the user's own keys, or they
/// tell names, counts and times and never what a key holds. A list, as what a later server adds may do more.
const WITHIN: &[&str] = &[
    "bgrewriteaof",
    "bgsave",
    "commandlog|len",
    "commandlog|reset",
    "hotkeys|get",
    "hotkeys|reset",
    "hotkeys|start",
    "hotkeys|stop",
    "info",
    "keys",
    "lastsave",
    // Of servers before 7.0; later ones are asked for each subcommand.
    "latency",
    "latency|doctor",
    "latency|graph",
    "latency|histogram",
    "latency|history",
    "latency|latest",
    "latency|reset",
    "migrate",
    "pfdebug",
    "pfselftest",
    "restore",
    "restore-asking",
    "role",
    "slowlog|len",
    "slowlog|reset",
    "sort_ro",
];

/// They take, exchange or copy all keys; a limit of channels alone they do not touch. A copy holds what is
/// published as well: who has the preset for it reads everything.
const OF_ALL_KEYS: &[&str] = &["flushall", "flushdb", "psync", "replconf", "swapdb", "sync"];

/// What FUNCTION keeps: a library runs with the rights of who calls it, so who replaces one acts as
/// others, and STATS shows what they call it with.
const FUNCTION: &[&str] = &["dump", "help", "kill", "list"];

impl Limits {
    /// Those of the keys and channels that a spec asks for.
    pub fn asked(request: &UserRequest) -> Self {
        let has_all = |patterns: &[String]| patterns.iter().any(|pattern| pattern == ALL);
        Self {
            keys: !has_all(&request.keys),
            channels: !has_all(&request.channels),
        }
    }

    /// Those of the keys and channels that are granted.
    pub fn granted(grants: &UserGrants) -> Self {
        let mut keys = grants.keys.iter();
        Self {
            keys: !keys.any(|key| key.pattern == ALL && key.access == KeyAccess::ReadWrite),
            channels: !grants.channels.iter().any(|channel| channel == ALL),
        }
    }

    /// True if `command` does not go around them. What is for nobody is the preset's to say.
    pub(super) fn hold(self, command: &str, table: &CommandTable) -> bool {
        if !self.keys && !self.channels {
            return true;
        }
        let (base, sub) = match command.split_once('|') {
            Some((base, sub)) => (base, Some(sub)),
            None => (command, None),
        };
        // A first argument, where a server has no subcommands, is what its command is unless it is listed.
        let known = if table.has(command) { command } else { base };
        let listed = |name| WITHIN.contains(&name) || (!self.keys && OF_ALL_KEYS.contains(&name));
        if listed(command) || listed(known) || opens_in_part(base) {
            return true;
        }
        match base {
            "function" => sub.is_some_and(|sub| FUNCTION.contains(&sub)),
            // Before 7.0, which brought SORT_RO, nobody holds BY and GET to the user's keys.
            "sort" => !self.keys || table.has("sort_ro"),
            _ => !table.is_in(known, "admin") && !table.is_in(known, "dangerous"),
        }
    }
}
