use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::*;

const PRIMARY: &str = "\
# Server\r
redis_version:7.2.4\r
run_id:abc\r
uptime_in_seconds:100\r
server_time_usec:1700000100000000\r
# Clients\r
connected_clients:3\r
maxclients:10000\r
# Persistence\r
rdb_last_save_time:1700000040\r
rdb_last_bgsave_status:ok\r
aof_last_write_status:err\r
# Stats\r
total_commands_processed:42\r
# Replication\r
role:master\r
connected_slaves:1\r
slave0:ip=10.0.0.7,port=6379,state=online,offset=600,lag=1\r
master_repl_offset:699\r
# Commandstats\r
cmdstat_get:calls=21,usec=175,usec_per_call=8.33,rejected_calls=0,failed_calls=2\r
# Errorstats\r
errorstat_WRONGTYPE:count=2\r
# Latencystats\r
latency_percentiles_usec_get:p50=8.031,p99=21.119,p99.9=21.119\r
# Keyspace\r
db0:keys=12,expires=3,avg_ttl=4500\r
";

fn text(exporter: &mut Exporter, info: &str) -> String {
    let mut families = Families::default();
    let answers = Answers {
        info,
        ..Answers::default()
    };
    exporter.of_server(&answers, &mut families);
    String::from_utf8(families.text().unwrap()).unwrap()
}

fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_primary_is_told_under_the_names_that_dashboards_ask_for() {
    let text = text(&mut Exporter::default(), PRIMARY);
    let series = series(&text);
    for line in [
        "redis_instance_info{role=\"master\",redis_version=\"7.2.4\",run_id=\"abc\"} 1",
        "redis_start_time_seconds 1700000000",
        "hera_last_save_seconds_ago 60",
        "redis_connected_clients 3",
        "redis_max_clients 10000",
        "redis_config_maxclients 10000",
        "redis_rdb_last_bgsave_status 1",
        "redis_aof_last_write_status 0",
        "redis_commands_processed_total 42",
        "redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.7\",slave_port=\"6379\",slave_state=\"online\"} 1",
        "hera_replica_behind_bytes{slave_ip=\"10.0.0.7\",slave_port=\"6379\",slave_state=\"online\"} 99",
        "redis_commands_total{cmd=\"get\"} 21",
        "redis_commands_duration_seconds_total{cmd=\"get\"} 0.000175",
        "redis_commands_failed_calls_total{cmd=\"get\"} 2",
        "redis_latency_percentiles_usec{cmd=\"get\",quantile=\"0.99\"} 21.119",
        "redis_latency_percentiles_usec_count{cmd=\"get\"} 21",
        "redis_errors_total{err=\"WRONGTYPE\"} 2",
        "redis_db_keys{db=\"db0\"} 12",
        "redis_db_avg_ttl_seconds{db=\"db0\"} 4.5",
    ] {
        assert!(series.contains(&line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_replica_tells_whom_it_follows() {
    let replica = "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:up\n\
        slave_repl_offset:7\nslave_read_only:1\n";
    let text = text(&mut Exporter::default(), replica);
    let labels = "{master_host=\"10.0.0.1\",master_port=\"6379\"}";
    for line in [
        format!("redis_master_link_up{labels} 1"),
        format!("redis_slave_repl_offset{labels} 7"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("connected_slave_"));
}

#[test]
fn a_cluster_is_told_from_its_own_answer() {
    let mut families = Families::default();
    let answers = Answers {
        info: "cluster_enabled:1\n",
        cluster: Some(
            "cluster_state:fail\r\ncluster_slots_ok:16384\r\ncluster_stats_messages_sent:9\r\n",
        ),
        ..Answers::default()
    };
    Exporter::default().of_server(&answers, &mut families);
    let text = String::from_utf8(families.text().unwrap()).unwrap();
    for line in [
        "redis_cluster_enabled 1",
        "redis_cluster_state 0",
        "redis_cluster_slots_ok 16384",
        "redis_cluster_messages_sent_total 9",
    ] {
        assert!(series(&text).contains(&line), "{line} is not in\n{text}");
    }
}

/// Everything that makes series, each a thousand times.
fn excess() -> String {
    let mut info = PRIMARY.replace("role:master", "role:master\nmaster_host:x");
    for number in 0..1_000 {
        let _ = write!(
            info,
            "cmdstat_c{number}:calls=1,usec=1,rejected_calls=0,failed_calls=0\n\
             latency_percentiles_usec_c{number}:p50=1,p90=1,p99=1,p99.9=1,p99.99=1\n\
             errorstat_E{number}:count=1\ndb{number}:keys=1,expires=1,avg_ttl=1\n\
             slave{number}:ip=10.0.0.{number},port=1,state=online,offset=1,lag=1\n"
        );
    }
    info
}

#[test]
fn a_pod_has_no_more_series_than_its_budget_whatever_clients_do() {
    let events: Vec<_> = (0..1_000)
        .map(|number| LatencyEvent {
            name: format!("event-{number}"),
            at: 1,
            took_ms: 1,
        })
        .collect();
    let info = excess();
    let cluster = "cluster_state:ok\n".repeat(100);
    let answers = Answers {
        info: &info,
        cluster: Some(&cluster),
        events: &events,
        ..Answers::default()
    };
    let mut families = Families::default();
    Exporter::default().of_server(&answers, &mut families);
    let text = String::from_utf8(families.text().unwrap()).unwrap();
    // The agent adds a few of its own.
    let count = series(&text).len();
    assert!(count + 20 <= MOST_SERIES, "{count} series");
    assert!(
        count > MOST_SERIES / 2,
        "{count} series: there is room left"
    );
}

#[test]
fn what_is_shown_once_stays_and_what_has_no_room_is_counted() {
    let mut exporter = Exporter::default();
    text(&mut exporter, PRIMARY);
    let full = text(&mut exporter, &excess());
    assert!(full.contains("redis_commands_total{cmd=\"get\"} 21"));
    let left: BTreeSet<_> = series(&full).into_iter().collect();
    // 1001 commands, 28 of them shown.
    assert!(left.contains("hera_commands_left_out 973"));
    let again = text(&mut exporter, &excess());
    assert_eq!(full, again);
}

#[test]
fn what_is_no_number_is_no_metric() {
    let text = text(
        &mut Exporter::default(),
        "connected_clients:many\nused_memory:NaN\nmaxmemory\n",
    );
    assert!(!text.contains("redis_connected_clients"));
    assert!(!text.contains("redis_memory_used_bytes"));
}
