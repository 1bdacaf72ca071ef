//! Tables as servers really answer them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use hera_core::acl::Categories;

/// From each crate that tests with them.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/testdata");

/// `ACL CAT` of every server, by a name such as `redis-7.0`, as `cargo xtask categories` wrote it.
pub fn tables() -> &'static BTreeMap<String, Categories> {
    static TABLES: LazyLock<BTreeMap<String, Categories>> = LazyLock::new(|| {
        let files = fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap());
        files
            .filter_map(|file| {
                let name = file.file_name().into_string().unwrap();
                let server = name.strip_prefix("categories-")?.strip_suffix(".json")?;
                let text = fs::read_to_string(file.path()).unwrap();
                Some((server.to_owned(), serde_json::from_str(&text).unwrap()))
            })
            .collect()
    });
    &TABLES
}

/// Commands that stay the operator's for everybody but [`COPYING`], and those that show passwords or their hashes, of
/// all servers together.
pub const RESERVED: &[&str] = &[
    "acl|deluser",
    "acl|getuser",
    "acl|list",
    "acl|load",
    "acl|save",
    "acl|setuser",
    "client|pause",
    "client|unpause",
    "cluster|addslots",
    "cluster|addslotsrange",
    "cluster|bumpepoch",
    "cluster|cancelslotmigrations",
    "cluster|delslots",
    "cluster|delslotsrange",
    "cluster|failover",
    "cluster|flushslot",
    "cluster|flushslots",
    "cluster|forget",
    "cluster|meet",
    "cluster|migrateslots",
    "cluster|migration",
    "cluster|replicate",
    "cluster|reset",
    "cluster|saveconfig",
    "cluster|set-config-epoch",
    "cluster|setslot",
    "cluster|syncslots",
    "config|get",
    "config|rewrite",
    "config|set",
    "debug",
    "failover",
    "module|load",
    "module|loadex",
    "module|unload",
    "psync",
    "replconf",
    "replicaof",
    "save",
    "shutdown",
    "slaveof",
    "sync",
    "trimslots",
];

/// Commands that go around limits of keys, and around those of channels, whatever the server.
pub const AROUND: &[&str] = &[
    "commandlog|get",
    "function|delete",
    "function|flush",
    "function|load",
    "function|restore",
    "function|stats",
    "monitor",
    "slowlog|get",
];

/// Commands that go around limits of keys alone.
pub const AROUND_KEYS: &[&str] = &["flushall", "flushdb", "psync", "replconf", "swapdb", "sync"];

/// What the preset which copies all data has beside PING. Whole, PSYNC can promote a server.
pub const COPYING: &[&str] = &["psync|?", "replconf", "sync"];

/// True for one of [`RESERVED`], and for a command that has one of them among its first arguments
/// where a server has no subcommands.
pub fn is_reserved(command: &str, table: &Categories) -> bool {
    reaches(command, RESERVED, table)
}

/// True if `command` goes around limits of keys, or of channels, on the server of this table.
pub fn goes_around(command: &str, keys: bool, channels: bool, table: &Categories) -> bool {
    let known = |name: &str| table.values().any(|names| names.contains(name));
    let sorts_by_any_key = command.split('|').next() == Some("sort") && !known("sort_ro");
    ((keys || channels) && reaches(command, AROUND, table))
        || (keys && (sorts_by_any_key || reaches(command, AROUND_KEYS, table)))
}

fn reaches(command: &str, names: &[&str], table: &Categories) -> bool {
    let below = format!("{command}|");
    let mut known = table.values().flatten();
    names.contains(&command)
        || names.iter().any(|name| name.starts_with(&below))
            && !known.any(|name| name.starts_with(&below))
}
