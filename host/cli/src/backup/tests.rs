//! Backups as people see them. The objects serve other tests, too.

use hera_api::RedisBackupStore;
use serde_json::{Value, json};

use super::list::{lines, row};
use super::log::{Kept, LogSeen};
use super::status::{OfInstance, StoreSeen};
use super::*;

/// A backup of `shop/cart`, made at this hour, with this status.
pub fn backup(name: &str, hour: u8, status: Value) -> RedisBackup {
    let object = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
        "metadata": {
            "name": name, "namespace": "shop",
            "creationTimestamp": format!("2026-11-28T{hour:02}:00:00Z"),
        },
        "spec": {"target": {"name": "cart"}},
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

/// The store `shop/s3` with these conditions.
pub fn store(conditions: Value) -> RedisBackupStore {
    let reference = |key: &str| json!({"name": "s3", "key": key});
    let object = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackupStore",
        "metadata": {"name": "s3", "namespace": "shop"},
        "spec": {"s3": {
            "bucket": "data", "prefix": "redis/", "endpoint": "https://minio:9000",
            "accessKeyIdRef": reference("id"), "secretAccessKeyRef": reference("key"),
        }},
        "status": {"conditions": conditions},
    });
    serde_json::from_value(object).unwrap()
}

/// A log of this health.
pub fn logged(status: &str, reason: &str, message: &str) -> LogSeen {
    let health = json!({
        "type": "BackupHealthy", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-28T03:00:00Z",
    });
    LogSeen {
        health: Some(serde_json::from_value(health).unwrap()),
        kept: None,
        unasked: None,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn whole() -> RedisBackup {
    let status = json!({
        "phase": "Completed", "store": "s3", "path": "shop.cart/u-1/backups/b1.json",
        "instant": "2026-11-28T03:00:01Z", "startedAt": "2026-11-28T03:00:00Z",
        "completedAt": "2026-11-28T03:00:09Z", "storedSize": "12Mi",
        "engine": "redis", "version": "7.2.4", "attempts": 2,
        "conditions": [{
            "type": "Completed", "status": "True", "reason": "Stored", "message": "",
            "lastTransitionTime": "2026-11-28T03:00:09Z",
        }],
        "shards": [{
            "shard": "0", "pod": "cart-1", "podUid": "p", "role": "replica", "replicationId": "abc",
            "offset": 77, "rawBytes": 20 << 20, "storedBytes": 12 << 20, "usedMemory": 30 << 20,
        }],
    });
    backup("b1", 3, status)
}

#[test]
fn all_that_is_known_of_a_backup_is_shown() {
    let text = plain(&text::backup(&whole()));
    for words in [
        "RedisBackup shop/b1  Completed  of RedisInstance cart\n",
        "Stored\n",
        "instant:   2026-11-28T03:00:01Z\n",
        "ended:     2026-11-28T03:00:09Z\n",
        "attempts:  2\n",
        "server:    redis 7.2.4\n",
        "stored:    12Mi\n",
        "path:      shop.cart/u-1/backups/b1.json\n",
        "read:      pod cart-1, replica, history abc up to 77, 20.0 MiB of data, 12.0 MiB stored, 30.0 MiB of memory used\n",
        "kubectl hera recover cart --from b1 --as NEW",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}

#[test]
fn a_backup_that_nobody_has_looked_at_yet_is_pending() {
    let new = backup("b1", 3, Value::Null);
    assert!(!new.is_over());
    let text = plain(&text::backup(&new));
    assert_eq!(
        text,
        "RedisBackup shop/b1  Pending  of RedisInstance cart\n"
    );
    assert_eq!(plain(&text::progress(&new)), "Pending");
}

#[test]
fn lines_are_of_the_latest_first_and_say_why_one_failed() {
    let failed = json!({"phase": "Failed", "conditions": [{
        "type": "Completed", "status": "False", "reason": "NoHeadroom", "message": "too little memory",
        "lastTransitionTime": "2026-11-28T05:00:00Z",
    }]});
    let all = vec![whole(), backup("b2", 5, failed)];
    let mut other = backup("b3", 4, json!({}));
    other.spec.target.name = "shop".to_owned();
    let all = latest_first([all, vec![other]].concat(), Some("cart"));
    let rows: Vec<_> = all.iter().map(row).collect();
    let text = plain(&lines(&rows));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("b2") && lines[1].ends_with("NoHeadroom: too little memory"));
    assert!(lines[2].starts_with("b1") && lines[2].contains("2026-11-28T03:00:01Z   12Mi"));
}

#[test]
fn a_store_is_said_to_be_where_it_is() {
    let mut store = store(json!([]));
    assert_eq!(
        text::place(&store),
        "bucket data/redis at https://minio:9000"
    );
    store.spec.s3.endpoint = None;
    store.spec.s3.prefix.clear();
    assert_eq!(text::place(&store), "bucket data in us-east-1");
}

fn cart(log: Option<LogSeen>) -> OfInstance {
    let store = StoreSeen {
        name: "s3".to_owned(),
        at: Some("bucket data/redis at https://minio:9000".to_owned()),
        available: None,
    };
    OfInstance {
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        store: Some(store),
        log,
        last_completed: Some(whole()),
        backups: vec![whole()],
    }
}

#[test]
fn an_instance_is_shown_with_its_store_its_log_and_its_last_backups() {
    let kept = Kept {
        pod: "cart-1".to_owned(),
        covered: Some("2026-11-28T14:03:04.5Z".parse().unwrap()),
        queue_bytes: Some(3 << 20),
    };
    let log = LogSeen {
        kept: Some(kept),
        ..logged("True", "Healthy", "")
    };
    let text = plain(&text::instance(&cart(Some(log))));
    assert_eq!(text, include_str!("golden/logged.txt"));
}

#[test]
fn what_is_wrong_with_a_log_is_said_and_that_there_is_none() {
    let shown = |log| plain(&text::instance(&cart(log)));
    let none = shown(None);
    assert!(none.contains("log:       none is kept"), "{none}");
    let down = shown(Some(logged("False", "StoreUnreachable", "no answer")));
    let words = "log:       StoreUnreachable: no answer\nlog:       no pod says that it keeps it\n";
    assert!(down.contains(words), "{down}");
    let mut unasked = logged("True", "Healthy", "");
    unasked.unasked = Some("pods \"cart-0\" is forbidden".to_owned());
    let unasked = shown(Some(unasked));
    assert!(unasked.contains("forbidden"), "{unasked}");
}
