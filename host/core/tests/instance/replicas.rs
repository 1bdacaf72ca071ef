//! Several pods: who leads, who follows, and what happens when they do not. Rows of the incidents
//! are named by their ID.

use hera_core::agent::{Role, ServerState};
use hera_core::instance::{
    AgentView, Cause, Claim, Leader, Member, MemberList, Permit, Plan, PodView, Step, decide,
    set_size, unproven, verdict,
};

use crate::fixtures::{Group, REIGN, address, group, status, uid};

fn plan(group: &Group) -> Plan {
    decide(&group.wanted, &group.seen)
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.steps
        .iter()
        .map(|planned| planned.step.name())
        .collect()
}

fn promoted(plan: &Plan) -> Option<(String, u64)> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Promote { pod, reign, .. } => Some((pod.name.clone(), *reign)),
        _ => None,
    })
}

#[test]
fn a_group_in_sync_asks_for_nothing() {
    for replicas in [2, 3, 5] {
        assert_eq!(plan(&group(replicas)).steps, vec![]);
    }
}

#[test]
fn the_best_copy_follows_a_dead_primary_and_all_others_follow_it() {
    let group = group(3)
        .crash(0)
        .links_down()
        .at(0, 90, 9)
        .at(1, 80, 9)
        .at(2, 85, 9);
    let plan = plan(&group);
    assert_eq!(promoted(&plan), Some(("shop-2".into(), REIGN + 1)));
    assert_eq!(
        names(&plan),
        ["promote", "set-endpoint", "follow", "follow"],
        "{plan:?}"
    );
    let Step::SetEndpoint { ip } = &plan.steps[1].step else {
        panic!("{plan:?}")
    };
    assert_eq!(ip.as_deref(), Some(address(2).as_str()));
}

#[test]
fn p05_an_empty_restarted_primary_is_no_choice_while_a_replica_has_the_data() {
    let emptied = |forsworn| {
        group(2)
            .crash(0)
            .links_down()
            .at(0, 0, 0)
            .at(1, 80, 9)
            .change(move |_, seen| {
                let memory = &mut status(&mut seen.members[0]).memory;
                *memory = Default::default();
                memory.forsworn = forsworn;
            })
    };
    // It remembers nothing, so it is asked to stay out of it first.
    assert_eq!(names(&plan(&emptied(0))), ["forswear", "forswear"]);
    let of_replica = promoted(&plan(&emptied(REIGN))).map(|(pod, _)| pod);
    assert_eq!(of_replica.as_deref(), Some("shop-1"));
}

#[test]
fn p27_servers_that_start_together_are_never_two_primaries() {
    let all_held = group(3)
        .crash(0)
        .crash(1)
        .crash(2)
        .at(0, 10, 9)
        .at(1, 20, 9)
        .at(2, 30, 9);
    // The volume of the last primary has every write.
    assert_eq!(
        promoted(&plan(&all_held)).map(|(pod, _)| pod).as_deref(),
        Some("shop-0")
    );
}

#[test]
fn p08_after_a_full_restart_nobody_is_chosen_before_all_copies_were_heard() {
    let lost = |waited| {
        group(3)
            .crash(0)
            .crash(1)
            .crash(2)
            .at(1, 0, 9)
            .at(2, 0, 12)
            .unheard(0)
            .change(move |_, seen| {
                seen.remembered.leaderless_ms = waited;
                seen.remembered.permit = Some(Permit::Granted);
                for member in &mut seen.members[1..] {
                    status(member).memory.forsworn = REIGN;
                }
            })
    };
    let early = plan(&lost(5_000));
    assert_eq!(promoted(&early), None);
    assert!(early.waiting_for.unwrap().contains("not every copy"));
    assert_eq!(
        promoted(&plan(&lost(20_000)))
            .map(|(pod, _)| pod)
            .as_deref(),
        Some("shop-2")
    );
}

