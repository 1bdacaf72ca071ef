//! Which backups stay, and what becomes of the others.

use std::time::Duration;

use hera_core::backup::FailureReason;
use serde_json::{Value, json};

use super::api_server::{SHOP, condition, wait_for};
use super::cluster::Does;
use super::schedules::{Shop, module};

const BACKUPS: &str = "redisbackups";
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_secs(3);

impl Shop {
    /// Makes backups by hand, one after the other, each a minute younger than the one before.
    async fn have(&self, names: &[&str]) {
        for (at, name) in names.iter().enumerate() {
            let minutes = u64::try_from(names.len() - at).unwrap();
            self.agent().takes(Duration::from_secs(60 * minutes));
            self.back_up(name);
            self.wait_phase(name, "Completed").await;
        }
    }

    /// Waits until these backups are left: here, and in the store.
    async fn wait_left(&self, names: &[&str]) {
        let what = format!("only {names:?} are left");
        wait_for(&what, || {
            let held = self.agent().held();
            (self.names() == *names && held == *names).then_some(())
        })
        .await;
    }

    fn annotate(&self, name: &str, key: &str, value: &str) {
        let store = &self.operator.server.store;
        store.edit(BACKUPS, SHOP, name, |backup| {
            backup["metadata"]["annotations"][key] = json!(value);
        });
    }

    /// Somebody wants a backup deleted.
    fn drops(&self, name: &str) {
        self.annotate(name, "cache.hera.io/drop", "please");
    }

    /// Waits until that is refused for this reason; the words.
    async fn refused(&self, name: &str, reason: &str) -> String {
        let what = format!("{name} is refused: {reason}");
        let said = wait_for(&what, || {
            let backup = self.backup(name)?;
            let asked = &backup["metadata"]["annotations"]["cache.hera.io/drop"];
            let said = condition(&backup, "Dropped")?;
            (asked.is_null() && said["reason"] == reason).then_some(said)
        })
        .await;
        assert_eq!(said["status"], "False");
        said["message"].as_str().unwrap().to_owned()
    }
}

