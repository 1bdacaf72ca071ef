//! Fields of `INFO` that are one metric each.

use crate::families::Families;
use crate::info::Info;

/// A field of `INFO`, and the metric that it is.
type Field = (&'static str, &'static str);

const GAUGES: &[Field] = &[
    ("uptime_in_seconds", "redis_uptime_in_seconds"),
    ("io_threads_active", "redis_io_threads_active"),
    ("connected_clients", "redis_connected_clients"),
    ("blocked_clients", "redis_blocked_clients"),
    ("tracking_clients", "redis_tracking_clients"),
    ("pubsub_clients", "redis_pubsub_clients"),
    ("maxclients", "redis_max_clients"),
    ("maxclients", "redis_config_maxclients"),
    ("used_memory", "redis_memory_used_bytes"),
    ("used_memory_rss", "redis_memory_used_rss_bytes"),
    ("used_memory_peak", "redis_memory_used_peak_bytes"),
    ("used_memory_lua", "redis_memory_used_lua_bytes"),
    ("used_memory_overhead", "redis_memory_used_overhead_bytes"),
    ("used_memory_startup", "redis_memory_used_startup_bytes"),
    ("used_memory_dataset", "redis_memory_used_dataset_bytes"),
    ("used_memory_scripts", "redis_memory_used_scripts_bytes"),
    ("maxmemory", "redis_memory_max_bytes"),
    ("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio"),
    ("mem_fragmentation_bytes", "redis_mem_fragmentation_bytes"),
    ("mem_clients_normal", "redis_mem_clients_normal"),
    ("mem_clients_slaves", "redis_mem_clients_slaves"),
    ("mem_aof_buffer", "redis_mem_aof_buffer"),
    (
        "mem_not_counted_for_evict",
        "redis_mem_not_counted_for_eviction_bytes",
    ),
    (
        "mem_replication_backlog",
        "redis_mem_replication_backlog_bytes",
    ),
    (
        "mem_cluster_slot_import",
        "redis_mem_cluster_slot_import_bytes",
    ),
    ("number_of_cached_scripts", "redis_number_of_cached_scripts"),
    ("number_of_functions", "redis_number_of_functions"),
    ("loading", "redis_loading_dump_file"),
    (
        "rdb_changes_since_last_save",
        "redis_rdb_changes_since_last_save",
    ),
    ("rdb_bgsave_in_progress", "redis_rdb_bgsave_in_progress"),
    (
        "rdb_last_save_time",
        "redis_rdb_last_save_timestamp_seconds",
    ),
    ("rdb_last_bgsave_status", "redis_rdb_last_bgsave_status"),
    (
        "rdb_last_bgsave_time_sec",
        "redis_rdb_last_bgsave_duration_sec",
    ),
    (
        "rdb_current_bgsave_time_sec",
        "redis_rdb_current_bgsave_duration_sec",
    ),
    ("rdb_last_cow_size", "redis_rdb_last_cow_size_bytes"),
    ("aof_enabled", "redis_aof_enabled"),
    ("aof_rewrite_in_progress", "redis_aof_rewrite_in_progress"),
    (
        "aof_last_rewrite_time_sec",
        "redis_aof_last_rewrite_duration_sec",
    ),
    ("aof_last_cow_size", "redis_aof_last_cow_size_bytes"),
    ("aof_current_size", "redis_aof_current_size_bytes"),
    ("aof_base_size", "redis_aof_base_size_bytes"),
    ("aof_pending_bio_fsync", "redis_aof_pending_bio_fsync"),
    ("aof_delayed_fsync", "redis_aof_delayed_fsync"),
    (
        "aof_last_bgrewrite_status",
        "redis_aof_last_bgrewrite_status",
    ),
    ("aof_last_write_status", "redis_aof_last_write_status"),
    ("latest_fork_usec", "redis_latest_fork_usec"),
    (
        "instantaneous_ops_per_sec",
        "redis_instantaneous_ops_per_sec",
    ),
    ("pubsub_channels", "redis_pubsub_channels"),
    ("pubsub_patterns", "redis_pubsub_patterns"),
    (
        "current_eviction_exceeded_time",
        "redis_current_eviction_exceeded_time_ms",
    ),
    ("connected_slaves", "redis_connected_slaves"),
    ("master_repl_offset", "redis_master_repl_offset"),
    ("second_repl_offset", "redis_second_repl_offset"),
    ("repl_backlog_size", "redis_replication_backlog_bytes"),
    ("repl_backlog_active", "redis_repl_backlog_is_active"),
    ("repl_backlog_histlen", "redis_repl_backlog_history_bytes"),
    ("cluster_enabled", "redis_cluster_enabled"),
    (
        "slot_migration_fork_in_progress",
        "redis_slot_migration_fork_in_progress",
    ),
    ("total_system_memory", "redis_total_system_memory_bytes"),
];

