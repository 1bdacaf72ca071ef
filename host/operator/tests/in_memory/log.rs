//! Who keeps the log of an instance, and what is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hera_core::agent::Role;
use hera_core::backup::{CaptureNews, Failure, FailureReason};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::api_server::{Answer, Operator, Request, SHOP, wait_for, wait_within};
use super::backups::{STORES, store_object};
use super::cluster::{Backups, Cluster, SINCE};

const BACKUPS: &str = "redisbackups";
const INSTANCES: &str = "redisinstances";
const HEALTH: &str = "BackupHealthy";
/// What nobody but agents may be told.
const KEY: &str = "the-secret-of-the-key";
/// Longer than an object that is not at rest is left alone.
const LONG: Duration = Duration::from_secs(17);

/// An instance that keeps a log.
struct Shop {
    operator: Operator,
    cluster: Cluster,
}

impl Shop {
    async fn of(net: u8, replicas: u32) -> Self {
        Self::with(net, spec(replicas)).await
    }

    async fn with(net: u8, spec: Value) -> Self {
        let operator = Operator::start().await;
        let cluster = Cluster::start(Arc::clone(&operator.server.store), net);
        let shop = Self { operator, cluster };
        shop.put_secret(KEY);
        shop.put_store("backups");
        // The one that a log has by itself would come at any time.
        shop.operator.server.store.refuse(|asked, _| {
            let comes = asked.plural == BACKUPS && asked.verb == "create";
            comes.then(|| Answer::Refuse(403, "a test makes them".to_owned()))
        });
        shop.operator.apply("cache", spec);
        for (type_, reason) in [("Ready", "Serving"), ("Progressing", "Settled")] {
            shop.operator.wait_reason("cache", type_, reason).await;
        }
        shop
    }

    fn put_secret(&self, secret: &str) {
        let bytes = |text: &str| json!(ByteString(text.into()));
        self.operator.server.store.put(
            "secrets",
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"namespace": SHOP, "name": "s3-key"},
                "data": {"id": bytes("an-id"), "secret": bytes(secret)},
            }),
        );
    }

    fn put_store(&self, bucket: &str) {
        let store = store_object(bucket);
        self.operator.server.store.put(STORES, store);
    }

    fn back_up(&self, name: &str) {
        self.operator.server.store.put(
            BACKUPS,
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
                "metadata": {"namespace": SHOP, "name": name}, "spec": {"target": {"name": "cache"}},
            }),
        );
    }

    fn agent(&self, pod: &str) -> Backups {
        self.cluster.backups(SHOP, pod)
    }

    /// Pods whose agents keep a log.
    fn keepers(&self) -> Vec<String> {
        let names = (0..3).map(|ordinal| format!("cache-{ordinal}"));
        let keeps = |name: &String| {
            let told = self.cluster.told(SHOP, name);
            told.is_some_and(|told| told.capture.is_some())
        };
        names.filter(keeps).collect()
    }

    /// Waits until one pod keeps the log, and no other.
    async fn keeper(&self) -> String {
        wait_for("one pod keeps the log", || {
            let keepers = self.keepers();
            (keepers.len() == 1).then(|| keepers[0].clone())
        })
        .await
    }

    fn role(&self, pod: &str) -> Role {
        self.cluster.told(SHOP, pod).unwrap().role
    }

    fn primary(&self) -> String {
        let mut names = (0..3).map(|ordinal| format!("cache-{ordinal}"));
        let leads = |name: &String| {
            let told = self.cluster.told(SHOP, name);
            told.is_some_and(|told| told.role == Role::Primary)
        };
        names.find(leads).unwrap()
    }

    async fn says(&self, reason: &str) -> String {
        let said = self.operator.wait_reason("cache", HEALTH, reason).await;
        let truth = if reason == "Healthy" { "True" } else { "False" };
        assert_eq!(said["status"], truth, "{said}");
        said["message"].as_str().unwrap().to_owned()
    }

    /// Waits until the agent of a pod was ordered so often to keep the log.
    async fn ordered(&self, pod: &str, count: usize) {
        let what = format!("{pod} is ordered {count} times");
        let agent = self.agent(pod);
        wait_for(&what, || (agent.captures().len() == count).then_some(())).await;
    }

    fn tell_log(&self, pod: &str, change: impl FnOnce(&mut CaptureNews)) {
        self.cluster
            .tell(SHOP, pod, |told| change(told.capture.as_mut().unwrap()));
    }

    /// How often something was asked about the namespace of instances, but for watches.
    fn asked(&self) -> usize {
        let about = |asked: &Request| asked.namespace == SHOP && asked.verb != "watch";
        self.operator.server.store.count(about)
    }

    /// Waits until nothing was asked for two seconds.
    async fn quiet(&self) {
        let mut seen = (self.asked(), Instant::now());
        wait_for("nothing is asked any more", || {
            let now = self.asked();
            if now != seen.0 {
                seen = (now, Instant::now());
            }
            (seen.1.elapsed() > Duration::from_secs(2)).then_some(())
        })
        .await;
    }
}