/// A backup that came by itself, and of which nothing came.
fn failed(name: &str, minute: usize) -> Value {
    json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
        "metadata": {
            "namespace": SHOP, "name": name, "labels": {"cache.hera.io/backup-cause": "schedule"},
        },
        "spec": {"target": {"name": "cache"}},
        "status": {
            "phase": "Failed", "attempts": 1, "completedAt": format!("2026-01-01T00:{minute:02}:00Z"),
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_needs_goes_and_the_last_ones_stay() {
    let shop = Shop::of(171).await;
    shop.have(&["a", "b", "c"]).await;
    tokio::time::sleep(WHILE).await;
    assert!(shop.agent().sweeps().is_empty(), "nothing is to go");
    shop.wants(&json!({"keep": {"last": 2}}));
    shop.wait_left(&["b", "c"]).await;
    let told = shop
        .wait_overview("it is swept", |told| told["sweptAt"].is_string())
        .await;
    assert!(told["firstRecoverable"].is_string(), "{told}");
    let sweeps = shop.agent().sweeps();
    let drops: Vec<&[String]> = sweeps.iter().map(|order| order.drop.as_slice()).collect();
    assert_eq!(drops, [&[] as &[String], &["a".to_owned()]]);
    assert!(sweeps.iter().all(|order| order.keep.last == 2));
    // Once an hour is enough.
    shop.back_up("d");
    shop.wait_phase("d", "Completed").await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.agent().sweeps().len(), 2);
    shop.wants(&json!({"keep": {"last": 1}}));
    shop.wait_left(&["d"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_keeps_or_begins_with_stays() {
    let shop = Shop::of(172).await;
    shop.have(&["a", "b", "c", "d"]).await;
    shop.annotate("a", "cache.hera.io/keep", "true");
    let begins = json!({
        "version": "7.2", "paused": true, "backup": {"storeRef": {"name": "s3"}},
        "bootstrap": {"recovery": {"backupRef": {"name": "b"}}},
    });
    shop.operator.apply("begins", begins);
    shop.wants(&json!({"keep": {"last": 1}}));
    shop.wait_left(&["a", "b", "d"]).await;
    let sweeps = shop.agent().sweeps();
    assert_eq!(sweeps.last().unwrap().kept, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_a_backup_deleted_that_nothing_needs() {
    let shop = Shop::of(173).await;
    shop.have(&["a", "b", "c"]).await;
    shop.drops("a");
    shop.wait_left(&["b", "c"]).await;
    // Without retention nothing else goes, and none of the log behind what stays.
    let sweeps = shop.agent().sweeps();
    let order = sweeps.last().unwrap();
    assert_eq!(order.drop, ["a"]);
    assert_eq!(order.kept, ["b", "c"]);
    shop.drops("c");
    let words = shop.refused("c", "Needed").await;
    assert!(words.contains("last"), "{words}");
    shop.annotate("b", "cache.hera.io/keep", "true");
    shop.drops("b");
    let words = shop.refused("b", "Needed").await;
    assert!(words.contains("cache.hera.io/keep"), "{words}");
    assert_eq!(shop.agent().held(), ["b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_holds_nothing_goes_at_once_and_one_that_is_made_does_not() {
    let shop = Shop::of(174).await;
    shop.agent().will(Does::Fails(FailureReason::PathOwned));
    shop.back_up("failed");
    shop.wait_phase("failed", "Failed").await;
    shop.drops("failed");
    wait_for("it goes", || shop.backup("failed").is_none().then_some(())).await;
    shop.agent().will(Does::Runs);
    shop.back_up("runs");
    shop.wait_phase("runs", "Running").await;
    shop.drops("runs");
    let words = shop.refused("runs", "Running").await;
    assert!(words.contains("being made"), "{words}");
    shop.agent().store();
    shop.wait_phase("runs", "Completed").await;
    assert!(shop.agent().sweeps().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_drops_what_is_needed_is_refused_by_rule_and_that_stays() {
    let never = module("hera-policy-hostile", "examples/backup_never.wasm");
    let shop = Shop::of(175).await;
    shop.have(&["a", "b"]).await;
    shop.decides(never);
    shop.wants(&json!({"keep": {"last": 1}}));
    let said = shop.wait_words("PolicyHealthy", "drop-needed").await;
    assert_eq!(said["status"], "False");
    // The built-in has the other one go.
    shop.wait_left(&["b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_fails_deletes_nothing_and_is_not_tried_at_once() {
    let shop = Shop::of(176).await;
    shop.have(&["a", "b"]).await;
    shop.agent()
        .sweeps_fail(Some(FailureReason::StoreUnreachable));
    shop.wants(&json!({"keep": {"last": 1}}));
    wait_for("it is tried", || {
        (shop.agent().sweeps().len() == 1).then_some(())
    })
    .await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.agent().sweeps().len(), 1);
    assert_eq!(shop.names(), ["a", "b"]);
    // Somebody else need not wait.
    shop.agent().sweeps_fail(None);
    shop.drops("a");
    shop.wait_left(&["b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_gone_from_the_store_the_object_goes_though_nobody_heard_of_it() {
    let mut shop = Shop::of(177).await;
    shop.have(&["a", "b", "c"]).await;
    shop.agent().lose("a");
    let store = shop.operator.server.store.clone();
    store.edit(BACKUPS, SHOP, "a", |backup| {
        backup["status"]["completedAt"] = json!("2026-01-01T00:00:00Z");
    });
    shop.operator.restart().await;
    shop.wants(&json!({"keep": {"last": 3}}));
    shop.wait_left(&["b", "c"]).await;
    let sweeps = shop.agent().sweeps();
    assert!(sweeps.iter().all(|order| order.drop.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_that_came_by_themselves_and_failed_the_last_three_stay() {
    let shop = Shop::of(178).await;
    let store = &shop.operator.server.store;
    for (minute, name) in ["f1", "f2", "f3", "f4", "f5"].iter().enumerate() {
        store.put(BACKUPS, failed(name, minute));
    }
    wait_for("two go", || {
        (shop.names() == ["f3", "f4", "f5"]).then_some(())
    })
    .await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.names().len(), 3);
}
