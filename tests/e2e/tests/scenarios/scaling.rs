//! RedisCluster: shards come and go, and slots move by policies of one's own, under clients that write all along
//! (issue 21).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, policy_healthy, progressing};
use hera_api::{RebalancePhase, RedisClusterStatus};
use hera_tests_e2e::{
    Cluster, Keyspace, Lane, Scenario, Space, holds, millis, module, slot_of, wait_for, wait_within,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::cluster::{kill_server, nothing_lost, promote_once, small, wait_for_more, writing};
use crate::cluster_outages::alone;
use crate::outages::node;

pub const ALL: &[Scenario] = scenarios![Alone;
    a_scale_up_that_is_taken_back_in_the_middle_keeps_every_key,
    a_cluster_is_scaled_up_and_down_and_keeps_every_key,
    two_hundred_thousand_keys_move_to_a_new_shard_and_back,
    a_source_whose_server_is_killed_in_the_middle_loses_nothing,
    a_source_that_is_cut_off_in_the_middle_loses_nothing,
    slots_that_are_asked_for_most_move_where_a_policy_goes_by_load,
    a_hostile_plan_is_refused_by_rule_and_a_leaving_shard_is_drained,
    a_plan_waits_until_somebody_approves_it,
    fewer_shards_than_the_data_needs_are_told_and_nothing_moves,
];

const SOME: Duration = Duration::from_secs(60);
/// New pods, and moves of a quarter of the slots one after the other on a busy machine.
const MOVED: Duration = Duration::from_secs(900);
/// What is moved at first, and what the issue asks for.
const KEYS: usize = 20_000;
const MANY_KEYS: usize = 200_000;
/// Slots after which a scale-up is taken back.
const SOME_SLOTS: usize = 60;
/// Of a value.
const BYTES: usize = 128;
/// Between two questions to a policy whose input changes by itself.
const BETWEEN: Duration = Duration::from_secs(10);
/// Shards that give slots to a fourth.
const SOURCES: usize = 3;
/// The ConfigMap of a policy.
const SLOTS: &str = "slots";

/// Another number of shards, and all moved.
async fn scale(cluster: &Cluster<'_>, masters: u32) -> Result<Duration> {
    let since = Instant::now();
    cluster.scale(masters).await?;
    cluster.wait_settled_within(MOVED).await?;
    let shards = cluster.status().await?.shards;
    let wanted = usize::try_from(masters)?;
    ensure!(shards.len() == wanted, "there are {}", shards.len());
    let empty = shards.iter().find(|shard| shard.slots.is_empty());
    ensure!(empty.is_none(), "{empty:?} has no slots");
    cluster.check().await?;
    Ok(since.elapsed())
}

/// Up and down again under clients that write; every key is there, once, as it was written.
async fn up_and_down(space: &Space<'_>, keys: usize) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let keyspace = Keyspace::fill(&cluster, keys, BYTES).await?;
    for (masters, way) in [(4, "3 to 4"), (3, "4 to 3")] {
        let lanes = writing(&cluster).await?;
        let took = scale(&cluster, masters).await?;
        println!("FIGURE {keys} keys, {way} shards: {}", millis(took));
        nothing_lost(&format!("{keys} keys, {way} shards"), lanes).await?;
        keyspace.check(&cluster).await?;
    }
    let left = cluster.pods().await?;
    let fourth = |name: &str| name.starts_with("shop-shard-3-");
    ensure!(
        !left.iter().any(|pod| fourth(&pod.name_any())),
        "a pod of the shard that left is there"
    );
    Ok(())
}

/// `masters` goes up, and down again once some slots have moved: they move back, and the shard goes. So few that a
/// landing has the time. Rows: taken back through the object; fewer than three are refused.
async fn a_scale_up_that_is_taken_back_in_the_middle_keeps_every_key(
    space: &Space<'_>,
) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let keyspace = Keyspace::fill(&cluster, KEYS, BYTES).await?;
    let lanes = writing(&cluster).await?;
    cluster.scale(4).await?;
    wait_within("slots have come to the new shard", MOVED, async || {
        let shards = cluster.status().await?.shards;
        let new = shards.iter().find(|shard| shard.id == 3);
        let has = new.map_or(0, |shard| count(&shard.slots));
        ensure!(has >= SOME_SLOTS, "it has {has}");
        Ok(())
    })
    .await?;
    let took = scale(&cluster, 3).await?;
    println!(
        "FIGURE taken back after {SOME_SLOTS} slots: {}",
        millis(took)
    );
    nothing_lost("a scale-up that is taken back", lanes).await?;
    keyspace.check(&cluster).await?;
    let left = cluster.pods().await?;
    let fourth = |name: &str| name.starts_with("shop-shard-3-");
    ensure!(
        !left.iter().any(|pod| fourth(&pod.name_any())),
        "a pod of the shard that left is there"
    );
    let refused = cluster.scale(2).await.err().context("two are taken")?;
    let words = format!("{refused:#}");
    ensure!(words.contains("use 3 to 128"), "{words}");
    Ok(())
}

