//! What becomes of RedisBackups.

use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::Role;
use hera_core::backup::{BackupOrder, FailureReason};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::api_server::{HOME, Operator, Request, SHOP, condition, wait_for};
use super::cluster::{Backups, Cluster, Does};

const BACKUPS: &str = "redisbackups";
pub const STORES: &str = "redisbackupstores";
/// What nobody but agents may be told.
const KEY: &str = "the-secret-of-the-key";

/// An instance whose backups go to a store.
struct Shop {
    operator: Operator,
    cluster: Cluster,
}

/// The store `s3`, whose key is in the Secret `s3-key`, with this bucket.
pub fn store_object(bucket: &str) -> Value {
    let key = |key: &str| json!({"name": "s3-key", "key": key});
    json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackupStore",
        "metadata": {"namespace": SHOP, "name": "s3"},
        "spec": {"s3": {
            "bucket": bucket, "endpoint": "http://127.0.0.1:1",
            "accessKeyIdRef": key("id"), "secretAccessKeyRef": key("secret"),
        }},
    })
}

impl Shop {
    async fn of(net: u8, replicas: u32) -> Self {
        let operator = Operator::start().await;
        let cluster = Cluster::start(Arc::clone(&operator.server.store), net);
        let shop = Self { operator, cluster };
        shop.put_secret(&[("id", "an-id"), ("secret", KEY)]);
        shop.put_store();
        shop.apply("cache", replicas);
        shop.serves("cache").await;
        shop
    }

    fn apply(&self, name: &str, replicas: u32) {
        let spec = json!({
            "version": "7.2", "replicas": replicas, "backup": {"storeRef": {"name": "s3"}},
        });
        self.operator.apply(name, spec);
    }

    async fn serves(&self, name: &str) {
        self.operator.wait_reason(name, "Ready", "Serving").await;
        self.operator
            .wait_reason(name, "Progressing", "Settled")
            .await;
    }

    fn put_secret(&self, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter();
        let data: serde_json::Map<_, _> = pairs
            .map(|(key, text)| ((*key).to_owned(), json!(ByteString((*text).into()))))
            .collect();
        self.operator.server.store.put(
            "secrets",
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"namespace": SHOP, "name": "s3-key"}, "data": data,
            }),
        );
    }

    fn put_store(&self) {
        let store = store_object("backups");
        self.operator.server.store.put(STORES, store);
    }

    fn back_up(&self, name: &str, spec: Value) {
        self.operator.server.store.put(
            BACKUPS,
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
                "metadata": {"namespace": SHOP, "name": name}, "spec": spec,
            }),
        );
    }

    fn agent(&self, pod: &str) -> Backups {
        self.cluster.backups(SHOP, pod)
    }

    /// The replicas of three pods, by name.
    fn replicas(&self) -> Vec<String> {
        let names = (0..3).map(|ordinal| format!("cache-{ordinal}"));
        let follows = |name: &String| {
            let told = self.cluster.told(SHOP, name).unwrap();
            told.role == Role::Replica
        };
        names.filter(follows).collect()
    }

    fn backup(&self, name: &str) -> Option<Value> {
        self.operator.server.store.find(BACKUPS, SHOP, name)
    }

    async fn wait_phase(&self, name: &str, phase: &str) -> Value {
        let what = format!("{name} is {phase}");
        wait_for(&what, || {
            let backup = self.backup(name);
            backup.filter(|backup| backup["status"]["phase"] == phase)
        })
        .await
    }

    /// Waits until the condition Completed has this reason; the backup then.
    async fn wait_reason(&self, name: &str, reason: &str) -> Value {
        let what = format!("{name} says {reason}");
        wait_for(&what, || {
            let backup = self.backup(name)?;
            let said = condition(&backup, "Completed")?;
            (said["reason"] == reason).then_some(backup)
        })
        .await
    }

    async fn wait_available(&self, reason: &str) {
        let what = format!("the store says {reason}");
        self.wait_store(&what, |_, said| said["reason"] == reason)
            .await;
    }

    /// Waits until the store and its condition Available are so.
    async fn wait_store(&self, what: &str, is: impl Fn(&Value, &Value) -> bool) {
        wait_for(what, || {
            let store = self.operator.server.store.find(STORES, SHOP, "s3")?;
            let said = condition(&store, "Available")?;
            is(&store, &said).then_some(())
        })
        .await;
    }

    /// How often something was asked of backups, but for watches.
    fn asked(&self) -> usize {
        let about = |asked: &Request| asked.plural == BACKUPS && asked.verb != "watch";
        self.operator.server.store.count(about)
    }
}

