//! Several pods: who leads, who follows, and what happens when they do not. Rows of the incidents
//! are named by their ID.

use hera_core::agent::{LoginState, Mark, Members, Memory, Role, ServerState};
use hera_core::instance::{Candidate, GivenUp, Leader, Permit, Step, unproven, verdict};
use hera_core::shard::{AgentView, Cause, Member, PodView, shown_role};

use crate::fixtures::{EPOCH, Group, address, group, names, plan, promoted, status, uid};

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
    assert_eq!(promoted(&plan), Some(("shop-2".into(), EPOCH + 1)));
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
    let emptied = |promised| {
        group(2)
            .crash(0)
            .links_down()
            .at(0, 0, 0)
            .at(1, 80, 9)
            .change(move |_, seen| {
                let memory = &mut status(&mut seen.members[0]).memory;
                *memory = Default::default();
                memory.promised_epoch = promised;
            })
    };
    // It remembers nothing, so it is asked to stay out of it first.
    assert_eq!(names(&plan(&emptied(0))), ["promise", "promise"]);
    let of_replica = promoted(&plan(&emptied(EPOCH))).map(|(pod, _)| pod);
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
                    status(member).memory.promised_epoch = EPOCH;
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
    assert_eq!(names(&asked), ["promise", "promise"]);
    assert!(asked.waiting_for.unwrap().contains("too few"));
    let claim = unproven(&silent().seen).remove(0);
    assert_eq!((claim.epoch, claim.uid), (EPOCH, uid(0)));

    let promise = |permit| {
        silent().change(move |_, seen| {
            seen.remembered.permit = Some(permit);
            seen.remembered.promised_epoch = EPOCH;
            for member in &mut seen.members[1..] {
                status(member).memory.promised_epoch = EPOCH;
            }
        })
    };
    assert_eq!(promoted(&plan(&promise(Permit::Wait(900)))), None);
    assert_eq!(promoted(&plan(&promise(Permit::Never))), None);
    assert_eq!(
        promoted(&plan(&promise(Permit::Granted))),
        Some(("shop-2".into(), EPOCH + 1))
    );
}

#[test]
fn an_agent_that_tells_of_the_last_epoch_keeps_its_own_instance_from_another_and_is_named() {
    let down = || {
        group(3)
            .crash(0)
            .crash(1)
            .crash(2)
            .at(0, 10, 9)
            .at(1, 20, 9)
            .at(2, 30, 9)
    };
    let told = |epoch: u64| {
        down().change(move |_, seen| status(&mut seen.members[1]).memory.promised_epoch = epoch)
    };
    let last = plan(&told(u64::MAX));
    assert_eq!(promoted(&last), None);
    let words = last.waiting_for.unwrap();
    assert!(words.contains("shop-1") && words.contains("18446744073709551615"));
    let next = promoted(&plan(&told(u64::MAX - 1)));
    assert_eq!(next.map(|(_, epoch)| epoch), Some(u64::MAX));
    // Nor does any term end elsewhere.
    let term = down().change(|_, seen| seen.remembered.term = u64::MAX);
    let next = promoted(&plan(&term)).map(|(_, epoch)| epoch);
    assert_eq!(next, Some((hera_core::term::END - 1) << 24));
    // Also where a primary is there, and another is to take over.
    let group = group(3).change(|wanted, seen| {
        wanted.promote = Some("shop-1".to_owned());
        status(&mut seen.members[2]).memory.promised_epoch = u64::MAX;
    });
    let stays = plan(&group);
    assert!(!names(&stays).contains(&"hand-over"));
    assert!(stays.waiting_for.unwrap().contains("shop-2"));
}

/// A primary that is lost for so long, without a proof.
fn lost(permit: Permit, missed: u64) -> Group {
    group(3)
        .unheard(0)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(move |_, seen| {
            seen.remembered.permit = Some(permit);
            seen.remembered.leaderless_ms = missed;
            seen.lost_since_ms = Some(7_000);
        })
}

