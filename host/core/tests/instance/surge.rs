//! Temporary pods: when they come, that nothing is lost meanwhile, and that they go.

use hera_core::agent::Role;
use hera_core::instance::{MemberList, Permit, Plan, Step, decide, members, set_size, verdict};
use hera_core::shard::AgentView;

use crate::fixtures::{
    EPOCH, Group, HOUR, PROGRESS_DEADLINE, address, claim, group, member, plan, status, uid,
};
use crate::world::World;

fn surging(replicas: u32) -> Group {
    group(replicas).change(|wanted, seen| {
        wanted.pods.surge = true;
        seen.now_ms = 1000 * HOUR;
    })
}

/// With its temporary pod, which is in sync.
fn joined(replicas: u32) -> Group {
    surging(replicas).outdated(&[0]).change(|wanted, seen| {
        let ordinal = wanted.pods.count.unwrap();
        let mut spare = member(ordinal);
        spare.claim.as_mut().unwrap().temporary = true;
        spare.pod.as_mut().unwrap().since_ms = seen.now_ms;
        seen.members.push(spare);
        seen.replica_endpoints.push(address(ordinal));
        let mut peers = members(wanted, seen);
        peers.revision = 1;
        seen.lists = vec![MemberList::of(&peers)];
        for member in &mut seen.members {
            status(member).members = peers.clone();
        }
    })
}

fn spare_link_down(group: Group) -> Group {
    group.change(|wanted, seen| {
        let spare = &mut seen.members[wanted.pods.count.unwrap() as usize];
        status(spare).link.as_mut().unwrap().up = false;
        seen.replica_endpoints.pop();
    })
}

fn disruptive(plan: &Plan) -> Option<&Step> {
    let last = plan.steps.last().map(|planned| &planned.step);
    last.filter(|step| step.is_disruptive())
}

#[test]
fn a_lone_server_is_replaced_without_being_away() {
    let mut world = World::of(surging(1).outdated(&[0]));
    world.settle();
    assert_eq!(
        world.told,
        [
            "shop-1 comes",
            "shop-0 hands over to shop-1",
            "shop-0 is replaced",
            "shop-1 hands over to shop-0",
            "shop-1 goes",
        ]
    );
    assert!(world.claims_beyond().is_empty());
}

#[test]
fn of_two_each_is_replaced_while_a_third_is_in_sync() {
    let mut world = World::of(surging(2).outdated(&[0, 1]));
    world.settle();
    assert_eq!(
        world.told,
        [
            "shop-2 comes",
            "shop-1 is replaced",
            "shop-0 hands over to shop-1",
            "shop-0 is replaced",
            "shop-2 goes",
        ]
    );
    assert_eq!(world.fewest_in_sync, 2);
}

#[test]
fn without_a_volume_the_temporary_pod_saves_the_data() {
    let volatile = surging(1).outdated(&[0]).change(|wanted, seen| {
        wanted.storage = None;
        seen.members[0].claim = None;
    });
    let mut world = World::of(volatile);
    world.settle();
    assert_eq!(world.told.len(), 5, "{:?}", world.told);
}

#[test]
fn where_enough_copies_stay_in_sync_no_pod_is_added() {
    assert_eq!(surging(3).outdated(&[0, 1, 2]).temporary(), None);
    let strict = surging(3)
        .outdated(&[2])
        .change(|wanted, _| wanted.pods.min_replicas_to_write = 2);
    assert_eq!(strict.seen.shard(&strict.wanted).temporary(), Some(3));
    let settled = surging(1);
    assert_eq!(set_size(&settled.wanted, &settled.seen), 1);
}

#[test]
fn turned_off_a_lone_server_is_restarted_where_it_is() {
    let off = surging(1)
        .outdated(&[0])
        .change(|wanted, _| wanted.pods.surge = false);
    assert_eq!(set_size(&off.wanted, &off.seen), 1);
    assert!(matches!(disruptive(&plan(&off)), Some(Step::DeletePod(_))));
}

