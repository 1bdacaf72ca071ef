//! Another server takes over because somebody wants it: rolls, requests, pods that leave. Rows of the
//! incidents are named by their ID.

use hera_core::agent::{Role, ServerState};
use hera_core::instance::{Candidate, Permit, Plan, Step, set_size, unproven};
use hera_core::shard::AgentView;

use crate::fixtures::{EPOCH, Group, address, group, names, permit, plan, promoted, status, uid};

#[test]
fn p03_pods_are_replaced_one_at_a_time_replicas_first_and_the_primary_by_a_handover() {
    let first = plan(&group(3).outdated(&[0, 1, 2]));
    let Some(Step::DeletePod(pod)) = first.steps.last().map(|planned| &planned.step) else {
        panic!("{first:?}")
    };
    assert_eq!(pod.name, "shop-2");
    let last = plan(&group(3).outdated(&[0]));
    let Some(Step::HandOver {
        from, to, epoch, ..
    }) = last.steps.last().map(|p| &p.step)
    else {
        panic!("{last:?}")
    };
    assert_eq!(
        (from.name.as_str(), to.name.as_str(), *epoch),
        ("shop-0", "shop-1", EPOCH + 1)
    );
}

#[test]
fn p04_no_pod_is_replaced_while_another_is_not_in_sync() {
    let broken = group(3).outdated(&[1, 2]).change(|_, seen| {
        status(&mut seen.members[2]).link.as_mut().unwrap().up = false;
    });
    // The one that is not in sync is itself the next.
    let next = plan(&broken);
    assert!(names(&next).contains(&"delete-pod"), "{next:?}");
    for group in [
        group_with_broken_replica(),
        group(3).outdated(&[2]).quiet(1),
    ] {
        let waits = plan(&group);
        assert!(!waits.is_disruptive(), "{waits:?}");
        assert!(waits.waiting_for.unwrap().contains("shop-1"));
    }
}

fn group_with_broken_replica() -> Group {
    group(3).outdated(&[2]).change(|_, seen| {
        status(&mut seen.members[1]).link.as_mut().unwrap().up = false;
    })
}

#[test]
fn p52_a_primary_whose_pod_is_to_end_hands_over_first() {
    let leaving = group(2).change(|_, seen| {
        status(&mut seen.members[0]).leaving = true;
        seen.members[0].pod.as_mut().unwrap().deleting = true;
    });
    assert_eq!(names(&plan(&leaving)), ["hand-over"]);
    let alone = leaving.links_down();
    let waits = plan(&alone);
    assert!(!waits.is_disruptive());
    assert!(waits.waiting_for.unwrap().contains("no replica is in sync"));
}

#[test]
fn a_primary_beyond_the_wanted_number_leaves_last_and_by_a_handover() {
    let mut group = group(3).change(|wanted, seen| {
        wanted.pods.count = Some(2);
        let (old, new) = (0, 2);
        let status_of = |seen: &mut hera_core::instance::Observation, at: usize| {
            status(&mut seen.members[at]).clone()
        };
        let (mut primary, mut replica) = (status_of(seen, old), status_of(seen, new));
        primary.pod_uid = uid(2);
        replica.pod_uid = uid(0);
        for (at, status) in [(old, replica), (new, primary)] {
            seen.members[at].agent = AgentView::Connected(Box::new(status));
        }
        for at in [0, 1] {
            status(&mut seen.members[at]).link.as_mut().unwrap().host = address(2);
        }
        seen.endpoint = Some(address(2));
        seen.replica_endpoints = vec![address(0), address(1)];
    });
    assert_eq!(set_size(&group.wanted, &group.seen), 3, "it stays for now");
    let next = plan(&group);
    assert_eq!(names(&next), ["hand-over"], "{next:?}");
    group.wanted.pods.paused = true;
    assert!(!plan(&group).is_disruptive());
}

#[test]
fn a_request_that_cannot_be_met_says_why() {
    let unknown = plan(&group(3).change(|wanted, _| wanted.promote = Some("shop-9".into())));
    assert!(unknown.refused.unwrap().contains("no data pod shop-9"));
    let lagging = group(3).change(|wanted, seen| {
        wanted.promote = Some("shop-2".into());
        status(&mut seen.members[2]).link.as_mut().unwrap().up = false;
    });
    assert!(plan(&lagging).refused.unwrap().contains("not in sync"));
    let able = plan(&group(3).change(|wanted, _| wanted.promote = Some("shop-2".into())));
    assert_eq!(names(&able), ["hand-over"]);
}

#[test]
fn a_supervised_primary_waits_for_approval_of_exactly_this_step() {
    let outdated = group(2)
        .outdated(&[0])
        .change(|wanted, _| wanted.pods.supervised = true);
    let waits = plan(&outdated);
    assert!(!waits.is_disruptive());
    let digest = waits.to_approve.unwrap();
    let approved = outdated.change(|wanted, _| wanted.pods.approved = Some(digest));
    assert_eq!(names(&plan(&approved)), ["hand-over"]);
    let other = approved.change(|wanted, seen| {
        wanted.pods.revision = "newer".into();
        seen.members[1].pod.as_mut().unwrap().revision = Some("newer".into());
    });
    assert!(!plan(&other).is_disruptive());
}

