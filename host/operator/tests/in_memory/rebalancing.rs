//! RedisCluster: shards come and go, and slots move between them.

use std::path::Path;
use std::sync::Arc;

use super::api_server::{CLUSTERS, Operator, SHOP, condition, wait_for};
use super::cluster::{Cluster, Ring};
use super::guests;
use hera_core::cluster::Command;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// A cluster of an operator, whose servers do what they are told.
pub struct Shop {
    pub operator: Operator,
    _cluster: Cluster,
    pub ring: Arc<Ring>,
}

impl Shop {
    /// One with so many masters, which has settled.
    pub async fn of(net: u8, spec: Value) -> Self {
        let operator = Operator::start().await;
        let cluster = Cluster::start(operator.server.store.clone(), net);
        let ring = cluster.ring(SHOP, "cache");
        operator.apply_cluster("cache", spec);
        let shop = Self {
            operator,
            _cluster: cluster,
            ring,
        };
        shop.settles().await;
        shop
    }

    /// Waits until all is as the spec has it.
    pub async fn settles(&self) {
        let masters = self.object()["spec"]["masters"].as_u64().unwrap();
        wait_for("it has settled, with all shards", || {
            let object = self.object();
            let shards = object.pointer("/status/shards")?.as_array()?;
            let all = usize::try_from(masters).unwrap() == shards.len();
            let has = |type_: &str, reason: &str| {
                condition(&object, type_).is_some_and(|c| c["reason"] == reason)
            };
            let done = has("Ready", "Serving") && has("Progressing", "Settled");
            (all && done).then_some(())
        })
        .await;
    }

    fn object(&self) -> Value {
        let store = &self.operator.server.store;
        store.find(CLUSTERS, SHOP, "cache").unwrap()
    }

    /// What stands in the status about slots.
    fn rebalance(&self) -> Value {
        self.object()["status"]["rebalance"].clone()
    }

    /// Changes a field of the spec.
    pub fn set(&self, field: &str, value: Value) {
        let store = &self.operator.server.store;
        store.edit(CLUSTERS, SHOP, "cache", |object| {
            object["spec"][field] = value;
        });
    }

    fn annotate(&self, name: &str, value: Value) {
        let store = &self.operator.server.store;
        store.edit(CLUSTERS, SHOP, "cache", |object| {
            let name = format!("cache.hera.io/{name}");
            let annotations = &mut object["metadata"]["annotations"];
            match value {
                Value::Null => drop(annotations.as_object_mut().unwrap().remove(&name)),
                value => annotations[name] = value,
            }
        });
    }

    async fn wait_progress(&self, reason: &str, words: &str) -> String {
        let condition = self.wait_words("Progressing", words).await;
        assert_eq!(condition["reason"], reason, "{condition}");
        condition["message"].as_str().unwrap().to_owned()
    }

    /// Waits until a condition has these words.
    async fn wait_words(&self, type_: &str, words: &str) -> Value {
        let what = format!("{type_} says {words}");
        wait_for(&what, || {
            let found = condition(&self.object(), type_)?;
            let says = found["message"].as_str()?.contains(words);
            says.then_some(found)
        })
        .await
    }

    async fn wait_slots(&self, shard: u32, count: usize) {
        let what = format!("shard {shard} has {count} slots");
        wait_for(&what, || {
            (self.ring.slots(shard).len() == count).then_some(())
        })
        .await;
    }

    /// Waits until the pods of a shard are gone.
    async fn wait_gone(&self, shard: u32) {
        let name = format!("cache-shard-{shard}");
        wait_for(&format!("{name} is gone"), || {
            let store = &self.operator.server.store;
            store
                .find("statefulsets", SHOP, &name)
                .is_none()
                .then_some(())
        })
        .await;
    }

    fn has_set(&self, shard: u32) -> bool {
        let name = format!("cache-shard-{shard}");
        let store = &self.operator.server.store;
        store.find("statefulsets", SHOP, &name).is_some()
    }
}

pub fn spec(masters: u32) -> Value {
    json!({
        "version": "8.6", "image": "redis:8.6", "masters": masters, "replicasPerMaster": 0,
    })
}