/// Rows: `masters` by `kubectl scale`, up and down; fewer than three are refused with what to do.
async fn a_cluster_is_scaled_up_and_down_and_keeps_every_key(space: &Space<'_>) -> Result<()> {
    up_and_down(space, KEYS).await?;
    let cluster = Cluster::new(space, "shop");
    let refused = cluster.scale(2).await.err().context("two are taken")?;
    let words = format!("{refused:#}");
    ensure!(words.contains("use 3 to 128"), "{words}");
    Ok(())
}

/// Row: 3 to 4 to 3 with 200 000 keys under the verifier, beside 45 to 49 s and 0.4 to 1.6 s of the best rival.
async fn two_hundred_thousand_keys_move_to_a_new_shard_and_back(space: &Space<'_>) -> Result<()> {
    up_and_down(space, MANY_KEYS).await
}

/// Waits until slots move: a shard that is new has some, and others are on their way.
async fn wait_in_the_middle(cluster: &Cluster<'_>) -> Result<()> {
    wait_for("slots are on their way", MOVED, async || {
        let status = cluster.status().await?;
        let rebalance = status.rebalance.as_ref().context("nothing is to move")?;
        let phase = rebalance.phase;
        ensure!(phase == RebalancePhase::Moving, "it is {phase:?}");
        let has = |id: i32| {
            let mut shards = status.shards.iter();
            let shard = shards.find(|shard| shard.id == id);
            shard.map_or(0, |shard| count(&shard.slots))
        };
        let (first, new) = (has(0), has(3));
        ensure!(
            new > 0 && first > 4_200,
            "{first} of the first, {new} of the new one"
        );
        Ok(())
    })
    .await
}

/// How many slots `0-5460 8000` are.
fn count(ranges: &str) -> usize {
    let length = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>(), last.parse::<usize>());
        first
            .ok()
            .zip(last.ok())
            .map_or(0, |(first, last)| last + 1 - first)
    };
    ranges.split_whitespace().map(length).sum()
}

/// Rows: the server of a source is killed in the middle (P31).
async fn a_source_whose_server_is_killed_in_the_middle_loses_nothing(
    space: &Space<'_>,
) -> Result<()> {
    let cluster = small(space, json!({})).await?;
    let keyspace = Keyspace::fill(&cluster, MANY_KEYS, BYTES).await?;
    let lanes = writing(&cluster).await?;
    cluster.scale(4).await?;
    wait_in_the_middle(&cluster).await?;
    let primary = cluster.primary(0).await?;
    kill_server(&cluster, &primary)?;
    cluster.wait_other_primary(0, &primary.name_any()).await?;
    cluster.wait_settled_within(MOVED).await?;
    nothing_lost("a source killed in the middle", lanes).await?;
    keyspace.check(&cluster).await?;
    cluster.check().await
}

/// A source that is the only primary on its node: with it cut off the others may vote. Where there is none, replicas
/// lead one after the other until there is: each is on another node than its primary.
async fn source_in_the_minority(cluster: &Cluster<'_>) -> Result<(usize, Pod)> {
    for shard in 0..SOURCES {
        if let Some(found) = source_alone(cluster).await? {
            return Ok(found);
        }
        promote_once(cluster, shard).await?;
    }
    let found = source_alone(cluster).await?;
    found.context("no source is the only primary on its node")
}

async fn source_alone(cluster: &Cluster<'_>) -> Result<Option<(usize, Pod)>> {
    let found = alone(cluster, SOURCES + 1).await?;
    Ok(found.into_iter().find(|(shard, _)| *shard < SOURCES))
}

/// Rows: the node of a source is cut off in the middle, and comes back.
async fn a_source_that_is_cut_off_in_the_middle_loses_nothing(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({"rebalance": {"mode": "Approve"}})).await?;
    let keyspace = Keyspace::fill(&cluster, MANY_KEYS, BYTES).await?;
    let lanes = writing(&cluster).await?;
    cluster.scale(4).await?;
    // The new primary is there, and nobody hands over while slots move.
    let reason = progressing::REBALANCE_NEEDS_APPROVAL;
    wait_condition(&cluster, progressing::TYPE, reason).await?;
    let (shard, primary) = source_in_the_minority(&cluster).await?;
    let goes_on = json!({"rebalance": {"mode": "Auto"}});
    cluster.patch_spec(goes_on).await?;
    wait_in_the_middle(&cluster).await?;
    let cut = space.bed().testbed.partition_node(&node(&primary)?)?;
    let followed = cluster.wait_other_primary(shard, &primary.name_any()).await;
    cut.end()?;
    followed?;
    cluster.wait_settled_within(MOVED).await?;
    nothing_lost("a source cut off in the middle", lanes).await?;
    keyspace.check(&cluster).await?;
    cluster.check().await
}