const COUNTERS: &[Field] = &[
    (
        "total_connections_received",
        "redis_connections_received_total",
    ),
    ("rejected_connections", "redis_rejected_connections_total"),
    ("total_commands_processed", "redis_commands_processed_total"),
    ("total_net_input_bytes", "redis_net_input_bytes_total"),
    ("total_net_output_bytes", "redis_net_output_bytes_total"),
    (
        "total_net_repl_input_bytes",
        "redis_net_repl_input_bytes_total",
    ),
    (
        "total_net_repl_output_bytes",
        "redis_net_repl_output_bytes_total",
    ),
    ("expired_keys", "redis_expired_keys_total"),
    ("evicted_keys", "redis_evicted_keys_total"),
    ("evicted_clients", "redis_evicted_clients_total"),
    (
        "total_eviction_exceeded_time",
        "redis_eviction_exceeded_time_ms_total",
    ),
    ("keyspace_hits", "redis_keyspace_hits_total"),
    ("keyspace_misses", "redis_keyspace_misses_total"),
    ("total_error_replies", "redis_total_error_replies"),
    (
        "acl_access_denied_auth",
        "redis_acl_access_denied_auth_total",
    ),
    ("acl_access_denied_cmd", "redis_acl_access_denied_cmd_total"),
    ("acl_access_denied_key", "redis_acl_access_denied_key_total"),
    ("sync_full", "redis_replica_resyncs_full"),
    ("sync_partial_ok", "redis_replica_partial_resync_accepted"),
    ("sync_partial_err", "redis_replica_partial_resync_denied"),
    ("used_cpu_sys", "redis_cpu_sys_seconds_total"),
    ("used_cpu_user", "redis_cpu_user_seconds_total"),
    (
        "used_cpu_sys_children",
        "redis_cpu_sys_children_seconds_total",
    ),
    (
        "used_cpu_user_children",
        "redis_cpu_user_children_seconds_total",
    ),
];

/// Labels of `redis_instance_info`, and the fields that they show. Valkey has both versions.
const INSTANCE: &[Field] = &[
    ("role", "role"),
    ("redis_version", "redis_version"),
    ("redis_build_id", "redis_build_id"),
    ("redis_mode", "redis_mode"),
    ("os", "os"),
    ("maxmemory_policy", "maxmemory_policy"),
    ("tcp_port", "tcp_port"),
    ("run_id", "run_id"),
    ("process_id", "process_id"),
    ("master_replid", "master_replid"),
    ("valkey_version", "valkey_version"),
    ("valkey_release_stage", "valkey_release_stage"),
];

pub fn add(info: &Info<'_>, families: &mut Families) {
    for (field, name) in GAUGES {
        if let Some(value) = info.number(field) {
            families.gauge(name, &help(field), &[], value);
        }
    }
    for (field, name) in COUNTERS {
        if let Some(value) = info.number(field) {
            families.counter(name, &help(field), &[], value);
        }
    }
}

fn help(field: &str) -> String {
    format!("{field} of INFO.")
}

/// What the server is, as labels.
pub fn add_instance(info: &Info<'_>, families: &mut Families) {
    let label = |(field, label): &Field| Some((*label, info.text(field)?));
    let labels: Vec<(&str, &str)> = INSTANCE.iter().filter_map(label).collect();
    families.gauge("redis_instance_info", "What the server is.", &labels, 1.0);
}

/// When it started, and how long ago it saved: by its own clock, where it tells that.
pub fn add_ages(info: &Info<'_>, now_ms: u64, families: &mut Families) {
    let own = info.number("server_time_usec").map(|micros| micros / 1e6);
    let other = std::time::Duration::from_millis(now_ms).as_secs_f64();
    let now = own.unwrap_or(other);
    if let Some(uptime) = info.number("uptime_in_seconds") {
        let help = "When the server started, in seconds since 1970.";
        families.gauge(
            "redis_start_time_seconds",
            help,
            &[],
            (now - uptime).floor(),
        );
    }
    if let Some(saved) = info.number("rdb_last_save_time") {
        let help = "How long ago the server saved a snapshot, or started.";
        let ago = (now - saved).max(0.0);
        families.gauge("hera_last_save_seconds_ago", help, &[], ago);
    }
}