#[test]
fn a_server_that_does_not_serve_is_restarted_where_it_is() {
    let down = surging(1).outdated(&[0]).crash(0);
    assert_eq!(set_size(&down.wanted, &down.seen), 1);
    assert!(matches!(disruptive(&plan(&down)), Some(Step::DeletePod(_))));
}

#[test]
fn a_lone_server_that_is_not_heard_may_serve_and_is_not_touched() {
    let silent = surging(1).outdated(&[0]).unheard(0);
    let plan = plan(&silent);
    assert!(!plan.is_disruptive(), "{plan:?}");
    assert!(plan.waiting_for.unwrap().contains("its server is heard"));
}

#[test]
fn nothing_is_touched_before_the_temporary_pod_is_in_sync() {
    let waits = plan(&spare_link_down(joined(1)));
    assert!(!waits.is_disruptive(), "{waits:?}");
    let words = waits.waiting_for.unwrap();
    assert!(
        words.contains("shop-1, a temporary pod, is in sync"),
        "{words}"
    );
    assert_eq!(waits.stalled, None);
}

#[test]
fn a_supervised_primary_waits_for_approval_and_the_temporary_pod_does_not() {
    let supervised = surging(1)
        .outdated(&[0])
        .change(|wanted, _| wanted.pods.supervised = true);
    assert_eq!(set_size(&supervised.wanted, &supervised.seen), 2);
    assert_eq!(plan(&supervised).to_approve, None, "it is not time yet");
    let ready = joined(1).change(|wanted, _| wanted.pods.supervised = true);
    let waits = plan(&ready);
    assert!(!waits.is_disruptive());
    let approved = ready.change(|wanted, _| wanted.pods.approved = waits.to_approve);
    let mut world = World::of(approved);
    world.settle();
    assert_eq!(
        world.told.len(),
        4,
        "one approval is for all: {:?}",
        world.told
    );
}

#[test]
fn an_approval_that_does_not_come_needs_attention_and_may_come_later() {
    let ready = joined(1).change(|wanted, _| wanted.pods.supervised = true);
    let digest = plan(&ready).to_approve.unwrap();
    let waited = |hours: u64| {
        joined(1).change(|wanted, seen| {
            wanted.pods.supervised = true;
            seen.asked = Some(hera_core::shard::Asked {
                digest: digest.clone(),
                since_ms: seen.now_ms - hours * HOUR,
            });
        })
    };
    assert_eq!(plan(&waited(168)).stalled, None);
    let late = plan(&waited(169));
    assert_eq!(late.stalled.unwrap().since_ms, (1000 - 169) * HOUR);
    let approved = waited(169).change(|wanted, _| wanted.pods.approved = Some(digest.clone()));
    assert!(matches!(
        disruptive(&plan(&approved)),
        Some(Step::HandOver { .. })
    ));
    // Of another step it says nothing.
    let other = waited(169).change(|wanted, seen| {
        wanted.pods.revision = "newer".into();
        seen.members[1].pod.as_mut().unwrap().revision = Some("newer".into());
    });
    assert_eq!(plan(&other).stalled, None);
}

#[test]
fn a_temporary_pod_that_finds_no_place_stops_the_roll_and_is_no_member() {
    let stuck = |age: u64| {
        joined(1).change(|_, seen| {
            seen.members[1].agent = AgentView::Absent;
            seen.replica_endpoints.clear();
            let now = seen.now_ms;
            let pod = seen.members[1].pod.as_mut().unwrap();
            pod.ip = None;
            pod.unschedulable = Some("0/3 nodes are available".into());
            pod.since_ms = now - age;
            status(&mut seen.members[0]).members.pods.truncate(1);
        })
    };
    assert_eq!(plan(&stuck(PROGRESS_DEADLINE)).stalled, None);
    let late = stuck(PROGRESS_DEADLINE + 1);
    let plan = plan(&late);
    assert!(!plan.is_disruptive());
    let step = plan.stalled.unwrap().step;
    assert!(step.contains("0/3 nodes are available"), "{step}");
    assert_eq!(members(&late.wanted, &late.seen).pods.len(), 1);
    // It goes on as soon as it is fine, and ends when it is not wanted any more.
    assert!(decide(&late.wanted, &joined(1).seen).is_disruptive());
    let off = late.change(|wanted, _| wanted.pods.surge = false);
    let goes = off.change(|_, seen| seen.members[1].claim.as_mut().unwrap().goes_with_pod = true);
    assert_eq!(set_size(&goes.wanted, &goes.seen), 1);
}

