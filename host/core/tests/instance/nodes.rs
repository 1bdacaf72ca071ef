//! Pods on nodes that are lost.

use hera_core::instance::{Candidate, Permit, Step, Verdict, decide, unproven, verdict};
use hera_core::shard::{AgentView, Cause, NodeState};

use crate::fixtures::{self, EPOCH, Group, group, plan, status, uid};

/// The pod is not heard, and its node is like this.
fn on_node(group: Group, ordinal: usize, state: NodeState) -> Group {
    group.unheard(ordinal).change(|_, seen| {
        let pod = seen.members[ordinal].pod.as_mut().unwrap();
        pod.node = Some("n1".into());
        pod.node_state = state;
    })
}

fn names(group: &Group) -> Vec<&'static str> {
    fixtures::names(&plan(group))
}

fn judged(group: &Group) -> Verdict {
    verdict(&group.wanted, &group.seen, &plan(group))
}

fn primary_lost(state: NodeState) -> Group {
    on_node(group(3), 0, state)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(|_, seen| seen.remembered.leaderless_ms = 1_000)
}

#[test]
fn a_node_that_is_not_ready_proves_nothing() {
    let group = primary_lost(NodeState::NotReady);
    assert_eq!(unproven(&group.seen)[0].uid, uid(0));
    assert_eq!(names(&group), ["promise", "promise"]);
}

#[test]
fn a_node_out_of_service_is_proof_and_another_is_promoted_at_once() {
    let group = primary_lost(NodeState::OutOfService);
    assert_eq!(unproven(&group.seen), []);
    let plan = decide(&group.wanted, &group.seen);
    let Some(Step::Promote { pod, epoch, .. }) = plan
        .steps
        .iter()
        .map(|planned| &planned.step)
        .find(|step| matches!(step, Step::Promote { .. }))
    else {
        panic!("{plan:?}")
    };
    assert_eq!((pod.name.as_str(), *epoch), ("shop-2", EPOCH + 1));
    // The proof stays until it was used.
    assert!(!plan.is_disruptive(), "{plan:?}");
}

#[test]
fn what_the_agent_says_counts_more_than_a_taint() {
    let group = group(3).change(|_, seen| {
        seen.members[0].pod.as_mut().unwrap().node_state = NodeState::OutOfService;
    });
    assert_eq!(names(&group), Vec::<&str>::new());
    assert!(judged(&group).stranded.is_empty());
}

#[test]
fn a_pod_on_a_dead_node_is_deleted_so_that_it_is_made_anew() {
    let replica = on_node(group(3), 2, NodeState::OutOfService);
    assert_eq!(names(&replica).last(), Some(&"delete-dead-pod"));
    let paused = replica.change(|wanted, _| wanted.pods.paused = true);
    assert_eq!(names(&paused).last(), Some(&"delete-dead-pod"), "healing");
    let going = paused.change(|_, seen| seen.members[2].pod.as_mut().unwrap().deleting = true);
    assert_eq!(
        names(&going).last(),
        Some(&"delete-dead-pod"),
        "its kubelet will never say that it is gone"
    );
    let with_volume = going.change(|_, seen| {
        seen.members[2].claim.as_mut().unwrap().deleting = true;
    });
    assert!(!names(&with_volume).contains(&"delete-dead-pod"));
    for state in [NodeState::NotReady, NodeState::Unknown, NodeState::Hidden] {
        let unproved = on_node(group(3), 2, state);
        assert!(!names(&unproved).contains(&"delete-dead-pod"), "{state:?}");
    }
}

#[test]
fn the_dead_pod_of_the_last_primary_goes_once_another_leads_or_none_can() {
    let nobody_can = |waited| {
        primary_lost(NodeState::OutOfService).change(move |_, seen| {
            seen.remembered.leaderless_ms = waited;
            // Nobody who is heard remembers it.
            seen.candidates = vec![Candidate {
                epoch: EPOCH,
                uid: uid(0),
            }];
            for member in &mut seen.members[1..] {
                member.agent = AgentView::Unreachable("silence".into());
            }
        })
    };
    assert_eq!(names(&nobody_can(5_000)), Vec::<&str>::new());
    // Its volume may come back elsewhere.
    assert_eq!(names(&nobody_can(20_000)), ["delete-dead-pod"]);
}

#[test]
fn which_pod_is_lost_with_which_node_is_said() {
    let lost = judged(&on_node(group(3), 2, NodeState::NotReady));
    let [stranded] = lost.stranded.as_slice() else {
        panic!("{lost:?}")
    };
    assert_eq!(
        (stranded.pod.as_str(), stranded.node.as_str()),
        ("shop-2", "n1")
    );
    assert!(!stranded.dead);
    assert_eq!(lost.not_in_sync[0].why, "its node n1 is not ready");
    assert!(!lost.not_in_sync[0].passing);

    let terminating = on_node(group(3), 2, NodeState::NotReady).change(|_, seen| {
        seen.members[2].pod.as_mut().unwrap().deleting = true;
    });
    let stuck = judged(&terminating);
    assert_eq!(stuck.stranded.len(), 1);
    assert!(!stuck.not_in_sync[0].passing, "it does not pass by itself");
}

#[test]
fn without_the_right_to_read_nodes_that_is_said_and_the_fence_decides() {
    let hidden = primary_lost(NodeState::Hidden);
    assert_eq!(names(&hidden), ["promise", "promise"]);
    let waited = hidden.change(|_, seen| {
        seen.remembered.permit = Some(Permit::Granted);
        for member in &mut seen.members[1..] {
            status(member).memory.promised_epoch = EPOCH;
        }
    });
    assert!(names(&waited).contains(&"promote"));
    let replica = judged(&on_node(group(3), 2, NodeState::Hidden));
    assert!(replica.stranded.is_empty());
    assert!(
        replica.not_in_sync[0]
            .why
            .contains("no right to read nodes")
    );
}

#[test]
fn a_lone_pod_on_a_dead_node_is_made_anew_and_one_that_may_live_is_waited_for() {
    let alone = |state| {
        let mut seen = fixtures::seen();
        seen.members[0].agent = AgentView::Unreachable("silence".into());
        let pod = seen.members[0].pod.as_mut().unwrap();
        (pod.node, pod.node_state) = (Some("n1".into()), state);
        Group {
            wanted: fixtures::wanted(),
            seen,
        }
    };
    assert_eq!(names(&alone(NodeState::NotReady)), Vec::<&str>::new());
    assert_eq!(
        judged(&alone(NodeState::NotReady)).cause,
        Cause::AgentUnreachable("its node n1 is not ready".into())
    );
    assert_eq!(names(&alone(NodeState::OutOfService)), ["delete-dead-pod"]);
}
