//! An object that is made anew over old volumes, and pods that never ran: whose copy is the right one is
//! recorded, and where it is not, a person says (issue 16, items 1 and 2).

use hera_core::agent::{Memory, Position, Role};
use hera_core::instance::{Plan, Step, needed, set_size, told};
use hera_core::shard::{AgentView, ClaimView, Lineage, Record};

use crate::fixtures::{EPOCH, Group, group, names, plan, promoted, recorded, status, uid};

/// The servers of a new object read what its pods found on their volumes. Nothing is promoted yet.
fn made_anew(replicas: u32) -> Group {
    group(replicas).change(|_, seen| {
        for member in &mut seen.members {
            let status = status(member);
            (status.role, status.link) = (Role::Held, None);
            status.memory = Memory::default();
            member.position = Some(Position::default());
        }
        (seen.endpoint, seen.replica_endpoints) = (None, vec![]);
    })
}

/// What the volume of a pod has.
#[derive(Clone, Copy)]
struct Copy {
    lineage: &'static str,
    epoch: u64,
    led: bool,
    left: bool,
    keys: u64,
    written: u64,
}

const LED: Copy = Copy {
    lineage: "before",
    epoch: EPOCH,
    led: true,
    left: false,
    keys: 101,
    written: 9,
};
const FOLLOWED: Copy = Copy { led: false, ..LED };
const LEFT: Copy = Copy {
    epoch: EPOCH - 1,
    left: true,
    keys: 1_000,
    ..FOLLOWED
};
/// Of a volume that no agent has ever seen.
const UNRECORDED: Copy = Copy {
    lineage: "",
    epoch: 0,
    led: false,
    left: false,
    keys: 1_000,
    written: 9,
};

trait GroupExt {
    fn has(self, ordinal: usize, copy: Copy) -> Self;
    fn pending(self, ordinal: usize, record: Record) -> Self;
    fn waited(self, millis: u64) -> Self;
}

impl GroupExt for Group {
    fn has(self, ordinal: usize, copy: Copy) -> Self {
        self.change(|_, seen| {
            let member = &mut seen.members[ordinal];
            status(member).memory = Memory {
                lineage: copy.lineage.into(),
                epoch: copy.epoch,
                primary_uid: "a pod of before".into(),
                was_primary: copy.led,
                inherited: copy.epoch > 0,
                left: Some(copy.left),
                ..Memory::default()
            };
            member.position = Some(Position {
                keys: copy.keys,
                written_unix_ms: copy.written,
                ..Position::default()
            });
        })
    }

    fn pending(self, ordinal: usize, record: Record) -> Self {
        self.change(|_, seen| {
            let member = &mut seen.members[ordinal];
            (member.agent, member.position) = (AgentView::Absent, None);
            if let Some(pod) = &mut member.pod {
                pod.ip = None;
                pod.unschedulable = Some("0/3 nodes are available".into());
            }
            let claim = member.claim.take();
            member.claim = claim.map(|claim| ClaimView { record, ..claim });
        })
    }

    fn waited(self, millis: u64) -> Self {
        self.change(|_, seen| seen.remembered.leaderless_ms = millis)
    }
}

fn leads(group: Group) -> Option<String> {
    promoted(&plan(&group)).map(|(pod, _)| pod)
}

fn asks(group: Group) -> Plan {
    let plan = plan(&group);
    assert_eq!(promoted(&plan), None, "{plan:?}");
    assert!(plan.to_approve.is_some(), "{plan:?}");
    plan
}

#[test]
fn the_last_primarys_volume_leads_however_many_keys_another_has() {
    let again = made_anew(3).has(0, LED).has(1, LEFT).has(2, LEFT);
    let plan = plan(&again);
    let (pod, epoch) = promoted(&plan).expect("no doubt, no question");
    assert_eq!(pod, "shop-0");
    assert!(epoch > EPOCH, "epochs go on: {epoch}");
    // Nor does the order of pods decide.
    let other = made_anew(3).has(2, LED).has(0, FOLLOWED).has(1, FOLLOWED);
    assert_eq!(leads(other).as_deref(), Some("shop-2"));
}

#[test]
fn a_copy_that_was_left_behind_does_not_win_even_if_its_epoch_is_the_same() {
    let same = Copy {
        epoch: EPOCH,
        ..LEFT
    };
    let emptied = Copy { keys: 0, ..LED };
    let again = made_anew(2).has(0, emptied).has(1, same);
    assert_eq!(
        leads(again).as_deref(),
        Some("shop-0"),
        "all keys were deleted"
    );
}