#[test]
fn p21_without_proof_nobody_is_promoted_before_the_old_primary_must_have_stopped() {
    let silent = || group(3).unheard(0).links_down().at(1, 80, 9).at(2, 85, 9);
    let asked = plan(&silent());
    assert_eq!(names(&asked), ["forswear", "forswear"]);
    assert!(asked.waiting_for.unwrap().contains("too few"));
    let claim = unproven(&silent().seen).remove(0);
    assert_eq!((claim.reign, claim.uid), (REIGN, uid(0)));

    let promise = |permit| {
        silent().change(move |_, seen| {
            seen.remembered.permit = Some(permit);
            seen.remembered.forsworn = REIGN;
            for member in &mut seen.members[1..] {
                status(member).memory.forsworn = REIGN;
            }
        })
    };
    assert_eq!(promoted(&plan(&promise(Permit::Wait(900)))), None);
    assert_eq!(promoted(&plan(&promise(Permit::Never))), None);
    assert_eq!(
        promoted(&plan(&promise(Permit::Granted))),
        Some(("shop-2".into(), REIGN + 1))
    );
}

#[test]
fn a_primary_that_is_heard_again_begins_another_reign() {
    let group = group(3).change(|_, seen| {
        status(&mut seen.members[1]).memory.forsworn = REIGN;
    });
    assert_eq!(promoted(&plan(&group)), Some(("shop-0".into(), REIGN + 1)));
}

#[test]
fn a_primary_that_ends_is_not_asked_to_begin_another_reign() {
    let group = group(1).change(|_, seen| {
        let primary = status(&mut seen.members[0]);
        primary.leaving = true;
        seen.remembered.forsworn = REIGN;
        // The other pod has gone before it.
        seen.members.push(Member {
            ordinal: 1,
            ..Member::default()
        });
    });
    assert_eq!(promoted(&plan(&group)), None);
}

#[test]
fn one_reign_begins_in_a_plan() {
    let group = group(3).change(|wanted, seen| {
        wanted.promote = Some("shop-1".into());
        status(&mut seen.members[1]).memory.forsworn = REIGN;
    });
    assert_eq!(names(&plan(&group)), ["promote"], "no handover beside it");
}

#[test]
fn p14_of_two_that_serve_the_one_of_the_earlier_reign_is_fenced() {
    let group = group(3).change(|_, seen| {
        let other = status(&mut seen.members[1]);
        (other.role, other.link) = (Role::Primary, None);
        other.memory.reign = REIGN + 2;
        other.memory.primary_uid = uid(1);
    });
    let plan = plan(&group);
    let Some(Step::Fence { pod, reign }) = plan.steps.last().map(|planned| &planned.step) else {
        panic!("{plan:?}")
    };
    assert_eq!((pod.name.as_str(), *reign), ("shop-0", REIGN));
}

#[test]
fn a_server_that_became_a_primary_by_hand_yields_to_the_one_that_was_promoted() {
    let group = group(3).change(|_, seen| {
        // shop-1 leads; shop-0 was told REPLICAOF NO ONE by somebody.
        status(&mut seen.members[0]).memory.was_primary = false;
        let promoted = status(&mut seen.members[1]);
        (promoted.role, promoted.link) = (Role::Primary, None);
        promoted.memory.was_primary = true;
    });
    let plan = plan(&group);
    let fenced = plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Fence { pod, .. } => Some(pod.name.as_str()),
        _ => None,
    });
    assert_eq!(fenced, Some("shop-0"), "{plan:?}");
}

#[test]
fn p17_a_replica_of_anybody_else_is_told_whom_to_follow() {
    let group = group(3).change(|_, seen| {
        let link = status(&mut seen.members[2]).link.as_mut().unwrap();
        link.host = "10.9.9.9".into();
    });
    let plan = plan(&group);
    assert_eq!(names(&plan), ["set-replicas", "follow"]);
}

#[test]
fn p20_a_pod_that_is_not_heard_blocks_only_itself() {
    let group = group(3)
        .unheard(2)
        .crash(0)
        .links_down()
        .at(0, 80, 9)
        .at(1, 80, 9);
    assert_eq!(
        promoted(&plan(&group)).map(|(pod, _)| pod).as_deref(),
        Some("shop-1")
    );
}

