//! The server's directives: what the operator decides, its defaults, and what the user sets.

use std::collections::BTreeMap;

use hera_api::Engine;
use hera_api::validate::{Validated, parse_memory_size};
use hera_core::agent::ServerConfig;
use hera_core::cluster::SLOT_STATS;

use crate::Context;

/// Least backlog for replicas, where memory allows it: a restart of one must fit.
const BACKLOG: u64 = 64 << 20;
/// Most that is taken for it unasked.
const MAX_BACKLOG: u64 = 512 << 20;
/// The same of an object of one pod that is backed up: it counts for maxmemory there. A temporary pod that follows has
/// no more either.
const LONE_BACKLOG: u64 = 4 << 20;
const MAX_LONE_BACKLOG: u64 = 64 << 20;
/// What a container must have the memory for.
const TAKES_MEMORY: [&str; 2] = ["maxmemory", "repl-backlog-size"];
/// Seconds since a replica's last word after which it does not count for `min-replicas-to-write`.
const MAX_LAG: &str = "10";

/// Seconds of silence after which a replica gives its primary up, by the server's own default.
const LINK_TIMEOUT: u64 = 60;
/// A primary that a script keeps busy says nothing, and was last heard up to 10 s before. Its replicas are in
/// sync until it is decided what becomes of it.
const BEYOND_SCRIPTS: u64 = 30;

/// Milliseconds after which servers of a cluster vote on one that they do not hear, and after which one that
/// hears no majority takes no writes.
const NODE_TIMEOUT_MS: &str = "5000";

/// The configuration for one generation of an object.
pub fn build(v: &Validated, ctx: &Context) -> ServerConfig {
    ServerConfig {
        owner: ctx.uid.clone(),
        revision: u64::try_from(ctx.generation).unwrap_or(0),
        directives: directives(v),
        from_spec: v.config.keys().cloned().collect(),
    }
}

/// Directive to value, in the notation of redis.conf. The user's win over the defaults; over what
/// the operator decides none can, as such directives are refused.
pub fn directives(v: &Validated) -> BTreeMap<String, String> {
    let mut all = defaults(v);
    all.extend(v.config.clone());
    all.extend(decided(v));
    all
}

/// Gives no server more memory to fill than it has in `known`, the configuration before: for as long
/// as a pod is left whose container was made with less memory than the spec has by now. It would be
/// killed for it (P51), and in a roll that waits for an approval it is left for days.
pub fn hold_back(wanted: &mut ServerConfig, known: &ServerConfig) {
    for name in TAKES_MEMORY {
        let Some(before) = known.directives.get(name) else {
            continue;
        };
        let after = wanted.directives.get(name).map(String::as_str);
        if size(before) < after.map_or(u64::MAX, size) {
            wanted.directives.insert(name.to_owned(), before.clone());
        }
    }
}

/// In bytes; 0, and what the server would not read, is no bound.
fn size(text: &str) -> u64 {
    match parse_memory_size(text) {
        Ok(0) | Err(_) => u64::MAX,
        Ok(bytes) => bytes,
    }
}

fn defaults(v: &Validated) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |directive: &str, value: String| all.insert(directive.to_owned(), value);
    if let Some(bytes) = v.memory.maxmemory.bytes() {
        set("maxmemory", bytes.to_string());
    }
    set("repl-backlog-size", backlog(v).to_string());
    // Replicas read a primary's memory, not its disk, and the first one does not wait for others.
    set("repl-diskless-sync", "yes".to_owned());
    set("repl-diskless-sync-delay", "0".to_owned());
    set("repl-timeout", link_timeout(v).to_string());
    if since_7_0(v) {
        set("aof-timestamp-enabled", "yes".to_owned());
        // A replica whose volume is full goes on in memory, as all did before 7.0: by default it crashes.
        set("replica-ignore-disk-write-errors", "yes".to_owned());
    }
    all
}