#[test]
fn a_changed_spec_takes_the_temporary_pod_away_with_its_claim_and_makes_another() {
    let changed = || joined(1).change(|wanted, _| wanted.pods.revision = "newer".into());
    for group in [changed(), spare_link_down(changed())] {
        let mut world = World::of(group);
        world.settle();
        assert_eq!(
            world.told,
            [
                "shop-1 goes",
                "shop-1 comes",
                "shop-0 hands over to shop-1",
                "shop-0 is replaced",
                "shop-1 hands over to shop-0",
                "shop-1 goes",
            ]
        );
    }
}

#[test]
fn pods_that_are_of_no_use_are_replaced_whatever_becomes_of_the_others() {
    let broken = surging(3).outdated(&[0, 1, 2]).change(|_, seen| {
        for ordinal in [1, 2] {
            let status = status(&mut seen.members[ordinal]);
            status.link.as_mut().unwrap().up = false;
        }
    });
    assert!(matches!(
        disruptive(&plan(&broken)),
        Some(Step::DeletePod(_))
    ));
}

#[test]
fn a_spec_that_changes_while_the_temporary_pod_leads_ends_well() {
    let mut world = World::of(joined(1));
    world.run_until("shop-0 is replaced");
    world.group.wanted.pods.revision = "newer".into();
    world.settle();
    assert_eq!(world.told.last().unwrap(), "shop-1 goes");
    assert_eq!(world.revision_of(0), "newer");
}

#[test]
fn a_supervised_change_after_the_approval_asks_again_before_it_reaches_the_primary() {
    let mut world = World::of(joined(1).change(|wanted, _| wanted.pods.supervised = true));
    world.approve();
    world.run_until("shop-0 is replaced");
    world.group.wanted.pods.revision = "newer".into();
    world.settle();
    assert!(
        world
            .group
            .seen
            .primary()
            .is_some_and(|primary| primary.ordinal == 1)
    );
    assert!(world.plan().to_approve.is_some());
    world.approve();
    world.settle();
    assert_eq!(world.told.last().unwrap(), "shop-1 goes");
}

#[test]
fn it_stays_while_the_pod_that_was_replaced_comes_back() {
    let mut world = World::of(joined(1));
    world.run_until("shop-0 is replaced");
    let seen = &world.group.seen;
    assert_eq!(set_size(&world.group.wanted, seen), 2);
    let lost = Group {
        wanted: world.group.wanted.clone(),
        seen: seen.clone(),
    }
    .change(|_, seen| {
        // The one that leads ends before the other is in sync: its data is the latest.
        seen.members[1].pod = None;
        seen.members[1].agent = AgentView::Absent;
    });
    assert_eq!(set_size(&lost.wanted, &lost.seen), 2, "it is made anew");
}

#[test]
fn a_claim_is_tied_to_its_pod_only_once_a_pod_that_stays_leads() {
    let mut world = World::of(surging(1).outdated(&[0]));
    world.run_until("shop-0 hands over to shop-1");
    assert!(!world.group.seen.shard(&world.group.wanted).claim_goes(1));
    world.run_until("shop-1 hands over to shop-0");
    assert!(world.group.seen.shard(&world.group.wanted).claim_goes(1));
    assert!(!world.group.seen.shard(&world.group.wanted).claim_goes(0));
    let more = Group {
        wanted: world.group.wanted.clone(),
        seen: world.group.seen.clone(),
    }
    .change(|wanted, _| wanted.pods.count = Some(2));
    assert!(
        !more.seen.shard(&more.wanted).claim_goes(1),
        "it is to stay now"
    );
}