#[test]
fn where_all_that_stayed_is_lost_a_person_is_offered_what_was_left_behind() {
    let lost = || made_anew(3).has(1, LEFT).has(2, Copy { keys: 5, ..LEFT });
    let plan = asks(lost());
    let offered: Vec<_> = plan
        .choices
        .iter()
        .map(|c| (c.pod.as_str(), c.keys, c.left))
        .collect();
    assert_eq!(offered, [("shop-1", 1_000, true), ("shop-2", 5, true)]);
    let digest = plan.choices[1].digest.clone();
    let chosen = lost().change(|wanted, _| wanted.pods.approved = Some(digest));
    assert_eq!(leads(chosen).as_deref(), Some("shop-2"));
    // An answer to another question is none to this one.
    let other = lost().change(|wanted, _| wanted.pods.approved = Some("0123456789abcdef".into()));
    asks(other);
}

#[test]
fn one_copy_with_data_beside_empty_ones_is_no_question() {
    assert_eq!(
        leads(made_anew(3).has(1, UNRECORDED)).as_deref(),
        Some("shop-1")
    );
    assert_eq!(
        leads(made_anew(3).has(2, FOLLOWED)).as_deref(),
        Some("shop-2")
    );
    assert_eq!(leads(made_anew(3)).as_deref(), Some("shop-0"), "all empty");
}

#[test]
fn where_the_primarys_volume_is_lost_the_replica_of_its_epoch_that_took_in_most_leads() {
    let later = Copy {
        written: 20,
        ..FOLLOWED
    };
    let lost = made_anew(3).has(1, FOLLOWED).has(2, later);
    assert_eq!(leads(lost).as_deref(), Some("shop-2"));
    let earlier = Copy {
        epoch: EPOCH - 1,
        keys: 5_000,
        ..LED
    };
    let lost = made_anew(3).has(1, FOLLOWED).has(2, earlier);
    assert_eq!(
        leads(lost).as_deref(),
        Some("shop-1"),
        "a promotion explains it"
    );
}

/// Power is lost: no offset is known, and what is on the volumes is all there is.
#[test]
fn after_a_loss_of_power_of_all_pods_the_recorded_primary_leads() {
    let again = made_anew(3)
        .has(
            0,
            Copy {
                keys: 120,
                written: 30,
                ..FOLLOWED
            },
        )
        .has(1, LED)
        .has(2, FOLLOWED);
    assert_eq!(leads(again).as_deref(), Some("shop-1"));
}

#[test]
fn two_volumes_of_one_snapshot_are_one_copy_until_one_of_them_was_written_to() {
    assert_eq!(
        leads(made_anew(2).has(0, LED).has(1, LED)).as_deref(),
        Some("shop-0")
    );
    let written = Copy {
        keys: 102,
        written: 11,
        ..LED
    };
    let plan = asks(made_anew(2).has(0, LED).has(1, written));
    assert_eq!(plan.choices.len(), 2);
    assert!(
        plan.waiting_for
            .unwrap()
            .contains("two copies of one epoch")
    );
    let dumps = made_anew(2).has(0, UNRECORDED).has(1, UNRECORDED);
    assert_eq!(
        leads(dumps).as_deref(),
        Some("shop-0"),
        "the same dump twice"
    );
}

#[test]
fn of_two_histories_nobody_is_promoted_and_nothing_overwritten() {
    let elsewhere = Copy {
        lineage: "elsewhere",
        epoch: 90,
        ..LED
    };
    for (one, other) in [(LED, elsewhere), (LED, UNRECORDED)] {
        let two = || made_anew(3).has(0, one).has(1, other);
        let plan = asks(two());
        assert!(!names(&plan).contains(&"follow"), "{plan:?}");
        assert!(plan.waiting_for.unwrap().contains("two histories"));
        let keys: Vec<u64> = plan.choices.iter().map(|choice| choice.keys).collect();
        assert_eq!(keys, [one.keys, other.keys]);
    }
}

#[test]
fn a_pod_that_never_ran_keeps_nobody_from_leading() {
    let pending = made_anew(3).pending(2, Record::New).waited(6_000);
    assert_eq!(leads(pending).as_deref(), Some("shop-0"));
    // Not at once: the others start as well.
    assert_eq!(leads(made_anew(3).pending(2, Record::New)), None);
    // One that was heard and told nothing yet has none either.
    let told = Record::Data(Lineage {
        fresh: true,
        ..Lineage::default()
    });
    let heard = made_anew(3).pending(2, told).waited(6_000);
    assert_eq!(leads(heard).as_deref(), Some("shop-0"));
    // Nor one that was never bound, whatever made it.
    let unbound = made_anew(3)
        .pending(2, Record::Unknown)
        .change(|_, seen| seen.members[2].claim.as_mut().unwrap().capacity = None)
        .waited(6_000);
    assert_eq!(leads(unbound).as_deref(), Some("shop-0"));
}