fn decided(v: &Validated) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |directive: &str, value: &str| all.insert(directive.to_owned(), value.to_owned());
    set(
        "appendonly",
        if v.persistence.aof.is_some() {
            "yes"
        } else {
            "no"
        },
    );
    set(
        "appendfsync",
        v.persistence.aof.unwrap_or_default().as_str(),
    );
    set(
        "save",
        if v.persistence.save.is_empty() {
            "\"\""
        } else {
            &v.persistence.save
        },
    );
    set("repl-diskless-load", "disabled");
    // What a replica received would be read as its data after a crash, however old it is by then.
    set(
        "rdb-del-sync-files",
        if v.persistence.is_on() { "no" } else { "yes" },
    );
    // Said even where it is 0: a directive that is left out stays as it was on a running server.
    set(
        "min-replicas-to-write",
        &v.min_replicas_to_write.to_string(),
    );
    set("min-replicas-max-lag", MAX_LAG);
    if since_7_0(v) {
        set("shutdown-timeout", "10");
    }
    if v.shards.is_some() {
        set("cluster-node-timeout", NODE_TIMEOUT_MS);
        // The other slots go on when a shard is away, and nobody but the operator moves a replica to another
        // shard (redis-facts §1.6, §0.8).
        set("cluster-require-full-coverage", "no");
        set("cluster-allow-replica-migration", "no");
        // By their own vote the servers elect none whose link was down for more than 15 s: the primary's volume
        // has what that one lacks (redis-facts §1.6).
        set("cluster-replica-validity-factor", "1");
        if let Some(counts) = slot_stats(v) {
            set(SLOT_STATS, counts);
        }
    }
    all
}

/// What servers count of each slot for a policy that says which of them move: time, which has a price, and only where
/// somebody may go by it. From 8.6 on Redis is told what to count; bytes it counts only if it did since its start.
fn slot_stats(v: &Validated) -> Option<&'static str> {
    v.rebalance_policy.as_ref()?;
    match (v.engine, v.version.branch()) {
        (Engine::Redis, branch) if branch >= (8, 6) => Some("cpu"),
        (Engine::Redis, branch) if branch >= (8, 2) => Some("yes"),
        (Engine::Valkey, branch) if branch >= (8, 0) => Some("yes"),
        _ => None,
    }
}

/// A tenth of what the container may use, between 64 and 512 MiB; but no more than an eighth of it,
/// as it is outside of maxmemory. A server that no replica follows has one only while it is read for a backup, and
/// after; while a temporary pod stands in for it, what comes back after more writes than that takes a full copy.
fn backlog(v: &Validated) -> u64 {
    let is_lone = v.replicas <= 1 && v.backup.is_some();
    v.memory.limit.map_or(BACKLOG, |limit| match is_lone {
        true => (limit / 32).clamp(LONE_BACKLOG, MAX_LONE_BACKLOG),
        false => (limit / 10).clamp(BACKLOG, MAX_BACKLOG).min(limit / 8),
    })
}

fn link_timeout(v: &Validated) -> u64 {
    match v.failover.script_after_ms.div_ceil(1000) {
        0 => LINK_TIMEOUT,
        script => LINK_TIMEOUT.max(script + BEYOND_SCRIPTS),
    }
}

/// Valkey began at 7.2.
fn since_7_0(v: &Validated) -> bool {
    v.engine == Engine::Valkey || v.version.major >= 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> ServerConfig {
        let pairs = pairs.iter();
        ServerConfig {
            owner: "uid".to_owned(),
            revision: 1,
            directives: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            from_spec: Default::default(),
        }
    }

    fn held_back(wanted: &[(&str, &str)], known: &[(&str, &str)]) -> ServerConfig {
        let mut wanted = config(wanted);
        hold_back(&mut wanted, &config(known));
        wanted
    }

    #[test]
    fn more_memory_waits_for_the_containers_and_less_does_not() {
        let small = [("maxmemory", "100mb"), ("repl-backlog-size", "1048576")];
        let large = [("maxmemory", "209715200"), ("repl-backlog-size", "4mb")];
        assert_eq!(held_back(&large, &small), config(&small));
        assert_eq!(held_back(&small, &large), config(&small));
    }

    #[test]
    fn no_bound_is_more_than_any() {
        let bound = [("maxmemory", "100mb")];
        assert_eq!(held_back(&[], &bound), config(&bound));
        assert_eq!(held_back(&[("maxmemory", "0")], &bound), config(&bound));
        assert_eq!(held_back(&bound, &[]), config(&bound));
        assert_eq!(held_back(&bound, &[("maxmemory", "0")]), config(&bound));
    }

    #[test]
    fn everything_else_changes_at_once() {
        let (before, after) = ([("hz", "10")], [("hz", "20")]);
        assert_eq!(held_back(&after, &before), config(&after));
    }
}
