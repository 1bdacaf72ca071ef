//! Backups as people see them. The objects serve other tests, too.

use std::collections::BTreeSet;

use hera_api::RedisBackupStore;
use serde_json::{Value, json};

use super::list::{lines, row};
use super::log::{Kept, LogSeen};
use super::schedules::ScheduleSeen;
use super::status::{OfInstance, StoreSeen, Waiting};
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

/// What the operator says of backups.
pub fn health(status: &str, reason: &str, message: &str) -> Condition {
    let health = json!({
        "type": "BackupHealthy", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-28T03:00:00Z",
    });
    serde_json::from_value(health).unwrap()
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
        "RedisBackup shop/b1  Pending  of RedisInstance cart\ncause:     person\n"
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
    let needed = BTreeSet::from(["b1".to_owned()]);
    let rows: Vec<_> = all.iter().map(|backup| row(backup, &needed)).collect();
    let text = plain(&lines(&rows));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("b2") && lines[1].ends_with("NoHeadroom: too little memory"));
    assert!(
        lines[2].starts_with("b1") && lines[2].contains("2026-11-28T03:00:01Z   12Mi   needed")
    );
}

#[test]
fn a_backup_says_why_it_was_made_until_when_it_waits_and_that_it_stays() {
    let waits = json!({"phase": "Pending", "conditions": [{
        "type": "Completed", "status": "False", "reason": "PolicyWaits", "message": "until 03:00: busy",
        "lastTransitionTime": "2026-11-28T02:00:00Z",
    }, {
        "type": "Dropped", "status": "False", "reason": "Needed", "message": "the last one",
        "lastTransitionTime": "2026-11-28T02:00:00Z",
    }]});
    let mut one = backup("b1", 2, waits);
    let labels = [
        ("cache.hera.io/backup-cause", "schedule"),
        ("cache.hera.io/backup-schedule", "nightly"),
    ];
    let annotations = [
        ("cache.hera.io/backup-due", "2026-11-28T02:00:00Z"),
        ("cache.hera.io/backup-latest", "2026-11-28T04:00:00Z"),
        ("cache.hera.io/keep", "true"),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    one.labels_mut().extend(labels.map(owned));
    one.annotations_mut().extend(annotations.map(owned));
    let text = plain(&text::backup(&one));
    for words in [
        "PolicyWaits: until 03:00: busy\n",
        "cause:     schedule nightly, wanted since 2026-11-28T02:00:00Z, begins by 2026-11-28T04:00:00Z\n",
        "kept:      whatever its age\n",
        "no drop:   Needed: the last one\n",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let line = plain(&lines(&[row(&one, &BTreeSet::new())]));
    assert!(
        line.contains("schedule nightly") && line.contains(" kept "),
        "{line}"
    );
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
        health: None,
        log,
        schedules: Vec::new(),
        max_age: None,
        keep: None,
        overview: None,
        waiting: Vec::new(),
        needed: BTreeSet::new(),
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
    let mut cart = cart(Some(LogSeen {
        kept: Some(kept),
        unasked: None,
    }));
    cart.health = Some(health("True", "Healthy", ""));
    let text = plain(&text::instance(&cart));
    assert_eq!(text, include_str!("golden/logged.txt"));
}

#[test]
fn schedules_what_stays_and_what_waits_are_shown() {
    let mut cart = cart(None);
    cart.health = Some(health("False", "TooOld", "30h old"));
    cart.schedules = vec![
        ScheduleSeen {
            name: "nightly".to_owned(),
            times: "0 3 * * * Europe/Berlin".to_owned(),
            next: "2026-11-29T02:00:00Z".parse().ok(),
            wrong: None,
        },
        ScheduleSeen {
            name: "never".to_owned(),
            times: "0 0 30 2 * UTC".to_owned(),
            next: None,
            wrong: Some("it is never so".to_owned()),
        },
    ];
    cart.max_age = Some("26h".to_owned());
    cart.keep = serde_json::from_value(json!({"for": "168h", "last": 3})).unwrap();
    let overview =
        json!({"firstRecoverable": "2026-11-21T02:00:00Z", "sweptAt": "2026-11-28T04:00:00Z"});
    cart.overview = serde_json::from_value(overview).unwrap();
    cart.waiting = vec![Waiting {
        name: "b2".to_owned(),
        message: "until 03:00: busy".to_owned(),
    }];
    cart.needed.insert("b1".to_owned());
    let text = plain(&text::instance(&cart));
    assert_eq!(text, include_str!("golden/scheduled.txt"));
}

#[test]
fn what_is_wrong_with_a_log_is_said_and_that_there_is_none() {
    let shown = |log, health| {
        let mut cart = cart(log);
        cart.health = health;
        plain(&text::instance(&cart))
    };
    let log = |unasked| {
        Some(LogSeen {
            kept: None,
            unasked,
        })
    };
    let none = shown(None, None);
    assert!(none.contains("log:       none is kept"), "{none}");
    assert!(!none.contains("health:"), "{none}");
    let down = health("False", "StoreUnreachable", "no answer");
    let down = shown(log(None), Some(down));
    let words = "health:    StoreUnreachable: no answer\nlog:       no pod says that it keeps it\n";
    assert!(down.contains(words), "{down}");
    let forbidden = Some("pods \"cart-0\" is forbidden".to_owned());
    let unasked = shown(log(forbidden), None);
    assert!(
        unasked.contains("the operator has not looked yet"),
        "{unasked}"
    );
    assert!(unasked.contains("forbidden"), "{unasked}");
}
