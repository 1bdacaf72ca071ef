//! Backups that are made by themselves: by schedules, age and gaps, and what a policy has to do with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hera_core::backup::{BackupOrder, FailureReason};
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::api_server::{Operator, SHOP, condition, wait_for};
use super::backups::{STORES, store_object};
use super::cluster::{Backups, Cluster, Does};
use super::guests;

const BACKUPS: &str = "redisbackups";
const INSTANCES: &str = "redisinstances";
const MINUTE: i64 = 60;
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_secs(3);

/// An instance whose backups go to a store, and whose agent takes them now.
pub struct Shop {
    pub operator: Operator,
    cluster: Cluster,
}

impl Shop {
    pub async fn of(net: u8) -> Self {
        let operator = Operator::start().await;
        let cluster = Cluster::start(Arc::clone(&operator.server.store), net);
        let shop = Self { operator, cluster };
        let store = &shop.operator.server.store;
        let bytes = |text: &str| json!(ByteString(text.into()));
        store.put(
            "secrets",
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"namespace": SHOP, "name": "s3-key"},
                "data": {"id": bytes("an-id"), "secret": bytes("a-secret")},
            }),
        );
        store.put(STORES, store_object("backups"));
        let spec = json!({"version": "7.2", "backup": {"storeRef": {"name": "s3"}}});
        shop.operator.apply("cache", spec);
        for (type_, reason) in [("Ready", "Serving"), ("Progressing", "Settled")] {
            shop.operator.wait_reason("cache", type_, reason).await;
        }
        shop.agent().takes(Duration::ZERO);
        shop
    }

    pub fn agent(&self) -> Backups {
        self.cluster.backups(SHOP, "cache-0")
    }

    /// Has the instance want this of its backups.
    pub fn wants(&self, backup: &Value) {
        let mut backup = backup.clone();
        backup["storeRef"] = json!({"name": "s3"});
        let store = &self.operator.server.store;
        store.edit(INSTANCES, SHOP, "cache", |object| {
            object["spec"]["backup"] = backup;
        });
    }

    /// Has a policy of this workspace decide about them.
    pub fn decides(&self, module: Vec<u8>) {
        let store = &self.operator.server.store;
        store.put(
            "configmaps",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": SHOP, "name": "policy"},
                "binaryData": {"policy.wasm": ByteString(module)},
            }),
        );
        store.edit(INSTANCES, SHOP, "cache", |object| {
            object["spec"]["policies"] = json!({"backup": {"configMapRef": {"name": "policy"}}});
        });
    }

    pub fn back_up(&self, name: &str) {
        self.operator.server.store.put(
            BACKUPS,
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
                "metadata": {"namespace": SHOP, "name": name}, "spec": {"target": {"name": "cache"}},
            }),
        );
    }

    pub fn backup(&self, name: &str) -> Option<Value> {
        self.operator.server.store.find(BACKUPS, SHOP, name)
    }

    /// Names of the backups that there are.
    pub fn names(&self) -> Vec<String> {
        let all = self.operator.server.store.all(BACKUPS);
        let names = all.iter().map(|backup| &backup["metadata"]["name"]);
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn wait_phase(&self, name: &str, phase: &str) -> Value {
        let what = format!("{name} is {phase}");
        wait_for(&what, || {
            let backup = self.backup(name);
            backup.filter(|backup| backup["status"]["phase"] == phase)
        })
        .await
    }

    /// Waits until a backup of this cause is in this phase.
    async fn wait_cause(&self, cause: &str, phase: &str) -> Value {
        let what = format!("a backup for {cause} is {phase}");
        wait_for(&what, || {
            let all = self.of_cause(cause);
            all.into_iter()
                .find(|backup| backup["status"]["phase"] == phase)
        })
        .await
    }

    fn of_cause(&self, cause: &str) -> Vec<Value> {
        let all = self.operator.server.store.all(BACKUPS).into_iter();
        let is_of = |backup: &Value| {
            backup["metadata"]["labels"]["cache.hera.io/backup-cause"].as_str() == Some(cause)
        };
        all.filter(is_of).collect()
    }

    pub fn object(&self) -> Value {
        let store = &self.operator.server.store;
        store.find(INSTANCES, SHOP, "cache").unwrap()
    }

    pub fn overview(&self) -> Value {
        self.object()["status"]["backup"].clone()
    }

    /// Waits until the status says so of backups.
    pub async fn wait_overview(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.overview()).filter(|told| is(told))).await
    }

    pub async fn wait_words(&self, type_: &str, words: &str) -> Value {
        let what = format!("{type_} says {words}");
        wait_for(&what, || {
            let said = condition(&self.object(), type_)?;
            let told = said["message"].as_str()?.contains(words);
            told.then_some(said)
        })
        .await
    }

    /// Waits until schedules are known, makes it seem that none of their times was seen to since then, and waits
    /// until one is seen to. The operator may be writing what it knew before: then it is told once more.
    async fn rewind(&self, until: &str) {
        let all = |told: &Value| told["schedules"].as_array().map_or(0, Vec::len);
        self.wait_overview("schedules are known", |told| all(told) == self.schedules())
            .await;
        let before = self.seen_until();
        let rewound = vec![json!(until); before.len()];
        wait_for("a schedule is seen to", || {
            let seen = self.seen_until();
            if seen == before {
                self.forget_since(until);
            }
            (seen != before && seen != rewound).then_some(())
        })
        .await;
    }

    fn forget_since(&self, until: &str) {
        let store = &self.operator.server.store;
        store.edit(INSTANCES, SHOP, "cache", |object| {
            let schedules = object["status"]["backup"]["schedules"].as_array_mut();
            for schedule in schedules.unwrap() {
                schedule["until"] = json!(until);
            }
        });
    }

    /// Until when the times of each schedule were seen to.
    fn seen_until(&self) -> Vec<Value> {
        let told = self.overview();
        let schedules = told["schedules"].as_array();
        let until = schedules.into_iter().flatten();
        until.map(|schedule| schedule["until"].clone()).collect()
    }

    fn schedules(&self) -> usize {
        let object = self.object();
        let schedules = object["spec"]["backup"]["schedules"].as_array();
        schedules.map_or(0, Vec::len)
    }
}

