//! What people see of a cluster, line by line.

use hera_core::agent::{Role, ServerState};
use hera_core::cluster::{Direction, OpenSlot, ServerView, ShardView};
use hera_core::shard::{FenceView, LinkView, PodState};
use serde_json::{Value, json};

use super::super::lines::PodLine;
use super::tests::{condition, primary, shown};
use super::*;
use crate::named::tests::{cluster, target};

fn shard(id: i32, slots: &str) -> Value {
    json!({
        "id": id, "slots": slots, "primary": format!("cart-shard-{id}-0"),
        "replicas": [format!("cart-shard-{id}-1")],
    })
}

fn shards() -> Vec<Value> {
    ["0-5460", "5461-10921", "10922-16383"]
        .into_iter()
        .zip(0..)
        .map(|(slots, id)| shard(id, slots))
        .collect()
}

fn object(ready: Value, shards: Vec<Value>) -> Object {
    let phase = match ready["status"] == "True" {
        true => "Ready",
        false => "Unavailable",
    };
    cluster(json!({
        "phase": phase, "engine": "redis", "version": "7.2.4", "shards": shards,
        "conditions": [ready, condition("Progressing", "False", "Settled", "")],
    }))
}

fn serving() -> Value {
    condition("Ready", "True", "Serving", "")
}

fn pod(shard: u32, ordinal: u32) -> PodLine {
    let node = shard * 2 + ordinal;
    PodLine {
        name: format!("cart-shard-{shard}-{ordinal}"),
        shard: Some(shard),
        phase: "Running".to_owned(),
        ready: true,
        node: Some(format!("n{node}")),
        zone: Some(format!("z{ordinal}")),
        ip: Some(format!("10.244.{node}.7")),
        restarts: 0,
        role: Some(if ordinal == 0 { "primary" } else { "replica" }.to_owned()),
    }
}

fn led(shard: u32) -> PodState {
    PodState {
        name: format!("cart-shard-{shard}-0"),
        epoch: 0,
        fence: FenceView::Off,
        ..primary()
    }
}

fn replica(shard: u32) -> PodState {
    PodState {
        name: format!("cart-shard-{shard}-1"),
        role: Role::Replica,
        link: Some(LinkView {
            follows: format!("cart-shard-{shard}-0"),
            up: true,
            syncing: false,
            lag_bytes: Some(14),
        }),
        ..led(shard)
    }
}

fn server(pod: &PodState, slots: &str) -> ServerView {
    ServerView {
        pod: pod.name.clone(),
        slots: slots.to_owned(),
        serves: true,
        ..ServerView::default()
    }
}

fn view() -> ClusterView {
    let shard = |id| ShardView {
        id,
        servers: vec![server(&led(id), "0-1"), server(&replica(id), "")],
        pods: vec![led(id), replica(id)],
    };
    ClusterView {
        term: 1,
        shards: (0..3).map(shard).collect(),
        ..ClusterView::default()
    }
}

fn seen(object: Object, view: ClusterView) -> Seen {
    let pods = (0..3).flat_map(|shard| [pod(shard, 0), pod(shard, 1)]);
    Seen {
        target: target("rdc/cart"),
        object,
        rebalance: None,
        pods: pods.collect(),
        volumes: vec![VolumeLine {
            name: "data-cart-shard-0-0".to_owned(),
            phase: "Bound".to_owned(),
            size: Some("1Gi".to_owned()),
            class: Some("gp3".to_owned()),
        }],
        operator: Some(View::Cluster(view)),
        operator_error: None,
    }
}

#[test]
fn each_shard_shows_its_slots_and_who_follows_whom_in_which_zone() {
    let seen = seen(object(serving(), shards()), view());
    assert_eq!(shown(&seen), include_str!("../golden/shards.txt"));
}

#[test]
fn what_is_not_whole_stands_beside_the_pod_that_has_it() {
    let lacks = "cart-shard-1-0 is not heard";
    let words = format!("{lacks}; the servers vote");
    let mut shards = shards();
    shards[1] = json!({"id": 1});
    let mut view = view();
    view.lacks = Some(lacks.to_owned());
    view.waiting_for = Some("a slot of cart-shard-0-0 is half moved: [7->-x]".to_owned());
    let first = &mut view.shards[0].servers[0];
    first.serves = false;
    let open = |slot, moves, peer: &str| OpenSlot {
        slot,
        moves,
        peer: peer.to_owned(),
    };
    first.open_slots = vec![
        open(7, Direction::Out, "cart-shard-2-0"),
        open(9, Direction::In, "0123abcd"),
    ];
    view.shards[1].pods[0] = PodState {
        unheard: Some("connection refused".to_owned()),
        role: Role::Unknown,
        server: None,
        ..led(1)
    };
    view.shards[1].servers.remove(0);
    view.shards[2].pods[1] = PodState {
        server: Some(ServerState::Fenced),
        link: None,
        ..view.shards[2].pods[1].clone()
    };
    view.shards[2].pods.push(PodState {
        name: "cart-shard-2-2".to_owned(),
        ..led(2)
    });
    view.shards[2].servers.push(ServerView {
        pod: "cart-shard-2-2".to_owned(),
        serves: true,
        ..ServerView::default()
    });
    let ready = condition("Ready", "False", "NotWhole", &words);
    let mut seen = seen(object(ready, shards), view);
    seen.pods[2].ready = false;
    seen.pods.push(pod(2, 2));
    assert_eq!(shown(&seen), include_str!("../golden/not-whole.txt"));
}

