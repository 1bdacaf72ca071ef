//! What people read of a plan, and what they ask.

use hera_core::cluster::{ServerView, ShardView, SlotSet};
use hera_core::rebalance::{Limits, Shard, ShardState};
use serde_json::json;

use super::progress::{Progress, owners};
use super::*;
use crate::named::tests::target;

const MIB: u64 = 1 << 20;

/// Three shards and a new one, with a plan in this phase.
fn object(phase: &str, status: Value) -> RedisCluster {
    let mut rebalance = json!({
        "phase": phase, "digest": "0123456789abcdef", "reason": "as many slots for each shard",
        "startedAt": "2026-11-30T10:00:00Z", "slots": 4096, "slotsLeft": 4096,
        "moves": [
            {"source": 0, "target": 3, "slots": "0-1364"},
            {"source": 1, "target": 3, "slots": "5461-6825"},
            {"source": 2, "target": 3, "slots": "10922-12287"},
        ],
    });
    if let (Some(all), Value::Object(more)) = (rebalance.as_object_mut(), status) {
        all.extend(more);
    }
    let slots = ["0-5460", "5461-10921", "10922-16383", ""];
    let shards: Vec<Value> = (0..)
        .zip(slots)
        .map(|(id, slots)| json!({"id": id, "slots": slots}))
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"version": "7.2", "masters": 4},
        "status": {"shards": shards, "rebalance": rebalance},
    }))
    .unwrap()
}

/// What the policy was asked: each shard uses a hundred MiB of four hundred.
fn asked() -> RebalanceInput {
    let shard = |id, slots: &str, used: u64| Shard {
        id,
        state: if used > 1 {
            ShardState::Serving
        } else {
            ShardState::Joining
        },
        slots: status::slots::read(slots),
        used_bytes: Some(used * MIB),
        max_bytes: Some(400 * MIB),
        ops_per_second: None,
        heaviest: vec![],
    };
    RebalanceInput {
        shards: vec![
            shard(0, "0-5460", 100),
            shard(1, "5461-10921", 100),
            shard(2, "10922-16383", 100),
            shard(3, "", 1),
        ],
        stays: SlotSet::default(),
        history: vec![],
        limits: Limits {
            slots: 16_384,
            cooldown_seconds: 600,
            fill_percent: 80,
        },
    }
}

fn now() -> Timestamp {
    "2026-11-30T10:01:00Z".parse().unwrap()
}