fn spec(replicas: u32) -> Value {
    json!({
        "version": "7.2", "replicas": replicas,
        "backup": {"storeRef": {"name": "s3"}, "log": {"maxDelay": "10s"}},
    })
}

fn stops(agent: &Backups) -> usize {
    let words = agent.words();
    words.iter().filter(|w| *w == "StopCapture").count()
}

fn lose_sync(shop: &Shop, pod: &str, lost: bool) {
    shop.cluster.tell(SHOP, pod, |told| {
        told.link.as_mut().unwrap().syncing = lost;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_pods_a_replica_keeps_the_log_and_a_backup_makes_it_whole() {
    let shop = Shop::of(141, 3).await;
    let keeper = shop.keeper().await;
    assert_eq!(shop.role(&keeper), Role::Replica);
    let message = shop.says("FirstBackupPending").await;
    assert!(
        message.contains("kubectl hera backup now cache"),
        "{message}"
    );
    let orders = shop.agent(&keeper).captures();
    let instance = shop.operator.server.store.find(INSTANCES, SHOP, "cache");
    let uid = instance.unwrap()["metadata"]["uid"].clone();
    assert_eq!(orders.len(), 1);
    assert_eq!(
        (orders[0].shard.as_str(), orders[0].max_delay_ms),
        ("0", 10_000)
    );
    assert_eq!(orders[0].owner.uid, uid.as_str().unwrap());
    assert_eq!(orders[0].store.s3.secret_access_key, KEY);

    shop.back_up("nightly");
    let message = shop.says("Healthy").await;
    assert!(message.contains("2027-01-15T08:00:00Z"), "{message}");
    assert_eq!(shop.agent(&keeper).captures().len(), 1);
    for ordinal in 0..3 {
        let pod = format!("cache-{ordinal}");
        let agent = shop.agent(&pod);
        assert_eq!(stops(&agent), 0, "{pod}");
        assert!(pod == keeper || agent.captures().is_empty(), "{pod}");
    }
    let objects = [INSTANCES, BACKUPS, STORES, "events"];
    let written = objects.map(|plural| format!("{:?}", shop.operator.server.store.all(plural)));
    assert!(!written.concat().contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_kept_and_whole_causes_nothing() {
    let shop = Shop::of(142, 1).await;
    shop.back_up("nightly");
    shop.says("Healthy").await;
    shop.quiet().await;
    let before = shop.asked();
    let orders = shop.agent("cache-0").words();
    tokio::time::sleep(LONG).await;
    assert_eq!(shop.asked(), before);
    assert_eq!(shop.agent("cache-0").words(), orders);
    assert_eq!(shop.agent("cache-0").captures().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_store_that_changes_reaches_the_agent_and_one_that_is_missing_is_told() {
    let shop = Shop::of(143, 1).await;
    let store = &shop.operator.server.store;
    shop.ordered("cache-0", 1).await;
    shop.put_secret("another");
    shop.ordered("cache-0", 2).await;
    let sent = |at: usize| shop.agent("cache-0").captures()[at].store.s3.clone();
    assert_eq!(sent(1).secret_access_key, "another");
    shop.put_store("elsewhere");
    shop.ordered("cache-0", 3).await;
    assert_eq!(sent(2).bucket, "elsewhere");

    store.remove("secrets", SHOP, "s3-key");
    let message = shop.says("SecretMissing").await;
    assert!(message.contains("Secret s3-key"), "{message}");
    store.remove(STORES, SHOP, "s3");
    let message = shop.says("NoStore").await;
    assert!(message.contains("RedisBackupStore s3"), "{message}");
    assert_eq!(shop.agent("cache-0").captures().len(), 3);
    assert_eq!(
        stops(&shop.agent("cache-0")),
        0,
        "it goes on with what it has"
    );
    shop.put_store("elsewhere");
    shop.says("SecretMissing").await;
    shop.put_secret("another");
    shop.says("FirstBackupPending").await;
    assert_eq!(shop.agent("cache-0").captures().len(), 3, "nothing is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pod_goes_on_before_one_that_is_cut_off_ends() {
    let shop = Shop::of(144, 3).await;
    let first = shop.keeper().await;
    let old = shop.agent(&first);
    lose_sync(&shop, &first, true);
    wait_for("another is ordered", || {
        let keepers = shop.keepers();
        let found = keepers.iter().find(|pod| **pod != first);
        found.map(|pod| assert_eq!(shop.role(pod), Role::Replica))
    })
    .await;
    wait_for("the first is ended", || (stops(&old) > 0).then_some(())).await;
    let second = shop.keeper().await;
    assert_ne!(second, first);
    lose_sync(&shop, &first, false);
    shop.quiet().await;
    assert_eq!(shop.keepers(), [second], "it stays where it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_before_goes_on_until_the_next_has_found_what_the_store_has() {
    let shop = Shop::of(145, 3).await;
    let first = shop.keeper().await;
    let replicas = (0..3).map(|ordinal| format!("cache-{ordinal}"));
    let mut others = replicas.filter(|pod| *pod != first && shop.role(pod) == Role::Replica);
    let second = others.next().unwrap();
    shop.agent(&second).begins_late();
    lose_sync(&shop, &first, true);
    shop.ordered(&second, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stops(&shop.agent(&first)), 0);
    shop.tell_log(&second, |log| log.unbroken_since_unix_ms = Some(SINCE));
    wait_for("the first is ended", || {
        (stops(&shop.agent(&first)) == 1).then_some(())
    })
    .await;
    assert_eq!(shop.agent(&second).captures().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_started_anew_is_ordered_again_and_one_that_was_not_once_by_each_operator()
 {
    let mut shop = Shop::of(146, 1).await;
    shop.ordered("cache-0", 1).await;
    shop.cluster.tell(SHOP, "cache-0", |told| {
        told.boot_id = "another".to_owned();
        told.capture = None;
    });
    shop.ordered("cache-0", 2).await;
    shop.says("FirstBackupPending").await;
    shop.operator.restart().await;
    shop.ordered("cache-0", 3).await;
    shop.quiet().await;
    let orders = shop.agent("cache-0").captures();
    assert_eq!(orders.len(), 3);
    assert!(orders[0] == orders[2], "and it is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_turned_off_ends_and_nothing_is_said_of_it_any_more() {
    let shop = Shop::of(147, 1).await;
    shop.says("FirstBackupPending").await;
    let mut off = spec(1);
    off["backup"]["log"]["mode"] = json!("Disabled");
    shop.operator.apply("cache", off);
    let gone = || {
        shop.operator
            .condition("cache", HEALTH)
            .is_none()
            .then_some(())
    };
    wait_for("nothing is said", gone).await;
    wait_for("it is ended", || shop.keepers().is_empty().then_some(())).await;
    shop.operator.apply("cache", spec(1));
    shop.says("FirstBackupPending").await;
    let mut none = spec(1);
    none["backup"].as_object_mut().unwrap().remove("log");
    shop.operator.apply("cache", none);
    wait_for("nothing is said", gone).await;
    wait_for("it is ended", || shop.keepers().is_empty().then_some(())).await;
    assert_eq!(stops(&shop.agent("cache-0")), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_has_trouble_with_is_told_and_so_is_a_gap() {
    let shop = Shop::of(148, 1).await;
    shop.back_up("nightly");
    shop.says("Healthy").await;
    for (reason, expected) in [
        (FailureReason::StoreUnreachable, "StoreUnreachable"),
        (FailureReason::CredentialsRefused, "CredentialsRefused"),
        (FailureReason::LogBehind, "LogBehind"),
        (FailureReason::PathOwned, "PathOwned"),
    ] {
        let failure = Failure {
            reason,
            message: "as the test has it".to_owned(),
        };
        shop.tell_log("cache-0", |log| log.trouble = Some(failure));
        assert_eq!(shop.says(expected).await, "pod cache-0: as the test has it");
    }
    shop.tell_log("cache-0", |log| log.trouble = None);
    shop.says("Healthy").await;
    // Later than the backup.
    shop.tell_log("cache-0", |log| {
        log.unbroken_since_unix_ms = Some(1_800_000_060_000);
        log.after_gap = true;
    });
    let message = shop.says("LogGap").await;
    assert!(message.contains("2027-01-15T08:01:00Z"), "{message}");
    wait_for("an event tells of it", || {
        let events = shop.operator.server.store.all("events");
        events.iter().find(|e| e["reason"] == "LogGap").map(|_| ())
    })
    .await;
    assert_eq!(shop.agent("cache-0").captures().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_while_the_object_is_paused_and_while_its_spec_is_refused() {
    let shop = Shop::of(149, 1).await;
    shop.ordered("cache-0", 1).await;
    let mut paused = spec(1);
    paused["paused"] = json!(true);
    let mut refused = spec(1);
    refused["config"] = json!({"port": "1"});
    let states = [
        (paused, "Progressing", "Paused"),
        (refused, "Degraded", "SpecInvalid"),
    ];
    for (at, (changed, type_, reason)) in states.into_iter().enumerate() {
        shop.operator.apply("cache", changed);
        shop.operator.wait_reason("cache", type_, reason).await;
        shop.says("FirstBackupPending").await;
        shop.cluster.tell(SHOP, "cache-0", |told| {
            told.boot_id = format!("boot-{at}");
            told.capture = None;
        });
        shop.ordered("cache-0", at + 2).await;
    }
    assert_eq!(stops(&shop.agent("cache-0")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hibernates_stores_its_log_to_the_end_by_itself() {
    let shop = Shop::of(150, 1).await;
    shop.says("FirstBackupPending").await;
    let agent = shop.agent("cache-0");
    let store = &shop.operator.server.store;
    store.edit(INSTANCES, SHOP, "cache", |object| {
        object["metadata"]["annotations"]["cache.hera.io/hibernate"] = json!("true");
    });
    shop.operator
        .wait_reason("cache", "Ready", "Hibernated")
        .await;
    assert_eq!((agent.captures().len(), stops(&agent)), (1, 0));
    shop.says("FirstBackupPending").await;
    store.edit(INSTANCES, SHOP, "cache", |object| {
        object["spec"]["backup"]["log"]["mode"] = json!("Disabled");
    });
    let is_said = || shop.operator.condition("cache", HEALTH).is_some();
    wait_for("nothing is said", || (!is_said()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_needs_replicas_never_has_an_agent_that_counts_as_one() {
    let mut spec = spec(2);
    spec["durability"] = json!({"minReplicasToWrite": 1});
    let shop = Shop::with(151, spec).await;
    let replica = shop.keeper().await;
    let primary = shop.primary();
    assert_ne!(replica, primary);
    lose_sync(&shop, &replica, true);
    let capture = shop.cluster.told(SHOP, &replica).unwrap().capture;
    shop.cluster
        .tell(SHOP, &primary, |told| told.capture = capture);
    wait_for("its agent is ended", || {
        (stops(&shop.agent(&primary)) == 1).then_some(())
    })
    .await;
    assert!(shop.agent(&primary).captures().is_empty());
    let told = wait_within(Duration::from_secs(60), "it is told", || {
        let said = shop.operator.condition("cache", HEALTH)?;
        (said["reason"] == "NoCopyFits").then_some(said)
    })
    .await;
    let words = told["message"].as_str().unwrap();
    assert!(words.contains("minReplicasToWrite"), "{words}");
    lose_sync(&shop, &replica, false);
    shop.says("FirstBackupPending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_told() {
    let shop = Shop::of(152, 1).await;
    shop.says("FirstBackupPending").await;
    shop.cluster.tell(SHOP, "cache-0", |told| {
        told.version = Some("6.2.14".to_owned());
    });
    let message = shop.says("VersionUnsupported").await;
    assert!(message.contains("6.2.14"), "{message}");
}
