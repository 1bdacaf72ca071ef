//! The pods of a shard: what is replaced, who hands over, how many there are.

use hera_core::agent::{Link, Role, ServerState};
use hera_core::cluster::{PodStep, next_pod_step, set_size};
use hera_core::shard::{AgentView, Member, PodView, PodsWanted, Shard};

use crate::statuses::status;

pub fn wanted(count: u32) -> PodsWanted {
    PodsWanted {
        revision: "new".to_owned(),
        count: Some(count),
        progress_deadline_ms: 600_000,
        ..PodsWanted::default()
    }
}

/// In sync with the pod of `leader`, or leading itself.
pub fn member(ordinal: u32, leader: u32, revision: &str) -> Member {
    let ip = |ordinal: u32| format!("10.0.0.{ordinal}");
    let mut told = status(&format!("uid-{ordinal}"));
    told.server = ServerState::Running {
        pid: 1,
        run_id: "r".to_owned(),
    };
    told.role = if ordinal == leader {
        Role::Primary
    } else {
        Role::Replica
    };
    told.link = (ordinal != leader).then(|| Link {
        host: ip(leader),
        port: 6379,
        up: true,
        syncing: false,
        quiet: false,
    });
    Member {
        ordinal,
        pod: Some(PodView {
            name: format!("pod-{ordinal}"),
            uid: format!("uid-{ordinal}"),
            ip: Some(ip(ordinal)),
            ready: true,
            revision: Some(revision.to_owned()),
            ..PodView::default()
        }),
        agent: AgentView::Connected(Box::new(told)),
        server_name: format!("pod-{ordinal}.svc"),
        ..Member::default()
    }
}

pub fn out_of_sync(mut member: Member) -> Member {
    if let AgentView::Connected(told) = &mut member.agent {
        told.link.as_mut().unwrap().up = false;
    }
    member
}

pub fn shard<'a>(wanted: &'a PodsWanted, members: &'a [Member], leader: Option<u32>) -> Shard<'a> {
    Shard {
        wanted,
        members,
        primary: members.iter().find(|member| Some(member.ordinal) == leader),
        asked: None,
        changing_since_ms: None,
        now_ms: 0,
    }
}

fn step(wanted: &PodsWanted, members: &[Member], leader: Option<u32>) -> String {
    match next_pod_step(&shard(wanted, members, leader), None) {
        PodStep::Settled => "settled".to_owned(),
        PodStep::Wait(_) => "waits".to_owned(),
        PodStep::Refused(words) => words,
        PodStep::Replace { pod, .. } => format!("replace {}", pod.name()),
        PodStep::SwitchOver { from, to, .. } => format!("{} to {}", from.name(), to.name()),
    }
}

#[test]
fn replicas_are_replaced_first_and_the_primary_hands_over_before_it_is() {
    let wanted = wanted(2);
    let old = [member(0, 0, "old"), member(1, 0, "old")];
    assert_eq!(step(&wanted, &old, Some(0)), "replace pod-1");
    let new = [member(0, 0, "old"), out_of_sync(member(1, 0, "new"))];
    assert_eq!(step(&wanted, &new, Some(0)), "waits");
    let in_sync = [member(0, 0, "old"), member(1, 0, "new")];
    assert_eq!(step(&wanted, &in_sync, Some(0)), "pod-0 to pod-1");
    let handed_over = [member(0, 1, "old"), member(1, 1, "new")];
    assert_eq!(step(&wanted, &handed_over, Some(1)), "replace pod-0");
    let done = [member(0, 1, "new"), member(1, 1, "new")];
    assert_eq!(step(&wanted, &done, Some(1)), "settled");
}

#[test]
fn a_primary_that_is_one_too_many_hands_over_before_its_pod_is_taken_away() {
    let wanted = wanted(1);
    let both = [member(0, 1, "new"), member(1, 1, "new")];
    assert_eq!(set_size(&shard(&wanted, &both, Some(1))), 2);
    assert_eq!(step(&wanted, &both, Some(1)), "pod-1 to pod-0");
    let stale = [out_of_sync(member(0, 1, "new")), member(1, 1, "new")];
    assert_eq!(step(&wanted, &stale, Some(1)), "waits");
    assert_eq!(set_size(&shard(&wanted, &stale, Some(1))), 2);
    let handed_over = [member(0, 0, "new"), member(1, 0, "new")];
    assert_eq!(set_size(&shard(&wanted, &handed_over, Some(0))), 1);
}

#[test]
fn nothing_is_taken_away_while_nobody_leads_or_those_that_stay_lack_something() {
    let one = wanted(1);
    let both = [member(0, 1, "new"), member(1, 1, "new")];
    assert_eq!(set_size(&shard(&one, &both, None)), 2);
    let two = wanted(2);
    let lacking = [
        member(0, 0, "new"),
        out_of_sync(member(1, 0, "new")),
        member(2, 0, "new"),
    ];
    assert_eq!(set_size(&shard(&two, &lacking, Some(0))), 3);
    let asleep = PodsWanted {
        hibernate: true,
        ..wanted(2)
    };
    assert_eq!(set_size(&shard(&asleep, &both, Some(1))), 0);
}

#[test]
fn a_pod_that_somebody_wants_to_lead_does_once_it_is_in_sync() {
    let wanted = wanted(2);
    let both = [member(0, 0, "new"), member(1, 0, "new")];
    let ask = |members: &[Member]| match next_pod_step(
        &shard(&wanted, members, Some(0)),
        Some("pod-1"),
    ) {
        PodStep::SwitchOver { to, .. } => to.name().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(ask(&both), "pod-1");
    let stale = [member(0, 0, "new"), out_of_sync(member(1, 0, "new"))];
    assert!(ask(&stale).contains("promoted once it is"));
}
