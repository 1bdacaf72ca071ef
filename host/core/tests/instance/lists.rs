//! Which lists of data pods a primary may go by, and whose promises count.

use hera_core::instance::{Candidate, Leader, MemberList, Permit, Step, drop_any, unproven};

use crate::fixtures::{EPOCH, Group, group, names, permit, plan, promoted, status, uid};

/// An agent of an earlier release says nothing of revisions.
#[test]
fn lists_without_a_revision_count_by_what_is_in_them() {
    let old = group(3).change(|wanted, seen| {
        wanted.promote = Some("shop-1".into());
        for member in &mut seen.members {
            status(member).members.revision = 0;
        }
    });
    assert_eq!(names(&plan(&old)), ["hand-over"]);
    let dead = old
        .crash(0)
        .links_down()
        .at(0, 90, 9)
        .at(1, 80, 9)
        .at(2, 85, 9);
    assert!(promoted(&plan(&dead)).is_some(), "{:?}", plan(&dead));
}

/// Promises of a short list are no reason to count for a longer one.
#[test]
fn time_counts_from_when_every_list_has_its_promises() {
    let short_list = |promised| {
        group(3)
            .unheard(0)
            .links_down()
            .at(1, 80, 9)
            .at(2, 85, 9)
            .change(move |_, seen| {
                let mut short = seen.lists[0].clone();
                short.revision += 1;
                short.uids.retain(|of| *of != uid(2));
                seen.lists.push(short);
                status(&mut seen.members[1]).memory.promised_epoch = EPOCH;
                status(&mut seen.members[2]).memory.promised_epoch = promised;
            })
    };
    let mut leader = Leader::new(1, 0);
    let mut ask = |promised, now| {
        let seen = short_list(promised).seen;
        leader.remember(&seen, 15_000, now).permit
    };
    assert_eq!(ask(0, 1_000), Some(Permit::Promises));
    assert_eq!(ask(EPOCH, 6_000), Some(Permit::Wait(17_000)));
}