#[test]
fn a_claim_that_may_have_data_is_waited_for_even_if_its_pod_never_ran() {
    for record in [Record::Unknown, recorded(3, "x", true)] {
        let pending = made_anew(3).pending(2, record).waited(600_000);
        let plan = plan(&pending);
        assert_eq!(promoted(&plan), None);
        assert!(plan.waiting_for.unwrap().contains("shop-2"));
    }
}

#[test]
fn a_later_epoch_on_a_volume_that_is_not_heard_is_waited_for_and_asked_about() {
    let lost = |waited| {
        made_anew(2)
            .has(0, LED)
            .pending(1, recorded(EPOCH + 1, "x", false))
            .waited(waited)
    };
    let waits = plan(&lost(30_000));
    assert_eq!((promoted(&waits), waits.to_approve), (None, None));
    assert!(
        waits
            .waiting_for
            .unwrap()
            .contains("shop-1 has data of a later epoch")
    );
    let digest = asks(lost(60_000)).choices[0].digest.clone();
    let chosen = lost(60_000).change(|wanted, _| wanted.pods.approved = Some(digest));
    assert_eq!(leads(chosen).as_deref(), Some("shop-0"));
}

/// 3 -> 1 while it hibernates: the last primary's pod is one that the spec does not ask for.
#[test]
fn a_pod_beyond_comes_for_the_latest_data_leads_and_hands_over() {
    let claims = [
        recorded(EPOCH, "x", false),
        recorded(EPOCH, "x", false),
        recorded(EPOCH, "x", true),
    ];
    let spare: Vec<(u32, &Record)> = (0..).zip(&claims).collect();
    assert_eq!(needed(1, &spare), [2]);

    let begins = made_anew(3).change(|wanted, seen| {
        wanted.pods.count = Some(1);
        seen.members.remove(1);
        seen.lists.clear();
        for (member, record) in seen.members.iter_mut().zip([&claims[0], &claims[2]]) {
            (member.pod, member.agent, member.position) = (None, AgentView::Absent, None);
            member.claim.as_mut().unwrap().record = record.clone();
        }
    });
    assert_eq!(set_size(&begins.wanted, &begins.seen), 3);

    // One pod is there before the other: it is told nothing, and its users are not confirmed, or it would
    // take itself for alone.
    let alone = made_anew(3)
        .has(0, FOLLOWED)
        .has(2, LED)
        .change(|wanted, seen| {
            wanted.pods.count = Some(1);
            seen.members.remove(1);
            seen.lists.clear();
            for (member, record) in seen.members.iter_mut().zip([&claims[0], &claims[2]]) {
                member.claim.as_mut().unwrap().record = record.clone();
                let status = status(member);
                status.members = Default::default();
                status.acl.confirmed = false;
            }
        });
    let one = Group {
        wanted: alone.wanted.clone(),
        seen: alone.seen.clone(),
    }
    .change(|_, seen| {
        (seen.members[1].pod, seen.members[1].agent) = (None, AgentView::Absent);
    });
    let waits = plan(&one);
    let held_back = ["write-lists", "push-members", "push-acl", "promote"];
    assert!(
        names(&waits).iter().all(|step| !held_back.contains(step)),
        "{waits:?}"
    );

    // Both are: they are told of each other.
    let both = plan(&alone);
    let lists = both.lists().expect("they are told");
    assert_eq!(lists[0].uids, [uid(0), uid(2)]);
    let peers = told(&alone.wanted, lists, &alone.seen);
    let informed = alone.change(|_, seen| {
        seen.lists = lists.to_vec();
        for member in &mut seen.members {
            let status = status(member);
            status.members = peers.clone();
            status.acl.confirmed = true;
        }
    });
    assert_eq!(leads(informed).as_deref(), Some("shop-2"));
}