/// So many seconds ago, as a status has it.
fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap()
}

/// A time of each day that was two minutes ago: as cron, as the status has it, and in the name of a backup.
fn daily() -> (String, String, String) {
    let at = ago(2 * MINUTE).as_second();
    let at = Timestamp::from_second(at - at.rem_euclid(MINUTE)).unwrap();
    (
        at.strftime("%-M %-H * * *").to_string(),
        at.to_string(),
        format!("cache-{}", at.strftime("%Y%m%d-%H%M")),
    )
}

fn schedule(name: &str, cron: &str) -> Value {
    json!({"name": name, "cron": cron, "startWithin": "24h"})
}

/// A policy of this workspace.
pub fn module(package: &str, file: &str) -> Vec<u8> {
    let target = std::env::current_exe().unwrap();
    let folder = guests::build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        &guests::target_dir(&target),
        &["-p", package, "--lib", "--examples"],
    );
    std::fs::read(folder.unwrap().join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_a_backup_once_whatever_becomes_of_the_operator() {
    let mut shop = Shop::of(161).await;
    let (cron, due, name) = daily();
    shop.wants(&json!({"schedules": [schedule("nightly", &cron)]}));
    let health = "BackupHealthy";
    shop.operator
        .wait_reason("cache", health, "FirstBackupPending")
        .await;
    let known = shop
        .wait_overview("the next time is told", |told| {
            told["nextSchedule"].is_string()
        })
        .await;
    assert!(shop.names().is_empty(), "it begins with its next time");
    assert!(known["path"].as_str().unwrap().starts_with("shop.cache/"));

    let before = ago(10 * MINUTE).to_string();
    shop.rewind(&before).await;
    let made = shop.wait_phase(&name, "Completed").await;
    let metadata = &made["metadata"];
    assert_eq!(metadata["labels"]["cache.hera.io/backup-cause"], "schedule");
    assert_eq!(
        metadata["labels"]["cache.hera.io/backup-schedule"],
        "nightly"
    );
    assert_eq!(metadata["annotations"]["cache.hera.io/backup-due"], due);
    let seen_to = |told: &Value| told["schedules"][0]["until"] == due;
    shop.wait_overview("it is seen to", seen_to).await;
    shop.wait_overview("it is the last one", |told| {
        told["lastBackup"]["name"] == name
    })
    .await;
    shop.operator.wait_reason("cache", health, "Healthy").await;

    // As of one who ended before that was written down.
    shop.operator.restart().await;
    shop.forget_since(&before);
    shop.wait_overview("it is seen to again", seen_to).await;
    assert_eq!(shop.names(), [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schedules_of_one_minute_make_one_backup() {
    let shop = Shop::of(162).await;
    let (cron, due, name) = daily();
    let both = [schedule("a", &cron), schedule("b", &cron)];
    shop.wants(&json!({"schedules": both}));
    shop.rewind(&ago(10 * MINUTE).to_string()).await;
    shop.wait_overview("both are seen to", |told| {
        told["schedules"][0]["until"] == due && told["schedules"][1]["until"] == due
    })
    .await;
    shop.wait_phase(&name, "Completed").await;
    assert_eq!(shop.names(), [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_missed_times_the_last_one_gets_a_backup_and_one_that_fails_freezes_no_schedule() {
    let shop = Shop::of(163).await;
    let agent = shop.agent();
    agent.will(Does::Fails(FailureReason::PathOwned));
    // Times that are long past, and come again in a long time.
    let [year, now] = ["%Y", "%-m"].map(|part| Timestamp::now().strftime(part).to_string());
    let first = format!("cache-{year}0101-0000");
    shop.wants(&json!({"schedules": [schedule("yearly", "@yearly")]}));
    shop.rewind("2020-05-05T00:00:00Z").await;
    shop.wait_phase(&first, "Failed").await;
    assert_eq!(shop.names().len(), 1, "{:?}", shop.names());
    let said = shop
        .operator
        .wait_reason("cache", "BackupHealthy", "LastBackupFailed")
        .await;
    let words = said["message"].as_str().unwrap();
    assert!(
        words.contains(&first) && words.contains("PathOwned"),
        "{words}"
    );

    agent.will(Does::Stores);
    let monthly = schedule("monthly", &format!("30 0 1 {now} *"));
    shop.wants(&json!({"schedules": [schedule("yearly", "@yearly"), monthly]}));
    shop.rewind("2020-05-05T00:00:00Z").await;
    let made = |names: Vec<String>| names.into_iter().find(|name| name.ends_with("-0030"));
    let second = wait_for("the other schedule makes one", || made(shop.names())).await;
    shop.wait_phase(&second, "Completed").await;
    assert_eq!(shop.names().len(), 2, "{:?}", shop.names());
    shop.operator
        .wait_reason("cache", "BackupHealthy", "Healthy")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_newest_backup_is_too_old_there_is_another_and_one() {
    let shop = Shop::of(164).await;
    shop.agent().takes(Duration::from_secs(570));
    shop.back_up("by-hand");
    shop.wait_phase("by-hand", "Completed").await;
    shop.agent().takes(Duration::ZERO);
    shop.wants(&json!({"maxAge": "10m"}));
    let made = shop.wait_cause("age", "Completed").await;
    let annotations = &made["metadata"]["annotations"];
    let [due, latest] =
        ["due", "latest"].map(|what| &annotations[format!("cache.hera.io/backup-{what}")]);
    assert!(due.is_string() && due == latest, "{annotations}");
    shop.operator
        .wait_reason("cache", "BackupHealthy", "Healthy")
        .await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.names().len(), 2, "{:?}", shop.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_gets_its_first_backup_by_itself_and_another_after_a_gap() {
    let shop = Shop::of(165).await;
    shop.wants(&json!({"log": {}}));
    shop.wait_cause("gap", "Completed").await;
    let health = "BackupHealthy";
    shop.operator.wait_reason("cache", health, "Healthy").await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(shop.of_cause("gap").len(), 1);
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
    shop.cluster.tell(SHOP, "cache-0", |told| {
        let log = told.capture.as_mut().unwrap();
        log.unbroken_since_unix_ms = Some(now);
        log.after_gap = true;
    });
    wait_for("another is made", || {
        let all = shop.of_cause("gap");
        let over = all.iter().all(|b| b["status"]["phase"] == "Completed");
        (all.len() == 2 && over).then_some(())
    })
    .await;
    shop.operator.wait_reason("cache", health, "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_lets_a_schedule_wait_and_others_have_their_turn() {
    let waits = module(
        "hera-policy-backup-quiet-hours",
        "hera_policy_backup_quiet_hours.wasm",
    );
    let mut shop = Shop::of(166).await;
    let (cron, _, name) = daily();
    shop.decides(waits);
    shop.wants(&json!({"schedules": [schedule("nightly", &cron)]}));
    shop.rewind(&ago(10 * MINUTE).to_string()).await;
    let waits = |backup: &Value| {
        let said = condition(backup, "Completed");
        said.is_some_and(|said| said["reason"] == "PolicyWaits")
    };
    let pending = wait_for("it waits", || shop.backup(&name).filter(waits)).await;
    assert_eq!(pending["status"]["phase"], "Pending");
    let said = condition(&pending, "Completed").unwrap();
    let words = said["message"].as_str().unwrap();
    assert!(words.contains("quiet hours"), "{words}");
    // The API server of tests has objects made long ago: whoever asked has waited for longer than an hour.
    shop.back_up("by-hand");
    shop.wait_phase("by-hand", "Completed").await;
    let told = wait_for("the status says who decides", || {
        let policies = shop.object()["status"]["policies"].as_array()?.clone();
        policies
            .into_iter()
            .find(|told| told["decision"] == "backup" && told["source"]["kind"] == "ConfigMap")
    })
    .await;
    assert!(told["error"].is_null(), "{told}");

    shop.operator.restart().await;
    tokio::time::sleep(WHILE).await;
    let still = shop.backup(&name).unwrap();
    assert!(waits(&still) && still["status"]["attempts"] == 0, "{still}");

    let store = &shop.operator.server.store;
    store.edit(BACKUPS, SHOP, &name, |backup| {
        let latest = ago(MINUTE).to_string();
        backup["metadata"]["annotations"]["cache.hera.io/backup-latest"] = json!(latest);
    });
    shop.operator.restart().await;
    shop.wait_phase(&name, "Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_leaves_out_what_a_schedule_wants() {
    let skips = module("hera-policy-hostile", "examples/backup_skip.wasm");
    let shop = Shop::of(167).await;
    let (cron, _, name) = daily();
    shop.decides(skips);
    shop.wants(&json!({"schedules": [schedule("nightly", &cron)]}));
    shop.rewind(&ago(10 * MINUTE).to_string()).await;
    let skipped = shop.wait_phase(&name, "Skipped").await;
    let said = condition(&skipped, "Completed").unwrap();
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!("False"), &json!("PolicySkipped"))
    );
    assert!(skipped["status"]["completedAt"].is_string(), "{skipped}");
    let orders = shop.agent().orders();
    let read = |order: &BackupOrder| matches!(order, BackupOrder::Snapshot { .. });
    assert!(!orders.iter().any(read));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_waits_for_ever_is_refused_by_rule_and_no_backup_gets_too_old() {
    let never = module("hera-policy-hostile", "examples/backup_never.wasm");
    let shop = Shop::of(168).await;
    let (cron, _, name) = daily();
    shop.decides(never);
    shop.wants(&json!({"schedules": [schedule("nightly", &cron)], "maxAge": "1h"}));
    shop.wait_cause("age", "Completed").await;
    let said = shop.wait_words("PolicyHealthy", "wait-beyond-latest").await;
    assert_eq!(said["status"], "False");
    shop.rewind(&ago(10 * MINUTE).to_string()).await;
    shop.wait_phase(&name, "Completed").await;
    shop.operator
        .wait_reason("cache", "BackupHealthy", "Healthy")
        .await;
}
