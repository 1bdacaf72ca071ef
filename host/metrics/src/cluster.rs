//! What a server says of its cluster.

use crate::families::Families;
use crate::info::Info;

/// Fields of `CLUSTER INFO` that are metrics under their own names.
const GAUGES: &[&str] = &[
    "cluster_state",
    "cluster_slots_assigned",
    "cluster_slots_ok",
    "cluster_slots_pfail",
    "cluster_slots_fail",
    "cluster_known_nodes",
    "cluster_size",
    "cluster_current_epoch",
    "cluster_my_epoch",
    "cluster_nodes_pfail",
    "cluster_nodes_fail",
    "cluster_voting_nodes_pfail",
    "cluster_voting_nodes_fail",
    "cluster_slot_migration_active_tasks",
];
const COUNTERS: &[(&str, &str)] = &[
    (
        "cluster_stats_messages_sent",
        "redis_cluster_messages_sent_total",
    ),
    (
        "cluster_stats_messages_received",
        "redis_cluster_messages_received_total",
    ),
];

pub fn add(info: &Info<'_>, families: &mut Families) {
    for name in GAUGES {
        if let Some(value) = info.number(name) {
            let help = format!("{name} of CLUSTER INFO.");
            families.gauge(&format!("redis_{name}"), &help, &[], value);
        }
    }
    for (field, name) in COUNTERS {
        if let Some(value) = info.number(field) {
            families.counter(name, &format!("{field} of CLUSTER INFO."), &[], value);
        }
    }
}
