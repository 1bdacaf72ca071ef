//! Who of a shard goes down, on request or as a script keeps it busy, and who does not.

use hera_core::agent::{AgentStatus, ClusterNews, Role, Script, ServerState};
use hera_core::cluster::{Fences, Fencing, Observation, PodStep, SlotSet, fences, next_pod_step};
use hera_core::shard::{AgentView, Member, why_not_all_fenced};

use crate::fixtures::whole;
use crate::pods::{member, out_of_sync, shard, wanted};

fn told(member: &mut Member) -> &mut AgentStatus {
    match &mut member.agent {
        AgentView::Connected(status) => status,
        AgentView::Absent | AgentView::Unreachable(_) => panic!("its agent is not heard"),
    }
}

/// The first pod leads, and a script keeps its server busy.
fn busy(has_written: bool) -> [Member; 2] {
    let mut members = [member(0, 0, "new"), member(1, 0, "new")];
    told(&mut members[0]).script = Some(Script {
        since_unix_ms: 1_000,
        has_written,
    });
    members
}

fn cut([primary, replica]: [Member; 2]) -> [Member; 2] {
    [primary, out_of_sync(replica)]
}

fn found<'a>(members: &'a [Member], fenced: &[&str], seen: &Observation) -> Fences<'a> {
    let fenced: Vec<String> = fenced.iter().map(|name| (*name).to_owned()).collect();
    fences(members, &fenced, seen, 0)
}

/// Where nobody says who leads: a busy server does not answer.
fn unseen<'a>(members: &'a [Member], fenced: &[&str]) -> Fences<'a> {
    found(members, fenced, &Observation::default())
}

fn is_ended(fences: &Fences<'_>) -> bool {
    let [(member, Fencing::Busy(_))] = fences.steps.as_slice() else {
        return false;
    };
    member.name() == "pod-0" && fences.refused.is_none()
}

#[test]
fn a_script_that_has_written_ends_with_its_server_only_where_a_replica_has_everything() {
    assert!(is_ended(&unseen(&busy(true), &[])));
    for members in [busy(false), cut(busy(true)), cut(busy(false))] {
        assert_eq!(unseen(&members, &[]), Fences::default());
    }
}

#[test]
fn a_busy_primary_is_fenced_on_request_where_a_replica_has_everything() {
    assert!(is_ended(&unseen(&busy(false), &["pod-0"])));
    let members = cut(busy(true));
    let alone = unseen(&members, &["pod-0"]);
    assert!(alone.steps.is_empty(), "{alone:?}");
    assert!(alone.refused.unwrap().contains("no replica is in sync"));
}

#[test]
fn who_is_to_go_down_as_well_is_no_heir() {
    let members = busy(true);
    let both = unseen(&members, &["pod-0", "pod-1"]);
    assert_eq!(both.steps, [(&members[1], Fencing::Down)]);
    assert!(both.refused.unwrap().starts_with("pod-0: "));
}

#[test]
fn a_primary_that_serves_hands_over_before_it_is_fenced() {
    let members = [member(0, 0, "new"), member(1, 0, "new")];
    let asked = unseen(&members, &["pod-0"]);
    assert!(asked.steps.is_empty(), "{asked:?}");
    assert!(asked.refused.unwrap().contains("hand over first"));
    let alone = unseen(&members[..1], &["pod-0"]);
    assert!(alone.refused.unwrap().contains("the only one"));
    let replica = unseen(&members, &["pod-1"]);
    assert_eq!(replica.steps, [(&members[1], Fencing::Down)]);
    assert_eq!(replica.refused, None);
}

#[test]
fn who_leads_is_what_servers_say_before_its_agent_has_told() {
    let members = [member(0, 1, "new"), member(1, 1, "new")];
    let mut seen = whole().seen;
    seen.nodes[0].pod.uid = "uid-0".to_owned();
    let asked = found(&members, &["pod-0"], &seen);
    assert!(asked.steps.is_empty(), "{asked:?}");
    assert!(asked.refused.unwrap().contains("hand over first"));
}