/// Found by the simulation (seed 242817): what the primary had lost was nowhere but on the claim of a
/// pod that somebody had deleted.
#[test]
fn one_that_leaves_takes_its_claim_along_only_once_all_that_stay_are_in_sync() {
    let over = || {
        joined(2).change(|wanted, seen| {
            for member in &mut seen.members {
                member.pod.as_mut().unwrap().revision = Some(wanted.pods.revision.clone());
            }
        })
    };
    let behind = || {
        over().change(|_, seen| {
            status(&mut seen.members[1]).link.as_mut().unwrap().up = false;
        })
    };
    let deleted = |group: Group| {
        group.change(|_, seen| seen.members[2].pod.as_mut().unwrap().deleting = true)
    };
    let goes = |group: Group| group.seen.shard(&group.wanted).claim_goes(2);
    assert!(goes(over()) && goes(deleted(over())));
    assert!(!goes(behind()) && !goes(deleted(behind())));
    // Tied, and not needed for the roll, it stays until it may be untied.
    let tied = behind().change(|wanted, seen| {
        wanted.pods.surge = false;
        seen.members[2].claim.as_mut().unwrap().goes_with_pod = true;
    });
    assert_eq!(set_size(&tied.wanted, &tied.seen), 3);
}

/// Found by the simulation: its claim, and what it took in as the primary, went with it.
#[test]
fn a_temporary_pod_that_is_about_to_go_is_promoted_for_nobody() {
    let asked = |group: Group| {
        let plan = plan(&group.change(|wanted, _| wanted.promote = Some("shop-2".to_owned())));
        (plan.is_disruptive(), plan.refused)
    };
    let needed = joined(2);
    assert!(asked(needed).0, "it may lead meanwhile");
    let over = || {
        joined(2).change(|wanted, seen| {
            for member in &mut seen.members {
                member.pod.as_mut().unwrap().revision = Some(wanted.pods.revision.clone());
            }
        })
    };
    let is_refused = |(_, refused): (bool, Option<String>)| {
        refused.is_some_and(|words| words.contains("about to go"))
    };
    assert!(is_refused(asked(over())));
    let tied =
        joined(2).change(|_, seen| seen.members[2].claim.as_mut().unwrap().goes_with_pod = true);
    assert!(is_refused(asked(tied)), "its claim says that it goes");
}

#[test]
fn none_comes_while_the_claim_of_the_last_one_goes() {
    let going = surging(1).outdated(&[0]).change(|_, seen| {
        let mut left = member(1);
        (left.pod, left.agent) = (None, AgentView::Absent);
        let mut claim = claim();
        (claim.temporary, claim.deleting) = (true, true);
        left.claim = Some(claim);
        seen.members.push(left);
    });
    assert_eq!(set_size(&going.wanted, &going.seen), 1);
}

#[test]
fn a_primary_with_a_temporary_pod_does_not_take_itself_for_alone() {
    let told = joined(1);
    assert_eq!(members(&told.wanted, &told.seen).pods.len(), 2);
    // Neither when its stream breaks, nor when the roll is over and it is there still.
    let silent = joined(1).unheard(1);
    assert_eq!(members(&silent.wanted, &silent.seen).pods.len(), 2);
    let over = joined(1).change(|_, seen| {
        seen.members[0].pod.as_mut().unwrap().revision = Some("new".into());
    });
    assert_eq!(members(&over.wanted, &over.seen).pods.len(), 2);
    let leaving = over.change(|_, seen| seen.members[1].pod.as_mut().unwrap().deleting = true);
    assert_eq!(members(&leaving.wanted, &leaving.seen).pods.len(), 1);
}

