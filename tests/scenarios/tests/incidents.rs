//! Incidents of other operators (the numbers are those of the catalogue), told again on the model.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hera_core::agent::Question;
use hera_core::fence::{Desk, Promise, Wait, Watch, vouches};
use hera_tests_scenarios::{Data, Persistence, Process, Role, Rules, Setup, World};

/// Its primaries stop after this without a confirmation.
const FENCE: u64 = 3_000;
/// The longest that a failover without proof takes: the fence, its margin, a Lease that runs out, and
/// a few looks.
const UNPROVEN: u64 = FENCE + 2_000 + 6_000 + 3_000;

/// An instance that has settled and was written to for a while.
fn instance(pods: usize, persistence: Persistence) -> World {
    let mut world = World::new(&Setup {
        seed: 7,
        pods,
        fence_after: FENCE,
        persistence,
        surge: true,
        min_replicas: 0,
        hears_for: 1_600,
        rules: Rules::default(),
        journal: true,
    });
    assert!(
        world.until(20_000, World::is_settled),
        "{:#?}",
        world.journal
    );
    world.pass_time(5_000);
    world
}

fn primary(world: &World) -> (usize, Data) {
    let primary = world.primary().unwrap();
    (primary, world.pods[primary].data)
}

fn replica(world: &World) -> usize {
    world
        .listed()
        .find(|pod| world.pods[*pod].role == Role::Replica)
        .unwrap()
}

/// Mends everything: the one primary.
fn ends_well(world: &mut World) -> usize {
    world.mend();
    world.pass_time(5_000);
    assert!(
        world.until(30_000, World::is_settled),
        "{:#?}",
        world.journal
    );
    assert!(
        world.breach.is_none(),
        "{:?} {:#?}",
        world.breach,
        world.journal
    );
    primary(world).0
}

#[test]
fn p03_all_pods_updated_at_once_come_back_with_their_keys() {
    let mut world = instance(3, Persistence::Appends);
    let (_, had) = primary(&world);
    for pod in 0..3 {
        world.restart_pod(pod, false);
    }
    assert_eq!(world.primary(), None);
    let pod = ends_well(&mut world);
    assert!(world.keeps(pod, had));
}