/// The server of the first pod is not heard, and that of the second has the slots.
fn voted() -> Observation {
    let voted = whole().unheard(0).change(|seen| {
        seen.nodes[1].pod.uid = "uid-1".to_owned();
        let server = seen.nodes[1].server.as_mut().unwrap();
        let own = server.known.iter_mut().find(|entry| entry.id == server.id);
        let own = own.unwrap();
        own.replica_of = None;
        own.slots = SlotSet::even(3).remove(0);
    });
    voted.seen
}

#[test]
fn a_busy_server_from_which_another_took_over_by_a_vote_is_no_primary() {
    let voted = voted();
    let members = cut(busy(true));
    let asked = found(&members, &["pod-0"], &voted);
    assert_eq!(asked.steps, [(&members[0], Fencing::Down)]);
    assert_eq!(asked.refused, None);
    assert_eq!(found(&members, &[], &voted), Fences::default());
}

#[test]
fn a_server_that_says_nothing_of_its_role_goes_down_only_once_another_has_the_slots() {
    let states = [
        (ServerState::Starting, Role::Unknown),
        (ServerState::Loading { pid: 1 }, Role::Unknown),
        (ServerState::Loading { pid: 1 }, Role::Primary),
        (ServerState::BackOff { until_unix_ms: 1 }, Role::Unknown),
    ];
    for (server, role) in states {
        let mut members = [member(0, 0, "new"), member(1, 0, "new")];
        let status = told(&mut members[0]);
        status.server = server;
        status.role = role;
        for seen in [Observation::default(), whole().unheard(0).seen] {
            let asked = found(&members, &["pod-0"], &seen);
            assert!(asked.steps.is_empty(), "{asked:?}");
            assert!(asked.refused.unwrap().contains("may be the primary"));
        }
        let asked = found(&members, &["pod-0"], &voted());
        assert_eq!(asked.steps, [(&members[0], Fencing::Down)]);
        assert_eq!(asked.refused, None);
    }
}

#[test]
fn a_replica_that_loads_its_data_goes_down_on_request() {
    let mut members = [member(0, 0, "new"), member(1, 0, "new")];
    told(&mut members[1]).server = ServerState::Loading { pid: 1 };
    let asked = unseen(&members, &["pod-1"]);
    assert_eq!(asked.steps, [(&members[1], Fencing::Down)]);
    assert_eq!(asked.refused, None);
}

#[test]
fn a_busy_primary_hands_over_to_nobody_and_says_so() {
    let (wanted, members) = (wanted(2), busy(false));
    let asked = shard(&wanted, &members, None);
    let PodStep::Refused(words) = next_pod_step(&asked, Some("pod-1")) else {
        panic!("it is not refused");
    };
    assert!(words.contains("a script keeps"), "{words}");
}

#[test]
fn what_nobody_wants_down_any_more_starts_again() {
    let mut members = [member(0, 0, "new"), member(1, 0, "new")];
    told(&mut members[1]).server = ServerState::Fenced;
    let again = unseen(&members, &[]);
    assert_eq!(again.steps, [(&members[1], Fencing::Start)]);
    assert_eq!(unseen(&members, &["pod-1"]), Fences::default());
    let mut held = members.clone();
    told(&mut held[1]).cluster = Some(ClusterNews {
        held: true,
        ..ClusterNews::default()
    });
    assert_eq!(unseen(&held, &[]), Fences::default());
}

#[test]
fn all_pods_go_down_only_where_none_serves_as_a_primary() {
    let mut members = [member(0, 0, "new"), member(1, 0, "new")];
    let words = why_not_all_fenced(&members).unwrap();
    assert!(words.contains("pod-0 serves as a primary"), "{words}");
    told(&mut members[0]).server = ServerState::Fenced;
    assert_eq!(why_not_all_fenced(&members), None);
}