fn begins(command: &Command) -> bool {
    matches!(
        command,
        Command::GiveSlots { .. } | Command::TakeSlots { .. }
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_more_gets_its_pods_and_its_share_and_one_less_gives_it_back() {
    let mut three = spec(3);
    three["replicasPerMaster"] = json!(1);
    let shop = Shop::of(61, three).await;
    assert_eq!(shop.rebalance(), Value::Null, "nothing was ever to move");
    shop.set("masters", json!(4));
    shop.wait_slots(3, 4096).await;
    assert!(shop.ring.orders().iter().all(begins));
    shop.settles().await;
    let rebalance = shop.rebalance();
    assert_eq!(rebalance["phase"], "Settled", "{rebalance}");
    let history = rebalance["history"].as_array().unwrap();
    assert!(
        history.iter().all(|moved| moved["target"] == 3),
        "{history:?}"
    );
    let policies = shop.object()["status"]["policies"].clone();
    let names: Vec<&Value> = policies
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["decision"])
        .collect();
    assert_eq!(names, ["acl", "rebalance"]);

    shop.set("masters", json!(3));
    shop.wait_gone(3).await;
    let left: usize = (0..3).map(|shard| shop.ring.slots(shard).len()).sum();
    assert_eq!(left, 16_384, "nothing goes before it is empty");
    shop.settles().await;
    // Its claims stay, as those of replicas that are scaled down.
    let store = &shop.operator.server.store;
    let claim = store.find("persistentvolumeclaims", SHOP, "data-cache-shard-3-0");
    assert!(claim.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_approve_nothing_moves_before_the_very_plan_is_approved() {
    let mut three = spec(3);
    three["rebalance"] = json!({"mode": "Approve"});
    let shop = Shop::of(62, three).await;
    shop.set("masters", json!(4));
    let words = shop
        .wait_progress("RebalanceNeedsApproval", "once somebody approves")
        .await;
    let rebalance = shop.rebalance();
    let digest = rebalance["digest"].as_str().unwrap().to_owned();
    assert!(
        words.contains(&digest) && words.contains("4096 slots"),
        "{words}"
    );
    assert_eq!(
        (&rebalance["phase"], &rebalance["slotsLeft"]),
        (&json!("Planned"), &json!(4096))
    );

    shop.annotate("rebalance-approve", json!("0123456789abcdef"));
    let degraded = shop
        .wait_words("Degraded", "names \"0123456789abcdef\"")
        .await;
    assert_eq!(degraded["reason"], "RequestRefused");
    assert!(shop.ring.orders().is_empty(), "{:?}", shop.ring.orders());
    assert!(shop.ring.slots(3).is_empty());

    shop.annotate("rebalance-approve", json!(digest));
    shop.wait_slots(3, 4096).await;
    shop.settles().await;
    wait_for("the approval is taken away", || {
        let annotations = &shop.object()["metadata"]["annotations"];
        annotations["cache.hera.io/rebalance-approve"]
            .is_null()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_moves_are_disabled_a_new_shard_waits_and_one_without_slots_may_go_again() {
    let mut three = spec(3);
    three["rebalance"] = json!({"mode": "Disabled"});
    let shop = Shop::of(63, three).await;
    shop.set("masters", json!(4));
    shop.wait_progress("RebalanceWaiting", "rebalance.mode is Disabled")
        .await;
    shop.operator
        .wait_object("statefulsets", "cache-shard-3", |_| true)
        .await;
    let ready = condition(&shop.object(), "Ready").unwrap();
    assert_eq!(ready["reason"], "Serving", "{ready}");
    shop.set("masters", json!(3));
    shop.wait_gone(3).await;
    shop.settles().await;
    assert!(shop.ring.orders().is_empty(), "{:?}", shop.ring.orders());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_stops_and_goes_on_where_it_was() {
    let shop = Shop::of(64, spec(3)).await;
    shop.ring.is_stuck(true);
    shop.set("masters", json!(4));
    shop.wait_progress("Rebalancing", "4096 of 4096 slots")
        .await;
    shop.annotate("rebalance", json!("Paused"));
    shop.wait_progress("RebalanceWaiting", "paused").await;
    wait_for("jobs are told to stop", || {
        shop.ring
            .orders()
            .contains(&Command::StopMoving)
            .then_some(())
    })
    .await;
    shop.ring.is_stuck(false);
    assert!(shop.ring.slots(3).is_empty());
    let digest = shop.rebalance()["digest"].clone();
    shop.annotate("rebalance", Value::Null);
    shop.wait_slots(3, 4096).await;
    shop.settles().await;
    assert!(digest.is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_dropped_does_not_come_back_before_somebody_asks() {
    let shop = Shop::of(65, spec(3)).await;
    shop.ring.is_stuck(true);
    shop.set("masters", json!(4));
    shop.wait_progress("Rebalancing", "of 4096 slots").await;
    shop.annotate("rebalance", json!("Cancel"));
    shop.wait_progress("RebalanceWaiting", "was dropped").await;
    shop.ring.is_stuck(false);
    let slots = shop.ring.slots(3);
    wait_for("the request is taken away", || {
        let annotations = &shop.object()["metadata"]["annotations"];
        annotations["cache.hera.io/rebalance"]
            .is_null()
            .then_some(())
    })
    .await;
    assert_eq!(shop.ring.slots(3), slots);
    shop.annotate("rebalance-now", json!("please"));
    shop.wait_slots(3, 4096).await;
    shop.settles().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_plan_is_refused_by_rule_and_a_leaving_shard_is_drained_all_the_same() {
    let target = std::env::current_exe().unwrap();
    let folder = guests::build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        &guests::target_dir(&target),
        &["-p", "hera-policy-hostile", "--lib", "--examples"],
    );
    let greedy = folder.unwrap().join("examples/rebalance_greedy.wasm");
    let greedy = std::fs::read(greedy).unwrap();
    let shop = Shop::of(66, spec(4)).await;
    shop.ring.limit(100);
    let store = &shop.operator.server.store;
    store.put(
        "configmaps",
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": SHOP, "name": "greedy"},
            "binaryData": {"policy.wasm": ByteString(greedy)},
        }),
    );
    shop.set(
        "policies",
        json!({"rebalance": {"configMapRef": {"name": "greedy"}}}),
    );
    let refused = shop.wait_words("PolicyHealthy", "too-many-slots").await;
    assert_eq!(refused["status"], "False");
    assert!(
        shop.ring.orders().is_empty(),
        "at rest the built-in moves nothing"
    );

    shop.set("masters", json!(3));
    shop.wait_gone(3).await;
    let sizes: Vec<usize> = (0..3).map(|shard| shop.ring.slots(shard).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 16_384);
    assert!(
        sizes.iter().all(|size| (5_461..=5_462).contains(size)),
        "{sizes:?}"
    );
    shop.settles().await;
    let refused = condition(&shop.object(), "PolicyHealthy").unwrap();
    assert_eq!(refused["status"], "False", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_elsewhere_stays_with_the_figures() {
    let shop = Shop::of(67, spec(4)).await;
    // Each uses 33 MiB.
    shop.ring.limit(40);
    shop.set("masters", json!(3));
    let degraded = shop.wait_words("Degraded", "finds no room").await;
    assert_eq!(degraded["reason"], "MemoryTooSmall");
    let words = degraded["message"].as_str().unwrap();
    assert!(
        words.contains("33 MiB") && words.contains("8 MiB"),
        "{words}"
    );
    assert!(shop.ring.orders().is_empty(), "{:?}", shop.ring.orders());
    assert!(shop.has_set(3));
    shop.set("masters", json!(4));
    shop.settles().await;
    let degraded = condition(&shop.object(), "Degraded").unwrap();
    assert_eq!(degraded["reason"], "AsExpected", "{degraded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operator_goes_on_with_the_plan_that_stands() {
    let mut three = spec(3);
    three["rebalance"] = json!({"mode": "Approve"});
    let mut shop = Shop::of(68, three).await;
    shop.set("masters", json!(4));
    shop.wait_progress("RebalanceNeedsApproval", "4096 slots")
        .await;
    let digest = shop.rebalance()["digest"].clone();
    shop.operator.restart().await;
    shop.annotate("rebalance-approve", digest.clone());
    shop.wait_slots(3, 4096).await;
    shop.settles().await;
    assert!(digest.is_string());
}