#[test]
fn a_scale_down_marks_what_it_leaves_before_the_pod_goes() {
    let down = || {
        group(3).change(|wanted, seen| {
            wanted.pods.count = Some(1);
            for member in &mut seen.members {
                status(member).memory.left = Some(false);
            }
        })
    };
    let marks = plan(&down());
    assert!(names(&marks).contains(&"mark-left"), "{marks:?}");
    let left = |plan: &Plan| {
        plan.steps.iter().filter(|planned| {
        matches!(&planned.step, Step::WriteRecord { record, .. } if record.is_left())
    }).count()
    };
    assert_eq!(left(&marks), 2);
    assert_eq!(set_size(&down().wanted, &down().seen), 3, "not before");

    let marked = |ordinal: usize| {
        move |_: &mut _, seen: &mut hera_core::instance::Observation| {
            let member = &mut seen.members[ordinal];
            status(member).memory.left = Some(true);
            if let Record::Data(lineage) = &mut member.claim.as_mut().unwrap().record {
                lineage.left = true;
            }
        }
    };
    let done = down().change(marked(1)).change(marked(2));
    assert_eq!(set_size(&done.wanted, &done.seen), 1);
    // What cannot be told is marked on its claim alone.
    let silent = down().change(marked(1)).unheard(2);
    assert_eq!(set_size(&silent.wanted, &silent.seen), 1);
    // The primary's own volume is never left before it handed over.
    let beyond = down().change(|_, seen| {
        seen.members.swap(0, 2);
        for (ordinal, member) in (0..).zip(&mut seen.members) {
            member.ordinal = ordinal;
        }
    });
    let first = plan(&beyond);
    assert!(
        names(&first).contains(&"hand-over") && left(&first) == 0,
        "{first:?}"
    );
}

#[test]
fn a_copy_that_is_to_stay_after_all_loses_the_mark_once_it_is_in_sync() {
    let marked = group(2).change(|_, seen| {
        status(&mut seen.members[1]).memory.left = Some(true);
    });
    let back = plan(&marked);
    assert!(
        back.steps
            .iter()
            .any(|p| matches!(p.step, Step::MarkLeft { left: false, .. }))
    );
    let away = plan(&marked.links_down());
    assert!(!names(&away).contains(&"mark-left"));
}

/// An agent of the release before knows no marks.
#[test]
fn a_scale_down_does_not_wait_for_agents_that_know_no_marks() {
    let down = group(2).change(|wanted, seen| {
        wanted.pods.count = Some(1);
        if let Record::Data(lineage) = &mut seen.members[1].claim.as_mut().unwrap().record {
            lineage.left = true;
        }
    });
    assert!(!names(&plan(&down)).contains(&"mark-left"));
    assert_eq!(set_size(&down.wanted, &down.seen), 1);
}

/// A copy that was left behind is of a later epoch than a history that began anew: it could not follow.
#[test]
fn a_primary_begins_an_epoch_above_that_of_a_copy_of_no_account() {
    let outranked = group(2).change(|_, seen| {
        let memory = &mut status(&mut seen.members[1]).memory;
        (memory.epoch, memory.left) = (EPOCH + 9, Some(true));
        status(&mut seen.members[1]).link = None;
    });
    let (pod, epoch) = promoted(&plan(&outranked)).expect("it begins another");
    assert_eq!((pod.as_str(), epoch), ("shop-0", EPOCH + 10));
}

#[test]
fn what_stands_on_a_claim_is_written_before_the_first_order() {
    let first = made_anew(1).change(|_, seen| {
        seen.members[0].claim.as_mut().unwrap().record = Record::New;
    });
    let plan = plan(&first);
    let Step::WriteRecord { record, .. } = &plan.steps[0].step else {
        panic!("{plan:?}")
    };
    assert_eq!(
        record.rank(),
        (1, true),
        "one that is alone promotes itself"
    );
    assert!(group(3).change(|_, _| ()).seen.members.len() == 3);
}

/// A pass heals before it reads the spec: the two must not write in turn.
#[test]
fn before_the_spec_is_read_no_mark_changes() {
    let mut marked = group(3).change(|wanted, seen| {
        wanted.pods.count = None;
        wanted.pods.paused = true;
        for member in &mut seen.members[1..] {
            status(member).memory.left = Some(true);
            if let Record::Data(lineage) = &mut member.claim.as_mut().unwrap().record {
                lineage.left = true;
            }
        }
    });
    let writes = |plan: &Plan| {
        let mut steps = plan.steps.iter().map(|planned| &planned.step);
        steps.any(|step| matches!(step, Step::WriteRecord { .. } | Step::MarkLeft { .. }))
    };
    assert!(!writes(&plan(&marked)));
    marked.wanted.pods.count = Some(1);
    marked.wanted.pods.paused = false;
    assert!(!writes(&plan(&marked)));
}