#[test]
fn p04_nothing_is_handed_over_to_a_replica_that_is_not_in_sync() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    for other in world.listed().filter(|other| *other != old) {
        world.part(old, other);
    }
    world.pass_time(1_000);
    world.api.wish = true;
    world.pass_time(2_000);
    assert_eq!(world.primary(), Some(old), "it serves on");
    let (_, had) = primary(&world);
    world.heal_network();
    assert!(world.until(10_000, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    let pod = ends_well(&mut world);
    assert!(world.keeps(pod, had));
}

#[test]
fn p05_an_empty_primary_never_wipes_its_replicas() {
    let mut world = instance(3, Persistence::None);
    let (old, had) = primary(&world);
    world.crash_server(old);
    assert!(world.until(5_000, |world| world.primary().is_some()));
    let (new, _) = primary(&world);
    assert_ne!(new, old);
    let pod = ends_well(&mut world);
    // What was on its way to the replicas at that moment is lost, no more.
    let reached = Data {
        len: had.len - 5,
        ..had
    };
    assert!(world.keeps(pod, reached) && world.keeps(old, reached));
}

#[test]
fn p07_an_operator_that_comes_back_goes_by_what_it_finds() {
    let mut world = instance(3, Persistence::Appends);
    let leader = world.leader().unwrap();
    let (old, _) = primary(&world);
    world.crash_server(old);
    world.pass_time(100);
    world.stop_operator(leader);
    assert!(world.until(20_000, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    world.pass_time(5_000);
    let (new, had) = primary(&world);
    let promotions = world.promotions;
    world.wake_operator(leader);
    world.pass_time(20_000);
    assert_eq!((world.primary(), world.promotions), (Some(new), promotions));
    let pod = ends_well(&mut world);
    assert!(world.keeps(pod, had));
}

#[test]
fn p08_a_full_restart_ends_with_the_copy_that_has_everything() {
    let mut world = instance(3, Persistence::Appends);
    let behind = replica(&world);
    for other in world.listed().filter(|other| *other != behind) {
        world.part(behind, other);
    }
    world.pass_time(3_000);
    let (_, had) = primary(&world);
    assert!(!world.keeps(behind, had));
    for pod in 0..3 {
        world.restart_pod(pod, false);
    }
    let pod = ends_well(&mut world);
    assert!(world.keeps(pod, had) && world.keeps(behind, had));
}

#[test]
fn p14_of_several_primaries_one_is_left_without_anybody_doing_anything() {
    let mut world = instance(4, Persistence::Appends);
    let (old, _) = primary(&world);
    world.isolate(old);
    assert!(world.until(UNPROVEN, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    assert!(world.pods[old].fenced && !world.pods[old].serves());
    let new = primary(&world).0;
    assert_eq!(ends_well(&mut world), new);
    assert_eq!(world.pods[old].role, Role::Replica);
}

#[test]
fn p15_clients_are_not_left_with_a_dead_primary() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    world.crash_server(old);
    let led = |world: &World| {
        world
            .api
            .endpoint
            .is_some_and(|pod| world.pods[pod].serves())
    };
    assert!(world.until(5_000, led), "{:#?}", world.journal);
    assert!(world.until(10_000, World::is_settled));
    let (old, _) = primary(&world);
    world.isolate(old);
    let anew = |world: &World| led(world) && world.api.endpoint != Some(old);
    assert!(world.until(UNPROVEN, anew), "{:#?}", world.journal);
    ends_well(&mut world);
}

#[test]
fn p17_a_replica_that_missed_a_failover_is_led_to_the_primary_of_today() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    let away = replica(&world);
    world.isolate(away);
    world.crash_server(old);
    assert!(world.until(10_000, |world| world.primary().is_some()));
    world.pass_time(1_000);
    assert!(!world.is_settled(), "one has no link");
    ends_well(&mut world);
    assert!(world.pods[away].link_up);
}

#[test]
fn p19_a_leader_that_was_stopped_in_the_middle_starts_no_second_failover() {
    for stop_after in (0..=1_000).step_by(50) {
        let mut world = instance(3, Persistence::Appends);
        let leader = world.leader().unwrap();
        let (old, _) = primary(&world);
        world.crash_server(old);
        world.pass_time(stop_after);
        world.stop_operator(leader);
        world.until(20_000, |world| world.primary().is_some());
        world.pass_time(200);
        let (new, promotions) = (world.primary(), world.promotions);
        world.wake_operator(leader);
        world.pass_time(10_000);
        assert_eq!(
            (world.primary(), world.promotions),
            (new, promotions),
            "{stop_after}"
        );
        ends_well(&mut world);
    }
}

#[test]
fn p20_a_pod_that_is_not_reached_blocks_only_itself() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    let away = replica(&world);
    world.isolate(away);
    world.pass_time(5_000);
    world.crash_server(old);
    assert!(
        world.until(4_000, |world| world.primary().is_some()),
        "{:#?}",
        world.journal
    );
    ends_well(&mut world);
}

#[test]
fn p21_who_is_left_of_a_lost_zone_goes_on_if_it_is_half() {
    let mut world = instance(4, Persistence::Appends);
    let (old, _) = primary(&world);
    world.isolate(old);
    world.isolate(replica(&world));
    assert!(world.until(UNPROVEN, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    ends_well(&mut world);

    let mut world = instance(5, Persistence::Appends);
    let (old, _) = primary(&world);
    let others: Vec<_> = world.listed().filter(|pod| *pod != old).collect();
    world.isolate(old);
    for pod in others.iter().take(2) {
        world.isolate(*pod);
    }
    world.pass_time(60_000);
    assert_eq!(world.primary(), None, "two of five cannot know");
    ends_well(&mut world);
}

#[test]
fn p23_a_primary_that_comes_back_follows() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    world.isolate(old);
    assert!(world.until(UNPROVEN, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    world.pass_time(2_000);
    let (new, had) = primary(&world);
    assert_eq!(ends_well(&mut world), new);
    assert!(world.keeps(old, had) && world.pods[old].role == Role::Replica);
}

#[test]
fn p24_the_role_is_what_the_server_says_and_no_ordinal_has_one() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    world.api.wish = true;
    assert!(world.until(5_000, |world| world.primary().is_some_and(|pod| pod != old)));
    assert!(world.until(5_000, World::is_settled));
    let (new, promotions) = (world.primary(), world.promotions);
    world.crash_operator(0);
    world.crash_operator(1);
    world.pass_time(30_000);
    assert_eq!((world.primary(), world.promotions), (new, promotions));
    ends_well(&mut world);
}

#[test]
fn p27_pods_that_start_together_get_one_primary() {
    for pods in 2..=5 {
        let mut world = instance(pods, Persistence::Snapshots);
        assert_eq!(world.promotions, 1);
        for pod in 0..pods {
            world.restart_pod(pod, true);
        }
        let running = |world: &World| world.pods.iter().all(|pod| pod.process == Process::Running);
        assert!(world.until(20_000, running));
        ends_well(&mut world);
        assert_eq!(world.promotions, 2);
    }
}

#[test]
fn a_primary_that_was_frozen_past_its_fence_stops_when_it_wakes() {
    let mut world = instance(3, Persistence::Appends);
    let (old, _) = primary(&world);
    world.freeze(old);
    assert!(world.until(UNPROVEN, |world| {
        world.primary().is_some_and(|pod| pod != old)
    }));
    world.thaw(old);
    world.pass_time(200);
    assert!(world.pods[old].fenced, "its agent looked at the clock");
    ends_well(&mut world);
}

fn question(number: u64) -> Question {
    Question {
        number,
        pod_uid: "a".to_owned(),
        epoch: 7,
    }
}

fn primary_of(pods: &[&str], since: u64) -> Watch {
    let mut watch = Watch::new(7, "a", since);
    watch.set_members(FENCE, pods.iter().map(|pod| (*pod).to_owned()));
    watch
}

/// A promise that was made at that time, by one that had vouched until then.
fn promised_at(vouched: u64) -> Promise {
    Promise {
        promised_epoch: 7,
        vouched,
    }
}

/// The desk of one who led before is as it was left; another has confirmed the primary since.
#[test]
fn a_leader_that_led_before_waits_anew() {
    let (first, mut second) = (Desk::default(), Desk::default());
    let mut watch = primary_of(&["a", "b", "c"], 0);
    let promises = [promised_at(0), promised_at(0)];
    assert!(first.may_promote(7, &promises, 3, FENCE, 0, 100).is_err());
    let asked = watch.ask(4_900).unwrap();
    assert!(second.confirm(&asked, 4_950));
    watch.confirmed_by_operator(asked.number, 7);
    let back = 5_200;
    assert!(!watch.must_stop(back));
    assert_eq!(
        first.may_promote(7, &promises, 3, FENCE, 0, back),
        Ok(()),
        "without the wait it would be sure"
    );
    let until = back + FENCE + 2_000;
    let waits = first.may_promote(7, &promises, 3, FENCE, back, back);
    assert_eq!(waits, Err(Wait::Until(until)));
    assert!(watch.must_stop(until));
}

/// A primary counts itself, so its promise must not count as well: its agent refuses to give one.
#[test]
fn the_promise_of_the_primary_itself_proves_nothing() {
    let mut watch = primary_of(&["a", "b"], 0);
    let desk = Desk::default();
    let of_the_primary = [promised_at(0)];
    assert!(
        desk.may_promote(7, &of_the_primary, 2, FENCE, 0, 0)
            .is_err()
    );
    let asked = watch.ask(4_000).unwrap();
    assert!(vouches(&asked, 0, (7, "a")));
    watch.vouched_by(asked.number, "b");
    assert_eq!(
        desk.may_promote(7, &of_the_primary, 2, FENCE, 0, 5_000),
        Ok(())
    );
    assert!(!watch.must_stop(5_000), "and yet it serves");
    assert!(
        !vouches(&question(2), 7, (7, "a")),
        "the other's promise does prove something"
    );
}

/// Tokens are good for 5 s: with a shorter limit the fence may be over when the order arrives.
#[test]
fn a_promotion_with_a_token_older_than_the_limit_is_over_before_it_begins() {
    let (given, arrives) = (1_000, 5_900);
    assert!(primary_of(&["a", "b"], given).must_stop(arrives));
}