/// A new leader has heard one of two replicas, and not yet the one that has more.
#[test]
fn a_copy_that_is_about_to_be_heard_is_waited_for_a_moment() {
    let heard = |agent: Option<AgentView>, waited| {
        group(3)
            .crash(0)
            .links_down()
            .at(0, 90, 9)
            .at(1, 80, 9)
            .change(move |_, seen| {
                if let Some(agent) = agent {
                    seen.members[2].agent = agent;
                }
                seen.remembered.leaderless_ms = waited;
            })
    };
    let of = |group: &Group| promoted(&plan(group)).map(|(pod, _)| pod);
    let first = || Some("shop-1".to_owned());
    assert_eq!(of(&heard(Some(AgentView::Absent), 100)), None);
    assert_eq!(
        of(&heard(None, 100)),
        None,
        "it has not said where it stands"
    );
    assert_eq!(of(&heard(Some(AgentView::Absent), 2_000)), first());
    let broken = || AgentView::Unreachable("silence".into());
    assert_eq!(of(&heard(Some(broken()), 100)), first());
    let woke = heard(Some(broken()), 9_000).change(|_, seen| seen.remembered.just_woke = true);
    assert_eq!(of(&woke), None, "it may have broken while nobody listened");
    // Nor is the last primary's volume, which may be a snapshot, taken before.
    let of_volume = |waited| of(&heard(Some(AgentView::Absent), waited).crash(1));
    assert_eq!(of_volume(100), None);
    assert_eq!(of_volume(2_000).as_deref(), Some("shop-0"));
}

#[test]
fn p23_a_primary_that_comes_back_becomes_a_replica() {
    let group = group(2).change(|_, seen| {
        let other = status(&mut seen.members[1]);
        (other.role, other.link) = (Role::Primary, None);
        other.memory.reign = REIGN + 1;
        let back = status(&mut seen.members[0]);
        back.role = Role::Unknown;
        back.server = ServerState::Fenced;
        seen.endpoint = Some(address(1));
        seen.replica_endpoints = vec![];
    });
    let plan = plan(&group);
    assert_eq!(names(&plan), ["follow"], "{plan:?}");
}

#[test]
fn p03_pods_are_replaced_one_at_a_time_replicas_first_and_the_primary_by_a_handover() {
    let first = plan(&group(3).outdated(&[0, 1, 2]));
    let Some(Step::DeletePod(pod)) = first.steps.last().map(|planned| &planned.step) else {
        panic!("{first:?}")
    };
    assert_eq!(pod.name, "shop-2");
    let last = plan(&group(3).outdated(&[0]));
    let Some(Step::HandOver {
        from, to, reign, ..
    }) = last.steps.last().map(|p| &p.step)
    else {
        panic!("{last:?}")
    };
    assert_eq!(
        (from.name.as_str(), to.name.as_str(), *reign),
        ("shop-0", "shop-1", REIGN + 1)
    );
}

#[test]
fn p04_no_pod_is_replaced_while_another_is_not_in_sync() {
    let group = group(3).outdated(&[1, 2]).change(|_, seen| {
        status(&mut seen.members[2]).link.as_mut().unwrap().up = false;
    });
    // The one that is not in sync is itself the next.
    let next = plan(&group);
    assert!(names(&next).contains(&"delete-pod"), "{next:?}");
    let group = group_with_broken_replica();
    let waits = plan(&group);
    assert!(!waits.is_disruptive(), "{waits:?}");
    assert!(waits.waiting_for.unwrap().contains("shop-1"));
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
        wanted.replicas = 2;
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
    group.wanted.paused = true;
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
        .change(|wanted, _| wanted.supervised = true);
    let waits = plan(&outdated);
    assert!(!waits.is_disruptive());
    let digest = waits.to_approve.unwrap();
    let approved = outdated.change(|wanted, _| wanted.approved = Some(digest));
    assert_eq!(names(&plan(&approved)), ["hand-over"]);
    let other = approved.change(|wanted, seen| {
        wanted.pod_revision = "newer".into();
        seen.members[1].pod.as_mut().unwrap().revision = Some("newer".into());
    });
    assert!(!plan(&other).is_disruptive());
}

#[test]
fn a_server_that_somebody_fences_stays_down_and_the_primary_is_not_fenced() {
    let replica = group(3).change(|wanted, _| wanted.fenced = vec!["shop-1".into()]);
    assert_eq!(names(&plan(&replica)), ["fence"]);
    let primary = plan(&group(3).change(|wanted, _| wanted.fenced = vec!["shop-0".into()]));
    assert!(!primary.is_disruptive());
    assert!(primary.refused.unwrap().contains("hand over first"));
}

#[test]
fn a_primary_that_hangs_is_fenced_only_if_another_has_its_data() {
    let hangs = || {
        group(2).change(|_, seen| {
            status(&mut seen.members[0]).hangs = true;
        })
    };
    assert_eq!(names(&plan(&hangs())), ["fence"]);
    let alone = plan(&hangs().links_down());
    assert!(!alone.is_disruptive(), "{alone:?}");
}