#[test]
fn whoever_is_sure_that_a_lost_primary_is_dead_approves_it() {
    for permit in [Permit::Never, Permit::Promises] {
        assert_eq!(plan(&lost(permit, 59_000)).to_approve, None);
        let asks = plan(&lost(permit, 60_000));
        assert_eq!(promoted(&asks), None);
        let digest = asks.to_approve.expect("it asks");
        let words = asks.waiting_for.expect("it says what");
        assert!(words.contains(&digest) && words.contains("shop-0 is dead"));

        let approved = |digest: &str, group: Group| {
            let approved = Some(digest.to_owned());
            promoted(&plan(
                &group.change(|wanted, _| wanted.pods.approved = approved),
            ))
        };
        // A new leader has missed nobody for long.
        let (pod, _) = approved(&digest, lost(permit, 5_000)).expect("another leads");
        assert_eq!(pod, "shop-2");
        assert_eq!(approved("0123456789abcdef", lost(permit, 60_000)), None);
        // It came back, and is lost again.
        let again = lost(permit, 60_000).change(|_, seen| seen.lost_since_ms = Some(8_000));
        assert_eq!(approved(&digest, again), None);
        // Time will make it sure.
        assert_eq!(approved(&digest, lost(Permit::Wait(900), 60_000)), None);
    }
}

#[test]
fn nobody_is_asked_to_say_that_a_primary_is_dead_where_that_helps_nobody() {
    let asked = |group: Group| plan(&group).to_approve;
    assert_eq!(asked(lost(Permit::Wait(900), 60_000)), None);
    let nobody = lost(Permit::Never, 60_000).unheard(1).unheard(2);
    assert_eq!(asked(nobody), None, "nobody could lead");
    let empty = lost(Permit::Never, 60_000)
        .at(1, 0, 0)
        .at(2, 0, 0)
        .change(|_, seen| {
            for member in &mut seen.members[1..] {
                status(member).memory = Memory::default();
            }
        });
    assert_eq!(asked(empty), None, "shop-0 has the data");
    let unknown = lost(Permit::Never, 60_000).change(|_, seen| seen.lost_since_ms = None);
    assert_eq!(asked(unknown), None, "nothing tells this loss from another");
    // Once asked it stays so, also over a restart of the operator.
    let digest = asked(lost(Permit::Never, 60_000)).expect("it asks");
    let restarted = lost(Permit::Never, 0).change(|_, seen| {
        seen.asked = Some(hera_core::shard::Asked {
            digest: digest.clone(),
            since_ms: 0,
        });
    });
    assert_eq!(asked(restarted), Some(digest));
}

/// A lone server leads in the same epoch again after it crashed.
#[test]
fn what_proved_a_server_dead_says_nothing_once_it_leads_again() {
    let mut leader = Leader::new(0, 0);
    let crashed = leader.remember(&group(3).crash(0).seen, 15_000, 0);
    assert_eq!(crashed.proven, EPOCH);
    let leads = leader.remember(&group(3).seen, 15_000, 100);
    assert_eq!(leads.proven, EPOCH - 1);
    assert_eq!(
        leads.promised_epoch,
        EPOCH - 1,
        "nor is who led before confirmed"
    );
}

#[test]
fn a_primary_that_is_heard_again_begins_another_epoch() {
    let group = group(3).change(|_, seen| {
        status(&mut seen.members[1]).memory.promised_epoch = EPOCH;
    });
    assert_eq!(promoted(&plan(&group)), Some(("shop-0".into(), EPOCH + 1)));
}

#[test]
fn a_primary_that_ends_is_not_asked_to_begin_another_epoch() {
    let group = group(1).change(|_, seen| {
        let primary = status(&mut seen.members[0]);
        primary.leaving = true;
        seen.remembered.promised_epoch = EPOCH;
        // The other pod has gone before it.
        seen.members.push(Member {
            ordinal: 1,
            ..Member::default()
        });
    });
    assert_eq!(promoted(&plan(&group)), None);
}