/// Points the cluster at a policy for slots.
async fn decided_by(cluster: &Cluster<'_>, name: &'static str) -> Result<()> {
    let module = module(name).await?;
    cluster.space().put_policy(SLOTS, &module).await?;
    let policy = json!({"configMapRef": {"name": SLOTS}});
    cluster
        .patch_spec(json!({"policies": {"rebalance": policy}}))
        .await
}

/// Tags whose slots a shard has.
fn tags(status: &RedisClusterStatus, shard: i32, many: usize) -> Vec<String> {
    let known = status.shards.iter().find(|known| known.id == shard);
    let slots = known.map(|shard| shard.slots.as_str()).unwrap_or_default();
    let all = (0..10_000).map(|number| format!("hot{number}"));
    let own = all.filter(|tag| holds(slots, slot_of(tag)));
    own.take(many).collect()
}

/// Row: `rebalance-load`, active by a ConfigMap, takes hot slots away from the shard that has them all. The server
/// keeps statistics of slots (Valkey from 8).
async fn slots_that_are_asked_for_most_move_where_a_policy_goes_by_load(
    space: &Space<'_>,
) -> Result<()> {
    let valkey = json!({"engine": "valkey", "version": "8.1", "rebalance": {"cooldown": "0s"}});
    let cluster = small(space, valkey).await?;
    let status = cluster.status().await?;
    let hot = tags(&status, 0, 9);
    let app = cluster.app().await?;
    let lanes: Vec<Lane> = hot
        .iter()
        .map(|tag| Lane::start(tag, app.clone()))
        .collect();
    wait_for_more(&lanes).await?;
    decided_by(&cluster, "rebalance-load").await?;
    // The load is a mean over minutes, so it grows; the policy is asked again and again.
    let since = Instant::now();
    let moved = loop {
        space
            .hera(&["rebalance", "now", "rdc/shop"])
            .await?
            .with_code(0)?;
        let what = "a hot slot is at another shard";
        let moved = wait_within(what, BETWEEN, async || {
            let slots = cluster.shard(0).await?.slots;
            let moved = hot.iter().filter(|tag| !holds(&slots, slot_of(tag)));
            let moved = moved.count();
            ensure!(moved > 0, "all are where they were");
            Ok(moved)
        })
        .await;
        match moved {
            Err(error) if since.elapsed() > MOVED => return Err(error),
            Err(_) => {}
            Ok(moved) => break moved,
        }
    };
    ensure!(moved < hot.len(), "the load is only elsewhere now");
    // The load goes on, and so would the policy: the plan that runs is its last, or that which was asked for meanwhile.
    let rests = json!({"rebalance": {"cooldown": "1h"}});
    cluster.patch_spec(rests).await?;
    nothing_lost("hot slots moved", lanes).await?;
    let what = "all slots are whole";
    wait_for(what, MOVED, async || cluster.check().await).await
}

/// Row: plans that move too much, or would fill a shard further than it may be, are refused by their rules, and a
/// shard that leaves is drained all the same, by the built-in.
async fn a_hostile_plan_is_refused_by_rule_and_a_leaving_shard_is_drained(
    space: &Space<'_>,
) -> Result<()> {
    // Each shard has a quarter of the data, about 9 MB; no shard has room for all of it.
    let maxmemory = json!({"maxmemory": "16mb"});
    let spec = json!({"masters": 4, "replicasPerMaster": 0, "config": maxmemory});
    let cluster = small(space, spec).await?;
    let keyspace = Keyspace::fill(&cluster, KEYS, 1_024).await?;
    let lanes = writing(&cluster).await?;
    decided_by(&cluster, "rebalance-greedy").await?;
    let (type_, refused) = (policy_healthy::TYPE, policy_healthy::GUARD_REFUSED);
    let words = wait_condition(&cluster, type_, refused).await?;
    ensure!(words.contains("too-many-slots"), "{words}");
    scale(&cluster, 3).await?;
    let log = space.hera(&["policy", "log", "rdc/shop"]).await?;
    let log = log.with_code(0)?;
    // Which rule is the first to be broken depends on what the built-in has moved by then.
    let rules = ["too-many-slots", "target-overfull", "cool-down"];
    let of_map: Vec<&str> = log
        .lines()
        .filter(|row| row.contains("configMap"))
        .collect();
    let refused = |row: &&str| rules.iter().any(|rule| row.contains(rule));
    ensure!(of_map.len() > 1 && of_map.iter().all(refused), "{log}");
    nothing_lost("a shard drained beside a hostile plan", lanes).await?;
    keyspace.check(&cluster).await
}

