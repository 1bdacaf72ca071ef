//! The server's directives: what the operator decides, its defaults, and what the user sets.

use std::collections::BTreeMap;

use hera_api::Engine;
use hera_api::validate::Validated;
use hera_core::agent::ServerConfig;

use crate::Context;

/// Least backlog for replicas, where memory allows it: a restart of one must fit.
const BACKLOG: u64 = 64 << 20;
/// Most that is taken for it unasked.
const MAX_BACKLOG: u64 = 512 << 20;
/// Seconds since a replica's last word after which it does not count for `min-replicas-to-write`.
const MAX_LAG: &str = "10";

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
    if since_7_0(v) {
        set("aof-timestamp-enabled", "yes".to_owned());
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
    all
}

/// A tenth of what the container may use, between 64 and 512 MiB; but no more than an eighth of it,
/// as it is outside of maxmemory.
fn backlog(v: &Validated) -> u64 {
    v.memory.limit.map_or(BACKLOG, |limit| {
        (limit / 10).clamp(BACKLOG, MAX_BACKLOG).min(limit / 8)
    })
}

/// Valkey began at 7.2.
fn since_7_0(v: &Validated) -> bool {
    v.engine == Engine::Valkey || v.version.major >= 7
}