fn of_cache() -> Value {
    json!({"target": {"name": "cache"}})
}

fn message(backup: &Value) -> String {
    let said = condition(backup, "Completed").unwrap();
    said["message"].as_str().unwrap().to_owned()
}

fn snapshots(agent: &Backups) -> usize {
    let words = agent.words();
    words.iter().filter(|w| w.starts_with("Snapshot")).count()
}

fn commits(agent: &Backups) -> usize {
    let words = agent.words();
    words.iter().filter(|w| w.starts_with("Commit")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_stored_and_its_status_says_what_is_in_it() {
    let shop = Shop::of(121, 1).await;
    shop.operator.server.store.put(
        "namespaces",
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"},
        }),
    );
    let here = shop
        .operator
        .server
        .store
        .find("namespaces", "", "kube-system");
    let here = here.unwrap()["metadata"]["uid"].clone();
    shop.back_up("nightly", of_cache());
    let backup = shop.wait_phase("nightly", "Completed").await;
    let instance = shop
        .operator
        .server
        .store
        .find("redisinstances", SHOP, "cache");
    let uid = instance.unwrap()["metadata"]["uid"].clone();
    let status = &backup["status"];
    let path = format!("shop.cache/{}/backups/nightly.json", uid.as_str().unwrap());
    assert_eq!(status["path"], path);
    assert_eq!(status["targetUid"], uid);
    assert_eq!(status["store"], "s3");
    assert_eq!(status["attempts"], 1);
    assert_eq!(status["storedSize"], "2Mi");
    assert_eq!(status["engine"], "redis");
    assert_eq!(status["version"], "7.2.4");
    assert_eq!(status["instant"], "2027-01-15T08:00:00Z");
    assert!(status["startedAt"].is_string() && status["completedAt"].is_string());
    let shard = &status["shards"][0];
    assert_eq!(shard["pod"], "cache-0");
    assert_eq!(shard["rawBytes"], 3 << 20);
    assert_eq!(shard["usedMemory"], 5 << 20);
    let said = condition(&backup, "Completed").unwrap();
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!("True"), &json!("Stored"))
    );
    shop.wait_available("Reached").await;

    let orders = shop.agent("cache-0").orders();
    let [
        BackupOrder::Snapshot {
            run, owner, store, ..
        },
        BackupOrder::Commit { manifest, .. },
    ] = &orders[..]
    else {
        panic!("{orders:?}");
    };
    let backup_uid = backup["metadata"]["uid"].as_str().unwrap();
    assert_eq!(*run, format!("{backup_uid}-1"));
    assert_eq!(owner.uid, uid.as_str().unwrap());
    assert_eq!(owner.cluster, here.as_str().unwrap());
    assert_eq!(store.s3.secret_access_key, KEY);
    assert_eq!(manifest.id, "nightly");
    assert_eq!(manifest.owner, *owner);
    assert_eq!(manifest.spec["backup"]["storeRef"]["name"], "s3");
    assert!(manifest.shards[0].base.contains(run.as_str()));
    let objects = [BACKUPS, STORES, "events"];
    let written = objects.map(|plural| format!("{:?}", shop.operator.server.store.all(plural)));
    assert!(!written.concat().contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_needs_and_is_not_there_is_named_and_waited_for() {
    let shop = Shop::of(122, 1).await;
    let store = &shop.operator.server.store;
    shop.back_up("early", json!({"target": {"name": "later"}}));
    let early = shop.wait_reason("early", "NoTarget").await;
    assert_eq!(early["status"]["phase"], "Pending");
    assert!(early["status"]["waitsSince"].is_string(), "{early}");
    assert!(message(&early).contains("later"), "{}", message(&early));

    shop.operator.apply("plain", json!({"version": "7.2"}));
    shop.back_up("homeless", json!({"target": {"name": "plain"}}));
    let homeless = shop.wait_reason("homeless", "NoTarget").await;
    assert!(message(&homeless).contains("spec.backup.storeRef"));

    store.edit("secrets", SHOP, "s3-key", |secret| {
        secret["data"].as_object_mut().unwrap().remove("secret");
    });
    shop.back_up("nightly", of_cache());
    let nightly = shop.wait_reason("nightly", "NoStore").await;
    assert!(message(&nightly).contains("key secret of Secret s3-key"));
    shop.wait_available("SecretMissing").await;
    store.remove(STORES, SHOP, "s3");
    wait_for("the store is missed", || {
        let said = message(&shop.backup("nightly")?);
        said.contains("no RedisBackupStore s3").then_some(())
    })
    .await;
    assert_eq!(snapshots(&shop.agent("cache-0")), 0);

    shop.put_secret(&[("id", "an-id"), ("secret", KEY)]);
    shop.put_store();
    shop.wait_phase("nightly", "Completed").await;
    shop.apply("later", 1);
    shop.serves("later").await;
    let early = shop.wait_phase("early", "Completed").await;
    assert!(early["status"]["waitsSince"].is_null(), "{early}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_read_is_told_and_one_that_never_can_ends_it() {
    let shop = Shop::of(123, 1).await;
    let spec = json!({"target": {"name": "cache"}, "source": "Replica"});
    shop.back_up("of-a-replica", spec);
    let waits = shop.wait_reason("of-a-replica", "NoCopyFits").await;
    assert_eq!(waits["status"]["phase"], "Pending");
    assert!(waits["status"]["startedAt"].is_null());
    shop.operator
        .server
        .store
        .remove(BACKUPS, SHOP, "of-a-replica");
    shop.cluster.tell(SHOP, "cache-0", |told| {
        told.version = Some("6.2.14".to_owned());
    });
    shop.back_up("too-old", of_cache());
    let too_old = shop.wait_phase("too-old", "Failed").await;
    assert_eq!(
        condition(&too_old, "Completed").unwrap()["reason"],
        "VersionUnsupported"
    );
    assert!(message(&too_old).contains("6.2.14"));
    assert_eq!(shop.agent("cache-0").words(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_and_another_where_nothing_comes_of_it() {
    let shop = Shop::of(124, 3).await;
    let replicas = shop.replicas();
    let [first, other] = &replicas[..] else {
        panic!("{replicas:?}");
    };
    shop.agent(first)
        .will(Does::Fails(FailureReason::SnapshotTooSlow));
    shop.back_up("nightly", of_cache());
    let waits = shop.wait_reason("nightly", "SnapshotTooSlow").await;
    assert_eq!(waits["status"]["phase"], "Pending");
    assert!(message(&waits).contains(first.as_str()));
    let done = shop.wait_phase("nightly", "Completed").await;
    assert_eq!(done["status"]["attempts"], 2);
    assert_eq!(done["status"]["shards"][0]["pod"], *other);
    assert_eq!(snapshots(&shop.agent(first)), 1);
    assert_eq!(commits(&shop.agent(other)), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_lost_with_its_agent_and_begun_anew() {
    let shop = Shop::of(125, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("nightly", of_cache());
    shop.wait_phase("nightly", "Running").await;
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    agent.will(Does::Stores);
    agent.forget();
    shop.wait_reason("nightly", "LostItsPod").await;
    let done = shop.wait_phase("nightly", "Completed").await;
    assert_eq!(done["status"]["attempts"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_told_and_heals() {
    let shop = Shop::of(126, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Fails(FailureReason::CredentialsRefused));
    shop.back_up("nightly", of_cache());
    shop.wait_reason("nightly", "CredentialsRefused").await;
    shop.wait_available("CredentialsRefused").await;
    agent.will(Does::Stores);
    shop.put_secret(&[("id", "an-id"), ("secret", "another-secret")]);
    shop.wait_phase("nightly", "Completed").await;
    shop.wait_available("Reached").await;
    let orders = agent.orders();
    let sent = orders.iter().rev().find_map(|order| match order {
        BackupOrder::Snapshot { store, .. } => Some(&store.s3.secret_access_key),
        _ => None,
    });
    assert_eq!(sent.unwrap(), "another-secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_says_of_itself_is_of_its_spec_and_its_secrets_as_they_are() {
    let shop = Shop::of(134, 1).await;
    let store = &shop.operator.server.store;
    store.edit("secrets", SHOP, "s3-key", |secret| {
        secret["data"].as_object_mut().unwrap().remove("secret");
    });
    shop.back_up("nightly", of_cache());
    let has = |said: &Value, words: &str| said["message"].as_str().unwrap().contains(words);
    shop.wait_store("the key is missed", |_, said| has(said, "key secret"))
        .await;
    store.remove("secrets", SHOP, "s3-key");
    shop.wait_store("the Secret is missed", |_, said| {
        has(said, "does not exist")
    })
    .await;
    store.edit(STORES, SHOP, "s3", |object| {
        object["spec"]["s3"]["bucket"] = json!("other-backups");
    });
    shop.wait_store("it is of the new spec", |object, said| {
        let generation = &object["metadata"]["generation"];
        *generation == 2 && said["observedGeneration"] == *generation
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_another_ends_it_at_once() {
    let shop = Shop::of(127, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Fails(FailureReason::PathOwned));
    shop.back_up("nightly", of_cache());
    let failed = shop.wait_phase("nightly", "Failed").await;
    let said = condition(&failed, "Completed").unwrap();
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!("False"), &json!("PathOwned"))
    );
    assert_eq!(failed["status"]["attempts"], 1);
    assert!(failed["status"]["completedAt"].is_string());
    assert_eq!(snapshots(&agent), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_anew_finds_the_run_where_it_is() {
    let mut shop = Shop::of(128, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("nightly", of_cache());
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    shop.operator.restart().await;
    agent.store();
    let done = shop.wait_phase("nightly", "Completed").await;
    assert_eq!(done["status"]["attempts"], 1);
    assert_eq!((snapshots(&agent), commits(&agent)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_anew_counts_the_attempts_that_stand_in_the_status() {
    let mut shop = Shop::of(135, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Fails(FailureReason::SnapshotTooSlow));
    let store = &shop.operator.server.store;
    store.edit("secrets", SHOP, "s3-key", |secret| {
        secret["data"].as_object_mut().unwrap().remove("secret");
    });
    shop.back_up("nightly", of_cache());
    shop.wait_reason("nightly", "NoStore").await;
    store.edit(BACKUPS, SHOP, "nightly", |backup| {
        backup["status"]["attempts"] = json!(3);
    });
    shop.operator.restart().await;
    shop.put_secret(&[("id", "an-id"), ("secret", KEY)]);
    let failed = shop.wait_phase("nightly", "Failed").await;
    let said = condition(&failed, "Completed").unwrap();
    assert_eq!(said["reason"], "SnapshotTooSlow");
    assert_eq!(failed["status"]["attempts"], 4);
    assert_eq!(snapshots(&agent), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_orders_and_writes_nothing() {
    let shop = Shop::of(129, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("nightly", of_cache());
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    let store = &shop.operator.server.store;
    let holder = |name: &str| {
        let name = json!(name);
        store.edit("leases", HOME, "hera-operator", |lease| {
            lease["spec"]["holderIdentity"] = name;
        });
    };
    holder("another");
    // The Lease is renewed each two seconds, and taken when nobody has for six.
    tokio::time::sleep(Duration::from_secs(3)).await;
    agent.store();
    store.edit("leases", HOME, "hera-operator", |lease| {
        lease["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z");
    });
    let before = shop.asked();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(shop.asked(), before);
    assert_eq!(commits(&agent), 0);
    holder("");
    let done = shop.wait_phase("nightly", "Completed").await;
    assert_eq!(done["status"]["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_of_one_object_are_made_one_after_the_other() {
    let shop = Shop::of(130, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("first", of_cache());
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    shop.back_up("another", of_cache());
    let waits = shop.wait_reason("another", "Pending").await;
    assert!(message(&waits).contains("first"), "{}", message(&waits));
    // One that waits asks nothing; one that runs, itself each second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(snapshots(&agent), 1);
    agent.will(Does::Stores);
    agent.store();
    shop.wait_phase("first", "Completed").await;
    shop.wait_phase("another", "Completed").await;
    assert_eq!((snapshots(&agent), commits(&agent)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_attempts_is_told_on_by_a_leader_that_was_not_there() {
    let mut shop = Shop::of(136, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("first", of_cache());
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    shop.back_up("another", of_cache());
    shop.wait_reason("another", "Pending").await;
    let store = &shop.operator.server.store;
    store.edit(BACKUPS, SHOP, "another", |backup| {
        backup["status"]["attempts"] = json!(9);
        backup["status"]["conditions"][0]["reason"] = json!("CredentialsRefused");
    });
    shop.operator.restart().await;
    let store = &shop.operator.server.store;
    let looks = || {
        let looks = |asked: &Request| asked.plural == BACKUPS && asked.name == "first";
        store.count(looks)
    };
    // It looks at one that runs each second, and at one that waits each two.
    let before = looks();
    wait_for("it leads and looks", || {
        (looks() >= before + 4).then_some(())
    })
    .await;
    let waits = shop.wait_reason("another", "CredentialsRefused").await;
    assert_eq!(waits["status"]["phase"], "Pending");
    agent.will(Does::Stores);
    agent.store();
    let done = shop.wait_phase("another", "Completed").await;
    assert_eq!(done["status"]["attempts"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_begin_holds_up_no_other() {
    let shop = Shop::of(133, 1).await;
    let spec = json!({"target": {"name": "cache"}, "source": "Replica"});
    shop.back_up("of-a-replica", spec);
    shop.wait_reason("of-a-replica", "NoCopyFits").await;
    shop.back_up("nightly", of_cache());
    shop.wait_phase("nightly", "Completed").await;
    let waits = shop.wait_reason("of-a-replica", "NoCopyFits").await;
    assert_eq!(waits["status"]["phase"], "Pending");
    shop.apply("cache", 2);
    shop.wait_phase("of-a-replica", "Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_over_causes_nothing_any_more() {
    let mut shop = Shop::of(131, 1).await;
    shop.back_up("nightly", of_cache());
    shop.wait_phase("nightly", "Completed").await;
    shop.wait_available("Reached").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, orders) = (shop.asked(), shop.agent("cache-0").words());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(shop.asked(), before);
    let lists = |asked: &Request| asked.plural == BACKUPS && asked.verb == "list";
    let listed = shop.operator.server.store.count(lists);
    shop.operator.restart().await;
    let store = &shop.operator.server.store;
    wait_for("the next operator lists backups", || {
        (store.count(lists) > listed).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let others =
        |asked: &Request| asked.plural == BACKUPS && !["list", "watch"].contains(&asked.verb);
    assert_eq!(store.count(others), before - listed);
    assert_eq!(shop.agent("cache-0").words(), orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_deleted_while_it_runs_is_ended() {
    let shop = Shop::of(132, 1).await;
    let agent = shop.agent("cache-0");
    agent.will(Does::Runs);
    shop.back_up("nightly", of_cache());
    wait_for("it is read", || (snapshots(&agent) == 1).then_some(())).await;
    shop.operator.server.store.remove(BACKUPS, SHOP, "nightly");
    wait_for("its run is ended", || {
        let words = agent.words();
        words.iter().any(|w| w.starts_with("Cancel")).then_some(())
    })
    .await;
    agent.will(Does::Stores);
    shop.back_up("nightly", of_cache());
    shop.wait_phase("nightly", "Completed").await;
}