/// A plan without colours.
fn shown(object: &RedisCluster, asked: Result<&RebalanceInput, String>) -> String {
    let owners = owners(object.status.as_ref().unwrap(), None);
    let plan = Plan::of(object, &owners, asked, now());
    let text = text::plan(&plan, &target("rdc/cart"));
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn a_plan_shows_what_moves_and_every_shard_before_and_after() {
    let object = object("Planned", json!({}));
    assert_eq!(
        shown(&object, Ok(&asked())),
        include_str!("golden/planned.txt")
    );
}

#[test]
fn a_plan_without_the_decision_log_has_no_sizes_and_says_why() {
    let object = object("Planned", json!({}));
    let text = shown(&object, Err("no operator leads at the moment".to_owned()));
    assert_eq!(text, include_str!("golden/planned-without-sizes.txt"));
}

#[test]
fn where_nothing_is_to_move_the_distribution_is_shown() {
    let settled = object("Settled", json!({"moves": [], "digest": null}));
    assert_eq!(
        shown(&settled, Ok(&asked())),
        include_str!("golden/settled.txt")
    );
    let mut disabled = object("Settled", json!({"moves": []}));
    disabled.spec.rebalance.mode = RebalanceMode::Disabled;
    assert!(shown(&disabled, Ok(&asked())).contains("rebalance.mode is Disabled"));
}

/// What the operator hears: a thousand slots of each move are there.
fn heard() -> hera_core::cluster::ClusterView {
    let slots = [
        "1000-5460",
        "6461-10921",
        "11922-16383",
        "0-999 5461-6460 10922-11921",
    ];
    let server = |slots: &str| ServerView {
        slots: slots.to_owned(),
        ..ServerView::default()
    };
    let shard = |(id, slots): (u32, &str)| ShardView {
        id,
        servers: vec![server(slots), server("")],
        ..ShardView::default()
    };
    hera_core::cluster::ClusterView {
        shards: (0..).zip(slots).map(shard).collect(),
        ..Default::default()
    }
}

#[test]
fn how_far_a_plan_is_the_servers_say_and_not_the_status() {
    let object = object("Moving", json!({}));
    let status = object.status.unwrap();
    let plan = Progress::of(&status, &owners(&status, Some(&heard())), now()).unwrap();
    assert_eq!((plan.slots, plan.left), (4_096, 1_096));
    assert_eq!(plan.slots_per_minute, Some(3_000));
    assert_eq!(plan.seconds_left, Some(21));
    let lines = text::lines(&plan, "shop", &target("rdc/cart")).join("\n") + "\n";
    let lines = anstream::adapter::strip_str(&lines).to_string();
    assert_eq!(lines, include_str!("golden/moving-lines.txt"));
}

#[test]
fn a_shard_that_is_not_heard_has_what_the_status_says() {
    let object = object("Moving", json!({}));
    let status = object.status.unwrap();
    let mut view = heard();
    view.shards.remove(0);
    let owners = owners(&status, Some(&view));
    assert_eq!(
        owners[&0],
        status::slots::read("1000-5460"),
        "less what others have"
    );
    let all = owners.values().map(SlotSet::len).sum::<usize>();
    assert_eq!(all, 16_384);
}

#[test]
fn a_plan_that_rests_or_waits_has_no_rate_and_one_that_is_done_is_none() {
    for (phase, more) in [
        (
            "Paused",
            Some("kubectl hera rebalance resume -n shop rdc/cart"),
        ),
        (
            "Planned",
            Some("rebalance approve -n shop rdc/cart 0123456789abcdef"),
        ),
        ("Waiting", None),
    ] {
        let status = object(phase, json!({})).status.unwrap();
        let plan = Progress::of(&status, &owners(&status, Some(&heard())), now()).unwrap();
        assert_eq!((plan.slots_per_minute, plan.seconds_left), (None, None));
        let lines = text::lines(&plan, "shop", &target("rdc/cart")).join("\n");
        let has = |words: &str| lines.contains(words);
        assert!(has("1096 of 4096 slots left"), "{lines}");
        assert_eq!(more.is_some(), has("kubectl"), "{lines}");
        assert!(more.is_none_or(has), "{lines}");
    }
    let status = object("Settled", json!({})).status.unwrap();
    assert_eq!(Progress::of(&status, &owners(&status, None), now()), None);
}

fn written(command: &RebalanceCommand, object: &RedisCluster) -> Result<Option<String>, String> {
    let annotation = annotation(command, object, now());
    annotation
        .map(|(_, value, _)| value)
        .map_err(|error| error.to_string())
}

fn approve(digest: Option<&str>) -> RebalanceCommand {
    RebalanceCommand::Approve {
        target: target("cart"),
        digest: digest.map(str::to_owned),
        yes: false,
    }
}

#[test]
fn only_the_plan_that_waits_is_approved() {
    let planned = object("Planned", json!({}));
    let digest = Some("0123456789abcdef".to_owned());
    assert_eq!(
        written(&approve(digest.as_deref()), &planned),
        Ok(digest.clone())
    );
    assert_eq!(written(&approve(None), &planned), Ok(digest));
    let outdated = written(&approve(Some("feed")), &planned).unwrap_err();
    assert!(outdated.contains("0123456789abcdef"), "{outdated}");
    for phase in ["Moving", "Settled", "Paused", "Waiting"] {
        let words = written(&approve(None), &object(phase, json!({}))).unwrap_err();
        assert!(words.contains("waits for an approval"), "{words}");
    }
}

#[test]
fn moves_rest_and_go_on_and_a_plan_is_dropped_while_there_is_one() {
    let (pause, resume, cancel) = (
        RebalanceCommand::Pause {
            target: target("cart"),
        },
        RebalanceCommand::Resume {
            target: target("cart"),
        },
        RebalanceCommand::Cancel {
            target: target("cart"),
        },
    );
    let mut moving = object("Moving", json!({}));
    assert_eq!(written(&pause, &moving), Ok(Some("Paused".to_owned())));
    assert_eq!(written(&cancel, &moving), Ok(Some("Cancel".to_owned())));
    assert!(written(&resume, &moving).is_err(), "nobody paused it");
    moving
        .annotations_mut()
        .insert(ANNOTATION_REBALANCE.to_owned(), "Paused".to_owned());
    assert_eq!(written(&resume, &moving), Ok(None));
    let settled = object("Settled", json!({"moves": [], "digest": null}));
    assert!(written(&cancel, &settled).is_err(), "there is no plan");
}

#[test]
fn a_policy_is_asked_at_once_unless_nothing_may_move() {
    let ask = RebalanceCommand::Now {
        target: target("cart"),
    };
    let mut object = object("Settled", json!({}));
    assert_eq!(written(&ask, &object), Ok(Some(now().to_string())));
    object.spec.rebalance.mode = RebalanceMode::Disabled;
    assert!(written(&ask, &object).unwrap_err().contains("Disabled"));
}

#[test]
fn sizes_come_from_the_last_decision_about_slots() {
    let record = |decision: &str, input: &Value| {
        json!({
            "decision": decision, "input": input,
            "context": {"nowUnixMs": 0, "seed": 0, "namespace": "shop", "name": "cart", "engine": "redis",
                "version": "7.2", "settings": ""},
            "call": {"source": "builtin", "digest": "d", "fuel": 1, "micros": 1, "logs": [],
                "outcome": "ok", "answer": {"moves": [], "reason": ""}},
        })
    };
    let mut other = asked();
    other.shards.clear();
    let [old, new] = [other, asked()].map(|input| serde_json::to_value(input).unwrap());
    let records = vec![
        record("rebalance", &old),
        record("rebalance", &new),
        record("acl", &json!({})),
    ];
    assert_eq!(last_input(records).unwrap(), asked());
    assert!(last_input(vec![record("acl", &json!({}))]).is_err());
}
