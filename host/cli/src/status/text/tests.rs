//! What people see, line by line.

use hera_core::agent::{Role, ServerExit, ServerState};
use hera_core::instance::Waits;
use hera_core::shard::{FenceView, LinkView, PodState};
use serde_json::json;

use super::super::lines::PodLine;
use super::*;
use crate::named::tests::{instance, target};

fn object(reason: &str, message: &str) -> Object {
    instance(json!({
        "phase": "Ready", "engine": "redis", "version": "7.2.4", "primary": "cart-0",
        "conditions": [
            condition("Ready", "True", "Serving", "writes are accepted"),
            condition("Progressing", "True", reason, message),
            condition("Degraded", "False", "AsExpected", ""),
        ],
    }))
}

pub fn condition(type_: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-26T02:00:00Z",
    })
}

fn pod(ordinal: u8) -> PodLine {
    PodLine {
        name: format!("cart-{ordinal}"),
        shard: None,
        phase: "Running".to_owned(),
        ready: true,
        node: Some(format!("n{}", ordinal + 1)),
        zone: None,
        ip: Some(format!("10.244.{}.7", ordinal + 1)),
        restarts: 0,
        role: Some(if ordinal == 0 { "primary" } else { "replica" }.to_owned()),
    }
}

pub fn primary() -> PodState {
    PodState {
        name: "cart-0".to_owned(),
        unheard: None,
        role: Role::Primary,
        server: Some(running()),
        epoch: 16_777_217,
        link: None,
        fence: FenceView::Armed { left_ms: 14_280 },
        keys: Some(3),
        waiting_for: None,
        leaving: false,
        hangs: false,
        restarts: 0,
        last_exit: None,
    }
}

fn running() -> ServerState {
    ServerState::Running {
        pid: 7,
        run_id: "r".to_owned(),
    }
}

fn replica(ordinal: u8, up: bool, lag_bytes: Option<u64>) -> PodState {
    PodState {
        name: format!("cart-{ordinal}"),
        role: Role::Replica,
        link: Some(LinkView {
            follows: "cart-0".to_owned(),
            up,
            syncing: false,
            lag_bytes,
        }),
        fence: FenceView::Off,
        ..primary()
    }
}

fn seen(object: Object, pods: Vec<PodState>) -> Seen {
    Seen {
        target: target("cart"),
        object,
        rebalance: None,
        pods: (0..3).map(pod).collect(),
        volumes: vec![VolumeLine {
            name: "data-cart-0".to_owned(),
            phase: "Bound".to_owned(),
            size: Some("1Gi".to_owned()),
            class: Some("gp3".to_owned()),
        }],
        operator: Some(View::Instance(Box::new(InstanceView {
            term: 1,
            pods,
            ..InstanceView::default()
        }))),
        operator_error: None,
    }
}

fn view(seen: &mut Seen) -> &mut InstanceView {
    match &mut seen.operator {
        Some(View::Instance(view)) => view,
        _ => panic!("no instance"),
    }
}

pub fn shown(seen: &Seen) -> String {
    anstream::adapter::strip_str(&describe(seen)).to_string()
}

#[test]
fn a_group_shows_who_follows_whom_how_far_behind_and_what_it_waits_for() {
    let words = "the spec asks for another pod; the primary cart-0 is replaced once somebody approves \
                 0123456789abcdef";
    let mut seen = seen(
        object("WaitingForApproval", words),
        vec![
            primary(),
            replica(1, true, Some(0)),
            replica(2, true, Some(4_096)),
        ],
    );
    let view = view(&mut seen);
    view.waits = Waits {
        waiting_for: Some(words.to_owned()),
        to_approve: Some("0123456789abcdef".to_owned()),
        refused: None,
    };
    view.last_change = Some(Change {
        kind: ChangeKind::Handover,
        from: Some("cart-2".to_owned()),
        to: "cart-0".to_owned(),
        at_unix_ms: 1_795_658_400_000,
        took_ms: 12,
        reason: "somebody asked for it".to_owned(),
        error: None,
    });
    assert_eq!(shown(&seen), include_str!("../golden/waits.txt"));
}

#[test]
fn what_is_wrong_stands_beside_the_pod_that_has_it() {
    let fenced = PodState {
        role: Role::Unknown,
        server: Some(ServerState::Fenced),
        fence: FenceView::Down {
            why: "the operator fenced the server".to_owned(),
            by_request: true,
        },
        waiting_for: Some("the operator fenced the server; it waits for whom to follow".to_owned()),
        ..primary()
    };
    let mut pods = vec![
        PodState {
            leaving: true,
            restarts: 2,
            last_exit: Some(ServerExit {
                code: None,
                signal: Some(9),
                at_unix_ms: 0,
                message: String::new(),
            }),
            ..primary()
        },
        PodState {
            name: "cart-1".to_owned(),
            ..fenced.clone()
        },
        PodState {
            unheard: Some("connection refused".to_owned()),
            role: Role::Unknown,
            server: None,
            fence: FenceView::Unknown,
            epoch: 0,
            ..replica(2, false, None)
        },
    ];
    pods[2].link = None;
    let mut seen = seen(object("Settled", ""), pods);
    seen.pods[1].ready = false;
    seen.pods[2].phase = "Terminating".to_owned();
    seen.pods[2].restarts = 1;
    let view = view(&mut seen);
    view.waits.refused = Some("there is no data pod cart-9 to promote".to_owned());
    view.under_way = vec!["push-acl: revision 5 is wanted".to_owned()];
    view.failed = Some("the primary did not hand over: it took too long".to_owned());
    view.last_change = Some(Change {
        kind: ChangeKind::Promotion,
        from: None,
        to: "cart-0".to_owned(),
        at_unix_ms: 1_795_658_400_000,
        took_ms: 3,
        reason: "cart-0 has the best copy of the data".to_owned(),
        error: None,
    });
    assert_eq!(shown(&seen), include_str!("../golden/trouble.txt"));
}

#[test]
fn a_primary_that_stopped_by_itself_says_why_and_its_replicas_have_no_link() {
    let pods = vec![
        PodState {
            role: Role::Unknown,
            server: Some(ServerState::Fenced),
            fence: FenceView::Down {
                why: "no majority confirmed this primary for 15 s".to_owned(),
                by_request: false,
            },
            waiting_for: Some("no majority confirmed this primary for 15 s".to_owned()),
            ..primary()
        },
        replica(1, false, None),
        replica(2, false, None),
    ];
    let mut seen = seen(object("FailingOver", ""), pods);
    let view = view(&mut seen);
    view.waits.waiting_for =
        Some("replicas take in the last writes of the dead primary".to_owned());
    assert_eq!(shown(&seen), include_str!("../golden/stopped.txt"));
}

#[test]
fn without_the_operator_it_shows_what_the_objects_say_and_that_it_does() {
    let mut seen = seen(object("Settled", ""), Vec::new());
    seen.operator = None;
    seen.operator_error = Some("no operator leads at the moment".to_owned());
    assert_eq!(shown(&seen), include_str!("../golden/alone.txt"));
}

#[test]
fn programs_get_all_of_it() {
    let seen = seen(
        object("Settled", ""),
        vec![primary(), replica(1, true, Some(7))],
    );
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(
        json["operator"]["pods"][0]["fence"],
        json!({"state": "armed", "leftMs": 14_280})
    );
    assert_eq!(json["operator"]["pods"][1]["link"]["lagBytes"], 7);
    assert_eq!(json["operator"]["pods"][0]["server"]["state"], "running");
    assert_eq!(json["pods"][0]["ready"], true);
}
