//! What a scraper is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::client::{Client as _, app, login, user};
use crate::engine::Engine;
use crate::group::Group;
use crate::pod::{Pod, server_pid, to_pid};

on_all!(
    dashboards_and_rules_of_others_find_what_they_ask_for,
    a_scrape_asks_as_a_user_that_can_do_nothing_else,
);
facts_on!(
    once,
    REDIS_7_2,
    a_server_that_hangs_is_told_and_delays_no_probe,
    without_metrics_nobody_listens_for_scrapes_and_no_user_is_for_them,
    a_scrape_costs_little
);

/// What stock dashboards and rules ask of any server (redis-facts §6.1), `redis_` before each.
const OF_ANY: &str = "up instance_info uptime_in_seconds start_time_seconds exporter_last_scrape_error \
    connected_clients blocked_clients max_clients config_maxclients rejected_connections_total \
    connections_received_total memory_used_bytes memory_used_rss_bytes memory_used_peak_bytes \
    memory_max_bytes mem_fragmentation_ratio mem_not_counted_for_eviction_bytes \
    mem_replication_backlog_bytes db_keys db_keys_expiring db_avg_ttl_seconds expired_keys_total \
    evicted_keys_total keyspace_hits_total keyspace_misses_total commands_processed_total \
    commands_total commands_duration_seconds_total commands_failed_calls_total \
    commands_rejected_calls_total latency_percentiles_usec slowlog_length \
    slowlog_last_id last_slow_execution_duration_seconds net_input_bytes_total \
    net_output_bytes_total cpu_sys_seconds_total cpu_user_seconds_total connected_slaves \
    master_repl_offset replica_resyncs_full replica_partial_resync_accepted \
    replica_partial_resync_denied replication_backlog_bytes loading_dump_file \
    rdb_last_save_timestamp_seconds rdb_last_bgsave_status rdb_last_bgsave_duration_sec \
    rdb_bgsave_in_progress rdb_changes_since_last_save rdb_last_cow_size_bytes aof_enabled \
    aof_last_write_status aof_last_bgrewrite_status latest_fork_usec cluster_enabled";
const OF_AOF: &str = "aof_current_size_bytes aof_delayed_fsync";
const OF_PRIMARIES: &str = "connected_slave_lag_seconds connected_slave_offset_bytes errors_total";
const OF_REPLICAS: &str = "slave_repl_offset master_link_up master_last_io_seconds_ago \
    master_sync_in_progress slave_info";

pub const OF_CLUSTERS: &str = "cluster_enabled cluster_state cluster_slots_assigned cluster_slots_ok \
    cluster_slots_pfail cluster_slots_fail cluster_known_nodes cluster_size cluster_current_epoch \
    cluster_my_epoch cluster_messages_sent_total cluster_messages_received_total";