#[test]
fn one_epoch_begins_in_a_plan() {
    let group = group(3).change(|wanted, seen| {
        wanted.promote = Some("shop-1".into());
        status(&mut seen.members[1]).memory.promised_epoch = EPOCH;
    });
    assert_eq!(names(&plan(&group)), ["promote"], "no handover beside it");
}

#[test]
fn p14_of_two_that_serve_the_one_of_the_earlier_epoch_is_fenced() {
    let group = group(3).change(|_, seen| {
        let other = status(&mut seen.members[1]);
        (other.role, other.link) = (Role::Primary, None);
        other.memory.epoch = EPOCH + 2;
        other.memory.primary_uid = uid(1);
    });
    let plan = plan(&group);
    let Some(Step::Fence { pod, epoch, .. }) = plan.steps.last().map(|planned| &planned.step)
    else {
        panic!("{plan:?}")
    };
    assert_eq!((pod.name.as_str(), *epoch), ("shop-0", EPOCH));
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

/// The order to follow whom it follows gives it the password, and its link stays.
#[test]
fn a_replica_with_the_former_password_of_replication_is_told_once_more_and_no_other() {
    let login = |hash: &str, in_force| {
        Some(LoginState {
            password_sha256: hash.to_owned(),
            in_force,
        })
    };
    let with = |told: [Option<LoginState>; 2]| {
        let group = group(3).change(|_, seen| {
            seen.login = Some("new".to_owned());
            for (member, login) in seen.members[1..].iter_mut().zip(told) {
                status(member).login = login;
            }
        });
        let plan = plan(&group);
        let told = plan.steps.iter().filter_map(|planned| match &planned.step {
            Step::Follow { pod, .. } => Some(pod.name.clone()),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let nobody: [&str; 0] = [];
    assert_eq!(with([login("old", true), login("new", true)]), ["shop-1"]);
    assert_eq!(with([login("old", false), None]), ["shop-1"]);
    // It tries by itself until the server has it; one of an earlier release would be told for ever.
    assert_eq!(with([login("new", false), None]), nobody);
    let mut unknown = group(3);
    status(&mut unknown.seen.members[1]).login = login("old", true);
    assert_eq!(
        names(&plan(&unknown)),
        nobody,
        "nobody knows which it is to be"
    );
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
        other.memory.epoch = EPOCH + 1;
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
    // Its silence is long enough to be heard on the link too.
    assert_eq!(names(&plan(&hangs().quiet(1))), ["set-replicas", "fence"]);
    let alone = plan(&hangs().links_down());
    assert!(!alone.is_disruptive(), "{alone:?}");
}

#[test]
fn a_primary_is_not_promoted_again_once_somebody_has_data_of_a_later_epoch() {
    let heard_again = |later: u64| {
        group(3).change(|_, seen| {
            seen.remembered.promised_epoch = EPOCH;
            status(&mut seen.members[2]).memory.epoch = later;
        })
    };
    let again = promoted(&plan(&heard_again(EPOCH))).map(|(pod, _)| pod);
    assert_eq!(again.as_deref(), Some("shop-0"));
    assert_eq!(promoted(&plan(&heard_again(EPOCH + 1))), None);
}

/// Found by the simulation: the spec was scaled down while nobody led, and only those beyond had the data.
#[test]
fn the_only_copy_leads_though_its_pod_is_one_too_many() {
    let scaled_down = || {
        group(3)
            .crash(0)
            .crash(1)
            .crash(2)
            .at(0, 0, 0)
            .at(1, 0, 0)
            .at(2, 0, 9)
            .change(|wanted, seen| {
                wanted.pods.count = Some(2);
                seen.remembered.leaderless_ms = 30_000;
                for member in &mut seen.members[..2] {
                    status(member).memory = Memory::default();
                }
                seen.members[2]
                    .agent
                    .clone_from(&group(3).seen.members[2].agent);
                status(&mut seen.members[2]).link = None;
                seen.candidates.clear();
                for member in &mut seen.members {
                    status(member).memory.promised_epoch = EPOCH;
                }
            })
    };
    let counted = plan(&scaled_down());
    let writes = counted
        .lists()
        .map(|lists| lists.last().map(|list| list.uids.len()));
    assert_eq!(writes, None, "the list of three stays as it is");
    assert_eq!(promoted(&counted), Some(("shop-2".into(), EPOCH + 1)));
    // Once there is a primary, who is beyond leaves.
    let led = group(3).change(|wanted, _| wanted.pods.count = Some(2));
    let uids = plan(&led)
        .lists()
        .and_then(|lists| Some(lists.last()?.uids.clone()));
    assert_eq!(uids, Some(vec![uid(0), uid(1)]));
}

/// Found by the simulation: it was told in the very plan that promoted another.
#[test]
fn the_best_copy_is_told_who_the_others_are_before_anybody_is_promoted() {
    let untold = |waited| {
        group(3)
            .crash(0)
            .links_down()
            .at(0, 90, 9)
            .at(1, 80, 9)
            .at(2, 85, 9)
            .change(move |wanted, seen| {
                wanted.pods.count = Some(2);
                seen.remembered.leaderless_ms = waited;
                status(&mut seen.members[2]).members.revision = 7;
            })
    };
    let tells = plan(&untold(2_000));
    assert_eq!(names(&tells), ["push-members"]);
    assert!(
        tells
            .waiting_for
            .is_some_and(|words| words.contains("shop-2"))
    );
    let in_vain = promoted(&plan(&untold(20_000))).map(|(pod, _)| pod);
    assert_eq!(in_vain.as_deref(), Some("shop-1"));
}

/// Found by the simulation.
#[test]
fn one_that_is_heard_and_never_had_data_is_waited_for_by_nobody() {
    let empty = |keys| {
        group(3)
            .crash(0)
            .crash(1)
            .crash(2)
            .at(0, 0, 0)
            .at(1, 0, 0)
            .at(2, 0, keys)
            .change(|wanted, seen| {
                wanted.pods.count = Some(2);
                seen.served = true;
                seen.candidates.clear();
                seen.remembered.leaderless_ms = 30_000;
                for member in &mut seen.members {
                    let status = status(member);
                    status.memory = Memory::default();
                }
                // It was told no list that is written down.
                status(&mut seen.members[2]).members = Members::default();
            })
    };
    let chosen = promoted(&plan(&empty(0))).map(|(pod, _)| pod);
    assert_eq!(chosen.as_deref(), Some("shop-0"));
    assert_eq!(promoted(&plan(&empty(9))), None);
}

/// What proved the first primary of it dead would be taken for proof of the second's death.
#[test]
fn an_epoch_is_not_given_twice_though_nobody_is_left_who_had_it() {
    let mut leader = Leader::new(0, 0);
    let claimed = group(2).change(|_, seen| {
        seen.candidates = vec![Candidate {
            epoch: EPOCH + 1,
            uid: "gone".to_owned(),
        }];
    });
    leader.remember(&claimed.seen, 15_000, 0);
    let forgotten = group(2).crash(0).links_down().change(|_, seen| {
        seen.remembered.highest = leader.remember(&group(2).seen, 15_000, 100).highest;
    });
    let forgotten = forgotten.at(0, 80, 9).at(1, 80, 9);
    let epoch = promoted(&plan(&forgotten)).map(|(_, epoch)| epoch);
    assert_eq!(epoch, Some(EPOCH + 2));
}

#[test]
fn a_replica_that_hears_nothing_is_out_of_step_and_moves_no_primary() {
    let plan = plan(&group(3).quiet(2));
    let ips = vec![address(1)];
    let only: Vec<&Step> = plan.steps.iter().map(|planned| &planned.step).collect();
    assert_eq!(only, [&Step::SetReplicas { ips }]);
}

#[test]
fn p01_after_all_pods_were_deleted_an_empty_copy_replaces_no_full_one() {
    let restarted = |keys: [u64; 3]| {
        let [first, second, third] = keys;
        let group = group(3).crash(0).crash(1).crash(2);
        group.at(0, 0, first).at(1, 0, second).at(2, 0, third)
    };
    for (keys, best) in [
        ([10, 0, 0], "shop-0"),
        ([0, 10, 0], "shop-1"),
        ([0, 0, 10], "shop-2"),
    ] {
        let chosen = promoted(&plan(&restarted(keys))).map(|(pod, _)| pod);
        assert_eq!(chosen.as_deref(), Some(best), "{keys:?}");
    }
}

#[test]
fn p02_a_copy_that_could_not_be_asked_is_not_an_empty_one() {
    // Only the empty one answers where it stands; the others run, and may have everything.
    let asked = group(3)
        .crash(0)
        .crash(1)
        .crash(2)
        .at(2, 0, 0)
        .change(|_, seen| seen.remembered.leaderless_ms = 1_000);
    let waits = plan(&asked);
    assert_eq!(promoted(&waits), None, "{waits:?}");
    assert!(waits.waiting_for.is_some());
}

#[test]
fn p07_what_was_written_down_counts_although_nobody_remembers_it() {
    let written = group(3)
        .unheard(0)
        .links_down()
        .at(1, 80, 9)
        .at(2, 85, 9)
        .change(|_, seen| {
            seen.candidates = vec![Candidate {
                epoch: EPOCH + 3,
                uid: uid(0),
            }];
        });
    assert_eq!(unproven(&written.seen)[0].epoch, EPOCH + 3);
    let asked = plan(&written);
    assert_eq!(names(&asked), ["promise", "promise"]);
    assert_eq!(promoted(&asked), None);
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
            seen.remembered.proven = EPOCH;
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
fn pods_that_are_not_made_yet_are_none_that_end() {
    let cause = |change: fn(&mut Member)| {
        let found = group(3).change(|_, seen| seen.members.iter_mut().for_each(change));
        verdict(&found.wanted, &found.seen, &plan(&found)).cause
    };
    let made = cause(|member| {
        member.agent = AgentView::Absent;
        member.pod = None;
    });
    assert_eq!(made, Cause::NoPod);
    let ended = cause(|member| {
        member.agent = AgentView::Absent;
        member.pod.as_mut().unwrap().deleting = true;
    });
    assert_eq!(ended, Cause::NoPrimary("all data pods end".into()));
}

#[test]
fn p15_a_primary_that_is_not_heard_is_shown_as_nothing() {
    let shown = |group: &Group| [0, 1, 2].map(|pod| shown_role(&group.seen.members, &uid(pod)));
    let (primary, replica) = (Some(Role::Primary), Some(Role::Replica));
    assert_eq!(shown(&group(3)), [primary, replica, replica]);
    let unheard = group(3).change(|_, seen| seen.members[0].agent = AgentView::Absent);
    assert_eq!(shown(&unheard), [None, replica, replica]);
    let starts = group(3).change(|_, seen| status(&mut seen.members[2]).role = Role::Held);
    assert_eq!(shown(&starts), [primary, replica, None]);
    let hands_over = group(3).change(|_, seen| {
        seen.members[0].pod.as_mut().unwrap().deleting = true;
    });
    assert_eq!(shown(&hands_over), [primary, replica, replica]);
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
    let copy_of = |epoch, server: ServerState, waited| {
        group(2)
            .crash(0)
            .crash(1)
            .at(1, 0, 0)
            .change(move |_, seen| {
                status(&mut seen.members[0]).server = server;
                status(&mut seen.members[1]).memory.epoch = epoch;
                seen.remembered.leaderless_ms = waited;
            })
    };
    let fenced = |server, waited| copy_of(0, server, waited);
    for waited in [100, 600_000] {
        let first = plan(&fenced(ServerState::Fenced, waited));
        assert_eq!(names(&first), ["set-endpoint", "start"], "{first:?}");
    }
    let gave_up = ServerState::BackOff { until_unix_ms: 1 };
    // All that was written in the last epoch would be gone: only a person takes the earlier copy.
    let earlier = || copy_of(EPOCH - 1, gave_up.clone(), 60_000);
    let asks = plan(&earlier());
    assert_eq!((promoted(&asks), asks.choices.len()), (None, 1));
    assert!(
        asks.waiting_for
            .unwrap()
            .contains("shop-0 has data of a later epoch")
    );
    let digest = asks.choices[0].digest.clone();
    let chosen = earlier().change(|wanted, _| wanted.pods.approved = Some(digest));
    assert_eq!(
        promoted(&plan(&chosen)).map(|(pod, _)| pod).as_deref(),
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
    let claimed = |promised| {
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
                seen.candidates = vec![Candidate {
                    epoch: EPOCH + 1,
                    uid: uid(1),
                }];
                status(&mut seen.members[1]).memory.promised_epoch = promised;
                seen.remembered.permit = Some(Permit::Never);
            })
    };
    let asked = plan(&claimed(0));
    assert_eq!(names(&asked), ["promise"], "of the one alone");
    let next = promoted(&plan(&claimed(EPOCH + 1)));
    assert_eq!(next, Some(("shop-1".into(), EPOCH + 2)));
}

/// While it starts, follows and takes in the data: whatever its server is doing.
#[test]
fn a_primary_that_was_stopped_is_told_of_until_it_is_in_sync() {
    let stopped = |deposed| {
        let group = group(3).change(|_, seen| {
            let status = status(&mut seen.members[2]);
            status.link = None;
            status.memory.epoch = EPOCH - 1;
            status.memory.deposed = deposed;
        });
        let lagging = verdict(&group.wanted, &group.seen, &plan(&group)).not_in_sync;
        (lagging.len(), lagging[0].deposed)
    };
    assert_eq!(stopped(true), (1, true));
    assert_eq!(stopped(false), (1, false));
}

/// A mark in the history of the epoch before.
fn mark(offset: u64) -> Mark {
    Mark {
        replication_id: "history".into(),
        offset,
    }
}

/// What the order to follow says that is lost: of the pod that led before.
fn given_up(group: &Group) -> Option<GivenUp> {
    let steps = plan(group).steps.into_iter();
    let mut lost = steps.filter_map(|planned| match planned.step {
        Step::Follow { pod, gives_up, .. } if pod.name == "shop-0" => gives_up,
        _ => None,
    });
    lost.next()
}

/// The second pod leads the next epoch, and the first, that led before, runs held.
fn replaced(forked_at: Option<Mark>, led_to: Option<Mark>) -> Group {
    group(3).crash(0).change(|_, seen| {
        let next = status(&mut seen.members[1]);
        (next.role, next.link) = (Role::Primary, None);
        next.memory.epoch = EPOCH + 1;
        next.memory.primary_uid = uid(1);
        next.memory.was_primary = true;
        next.forked_at = forked_at;
        status(&mut seen.members[0]).led_to = led_to;
    })
}

#[test]
fn what_a_former_primary_had_beyond_the_next_is_told_as_it_is_given_up() {
    let lost = |at_least| {
        Some(GivenUp {
            epoch: EPOCH,
            at_least,
        })
    };
    let of = |forked_at, led_to| given_up(&replaced(forked_at, led_to));
    assert_eq!(of(Some(mark(100)), Some(mark(120))), lost(Some(20)));
    assert_eq!(of(Some(mark(130)), Some(mark(120))), lost(Some(0)));
    assert_eq!(
        of(Some(mark(100)), None),
        lost(None),
        "its agent is another"
    );
    let other = Mark {
        replication_id: "other".into(),
        ..mark(120)
    };
    assert_eq!(of(Some(mark(100)), Some(other)), lost(None));
}

#[test]
fn who_handed_over_gives_up_nothing() {
    let handed_over = replaced(Some(mark(100)), None).change(|_, seen| {
        status(&mut seen.members[0]).memory.was_primary = false;
    });
    assert_eq!(given_up(&handed_over), None);
    let stopped = handed_over.change(|_, seen| {
        status(&mut seen.members[0]).memory.deposed = true;
    });
    assert!(given_up(&stopped).is_some(), "it was stopped as it led");
}
