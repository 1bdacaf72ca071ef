//! Volumes that are full: who leads, and what is said.

use hera_core::agent::{Connections, RefusedWrites, Space};
use hera_core::instance::{Plan, Step, verdict};
use hera_core::shard::Cause;

use crate::fixtures::{Group, group, names, plan, promoted, status};

fn refused() -> RefusedWrites {
    RefusedWrites {
        words: "MISCONF Errors writing to the AOF file: No space left on device".into(),
        full: true,
        free_below_mib: Some(1),
    }
}

/// The volume of these pods is full, and their servers refuse writes.
fn full(group: Group, ordinals: &[usize]) -> Group {
    let mut group = group;
    for ordinal in ordinals {
        let volume = &mut status(&mut group.seen.members[*ordinal]).volume;
        volume.space = Space::Full;
        volume.refused_writes = Some(refused());
    }
    group
}

fn space(group: Group, ordinal: usize, space: Space) -> Group {
    group.change(|_, seen| status(&mut seen.members[ordinal]).volume.space = space)
}

fn successor(plan: &Plan) -> Option<&str> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::HandOver { to, .. } => Some(to.name.as_str()),
        _ => None,
    })
}

fn leader(group: &Group) -> Option<String> {
    promoted(&plan(group)).map(|(pod, _)| pod)
}

fn dead() -> Group {
    group(3).crash(0).links_down()
}

#[test]
fn of_copies_with_the_same_data_one_that_can_write_is_promoted() {
    let equal = |ordinals: &[usize]| full(dead().at(0, 90, 9).at(1, 80, 9).at(2, 80, 9), ordinals);
    assert_eq!(leader(&equal(&[])).as_deref(), Some("shop-1"));
    assert_eq!(leader(&equal(&[1])).as_deref(), Some("shop-2"));
    assert_eq!(leader(&equal(&[2])).as_deref(), Some("shop-1"));
    let nearly = space(
        dead().at(0, 90, 9).at(1, 80, 9).at(2, 80, 9),
        1,
        Space::Full,
    );
    assert_eq!(
        leader(&nearly).as_deref(),
        Some("shop-2"),
        "next to nothing"
    );
}

#[test]
fn where_all_volumes_are_full_the_best_copy_leads() {
    let all = full(dead().at(0, 90, 9).at(1, 80, 9).at(2, 85, 9), &[0, 1, 2]);
    assert_eq!(leader(&all).as_deref(), Some("shop-2"));
}

/// What it lacks was acknowledged: it takes that over first, and leads then.
#[test]
fn a_copy_that_can_write_and_lacks_data_leads_after_the_full_one_that_has_it() {
    let before = full(dead().at(0, 90, 9).at(1, 80, 9).at(2, 85, 9), &[2]);
    assert_eq!(leader(&before).as_deref(), Some("shop-2"));
    assert_eq!(successor(&plan(&full(group(3), &[0]))), Some("shop-1"));
}

#[test]
fn a_full_primary_hands_over_only_to_a_copy_in_sync_with_room_for_its_data_once_more() {
    assert_eq!(successor(&plan(&full(group(3), &[0, 1]))), Some("shop-2"));
    let low = space(full(group(2), &[0]), 1, Space::Low);
    assert_eq!(
        successor(&plan(&low)),
        None,
        "it would be full soon as well"
    );
    assert_eq!(successor(&plan(&full(group(3), &[0, 1, 2]))), None);
    assert_eq!(successor(&plan(&full(group(2), &[0]).quiet(1))), None);
    let unsaved =
        full(group(2), &[0]).change(|_, seen| status(&mut seen.members[1]).memory.unsaved = true);
    assert_eq!(successor(&plan(&unsaved)), None);
    let nearly = space(group(3), 0, Space::Low);
    assert_eq!(plan(&nearly).steps, vec![], "it takes writes still");
    let paused = full(group(3), &[0]).change(|wanted, _| wanted.pods.paused = true);
    assert_eq!(successor(&plan(&paused)), Some("shop-1"));
}

#[test]
fn a_planned_change_leads_to_a_copy_that_can_write_and_else_waits() {
    let ends = |group: Group| {
        group.change(|_, seen| seen.members[0].pod.as_mut().unwrap().deleting = true)
    };
    assert_eq!(
        successor(&plan(&ends(full(group(3), &[1])))),
        Some("shop-2")
    );
    // Its pod is to end: reads go on at least.
    assert_eq!(
        successor(&plan(&ends(full(group(2), &[1])))),
        Some("shop-1")
    );
    let roll = |ordinals: &[usize]| full(group(3).outdated(&[0]), ordinals);
    assert_eq!(successor(&plan(&roll(&[1]))), Some("shop-2"));
    let stuck = plan(&roll(&[1, 2]));
    assert_eq!((successor(&stuck), names(&stuck).len()), (None, 0));
    assert!(stuck.waiting_for.is_some());
    assert_eq!(successor(&plan(&roll(&[0, 1, 2]))), Some("shop-1"));
}

/// It would give way, be asked for again, and so on for ever.
#[test]
fn a_full_copy_that_is_asked_for_is_refused_while_the_primary_can_write() {
    let asked = |ordinals: &[usize]| {
        full(group(3), ordinals).change(|wanted, _| wanted.promote = Some("shop-1".into()))
    };
    assert_eq!(successor(&plan(&asked(&[]))), Some("shop-1"));
    let refused = plan(&asked(&[1]));
    assert_eq!(successor(&refused), None);
    assert!(refused.refused.unwrap().contains("takes no writes"));
    assert_eq!(successor(&plan(&asked(&[0, 1, 2]))), Some("shop-1"));
}

#[test]
fn the_verdict_names_pods_and_words_and_the_cause_is_no_failure_of_the_server() {
    let judged = |group: &Group| verdict(&group.wanted, &group.seen, &plan(group));
    let fine = judged(&group(3));
    assert_eq!((fine.refused_writes, fine.short_of_space), (None, vec![]));
    let all = judged(&full(group(3), &[0, 1, 2]));
    assert_eq!(all.cause, Cause::Serving);
    assert_eq!(all.ready, 3, "reads work");
    assert_eq!(all.refused_writes, Some(("shop-0".into(), refused())));
    assert_eq!(all.short_of_space.len(), 3);
    let replica = judged(&full(group(3), &[2]));
    assert_eq!(replica.refused_writes, None);
    assert_eq!(replica.short_of_space[0].pod, "shop-2");
    let warned = judged(&space(group(3), 0, Space::Low));
    assert_eq!(warned.refused_writes, None);
    assert_eq!(warned.short_of_space[0].volume.space, Space::Low);
    let stuck = judged(&group(3).change(|_, seen| {
        let volume = &mut status(&mut seen.members[1]).volume;
        volume.state_error = Some("/data/.hera/state: No space left on device".into());
    }));
    assert_eq!(stuck.short_of_space[0].pod, "shop-1");
}

#[test]
fn few_connections_are_told_of_each_pod_and_change_nothing_else() {
    let few = Connections {
        open: Some(9_100),
        limit: Some(10_000),
        all_taken: false,
    };
    let group = group(3).change(|_, seen| {
        status(&mut seen.members[1]).connections = Some(few.clone());
    });
    let plan = plan(&group);
    assert!(names(&plan).is_empty(), "{plan:?}");
    let verdict = verdict(&group.wanted, &group.seen, &plan);
    let told = verdict.crowded.iter();
    let told: Vec<_> = told.map(|c| (c.pod.as_str(), &c.connections)).collect();
    assert_eq!(told, [("shop-1", &few)]);
}
