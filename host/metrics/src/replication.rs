//! Whom a server replicates, and who replicates it.

use crate::families::Families;
use crate::info::{Info, number, parts};

/// Replicas of one server that are shown: more than a spec may ask for.
const REPLICAS: usize = 8;

pub fn add(info: &Info<'_>, families: &mut Families) {
    match info.text("role") {
        Some("master") => add_replicas(info, families),
        Some("slave") => add_primary(info, families),
        _ => {}
    }
}

/// What it says of those that replicate it.
fn add_replicas(info: &Info<'_>, families: &mut Families) {
    let written = info.number("master_repl_offset");
    // slave0:ip=10.0.0.7,port=6379,state=online,offset=699,lag=0
    let replicas = info
        .under("slave")
        .filter(|(rest, _)| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    for (_, value) in replicas.take(REPLICAS) {
        let parts = parts(value);
        let part = |name: &str| parts.get(name).copied().unwrap_or_default();
        let labels = [
            ("slave_ip", part("ip")),
            ("slave_port", part("port")),
            ("slave_state", part("state")),
        ];
        if let Some(lag) = number(part("lag")) {
            let help = "Seconds since the replica was heard.";
            families.gauge("redis_connected_slave_lag_seconds", help, &labels, lag);
        }
        if let Some(offset) = number(part("offset")) {
            let help = "How far the replica has got.";
            families.gauge("redis_connected_slave_offset_bytes", help, &labels, offset);
            if let Some(written) = written {
                let help = "Bytes that the replica has not got yet.";
                let behind = (written - offset).max(0.0);
                families.gauge("hera_replica_behind_bytes", help, &labels, behind);
            }
        }
    }
}

/// What it says of the one that it replicates.
fn add_primary(info: &Info<'_>, families: &mut Families) {
    let text = |name| info.text(name).unwrap_or_default();
    let labels = [
        ("master_host", text("master_host")),
        ("master_port", text("master_port")),
    ];
    for (field, name, help) in [
        (
            "master_link_status",
            "redis_master_link_up",
            "1 while it is connected to its primary.",
        ),
        (
            "master_last_io_seconds_ago",
            "redis_master_last_io_seconds_ago",
            "Seconds since it heard its primary.",
        ),
        (
            "master_sync_in_progress",
            "redis_master_sync_in_progress",
            "1 while it takes a full copy.",
        ),
        (
            "slave_repl_offset",
            "redis_slave_repl_offset",
            "How far it has got.",
        ),
        (
            "master_link_down_since_seconds",
            "redis_master_link_down_since_seconds",
            "Seconds since the connection to its primary broke.",
        ),
    ] {
        if let Some(value) = info.number(field) {
            families.gauge(name, help, &labels, value);
        }
    }
    let read_only = text("slave_read_only");
    let labels = [labels[0], labels[1], ("read_only", read_only)];
    families.gauge("redis_slave_info", "Whom it replicates.", &labels, 1.0);
}