#[test]
fn p07_what_was_written_down_counts_although_nobody_remembers_it() {
    let crowned = group(3)
        .unheard(0)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(|_, seen| {
            seen.claims = vec![Claim {
                reign: REIGN + 3,
                uid: uid(0),
            }];
        });
    assert_eq!(unproven(&crowned.seen)[0].reign, REIGN + 3);
    let asked = plan(&crowned);
    assert_eq!(names(&asked), ["forswear", "forswear"]);
    assert_eq!(promoted(&asked), None);
}

#[test]
fn a_primary_stops_at_once_when_everything_leaves_and_waits_while_anybody_may_take_over() {
    let leaving = |ends: &'static [usize]| {
        group(3).change(move |wanted, seen| {
            wanted.hibernate = true;
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
    let drained = leaving(&[0, 1, 2]).change(|wanted, _| wanted.hibernate = false);
    assert!(!names(&plan(&drained)).contains(&"leave"));
    let unasked = leaving(&[0, 1, 2]).change(|_, seen| {
        status(&mut seen.members[0]).leaving = false;
    });
    assert!(!names(&plan(&unasked)).contains(&"leave"));
}

#[test]
fn after_hibernation_the_copy_of_the_last_primary_leads_whatever_the_others_say() {
    // It stopped last: the others lack what was written while they were stopping.
    let back = group(3)
        .crash(0)
        .crash(1)
        .crash(2)
        .at(0, 0, 9)
        .at(1, 70, 12)
        .at(2, 60, 12);
    let chosen = promoted(&plan(&back)).map(|(pod, _)| pod);
    assert_eq!(chosen.as_deref(), Some("shop-0"));
    let not_yet_heard = group(3)
        .crash(1)
        .crash(2)
        .at(1, 70, 12)
        .at(2, 60, 12)
        .change(|_, seen| {
            seen.members[0].agent = AgentView::Absent;
            seen.remembered.leaderless_ms = 3_000;
            seen.remembered.proven = REIGN;
        });
    let waits = plan(&not_yet_heard);
    assert_eq!(promoted(&waits), None);
    assert!(waits.waiting_for.unwrap().contains("not every copy"));
}

#[test]
fn pods_that_cannot_start_are_made_anew_without_waiting_for_each_other() {
    let stuck = |why: fn(&mut PodView)| {
        group(3).outdated(&[0, 1, 2]).change(move |_, seen| {
            for member in &mut seen.members {
                member.agent = AgentView::Absent;
                why(member.pod.as_mut().unwrap());
            }
        })
    };
    let nowhere = stuck(|pod| pod.unschedulable = Some("no node fits".into()));
    assert_eq!(names(&plan(&nowhere)).last(), Some(&"delete-pod"));
    let no_image = stuck(|pod| pod.waiting = Some(("ImagePullBackOff".into(), "no".into())));
    assert_eq!(names(&plan(&no_image)).last(), Some(&"delete-pod"));
    let current = nowhere.change(|_, seen| {
        for member in &mut seen.members {
            member.pod.as_mut().unwrap().revision = Some("new".into());
        }
    });
    assert!(!plan(&current).is_disruptive(), "they wait for a node");
    let starting = stuck(|pod| pod.waiting = Some(("ContainerCreating".into(), "".into())));
    assert!(!plan(&starting).is_disruptive());
}

#[test]
fn pods_that_no_node_takes_say_so_rather_than_that_nobody_leads() {
    let nowhere = group(3).change(|_, seen| {
        for member in &mut seen.members {
            member.agent = AgentView::Absent;
            member.pod.as_mut().unwrap().unschedulable = Some("no node fits".into());
        }
    });
    let found = verdict(&nowhere.wanted, &nowhere.seen, &plan(&nowhere)).cause;
    assert_eq!(found, Cause::Unschedulable("no node fits".into()));
    let heard =
        nowhere.change(|_, seen| seen.members[1] = group(3).crash(1).seen.members[1].clone());
    let found = verdict(&heard.wanted, &heard.seen, &plan(&heard)).cause;
    assert!(matches!(found, Cause::NoPrimary(_)), "{found:?}");
}

#[test]
fn who_asks_for_a_fence_learns_what_is_not_done() {
    let asks = |replicas, name: &'static str| {
        plan(&group(replicas).change(move |wanted, _| wanted.fenced = vec![name.into()])).refused
    };
    assert!(asks(3, "shop-9").unwrap().contains("no data pod shop-9"));
    assert!(asks(1, "shop-0").unwrap().contains("hibernate"));
    // Its pod is being made anew.
    let missing = group(3).change(|wanted, seen| {
        wanted.fenced = vec!["shop-2".into()];
        seen.members[2].pod = None;
        seen.members[2].agent = AgentView::Absent;
    });
    assert_eq!(plan(&missing).refused, None);
}

/// Its server is down, and what its copy is worth is not known: unknown is not zero.
#[test]
fn a_primary_that_its_fence_stopped_starts_before_a_copy_without_its_data_is_promoted() {
    let copy_of = |reign, server: ServerState, waited| {
        group(2)
            .crash(0)
            .crash(1)
            .at(1, 0, 0)
            .change(move |_, seen| {
                status(&mut seen.members[0]).server = server;
                status(&mut seen.members[1]).memory.reign = reign;
                seen.remembered.leaderless_ms = waited;
            })
    };
    let fenced = |server, waited| copy_of(0, server, waited);
    for waited in [100, 600_000] {
        let first = plan(&fenced(ServerState::Fenced, waited));
        assert_eq!(names(&first), ["set-endpoint", "start"], "{first:?}");
    }
    let gave_up = ServerState::BackOff { until_unix_ms: 1 };
    let has_some = plan(&copy_of(REIGN - 1, gave_up.clone(), 20_000));
    assert_eq!(
        promoted(&has_some).map(|(pod, _)| pod).as_deref(),
        Some("shop-1")
    );
    let never_had = plan(&fenced(gave_up, 600_000));
    assert_eq!(promoted(&never_had), None, "it would replace the data");
    let loading = plan(&fenced(ServerState::Loading { pid: 9 }, 600_000));
    assert_eq!(names(&loading), Vec::<&str>::new());
    let why = loading.waiting_for.unwrap();
    assert!(why.contains("shop-0 has later data"), "{why}");
    let asked =
        fenced(ServerState::Fenced, 100).change(|wanted, _| wanted.fenced = vec!["shop-0".into()]);
    assert!(!names(&plan(&asked)).contains(&"start"));
}

/// A handover that stopped after it was written down leaves a claim that never began.
#[test]
fn without_fences_a_claim_that_never_began_is_given_up_by_the_pod_that_has_it() {
    let claimed = |forsworn| {
        group(3)
            .crash(0)
            .links_down()
            .at(0, 90, 9)
            .at(1, 90, 9)
            .at(2, 85, 9)
            .change(move |wanted, seen| {
                wanted.fence_after_ms = 0;
                seen.lists[0].fence_after_ms = 0;
                for member in &mut seen.members {
                    status(member).members.fence_after_ms = 0;
                }
                seen.claims = vec![Claim {
                    reign: REIGN + 1,
                    uid: uid(1),
                }];
                status(&mut seen.members[1]).memory.forsworn = forsworn;
                seen.remembered.permit = Some(Permit::Never);
            })
    };
    let asked = plan(&claimed(0));
    assert_eq!(names(&asked), ["forswear"], "of the one alone");
    let next = promoted(&plan(&claimed(REIGN + 1)));
    assert_eq!(next, Some(("shop-1".into(), REIGN + 2)));
}

/// A handover that ended in the middle leaves two that may be the primary: proof about the one that was
/// to take over says nothing of the one that serves on.
#[test]
fn a_primary_that_was_about_to_hand_over_is_not_forgotten() {
    let begun = plan(&group(3).change(|wanted, _| wanted.promote = Some("shop-1".into())));
    let Some(Step::HandOver { claims, .. }) = begun.steps.last().map(|p| &p.step) else {
        panic!("{begun:?}")
    };
    let of = |reign, ordinal| Claim {
        reign,
        uid: uid(ordinal),
    };
    assert_eq!(*claims, [of(REIGN + 1, 1), of(REIGN, 0)]);

    let claims = claims.clone();
    let silent = group(3)
        .unheard(0)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(move |_, seen| {
            seen.claims = claims;
            for member in &mut seen.members[1..] {
                status(member).memory.forsworn = REIGN + 1;
            }
        });
    assert_eq!(unproven(&silent.seen), [of(REIGN, 0)]);
    assert_eq!(promoted(&plan(&silent)), None);
    assert_eq!(permit(&silent, 1_000), Some(Permit::Wait(16_000)));
    let over = silent.change(|_, seen| seen.remembered.permit = Some(Permit::Granted));
    let next = plan(&over);
    let Some(Step::Promote { claims, .. }) = next.steps.first().map(|p| &p.step) else {
        panic!("{next:?}")
    };
    assert_eq!(*claims, [of(REIGN + 2, 2)]);
}

/// Who led before would be waited for, once nothing is left that proves that it is gone.
#[test]
fn who_is_known_to_be_out_of_it_is_struck_off_before_the_proof_goes() {
    let of = |reign, ordinal| Claim {
        reign,
        uid: uid(ordinal),
    };
    let written = |plan: &Plan| {
        plan.steps.iter().find_map(|planned| match &planned.step {
            Step::WriteClaims { claims } => Some(claims.clone()),
            _ => None,
        })
    };
    let handed_over = |claims: Vec<Claim>| group(3).change(move |_, seen| seen.claims = claims);
    let both = handed_over(vec![of(REIGN, 0), of(REIGN - 1, 1)]);
    assert_eq!(written(&plan(&both)), Some(vec![of(REIGN, 0)]));
    assert_eq!(written(&plan(&handed_over(vec![of(REIGN, 0)]))), None);
    // One that is not heard may serve on.
    let silent = both.unheard(1);
    assert_eq!(written(&plan(&silent)), None);

    // Nor is a copy waited for that nobody will remember: of it the reign is kept.
    let ended = group(1).crash(0).change(move |wanted, seen| {
        wanted.hibernate = true;
        wanted.replicas = 0;
        status(&mut seen.members[0]).server = ServerState::Stopping;
        status(&mut seen.members[0]).leaving = true;
        seen.claims = vec![of(REIGN, 0)];
    });
    let left = written(&plan(&ended)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reign, REIGN);
    let resumed = group(3).crash(0).change(|_, seen| {
        seen.claims = left;
        for member in &mut seen.members {
            let status = status(member);
            (status.role, status.link) = (Role::Held, None);
            status.memory = hera_core::agent::Memory::default();
        }
        seen.remembered.leaderless_ms = 30_000;
    });
    assert_eq!(unproven(&resumed.seen), []);
}

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
    let promised = |forsworn| {
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
                status(&mut seen.members[1]).memory.forsworn = REIGN;
                status(&mut seen.members[2]).memory.forsworn = forsworn;
            })
    };
    let mut leader = Leader::new(1, 0);
    let mut ask = |forsworn, now| {
        let seen = promised(forsworn).seen;
        leader.remember(&seen, 15_000, now).permit
    };
    assert_eq!(ask(0, 1_000), Some(Permit::Promises));
    assert_eq!(ask(REIGN, 6_000), Some(Permit::Wait(17_000)));
}

