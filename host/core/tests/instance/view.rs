//! What people are told of a group who ask the operator.

use hera_core::agent::{FenceState, Position, Role, ServerState};
use hera_core::shard::{FenceView, Fresh, PodState, pod_states};

use crate::fixtures::{Group, group, status};

fn fresh(offset: u64, left_ms: Option<u64>) -> Fresh {
    Fresh {
        position: Some(Position {
            replication_id: "history".into(),
            offset,
            ..Position::default()
        }),
        fence: left_ms.map(|left_ms| FenceState {
            left_ms: Some(left_ms),
        }),
    }
}

fn states(group: &Group, fresh: &[Fresh]) -> Vec<PodState> {
    pod_states(&group.seen.members, &group.wanted.fenced, fresh)
}

#[test]
fn a_replica_is_behind_by_what_its_primary_has_more() {
    let states = states(
        &group(3),
        &[fresh(900, Some(14_000)), fresh(900, None), fresh(650, None)],
    );
    let lag = |at: usize| {
        let link = states[at].link.as_ref().unwrap();
        (link.follows.as_str(), link.lag_bytes)
    };
    assert_eq!(lag(1), ("shop-0", Some(0)));
    assert_eq!(lag(2), ("shop-0", Some(250)));
    assert_eq!(states[0].fence, FenceView::Armed { left_ms: 14_000 });
    assert_eq!(states[1].fence, FenceView::Off);
}

#[test]
fn unknown_is_not_zero() {
    let mut other_history = fresh(10, None);
    other_history.position.as_mut().unwrap().replication_id = "another".into();
    let states = states(&group(3), &[fresh(900, None), other_history]);
    for replica in &states[1..] {
        assert_eq!(replica.link.as_ref().unwrap().lag_bytes, None);
    }
    assert_eq!(states[0].fence, FenceView::Unknown);
}

#[test]
fn a_server_that_is_down_tells_who_took_it_down() {
    let down = |why: &'static str| {
        group(3).change(move |_, seen| {
            let replica = status(&mut seen.members[1]);
            (replica.server, replica.role) = (ServerState::Fenced, Role::Unknown);
            replica.link = None;
            replica.waiting_for = Some(why.into());
        })
    };
    let by_itself = states(&down("no majority"), &[]);
    let expected = |by_request| FenceView::Down {
        why: "no majority".into(),
        by_request,
    };
    assert_eq!(by_itself[1].fence, expected(false));
    let asked = down("no majority").change(|wanted, _| wanted.fenced = vec!["shop-1".into()]);
    assert_eq!(states(&asked, &[])[1].fence, expected(true));
}

#[test]
fn a_pod_that_is_not_heard_says_why_and_a_missing_pod_is_left_out() {
    let lost = group(3)
        .unheard(1)
        .change(|_, seen| seen.members[2].pod = None);
    let states = states(&lost, &[]);
    assert_eq!(states.len(), 2);
    assert_eq!(states[1].unheard.as_deref(), Some("silence"));
    assert_eq!(states[1].fence, FenceView::Unknown);
}