#[test]
fn an_empty_temporary_pod_is_never_promoted_in_place_of_a_server_that_is_not_heard() {
    let lost = joined(1).unheard(0).change(|_, seen| {
        seen.served = true;
        seen.remembered.leaderless_ms = HOUR;
        let spare = status(&mut seen.members[1]);
        (spare.role, spare.link) = (Role::Held, None);
        spare.memory = Default::default();
        seen.members[1].position = Some(Default::default());
    });
    let plan = plan(&lost);
    let promotes = |step: &Step| matches!(step, Step::Promote { .. });
    assert!(
        !plan.steps.iter().any(|planned| promotes(&planned.step)),
        "{plan:?}"
    );
    assert!(
        plan.waiting_for
            .unwrap()
            .contains("shop-0 has data of a later epoch")
    );
}

#[test]
fn a_temporary_pod_that_led_last_is_waited_for_before_the_other_copy_is_taken() {
    // Its pod is made anew on another node; the first has what there was at the handover.
    let ended = |waited: u64| {
        let mut world = World::of(joined(1));
        world.run_until("shop-0 is replaced");
        // It is heard, and told who the others are.
        world.passes(3);
        world.group.change(|_, seen| {
            (seen.members[1].pod, seen.members[1].agent) = (None, AgentView::Absent);
            let first = status(&mut seen.members[0]);
            first.role = Role::Replica;
            first.memory.epoch = EPOCH;
            first.memory.promised_epoch = EPOCH + 1;
            seen.members[0].position = Some(Default::default());
            seen.candidates = vec![hera_core::instance::Candidate {
                epoch: EPOCH + 1,
                uid: uid(1),
            }];
            seen.remembered.permit = Some(Permit::Granted);
            seen.remembered.leaderless_ms = waited;
        })
    };
    let early = plan(&ended(19_000));
    let why = early.waiting_for.unwrap();
    assert!(why.contains("may have later data"), "{why}");
    assert_eq!(
        set_size(&ended(0).wanted, &ended(0).seen),
        2,
        "it is made anew"
    );
}

#[test]
fn paused_no_temporary_pod_comes_and_one_that_is_there_stays() {
    let pause = |group: Group| group.change(|wanted, _| wanted.pods.paused = true);
    let before = pause(surging(1).outdated(&[0]));
    assert_eq!(set_size(&before.wanted, &before.seen), 1);
    let during = pause(joined(1));
    assert_eq!(set_size(&during.wanted, &during.seen), 2);
    assert!(!plan(&during).is_disruptive());
}

#[test]
fn the_status_counts_it_while_it_serves() {
    let during = joined(1);
    let found = verdict(&during.wanted, &during.seen, &plan(&during));
    assert_eq!(
        (found.ready, found.settled, found.surplus),
        (2, false, true)
    );
    assert_eq!(found.not_in_sync, vec![]);
    assert_eq!(during.seen.members[1].uid(), uid(1));
}

/// What may happen in the middle.
type Change = fn(&mut Group);

#[test]
fn whatever_is_changed_at_any_moment_ends_with_the_wanted_pods_and_no_claim_too_many() {
    let changes: [(Change, usize); 5] = [
        (|group| group.wanted.pods.revision = "newer".into(), 0),
        (|group| group.wanted.pods.surge = false, 0),
        (
            |group| group.wanted.pods.count = group.wanted.pods.count.map(|count| count + 1),
            1,
        ),
        (|group| group.wanted.promote = Some("shop-0".into()), 0),
        (|group| group.wanted.pods.min_replicas_to_write = 1, 0),
    ];
    for replicas in [1, 2] {
        for (change, more) in changes {
            for passes in 0..25 {
                let mut world = World::of(surging(replicas).outdated(&[0]));
                world.passes(passes);
                change(&mut world.group);
                world.settle();
                let pods = replicas as usize + more;
                assert_eq!(
                    world.pods(),
                    (pods, pods),
                    "after {passes}: {:?}",
                    world.told
                );
                assert!(world.claims_beyond().is_empty(), "after {passes}");
            }
        }
    }
}