#[test]
fn a_copy_that_is_not_on_its_volume_yet_takes_over_only_from_one_that_ends() {
    let unsaved = || {
        group(2).change(|wanted, seen| {
            wanted.replicas = 1;
            seen.members[1].claim = None;
            status(&mut seen.members[1]).memory.unsaved = true;
        })
    };
    assert!(!names(&plan(&unsaved())).contains(&"hand-over"));
    let leaves = unsaved().change(|wanted, seen| {
        wanted.replicas = 2;
        status(&mut seen.members[0]).leaving = true;
    });
    assert!(names(&plan(&leaves)).contains(&"hand-over"));
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
    assert_eq!(promoted(&plan(&late)), Some(("shop-1".into(), REIGN + 1)));
}

fn permit(group: &Group, now: u64) -> Option<Permit> {
    let mut leader = Leader::new(1, 0);
    let asked = |leader: &mut Leader, now| {
        let limit = group.wanted.fence_after_ms;
        leader.remember(&group.seen, limit, now).permit
    };
    asked(&mut leader, 0);
    asked(&mut leader, now)
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
                status(member).memory.forsworn = REIGN;
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
                status(member).memory.forsworn = REIGN;
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
                    status.memory.forsworn = REIGN;
                    status.members.fence_after_ms = 1_000;
                    status.members.revision = 2;
                }
            })
    };
    assert_eq!(permit(&away(15_000), 5_000), Some(Permit::Wait(12_000)));
    assert_eq!(permit(&away(15_000), 17_000), Some(Permit::Granted));
    assert_eq!(permit(&away(0), 90_000), Some(Permit::Never));
}