async fn wait_condition(cluster: &Cluster<'_>, type_: &str, reason: &str) -> Result<String> {
    wait_for(&format!("{type_} says {reason}"), MOVED, async || {
        let status = cluster.status().await?;
        let found = status.conditions.iter().find(|c| c.type_ == type_);
        let found = found.with_context(|| format!("no condition {type_} yet"))?;
        let (is, message) = (&found.reason, &found.message);
        ensure!(is == reason, "{is}: {message}");
        Ok(message.clone())
    })
    .await
}

/// Rows: with `Approve` a plan waits; one that is outdated is refused; moves rest and go on.
async fn a_plan_waits_until_somebody_approves_it(space: &Space<'_>) -> Result<()> {
    let cluster = small(space, json!({"rebalance": {"mode": "Approve"}})).await?;
    let keyspace = Keyspace::fill(&cluster, KEYS, BYTES).await?;
    cluster.scale(4).await?;
    let reason = progressing::REBALANCE_NEEDS_APPROVAL;
    let words = wait_condition(&cluster, progressing::TYPE, reason).await?;
    let plan = cluster.status().await?.rebalance.context("no plan")?;
    let digest = plan.digest.context("no digest")?;
    ensure!(words.contains(&digest), "{words}");
    let shown = space
        .hera(&["rebalance", "plan", "shop"])
        .await?
        .with_code(0)?;
    ensure!(
        shown.contains(&digest) && shown.contains("shard 3"),
        "{shown}"
    );
    let outdated = ["rebalance", "approve", "shop", "0123456789abcdef"];
    let outdated = space.hera(&outdated).await?;
    ensure!(
        outdated.code == 3 && outdated.errors.contains(&digest),
        "{outdated:?}"
    );

    ensure!(cluster.shard(3).await?.slots.is_empty(), "slots moved");
    let approve = ["rebalance", "approve", "shop", &digest];
    space.hera(&approve).await?.with_code(0)?;
    wait_phase(&cluster, RebalancePhase::Moving).await?;
    space
        .hera(&["rebalance", "pause", "shop"])
        .await?
        .with_code(0)?;
    wait_phase(&cluster, RebalancePhase::Paused).await?;
    wait_for("no slot is half moved", SOME, async || {
        cluster.check().await
    })
    .await?;
    let tree = space.hera(&["status", "shop"]).await?.text;
    ensure!(tree.contains("rebalance resume"), "{tree}");
    space
        .hera(&["rebalance", "resume", "shop"])
        .await?
        .with_code(0)?;
    cluster.wait_settled_within(MOVED).await?;
    let new = count(&cluster.shard(3).await?.slots);
    ensure!(new >= 4_000, "the new shard has {new} slots");
    keyspace.check(&cluster).await?;
    cluster.check().await
}

async fn wait_phase(cluster: &Cluster<'_>, wanted: RebalancePhase) -> Result<()> {
    wait_for(&format!("the plan is {wanted:?}"), SOME, async || {
        let plan = cluster.status().await?.rebalance.context("no plan")?;
        let phase = plan.phase;
        ensure!(phase == wanted, "it is {phase:?}");
        Ok(())
    })
    .await
}

/// Row: `masters` lowered below what memory allows: told with the figures, and nothing moves (P12).
async fn fewer_shards_than_the_data_needs_are_told_and_nothing_moves(
    space: &Space<'_>,
) -> Result<()> {
    // Each shard has about 9 MB, and three have no room for a third more.
    let maxmemory = json!({"maxmemory": "11mb"});
    let spec = json!({"masters": 4, "replicasPerMaster": 0, "config": maxmemory});
    let cluster = small(space, spec).await?;
    let keyspace = Keyspace::fill(&cluster, KEYS, 1_024).await?;
    let before = slots(&cluster).await?;
    cluster.scale(3).await?;
    let words = wait_condition(&cluster, degraded::TYPE, degraded::MEMORY_TOO_SMALL).await?;
    ensure!(words.contains("(3)") && words.contains("MiB"), "{words}");
    ensure!(slots(&cluster).await? == before, "slots moved");
    keyspace.check(&cluster).await?;
    // Taken back through the object.
    scale(&cluster, 4).await?;
    ensure!(slots(&cluster).await? == before, "slots moved");
    wait_for("nobody speaks of memory any more", SOME, async || {
        let status = cluster.status().await?;
        let mut conditions = status.conditions.iter();
        let told = conditions.find(|c| c.reason == degraded::MEMORY_TOO_SMALL);
        ensure!(told.is_none(), "{told:?}");
        Ok(())
    })
    .await
}

async fn slots(cluster: &Cluster<'_>) -> Result<Vec<String>> {
    let shards = cluster.status().await?.shards;
    Ok(shards.into_iter().map(|shard| shard.slots).collect())
}