#[test]
fn a_primary_stops_at_once_when_everything_leaves_and_waits_while_anybody_may_take_over() {
    let leaving = |ends: &'static [usize]| {
        group(3).change(move |wanted, seen| {
            wanted.pods.hibernate = true;
            status(&mut seen.members[0]).leaving = true;
            for at in ends {
                seen.members[*at].pod.as_mut().unwrap().deleting = true;
            }
        })
    };
    let some = plan(&leaving(&[0, 2]));
    assert!(!names(&some).contains(&"leave"), "{some:?}");
    let all = plan(&leaving(&[0, 1, 2]));
    assert_eq!(names(&all).last(), Some(&"leave"), "{all:?}");
    // A drain of all nodes brings pods back, which may take over in time.
    let drained = leaving(&[0, 1, 2]).change(|wanted, _| wanted.pods.hibernate = false);
    assert!(!names(&plan(&drained)).contains(&"leave"));
    let unasked = leaving(&[0, 1, 2]).change(|_, seen| {
        status(&mut seen.members[0]).leaving = false;
    });
    assert!(!names(&plan(&unasked)).contains(&"leave"));
}

/// A handover that ended in the middle leaves two that may be the primary: proof about the one that was
/// to take over says nothing of the one that serves on.
#[test]
fn a_primary_that_was_about_to_hand_over_is_not_forgotten() {
    let begun = plan(&group(3).change(|wanted, _| wanted.promote = Some("shop-1".into())));
    let Some(Step::HandOver { candidates, .. }) = begun.steps.last().map(|p| &p.step) else {
        panic!("{begun:?}")
    };
    let of = |epoch, ordinal| Candidate {
        epoch,
        uid: uid(ordinal),
    };
    assert_eq!(*candidates, [of(EPOCH + 1, 1), of(EPOCH, 0)]);

    let candidates = candidates.clone();
    let silent = group(3)
        .unheard(0)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(move |_, seen| {
            seen.candidates = candidates;
            for member in &mut seen.members[1..] {
                status(member).memory.promised_epoch = EPOCH + 1;
            }
        });
    assert_eq!(unproven(&silent.seen), [of(EPOCH, 0)]);
    assert_eq!(promoted(&plan(&silent)), None);
    assert_eq!(permit(&silent, 1_000), Some(Permit::Wait(16_000)));
    let over = silent.change(|_, seen| seen.remembered.permit = Some(Permit::Granted));
    let next = plan(&over);
    let Some(Step::Promote { candidates, .. }) = next.steps.first().map(|p| &p.step) else {
        panic!("{next:?}")
    };
    assert_eq!(*candidates, [of(EPOCH + 2, 2)]);
}

/// Who led before would be waited for, once nothing is left that proves that it is gone.
#[test]
fn who_is_known_to_be_out_of_it_is_struck_off_before_the_proof_goes() {
    let of = |epoch, ordinal| Candidate {
        epoch,
        uid: uid(ordinal),
    };
    let written = |plan: &Plan| {
        plan.steps.iter().find_map(|planned| match &planned.step {
            Step::WriteCandidates { candidates } => Some(candidates.clone()),
            _ => None,
        })
    };
    let handed_over =
        |candidates: Vec<Candidate>| group(3).change(move |_, seen| seen.candidates = candidates);
    let both = handed_over(vec![of(EPOCH, 0), of(EPOCH - 1, 1)]);
    assert_eq!(written(&plan(&both)), Some(vec![of(EPOCH, 0)]));
    assert_eq!(written(&plan(&handed_over(vec![of(EPOCH, 0)]))), None);
    // One that is not heard may serve on.
    let silent = both.unheard(1);
    assert_eq!(written(&plan(&silent)), None);

    // Nor is a copy waited for that nobody will remember: of it the epoch is kept.
    let ended = group(1).crash(0).change(move |wanted, seen| {
        wanted.pods.hibernate = true;
        wanted.pods.count = None;
        status(&mut seen.members[0]).server = ServerState::Stopping;
        status(&mut seen.members[0]).leaving = true;
        seen.candidates = vec![of(EPOCH, 0)];
    });
    let left = written(&plan(&ended)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].epoch, EPOCH);
    let resumed = group(3).crash(0).change(|_, seen| {
        seen.candidates = left;
        for member in &mut seen.members {
            let status = status(member);
            (status.role, status.link) = (Role::Held, None);
            status.memory = hera_core::agent::Memory::default();
        }
        seen.remembered.leaderless_ms = 30_000;
    });
    assert_eq!(unproven(&resumed.seen), []);
}

#[test]
fn a_copy_that_is_not_on_its_volume_yet_takes_over_only_from_one_that_ends() {
    let unsaved = || {
        group(2).change(|wanted, seen| {
            wanted.pods.count = Some(1);
            seen.members[1].claim = None;
            status(&mut seen.members[1]).memory.unsaved = true;
        })
    };
    assert!(!names(&plan(&unsaved())).contains(&"hand-over"));
    let leaves = unsaved().change(|wanted, seen| {
        wanted.pods.count = Some(2);
        status(&mut seen.members[0]).leaving = true;
    });
    assert!(names(&plan(&leaves)).contains(&"hand-over"));
}