/// Names of metrics in a text.
pub fn names(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

pub fn assert_has(text: &str, wanted: &str) {
    let names = names(text);
    for name in wanted.split_whitespace() {
        let name = format!("redis_{name}");
        // Of a summary there is a sum at least.
        let sum = format!("{name}_sum");
        assert!(
            names.contains(name.as_str()) || names.contains(sum.as_str()),
            "{name} is not in\n{text}"
        );
    }
}

async fn dashboards_and_rules_of_others_find_what_they_ask_for(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group.until_linked(1).await;
    let app = group[0].app().await;
    app.set("a", "1").await.unwrap();
    app.say(&["SET", "b", "1", "EX", "100"]).await.unwrap();
    assert!(app.say(&["LPUSH", "a", "1"]).await.is_err());

    let primary = group[0].scrape().await;
    assert_has(&primary, OF_ANY);
    assert_has(&primary, OF_AOF);
    assert_has(&primary, OF_PRIMARIES);
    for line in [
        "redis_up 1",
        "redis_db_keys{db=\"db0\"} 2",
        "redis_errors_total{err=\"WRONGTYPE\"} 1",
        "hera_server_primary 1",
        "hera_epoch 1",
    ] {
        assert!(primary.contains(line), "{line} is not in\n{primary}");
    }
    group.until_has(1, "b", "1").await;
    let replica = group[1].scrape().await;
    assert_has(&replica, OF_ANY);
    assert_has(&replica, OF_REPLICAS);
    assert!(replica.contains("hera_server_primary 0"), "{replica}");
}

async fn a_scrape_asks_as_a_user_that_can_do_nothing_else(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let root = user("root", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), root]).await.unwrap();
    assert!(pod.scrape().await.contains("redis_up 1"));
    let hand = login(pod.port, "root").await.unwrap();
    let clients = hand.say(&["CLIENT", "LIST"]).await.unwrap();
    assert!(clients.contains("user=hera-metrics"), "{clients}");
    let may = async |words: &str| {
        let dry = ["ACL", "DRYRUN", "hera-metrics"].into_iter();
        let asked: Vec<&str> = dry.chain(words.split(' ')).collect();
        hand.say(&asked).await.unwrap() == "OK"
    };
    for words in ["INFO all", "SLOWLOG LEN", "SLOWLOG GET 1", "LATENCY LATEST"] {
        assert!(may(words).await, "{words}");
    }
    for words in [
        "GET a",
        "SET a 1",
        "KEYS *",
        "PUBLISH a 1",
        "CONFIG GET *",
        "ACL LIST",
        "CLIENT LIST",
        "SLOWLOG RESET",
        "LATENCY RESET",
        "CLUSTER INFO",
        "MONITOR",
    ] {
        assert!(!may(words).await, "{words}");
    }
    // Its server's successor has it from its start.
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    assert!(pod.scrape().await.contains("redis_up 1"));
}

async fn without_metrics_nobody_listens_for_scrapes_and_no_user_is_for_them(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.more = vec!["--serve-metrics".to_owned(), "false".to_owned()];
    pod.serve().await;
    let root = user("root", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), root]).await.unwrap();
    assert!(!pod.serves_metrics().await);
    let hand = login(pod.port, "root").await.unwrap();
    let mut command = hera_redis::command("ACL");
    command.arg("USERS");
    let users: Vec<String> = hand.ask("ACL USERS", &command).await.unwrap();
    assert!(!users.contains(&"hera-metrics".to_owned()), "{users:?}");
}

async fn a_server_that_hangs_is_told_and_delays_no_probe(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    assert!(pod.scrape().await.contains("redis_up 1"));
    let pid = to_pid(server_pid(&pod.status().await.unwrap()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let since = Instant::now();
    let (text, probed) = tokio::join!(pod.scrape(), async {
        let code = pod.probe("/livez").await;
        (code, since.elapsed())
    });
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(text.contains("redis_up 0"), "{text}");
    assert!(
        text.contains("redis_exporter_last_scrape_error{err=\"\"} 1"),
        "{text}"
    );
    assert!(text.contains("hera_epoch"), "{text}");
    assert_eq!(probed.0, 200);
    assert!(probed.1 < Duration::from_secs(1), "{probed:?}");
}

/// Its own processor time, in milliseconds: user and system.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]]
        .iter()
        .map(|f| f.parse::<u64>().unwrap())
        .sum();
    ticks * 10
}

async fn a_scrape_costs_little(engine: Engine) {
    const SCRAPES: u64 = 200;
    let mut pod = Pod::new(engine);
    pod.serve().await;
    pod.scrape().await;
    let server = server_pid(&pod.status().await.unwrap()).unwrap();
    let before = (cpu_ms(pod.agent_pid()), cpu_ms(server));
    for _ in 0..SCRAPES {
        pod.scrape().await;
    }
    let of = |before: u64, now: u64| (now - before) as f64 / SCRAPES as f64;
    let agent = of(before.0, cpu_ms(pod.agent_pid()));
    let server = of(before.1, cpu_ms(server));
    println!("FIGURE a scrape: agent {agent:.2} ms (target 5), server {server:.2} ms (target 2)");
    // A build without optimization, on a machine that others use.
    assert!(agent < 50.0 && server < 20.0, "{agent} {server}");
}