#[test]
fn slots_that_move_are_shown_with_a_bar_beside_the_slots() {
    let mut object = object(serving(), shards());
    if let Object::Cluster(object) = &mut object {
        let status = object.status.as_mut().unwrap();
        status.rebalance = serde_json::from_value(json!({
            "phase": "Moving", "digest": "0123456789abcdef", "reason": "as many slots for each shard",
            "startedAt": "2026-11-30T10:00:00Z", "slots": 200, "slotsLeft": 200,
            "moves": [{"source": 0, "target": 1, "slots": "0-99"}, {"source": 2, "target": 1, "slots": "10922-11021"}],
        }))
        .unwrap();
    }
    let mut view = view();
    // A half of the first move is there.
    view.shards[0].servers[0].slots = "50-5460".to_owned();
    view.shards[1].servers[0].slots = "0-49 5461-10921".to_owned();
    view.shards[2].servers[0].slots = "10922-16383".to_owned();
    let mut seen = seen(object, view);
    let now = "2026-11-30T10:00:10Z".parse().unwrap();
    seen.rebalance = super::super::rebalance(&seen.object, seen.operator.as_ref(), now);
    let text = shown(&seen);
    let expected = "├─ rebalance\n\
        │  ├─ Moving  ████████░░░░░░░░░░░░░░░░░░░░░░░░  150 of 200 slots left, 5 slots a second, about 30 s\n\
        │  ├─ as many slots for each shard\n\
        │  ├─ shard 0 to 1: 50 of 100 left\n\
        │  └─ shard 2 to 1: 100 of 100 left\n\
        ├─ shards\n";
    assert!(text.contains(expected), "{text}");
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["rebalance"]["left"], 150);
    assert_eq!(json["rebalance"]["secondsLeft"], 30);
}

#[test]
fn a_step_that_waits_is_shown_with_the_command_in_the_words_of_who_asks() {
    let approval = json!({"digest": "0123456789abcdef", "since": "2026-11-28T00:00:00Z"});
    let seen = seen(
        cluster(json!({"approval": approval})),
        ClusterView::default(),
    );
    let lines = waits(&seen).join("\n");
    let lines = anstream::adapter::strip_str(&lines).to_string();
    let expected = "let it go on: kubectl hera approve -n shop rdc/cart 0123456789abcdef";
    assert_eq!(lines, expected);
}

#[test]
fn a_cluster_that_hibernates_lacks_nothing() {
    let mut view = view();
    view.waiting_for = Some("a pod is not heard".to_owned());
    let ready = condition("Ready", "False", "Hibernated", "");
    let asleep = cluster(json!({
        "phase": "Hibernated", "shards": [{"id": 0}, {"id": 1}], "conditions": [ready],
    }));
    let mut seen = seen(asleep, view);
    seen.pods.clear();
    let expected = "RedisCluster shop/cart  Hibernated  no server yet\n\
        ├─ conditions\n│  └─ Ready         False Hibernated\n\
        └─ volumes\n   └─ data-cart-shard-0-0  Bound  1Gi  gp3\n";
    assert_eq!(shown(&seen), expected);
}

#[test]
fn a_cluster_without_the_operator_shows_what_the_objects_say_and_that_it_does() {
    let mut seen = seen(object(serving(), shards()), view());
    seen.operator = None;
    seen.operator_error = Some("no operator leads at the moment".to_owned());
    assert_eq!(shown(&seen), include_str!("../golden/shards-alone.txt"));
}

#[test]
fn programs_get_zones_slots_and_lag_but_no_map() {
    let seen = seen(object(serving(), shards()), view());
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["object"]["kind"], "RedisCluster");
    assert_eq!(json["pods"][1]["zone"], "z1");
    assert_eq!(json["pods"][1]["shard"], 0);
    let shard = &json["operator"]["shards"][0];
    assert_eq!(shard["pods"][1]["link"]["lagBytes"], 14);
    assert_eq!(shard["servers"][0]["slots"], "0-1");
}