#[test]
fn a_list_is_written_down_before_anybody_is_told_and_stays_until_the_primary_has_the_next() {
    let other = |name: &str| {
        let name = name.to_owned();
        group(3).change(move |_, seen| {
            seen.members[2].pod.as_mut().unwrap().uid = name;
        })
    };
    let first = plan(&other("uid-9"));
    let Step::WriteLists { lists } = &first.steps[0].step else {
        panic!("{first:?}")
    };
    let pods = |list: &MemberList| (list.revision, list.uids.join(" "));
    let told: Vec<_> = lists.iter().map(pods).collect();
    let (before, after) = (
        "uid-0 uid-1 uid-2".to_owned(),
        "uid-0 uid-1 uid-9".to_owned(),
    );
    assert_eq!(told, [(1, before), (2, after)]);
    assert_eq!(names(&first)[1..], ["push-members"; 3]);

    // The primary does not take it: the former list stays, whoever else has the next.
    let lists = lists.clone();
    let half = other("uid-9").change(move |_, seen| {
        let told = {
            let members = &mut status(&mut seen.members[1]).members;
            members.pods[2].pod_uid = "uid-9".into();
            members.revision = 2;
            members.clone()
        };
        status(&mut seen.members[2]).members = told;
        seen.lists = lists;
    });
    assert_eq!(names(&plan(&half)), ["push-members"]);
    let whole = half.change(|_, seen| {
        status(&mut seen.members[0]).members = status(&mut seen.members[1]).members.clone();
    });
    let last = plan(&whole);
    let [Step::WriteLists { lists }] = &last
        .steps
        .iter()
        .map(|p| p.step.clone())
        .collect::<Vec<_>>()[..]
    else {
        panic!("{last:?}")
    };
    assert_eq!(
        lists.iter().map(|list| list.revision).collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn where_nobody_can_be_the_primary_lists_that_are_too_many_are_dropped() {
    let changed_often = |heard: bool| {
        let group = group(2).crash(0).at(0, 90, 9).at(1, 90, 9).links_down();
        let group = if heard { group } else { group.unheard(0) };
        group.change(|_, seen| {
            let list = seen.lists[0].clone();
            seen.lists = (1..=32)
                .map(|revision| MemberList {
                    revision,
                    fence_after_ms: 1_000 + revision,
                    ..list.clone()
                })
                .collect();
        })
    };
    assert_eq!(
        plan(&changed_often(false)).lists(),
        None,
        "it may go by any"
    );
    let dead = plan(&changed_often(true));
    let revisions = dead.lists().unwrap().iter().map(|list| list.revision);
    assert_eq!(revisions.collect::<Vec<_>>(), [33]);
}

/// Found by the long search: a lost primary, and 32 lists without it: whoever came then was told none, and
/// nobody could be promoted, nor could anybody say that the primary is dead.
#[test]
fn lists_that_no_lost_primary_was_in_are_dropped_when_they_are_too_many() {
    let lost = group(2).unheard(0).change(|_, seen| {
        let list = seen.lists[0].clone();
        assert_eq!(list.uids, [uid(0), uid(1)]);
        seen.lists = (1..=32)
            .map(|revision| MemberList {
                revision,
                uids: match revision {
                    1..=3 => list.uids.clone(),
                    _ => vec!["gone".to_owned(), uid(1)],
                },
                ..list.clone()
            })
            .collect();
    });
    let plan = plan(&lost);
    let revisions = plan.lists().unwrap().iter().map(|list| list.revision);
    assert_eq!(revisions.collect::<Vec<_>>(), [1, 2, 3, 33]);
}

/// Found by the simulation: with too many lists written down nobody was told another any more, also once the
/// primary was back.
#[test]
fn lists_before_that_of_a_primary_that_is_heard_are_dropped() {
    let changed_often = |claims: &[u64]| {
        let claims = claims.to_vec();
        group(3).change(move |wanted, seen| {
            wanted.fence_after_ms = 9_000;
            let list = seen.lists[0].clone();
            seen.lists = (1..=32)
                .map(|revision| MemberList {
                    revision,
                    fence_after_ms: 1_000 + revision,
                    ..list.clone()
                })
                .collect();
            let held = status(&mut seen.members[0]);
            held.members.revision = 31;
            held.members.fence_after_ms = 1_031;
            seen.candidates = claims
                .into_iter()
                .map(|epoch| Candidate {
                    epoch,
                    uid: "another".to_owned(),
                })
                .collect();
        })
    };
    let plan_of = |claims: &[u64]| {
        let group = changed_often(claims);
        let plan = plan(&group);
        let lists = plan.lists()?.to_vec();
        assert!(drop_any(&group.seen.lists, &lists) && !drop_any(&lists, &lists));
        Some(lists.iter().map(|list| list.revision).collect::<Vec<_>>())
    };
    assert_eq!(plan_of(&[]), Some(vec![31, 32, 33]));
    // Another may yet be promoted, and go by any.
    assert_eq!(plan_of(&[EPOCH + 1]), None);
}

#[test]
fn nobody_is_promoted_who_goes_by_a_list_that_is_not_written_down() {
    let unknown = group(3)
        .crash(0)
        .links_down()
        .at(0, 90, 9)
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(|_, seen| {
            status(&mut seen.members[2]).members.revision = 9;
        });
    let first = plan(&unknown);
    assert_eq!(names(&first), ["push-members"], "it is told first");
    let late = unknown.change(|_, seen| seen.remembered.leaderless_ms = 2_000);
    assert_eq!(promoted(&plan(&late)), None, "its copy is better");
    let in_vain = late.change(|_, seen| seen.remembered.leaderless_ms = 20_000);
    assert_eq!(
        promoted(&plan(&in_vain)),
        Some(("shop-1".into(), EPOCH + 1))
    );
}

/// The primary went away before it was told: a pod that it asks is not in the list of today.
#[test]
fn promises_count_over_every_list_that_the_primary_may_have() {
    let away = |written: &[&str]| {
        let written = written.iter().map(|uid| (*uid).to_owned()).collect();
        group(3).unheard(0).links_down().change(move |_, seen| {
            seen.members[2].pod.as_mut().unwrap().uid = "uid-9".into();
            let today = MemberList {
                revision: 2,
                uids: vec![uid(0), uid(1), "uid-9".into()],
                fence_after_ms: 15_000,
            };
            for member in &mut seen.members[1..] {
                let members = &mut status(member).members;
                members.pods[2].pod_uid = "uid-9".into();
                members.revision = 2;
                status(member).memory.promised_epoch = EPOCH;
            }
            let before = MemberList {
                revision: 1,
                uids: written,
                fence_after_ms: 15_000,
            };
            seen.lists = vec![before, today];
        })
    };
    let uids = [uid(0), uid(1), uid(2)];
    let of_three: Vec<&str> = uids.iter().map(String::as_str).collect();
    assert_eq!(permit(&away(&of_three), 60_000), Some(Permit::Promises));
    assert_eq!(
        permit(&away(&["uid-0", "uid-1", "uid-9"]), 60_000),
        Some(Permit::Granted)
    );
}

/// A pod that was made anew has the volume, and with it the promise, of the one before.
#[test]
fn a_promise_goes_with_the_volume_and_a_volume_in_other_hands_is_proof() {
    let anew = |ordinal: usize, former: &str| {
        let former = former.to_owned();
        group(3).unheard(0).links_down().change(move |_, seen| {
            if ordinal == 0 {
                seen.members[0].agent = seen.members[1].agent.clone();
            }
            let uid = format!("uid-{}", ordinal + 7);
            seen.members[ordinal].pod.as_mut().unwrap().uid = uid;
            status(&mut seen.members[ordinal]).memory.former = vec![former];
            for member in &mut seen.members[1..] {
                status(member).memory.promised_epoch = EPOCH;
            }
        })
    };
    assert_eq!(permit(&anew(2, "uid-2"), 60_000), Some(Permit::Granted));
    assert_eq!(permit(&anew(2, "uid-5"), 60_000), Some(Permit::Promises));
    assert_eq!(unproven(&anew(0, "uid-0").seen), []);
    assert!(!unproven(&anew(0, "uid-5").seen).is_empty());
}

/// It stops by the limit that it was told, whatever the spec says by now.
#[test]
fn a_primary_that_was_told_a_longer_limit_is_waited_for_as_long() {
    let away = |limit| {
        group(3)
            .unheard(0)
            .links_down()
            .change(move |wanted, seen| {
                wanted.fence_after_ms = 1_000;
                seen.lists[0].fence_after_ms = limit;
                let later = MemberList {
                    revision: 2,
                    fence_after_ms: 1_000,
                    ..seen.lists[0].clone()
                };
                seen.lists.push(later);
                for member in &mut seen.members[1..] {
                    let status = status(member);
                    status.memory.promised_epoch = EPOCH;
                    status.members.fence_after_ms = 1_000;
                    status.members.revision = 2;
                }
            })
    };
    assert_eq!(permit(&away(15_000), 5_000), Some(Permit::Wait(12_000)));
    assert_eq!(permit(&away(15_000), 17_000), Some(Permit::Granted));
    assert_eq!(permit(&away(0), 90_000), Some(Permit::Never));
}

/// Both others promise at 10 s, and had vouched for nobody for nine.
fn silent_and_promised() -> Group {
    group(3).unheard(0).links_down().change(|_, seen| {
        for member in &mut seen.members[1..] {
            status(member).memory.promised_epoch = EPOCH;
            status(member).memory.quiet_ms = 9_000;
        }
    })
}

#[test]
fn a_primary_is_waited_for_from_when_its_peers_vouched_for_it_last() {
    let (whole, silent) = (group(3), silent_and_promised());
    let mut leader = Leader::new(1, 0);
    leader.remember(&whole.seen, 15_000, 500);
    let mut permit = |now| leader.remember(&silent.seen, 15_000, now).permit;
    assert_eq!(permit(10_000), Some(Permit::Wait(8_000)));
    assert_eq!(permit(17_999), Some(Permit::Wait(1)), "told once");
    assert_eq!(permit(18_000), Some(Permit::Granted));
}

/// What was promoted a moment ago nobody has vouched for yet, and it may serve all the same.
#[test]
fn a_primary_is_waited_for_from_when_its_claim_was_seen_first() {
    let (whole, silent) = (group(3), silent_and_promised());
    let mut leader = Leader::new(1, 0);
    leader.remember(&whole.seen, 15_000, 9_500);
    let mut permit = |now| leader.remember(&silent.seen, 15_000, now).permit;
    assert_eq!(permit(10_000), Some(Permit::Wait(16_500)));
}

#[test]
fn a_promise_to_a_new_leader_counts_from_when_it_leads() {
    let silent = silent_and_promised();
    let mut leader = Leader::new(2, 40_000);
    let permit = leader.remember(&silent.seen, 15_000, 50_000).permit;
    assert_eq!(permit, Some(Permit::Wait(17_000)));
}
