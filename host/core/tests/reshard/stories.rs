//! Single situations, each with what is ordered in it.

use std::collections::BTreeMap;

use hera_core::cluster::{
    Command, Failover, LargeKey, Moving, MovingState, Plan, Rule, SlotSet, Step, Wanted, Way,
    decide, guard, why_not_whole,
};
use hera_core::rebalance::SlotMove;
use hera_core::reshard::{Going, Job, bytes_in, next};
use hera_core::shard::Target;

use crate::play::{Game, slots_of, words};
use crate::world::{Pod, Version, World};

fn game(way: Way) -> Game {
    let world = World::new(&SlotSet::even(3), 1, Version::default());
    let mut game = Game::new(world, way, 7);
    for slot in (0..200_u16).step_by(5) {
        game.world.write(slot, 1);
    }
    game
}

fn step(source: u32, target: u32, slots: (u16, u16)) -> SlotMove {
    SlotMove {
        source,
        target,
        slots: vec![slots],
    }
}

fn orders(game: &Game) -> Vec<String> {
    let seen = game.world.observe();
    let steps = game.next(&seen, true).steps;
    let plan = Plan {
        steps,
        waiting_for: None,
    };
    guard(&plan, &seen).unwrap();
    words(&plan.steps)
}

#[test]
fn each_way_is_ordered_where_it_is_driven() {
    let with = |way| {
        let mut game = game(way);
        game.moves = vec![step(0, 1, (0, 999))];
        orders(&game)
    };
    assert_eq!(with(Way::Keys), ["pod-0-0: give 0-255 to id-1-0"]);
    assert_eq!(with(Way::Import), ["pod-1-0: take 0-511 from id-0-0"]);
    assert_eq!(with(Way::Export), ["pod-0-0: give 0-511 to id-1-0"]);
}

/// Valkey deletes what it gave in one go: a job has as many keys as that may take (redis-facts §1.4).
#[test]
fn what_is_given_whole_has_no_more_keys_than_the_stall_allows() {
    let mut game = game(Way::Export);
    game.moves = vec![step(0, 1, (0, 999))];
    let mut seen = game.world.observe();
    // A thousand keys in each slot.
    seen.nodes[0].server.as_mut().unwrap().keys = 5_461_000;
    let next = game.next(&seen, true);
    assert_eq!(slots_of(&next.steps[0].command).len(), 20);
}

/// However many keys a slot has: a roll waits for the end of a job.
#[test]
fn what_is_given_key_by_key_is_not_too_many_keys() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (0, 999))];
    let mut seen = game.world.observe();
    let mut slots = |keys: u64| {
        seen.nodes[0].server.as_mut().unwrap().keys = keys;
        slots_of(&game.next(&seen, true).steps[0].command).len()
    };
    // A thousand keys in each slot; and more than a job has.
    assert_eq!(slots(5_461_000), 20);
    assert_eq!(slots(546_100_000), 1);
}

#[test]
fn pairs_of_servers_move_beside_each_other_and_no_server_twice() {
    let world = World::new(&SlotSet::even(4), 1, Version::default());
    let mut game = Game::new(world, Way::Keys, 7);
    game.moves = vec![
        step(0, 1, (0, 9)),
        step(0, 3, (10, 19)),
        step(2, 3, (9_000, 9_009)),
    ];
    let both = [
        "pod-0-0: give 0-9 to id-1-0",
        "pod-2-0: give 9000-9009 to id-3-0",
    ];
    assert_eq!(orders(&game), both);
    assert_eq!(game.next(&game.world.observe(), true).left, 30);
}

#[test]
fn a_plan_that_waits_begins_nothing_and_stops_what_runs() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (0, 99))];
    let waits = |game: &Game| words(&game.next(&game.world.observe(), false).steps);
    assert!(waits(&game).is_empty());
    game.pass();
    assert!(orders(&game).is_empty());
    assert_eq!(waits(&game), ["pod-0-0: move no more slots"]);
    game.moves.clear();
    assert_eq!(orders(&game), ["pod-0-0: move no more slots"]);
}

/// P31, redis-facts §1.3: whatever is left of a move that was cut off.
#[test]
fn half_moved_slots_go_on_to_where_their_keys_are() {
    let both = |game: &mut Game| {
        game.world.pods[0].given.insert(5, "id-1-0".to_owned());
        game.world.pods[2].taken.insert(5, "id-0-0".to_owned());
    };
    let with = |change: &dyn Fn(&mut Game)| {
        let mut game = game(Way::Import);
        change(&mut game);
        orders(&game)
    };
    let goes_on = ["pod-0-0: give 5 to id-1-0"];
    assert_eq!(with(&both), goes_on);
    assert_eq!(
        with(&|game| {
            both(game);
            game.world.pods[0].given.clear();
        }),
        goes_on
    );
    assert_eq!(
        with(&|game| {
            both(game);
            game.world.pods[2].taken.clear();
        }),
        goes_on
    );
    // The target's replica took over, and knows nothing of it.
    assert_eq!(
        with(&|game| {
            both(game);
            game.world.kill(2);
            game.world.obey(
                3,
                &Command::Failover {
                    how: Failover::Force,
                    primary: "id-1-0".to_owned(),
                },
            );
        }),
        ["pod-0-0: give 5 to id-1-1"]
    );
    // Who gave it away has not cleared its mark.
    assert_eq!(
        with(&|game| {
            game.world.pods[0].given.insert(9_000, "id-1-0".to_owned());
        }),
        ["pod-0-0: close 9000"]
    );
}

#[test]
fn a_half_moved_slot_whose_other_end_nobody_knows_is_left_to_a_person() {
    let mut game = game(Way::Keys);
    game.world.pods[0].given.insert(5, "gone".to_owned());
    assert!(orders(&game).is_empty());
    let waits = game.next(&game.world.observe(), true).waiting_for.unwrap();
    assert!(
        waits.contains("CLUSTER SETSLOT 5 STABLE at pod-0-0"),
        "{waits}"
    );
    game.moves = vec![step(0, 2, (5, 5))];
    assert_eq!(orders(&game), ["pod-0-0: give 5 to id-2-0"]);
}

#[test]
fn slots_with_keys_that_are_too_large_are_told_and_stay() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (5, 6))];
    game.world.pods[0].moving = Some(Moving {
        state: MovingState::Done,
        too_large: vec![LargeKey {
            slot: 5,
            bytes: 5_000_000,
            ..LargeKey::default()
        }],
        ..Moving::default()
    });
    game.stays = SlotSet::of([(5, 5)]);
    let next = game.next(&game.world.observe(), true);
    assert_eq!((next.left, next.too_large.len()), (1, 1));
    assert_eq!(orders(&game), ["pod-0-0: give 6 to id-1-0"]);
    // The next job tells of its own slots alone.
    game.world.pods[0]
        .moving
        .as_mut()
        .unwrap()
        .too_large
        .clear();
    assert_eq!(orders(&game), ["pod-0-0: give 6 to id-1-0"]);
    // Somebody dealt with the key, or allows more.
    game.stays = SlotSet::default();
    assert_eq!(orders(&game), ["pod-0-0: give 5-6 to id-1-0"]);
}

/// Its server tells it until the next job, whatever may be sent by now.
#[test]
fn a_key_that_was_too_large_is_told_no_more_once_a_step_may_take_longer() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (5, 5))];
    game.world.pods[0].moving = Some(Moving {
        state: MovingState::Done,
        too_large: vec![LargeKey {
            slot: 5,
            bytes: bytes_in(100) + 1,
            ..LargeKey::default()
        }],
        ..Moving::default()
    });
    let seen = game.world.observe();
    let with = |max_stall_ms| {
        let job = Job {
            seen: &seen,
            wanted: game.world.wanted,
            keep: game.keep,
            moves: &game.moves,
            stays: &game.stays,
            way: game.way,
            max_stall_ms,
            going: Going::On,
        };
        next(&job).too_large.len()
    };
    assert_eq!((with(100), with(101)), (1, 0));
}

#[test]
fn a_job_that_failed_is_told() {
    let mut game = game(Way::Keys);
    game.world.pods[0].moving = Some(Moving {
        state: MovingState::Failed,
        words: "NOAUTH".to_owned(),
        ..Moving::default()
    });
    let next = game.next(&game.world.observe(), true);
    assert_eq!(next.failed.as_deref(), Some("pod-0-0: NOAUTH"));
}

/// A right that a server lacks (P33), or a login that another does not take (P37), is told in its own words; what is
/// between others goes on, and the same is ordered again.
#[test]
fn p33_p37_a_job_that_is_let_in_nowhere_is_told_and_holds_up_no_other() {
    for words in ["NOPERM no permission to run restore-asking", "NOAUTH"] {
        let world = World::new(&SlotSet::even(4), 1, Version::default());
        let mut game = Game::new(world, Way::Keys, 7);
        game.moves = vec![step(0, 1, (0, 9)), step(2, 3, (9_000, 9_009))];
        game.world.pods[0].moving = Some(Moving {
            state: MovingState::Failed,
            words: words.to_owned(),
            ..Moving::default()
        });
        let next = game.next(&game.world.observe(), true);
        assert_eq!(next.failed, Some(format!("pod-0-0: {words}")));
        assert_eq!((next.left, next.running), (20, 0));
        let both = [
            "pod-0-0: give 0-9 to id-1-0",
            "pod-2-0: give 9000-9009 to id-3-0",
        ];
        assert_eq!(orders(&game), both);
    }
}

/// Its pods join, and the plan is about to give it slots.
fn with_a_new_shard() -> Game {
    let mut game = game(Way::Keys);
    game.world.add_shard();
    game.keep = 4;
    game.moves = vec![step(0, 3, (0, 99))];
    for _ in 0..60 {
        let seen = game.world.observe();
        if !game.next(&seen, true).steps.is_empty() {
            return game;
        }
        let plan = decide(game.world.wanted, &seen);
        guard(&plan, &seen).unwrap();
        for step in &plan.steps {
            game.obey(step);
        }
        game.meanwhile();
    }
    panic!(
        "it gets no slot: {:#?}",
        game.next(&game.world.observe(), true)
    );
}

#[test]
fn a_new_shard_has_its_replicas_before_it_takes_slots() {
    let game = with_a_new_shard();
    let (first, second) = (&game.world.pods[6], &game.world.pods[7]);
    assert!(first.own().epoch > 0, "it has an epoch of its own");
    assert_eq!(second.own().replica_of.as_deref(), Some("id-3-0"));
    assert_eq!(orders(&game), ["pod-0-0: give 0-99 to id-3-0"]);
}

/// Once it imports a slot it does not hear any more whose that is, and refuses keys of one that is nobody's.
#[test]
fn a_new_shard_takes_slots_once_it_has_heard_whose_they_are() {
    let mut game = with_a_new_shard();
    let view = game.world.pods[6].knows.get_mut("id-0-0").unwrap();
    let told = std::mem::take(&mut view.slots);
    let plan = game.next(&game.world.observe(), true);
    assert_eq!(words(&plan.steps), [""; 0]);
    let waits = plan.waiting_for.unwrap();
    assert!(waits.contains("once it has heard"), "{waits}");
    let view = game.world.pods[6].knows.get_mut("id-0-0").unwrap();
    view.slots = told;
    assert_eq!(orders(&game), ["pod-0-0: give 0-99 to id-3-0"]);
}

/// It took slots under an epoch below that of who had them, whose next word took them back, and deleted their keys.
#[test]
fn who_has_not_heard_the_epoch_of_a_source_takes_no_slot_of_it() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (0, 99))];
    game.world.pods[0].own_mut().epoch = 9;
    let plan = game.next(&game.world.observe(), true);
    assert_eq!(words(&plan.steps), [""; 0]);
    let waits = plan.waiting_for.unwrap();
    assert!(waits.contains("once it has heard"), "{waits}");
    game.world.gossip(0, 2);
    assert_eq!(orders(&game), ["pod-0-0: give 0-99 to id-1-0"]);
}

/// A new primary has an epoch and no slots, as one that left has: only who is known to nobody joins as another.
/// An order came late: who gives takes as well, before it has heard that what it gave arrived. It would have a later
/// epoch than who has that by now.
#[test]
fn who_gives_a_slot_takes_none_from_a_third() {
    let mut game = game(Way::Keys);
    let give = |slot: u16, to: &str| Command::GiveSlots {
        slots: SlotSet::of([(slot, slot)]),
        target: to.to_owned(),
        ip: format!("at-{to}"),
        port: 6379,
        way: Way::Keys,
        max_stall_ms: 100,
    };
    game.world.obey(0, &give(5, "id-2-0"));
    while !game.world.pods[4].own().slots.contains(5) {
        game.world.work(0);
    }
    assert!(game.world.pods[0].own().slots.contains(5));
    game.moves = vec![step(1, 0, (6_000, 6_000))];
    game.world.pods[0].job = None;
    game.world.pods[0].moving = None;
    let waits = game.next(&game.world.observe(), true).waiting_for.unwrap();
    assert!(waits.contains("slot 5, which is half moved"), "{waits}");
    game.world.obey(2, &give(6_000, "id-0-0"));
    for _ in 0..10 {
        game.world.work(2);
    }
    assert!(game.world.pods[2].own().slots.contains(6_000));
    // Nor does it take an epoch, as long as its own job runs.
    game.world.obey(0, &give(4, "id-2-0"));
    let epoch = game.world.pods[0].own().epoch;
    game.world.obey(0, &Command::BumpEpoch);
    assert_eq!(game.world.pods[0].own().epoch, epoch);
    game.until_the_end(0, 200);
    game.check();
    game.check_moved();
}

#[test]
fn a_new_primary_is_not_told_to_join_as_another() {
    let game = with_a_new_shard();
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    assert_eq!(words(&plan.steps), [""; 0]);
    let rejoin = |id: &str| Plan {
        steps: vec![Step {
            pod: seen.nodes[6].pod.clone(),
            command: Command::Rejoin { id: id.to_owned() },
            reason: String::new(),
        }],
        waiting_for: None,
    };
    let broken = guard(&rejoin("id-3-0"), &seen).unwrap_err();
    assert_eq!(broken.rule, Rule::KeepsKeys);
}

/// It had taken keys, and no slot yet: nobody votes about a primary without slots.
#[test]
fn the_replica_of_a_new_shard_takes_over_with_what_its_primary_took() {
    let mut game = with_a_new_shard();
    for step in game.next(&game.world.observe(), true).steps {
        game.obey(&step);
    }
    for _ in 0..3 {
        game.world.work(0);
    }
    let new = &game.world.pods[6];
    assert!(new.count() > 0 && new.own().slots.is_empty());
    game.world.kill(6);
    let plan = decide(game.world.wanted, &game.world.observe());
    assert_eq!(words(&plan.steps), ["pod-3-1: take over (Takeover)"]);
    game.world.come_back(6);
    game.until_the_end(0, 600);
    game.check();
    game.check_moved();
}

/// Its nodes.conf is of before its shard left, and so are its keys: they give way.
#[test]
fn a_shard_that_comes_back_on_old_volumes_joins_with_nothing() {
    let old = |keys: bool, slots: bool, follows: bool| {
        let mut game = game(Way::Keys);
        game.world.add_shard();
        game.keep = 4;
        let known = game.world.pods[0].knows.clone();
        for at in [6, 7] {
            let pod = &mut game.world.pods[at];
            pod.knows.extend(known.clone());
            // What it took for the truth then is long past.
            for (id, view) in &mut pod.knows {
                if *id != pod.id {
                    (view.epoch, view.slots) = (0, SlotSet::default());
                }
            }
            let own = pod.own_mut();
            own.epoch = 1;
            if slots && at == 6 {
                own.slots = SlotSet::of([(100, 199)]);
            }
            if follows && at == 7 {
                own.replica_of = Some("id-of-before".to_owned());
            }
            if keys {
                pod.keys.entry(150).or_default().insert(9, 1);
            }
        }
        game
    };
    for (keys, slots, follows) in [
        (false, false, false),
        (false, false, true),
        (true, true, true),
        (true, false, true),
        (true, false, false),
        (true, true, false),
    ] {
        let mut game = old(keys, slots, follows);
        // Others have later words for what it had.
        for at in [0, 2, 4] {
            let pod = &mut game.world.pods[at];
            pod.own_mut().epoch += 10;
        }
        game.moves = vec![step(0, 3, (0, 50))];
        game.until_the_end(0, 600);
        game.check();
        game.check_moved();
        let led = &game.world.pods[6];
        let is_another = slots || led.id.ends_with("-again");
        assert!(is_another, "what it knows is of before as well: {}", led.id);
        let mut keys = game.world.pods.iter().filter_map(|pod| pod.keys.get(&150));
        assert!(
            !keys.any(|keys| keys.contains_key(&9)),
            "an old key is back"
        );
    }
}

#[test]
fn a_copy_that_would_win_slots_is_not_let_in() {
    let mut game = game(Way::Keys);
    game.world.add_shard();
    let known = game.world.pods[0].knows.clone();
    let pod = &mut game.world.pods[6];
    pod.knows.extend(known);
    let own = pod.own_mut();
    (own.epoch, own.slots) = (99, SlotSet::of([(0, 9)]));
    pod.keys.entry(5).or_default().insert(9, 1);
    let plan = decide(game.world.wanted, &game.world.observe());
    assert!(
        !words(&plan.steps)
            .iter()
            .any(|step| step.contains("at-id-3-0")),
        "{plan:#?}"
    );
    assert!(
        plan.waiting_for
            .unwrap()
            .contains("would win slots of pod-0-0")
    );
}

/// It heard nothing of what its primary gave, and would take it back: its new owner would delete the keys.
#[test]
fn who_takes_over_takes_no_slot_back_that_moved() {
    let mut game = game(Way::Keys);
    game.world.pods[2].takes(&SlotSet::of([(0, 99)]));
    game.world.kill(0);
    game.world.gossip(2, 4);
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(
        plan.waiting_for
            .unwrap()
            .contains("once it knows that pod-1-0 has slots")
    );
    let forced = Plan {
        steps: vec![Step {
            pod: seen.nodes[1].pod.clone(),
            command: Command::Failover {
                how: Failover::Takeover,
                primary: "id-0-0".to_owned(),
            },
            reason: String::new(),
        }],
        waiting_for: None,
    };
    assert_eq!(
        guard(&forced, &seen).unwrap_err().rule,
        Rule::TakesNothingBack
    );
    game.world.gossip(2, 1);
    let plan = decide(game.world.wanted, &game.world.observe());
    assert_eq!(words(&plan.steps), ["pod-0-1: take over (Force)"]);
}

/// Slots of pod-0-0 are at pod-1-0 with their keys, which nobody else has heard.
fn arrive(game: &mut Game, slots: &SlotSet) {
    let world = &mut game.world;
    let all = std::mem::take(&mut world.pods[0].keys);
    let (arrive, stay) = all.into_iter().partition(|(slot, _)| slots.contains(*slot));
    world.pods[0].keys = stay;
    world.pods[2].keys.extend::<BTreeMap<_, _>>(arrive);
    world.pods[2].takes(slots);
    world.replicate();
}

/// Nor of one that is dead as well: it comes back with the only copy.
#[test]
fn who_takes_over_takes_no_slot_back_of_one_that_is_dead_too() {
    let mut game = game(Way::Keys);
    arrive(&mut game, &SlotSet::of([(0, 99)]));
    game.world.gossip(2, 4);
    game.world.kill(0);
    game.world.kill(2);
    game.world.kill(3);
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let waits = plan.waiting_for.unwrap();
    assert!(
        waits.contains("once it knows that pod-1-0 has slots"),
        "{waits}"
    );
    for at in [0, 2, 3] {
        game.world.come_back(at);
    }
    game.until_the_end(0, 200);
    game.check();
    let mut pods = game.world.pods.iter().filter(|pod| pod.shard == 1);
    assert!(pods.any(|pod| pod.own().slots.contains(99)));
}

/// What is decided now, and done.
fn decided(game: &mut Game) -> Vec<String> {
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    guard(&plan, &seen).unwrap();
    for step in &plan.steps {
        game.obey(step);
    }
    words(&plan.steps)
}

/// It died before its replica heard of what it took last, and has the only servers with those keys.
#[test]
fn who_takes_over_gets_what_its_primary_took_last_before_that_one_is_back() {
    let mut game = game(Way::Keys);
    let slots = SlotSet::of([(0, 9)]);
    arrive(&mut game, &slots);
    for other in [0, 1, 4, 5] {
        game.world.gossip(2, other);
    }
    game.world.kill(2);
    assert_eq!(decided(&mut game), ["pod-1-1: take over (Force)"]);
    game.world.come_back(2);
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    assert_eq!(words(&plan.steps), ["pod-1-1: slots 0-9"]);
    let waits = plan.waiting_for.unwrap();
    assert!(waits.contains("pod-1-0 starts once pod-1-1"), "{waits}");
    decided(&mut game);
    assert_eq!(decided(&mut game), ["pod-1-0: start"]);
    game.until_the_end(0, 200);
    game.check();
}

/// Its word is later than that of who takes them; but it gave them, and has no key of them.
#[test]
fn who_takes_over_has_the_slots_that_their_owner_gives_to_its_primary() {
    let mut game = game(Way::Keys);
    let slots = SlotSet::of([(5, 5)]);
    arrive(&mut game, &slots);
    game.world.gossip(2, 3);
    let giver = &mut game.world.pods[0];
    giver.own_mut().epoch += 10;
    giver.given.insert(5, "id-1-0".to_owned());
    game.world.kill(2);
    let seen = game.world.observe();
    let plan = decide(game.world.wanted, &seen);
    assert_eq!(words(&plan.steps), ["pod-1-1: take over (Force)"]);
    guard(&plan, &seen).unwrap();
    // Without the mark it is not known whether they are on their way back.
    game.world.pods[0].given.clear();
    let plan = decide(game.world.wanted, &game.world.observe());
    assert!(plan.steps.is_empty(), "{plan:#?}");
}

/// Two that are not heard may have them: nobody gets them.
#[test]
fn who_takes_over_gets_nothing_that_another_may_have() {
    let mut game = game(Way::Keys);
    arrive(&mut game, &SlotSet::of([(5, 5)]));
    game.world.gossip(2, 4);
    // One that has heard nothing of it, but of the later word.
    game.world.pods[0].own_mut().slots = SlotSet::of([(0, 4), (6, 5_460)]);
    game.world.pods[0].own_mut().epoch += 10;
    game.world.gossip(0, 1);
    game.world.gossip(0, 5);
    assert!(game.world.pods[5].knows["id-0-0"].slots.contains(5));
    game.world.kill(0);
    let take_over = Command::Failover {
        how: Failover::Force,
        primary: "id-0-0".to_owned(),
    };
    let replica = &mut game.world.pods[1];
    replica.knows.get_mut("id-0-0").unwrap().slots = SlotSet::of([(0, 4), (6, 5_460)]);
    game.world.obey(1, &take_over);
    let adds = |game: &Game| {
        let plan = decide(game.world.wanted, &game.world.observe());
        words(&plan.steps).iter().any(|step| step.contains("slots"))
    };
    game.world.kill(2);
    assert!(!adds(&game));
}

/// Nobody but itself knew of it.
#[test]
fn a_primary_that_is_back_gives_what_it_has_to_who_took_over() {
    let mut game = game(Way::Keys);
    let slots = SlotSet::of([(0, 9)]);
    arrive(&mut game, &slots);
    let own = game.world.pods[0].own_mut();
    own.slots = own.slots.without(&slots);
    game.world.kill(2);
    let take_over = Command::Failover {
        how: Failover::Takeover,
        primary: "id-1-0".to_owned(),
    };
    game.world.obey(3, &take_over);
    game.world.pods[3].own_mut().epoch += 10;
    for other in [0, 1, 4, 5] {
        game.world.gossip(3, other);
    }
    game.world.come_back(2);
    game.world.obey(2, &Command::Start);
    game.world.gossip(2, 3);
    assert!(orders(&game).is_empty(), "it has just started");
    game.world.now += 2_000;
    game.world.start();
    game.world.write(5, 2);
    assert_eq!(orders(&game), ["pod-1-0: give 0-9 to id-1-1"]);
    // Of ten thousand keys in each slot those of two are what a job moves.
    let mut seen = game.world.observe();
    seen.nodes[2].server.as_mut().unwrap().keys = 100_000;
    assert_eq!(slots_of(&game.next(&seen, true).steps[0].command).len(), 2);
    game.until_the_end(0, 300);
    game.check();
    let first = &game.world.pods[2];
    assert_eq!(first.own().replica_of.as_deref(), Some("id-1-1"));
}

/// Its slots are all another's by now: its copy is of before.
#[test]
fn nobody_follows_one_that_is_about_to_lose_its_slots() {
    let mut game = game(Way::Keys);
    let all = game.world.pods[0].own().slots.clone();
    game.world.pods[2].takes(&all);
    let replica = &mut game.world.pods[1];
    replica.own_mut().replica_of = None;
    let plan = decide(game.world.wanted, &game.world.observe());
    let follows = |plan: &Plan| words(&plan.steps).iter().any(|step| step.contains("repl"));
    assert!(!follows(&plan), "{plan:#?}");
    assert!(plan.waiting_for.unwrap().contains("about to hear"));
    // Nor where the other has died since.
    game.world.gossip(2, 4);
    game.world.kill(2);
    let plan = decide(game.world.wanted, &game.world.observe());
    assert!(!follows(&plan), "{plan:#?}");
}

/// It took an epoch by itself and died at once: nobody has heard of it, and who took over by a vote has the same. Of
/// the two the one with the lesser id would take a later one, and with it all slots.
#[test]
fn who_took_an_epoch_that_nobody_heard_of_starts_once_the_others_have_later_ones() {
    let mut game = game(Way::Keys);
    game.world.obey(0, &Command::BumpEpoch);
    game.world.kill(0);
    assert_eq!(decided(&mut game), ["pod-0-1: take over (Force)"]);
    let epoch = |at: usize| move |game: &Game| game.world.pods[at].own().epoch;
    assert_eq!(epoch(0)(&game), epoch(1)(&game));
    game.world.write(5, 2);
    game.world.come_back(0);
    let seen = game.world.observe();
    let start = Plan {
        steps: vec![Step {
            pod: seen.nodes[0].pod.clone(),
            command: Command::Start,
            reason: String::new(),
        }],
        waiting_for: None,
    };
    let broken = guard(&start, &seen).err().map(|broken| broken.rule);
    assert_eq!(broken, Some(Rule::TakesNothingBack));
    let waits = decide(game.world.wanted, &seen).waiting_for.unwrap();
    assert!(
        waits.contains("pod-0-0 starts once pod-0-1 has a later epoch"),
        "{waits}"
    );
    // Who has the latest of all takes none: another does before.
    assert_eq!(decided(&mut game), ["pod-2-0: a later epoch"]);
    game.world.gossip(4, 1);
    assert_eq!(decided(&mut game), ["pod-0-1: a later epoch"]);
    assert_eq!(decided(&mut game), ["pod-0-0: start"]);
    game.world.gossip(0, 1);
    game.until_the_end(0, 200);
    game.check();
    let first = &game.world.pods[0];
    assert_eq!(first.own().replica_of.as_deref(), Some("id-0-1"));
}

/// Its shard is led by nobody; but with a later epoch it would take back what it gave away.
#[test]
fn who_has_the_epoch_of_another_starts_once_that_one_has_a_later_one() {
    let world = World::new(&SlotSet::even(3), 0, Version::default());
    let mut game = Game::new(world, Way::Keys, 7);
    for at in [0, 2] {
        game.world.pods[at].own_mut().epoch = 4;
    }
    game.world.gossip(1, 2);
    game.world.kill(0);
    game.world.come_back(0);
    let decided = |game: &Game| {
        let seen = game.world.observe();
        let plan = decide(game.world.wanted, &seen);
        guard(&plan, &seen).unwrap();
        words(&plan.steps)
    };
    assert_eq!(decided(&game), ["pod-1-0: a later epoch"]);
    // Where nobody else could, it starts: its slots are served by nobody.
    game.world.kill(1);
    game.world.come_back(1);
    assert_eq!(decided(&game), ["pod-0-0: start", "pod-1-0: start"]);
    // What is given to another arrives first.
    let given = |to: &str| BTreeMap::from([(11_000, to.to_owned())]);
    game.world.pods[2].given = given("id-1-0");
    assert_eq!(decided(&game), ["pod-1-0: start"]);
    game.world.pods[2].given = given("id-0-0");
    assert_eq!(decided(&game), ["pod-0-0: start", "pod-1-0: start"]);
}

/// One of the two takes a later one at any moment: it would have what it has just given away.
#[test]
fn no_slot_leaves_who_has_the_same_epoch_as_another() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(2, 1, (11_000, 11_009))];
    assert_eq!(orders(&game), ["pod-2-0: give 11000-11009 to id-1-0"]);
    game.world.pods[0].own_mut().epoch = 3;
    let waits = game.next(&game.world.observe(), true).waiting_for.unwrap();
    assert!(orders(&game).is_empty());
    assert!(waits.contains("another epoch than pod-0-0"), "{waits}");
    game.world.gossip(0, 4);
    game.until_the_end(0, 200);
    game.check();
    game.check_moved();
}

/// Redis before 7.2 does not hear that one no longer claims a slot, and takes its later words for this one as well.
#[test]
fn an_owner_that_is_not_believed_takes_a_later_epoch() {
    let not_believed = || {
        let mut game = game(Way::Keys);
        game.world.pods[2].takes(&SlotSet::of([(200, 299)]));
        for other in [0, 1, 3] {
            game.world.gossip(2, other);
        }
        game.world.pods[0].own_mut().epoch += 10;
        for other in [4, 5] {
            game.world.gossip(0, other);
            game.world.gossip(2, other);
        }
        game
    };
    let mut game = not_believed();
    assert!(game.world.pods[4].knows["id-0-0"].slots.contains(200));
    let plan = decide(game.world.wanted, &game.world.observe());
    assert_eq!(words(&plan.steps), ["pod-1-0: a later epoch"]);
    guard(&plan, &game.world.observe()).unwrap();
    game.until_the_end(0, 200);
    game.check();
    // Not while slots move: each that arrives brings a later one.
    let mut game = not_believed();
    game.world.pods[4].moving = Some(Moving::default());
    let plan = decide(game.world.wanted, &game.world.observe());
    assert!(plan.steps.is_empty(), "{plan:#?}");
}

/// A later word of its own would be for those as well.
#[test]
fn who_gave_slots_away_takes_none_before_all_have_heard_of_it() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(2, 0, (11_000, 11_009))];
    game.world.pods[2].takes(&SlotSet::of([(200, 299)]));
    game.world.gossip(2, 0);
    let waits = game.next(&game.world.observe(), true).waiting_for.unwrap();
    assert!(orders(&game).is_empty());
    assert!(waits.contains("has heard which it gave away"), "{waits}");
    for other in [1, 3, 4, 5] {
        game.world.gossip(2, other);
    }
    assert_eq!(orders(&game), ["pod-2-0: give 11000-11009 to id-0-0"]);
}

#[test]
fn a_shard_goes_once_nothing_is_left_of_it() {
    let mut game = game(Way::Keys);
    game.world.add_shard();
    game.keep = 4;
    game.until_the_end(0, 200);
    game.keep = 3;
    let drained = |game: &Game| game.next(&game.world.observe(), true).drained;
    assert_eq!(drained(&game), [3]);
    game.world.pods[7].keys.entry(3).or_default().insert(1, 1);
    assert!(drained(&game).is_empty(), "a replica has a key");
    game.world.pods[7].keys.clear();
    game.world.kill(7);
    assert_eq!(drained(&game), [3]);
    let mut seen = game.world.observe();
    seen.nodes[7].dead_since_ms = None;
    assert!(game.next(&seen, true).drained.is_empty(), "it may run");
    seen.nodes[7].never_ran = true;
    assert_eq!(game.next(&seen, true).drained, [3]);
}

#[test]
fn of_two_shards_that_leave_the_last_goes_first() {
    let mut game = game(Way::Keys);
    game.world.add_shard();
    game.world.add_shard();
    game.keep = 5;
    game.until_the_end(0, 400);
    game.keep = 3;
    let seen = game.world.observe();
    assert_eq!(game.next(&seen, true).drained, [4, 3]);
    game.moves = vec![step(0, 4, (0, 9))];
    assert_eq!(game.next(&seen, true).left, 0, "nothing goes to who leaves");
    game.keep = 5;
    assert_eq!(game.next(&seen, true).left, 10);
}

/// Each rule about slots that move refuses what breaks it.
#[test]
fn orders_that_break_a_rule_are_refused() {
    let game = game(Way::Keys);
    let seen = game.world.observe();
    let target = |at: usize| seen.nodes[at].pod.clone();
    let give = |slots: (u16, u16), to: usize| Command::GiveSlots {
        slots: SlotSet::of([slots]),
        target: game.world.pods[to].id.clone(),
        ip: seen.nodes[to].ip.clone(),
        port: 6379,
        way: Way::Keys,
        max_stall_ms: 100,
    };
    let refused = |steps: Vec<(Target, Command)>| {
        let steps = steps.into_iter().map(|(pod, command)| Step {
            pod,
            command,
            reason: String::new(),
        });
        let plan = Plan {
            steps: steps.collect(),
            waiting_for: None,
        };
        guard(&plan, &seen).err().map(|broken| broken.rule)
    };
    assert_eq!(refused(vec![(target(0), give((0, 9), 2))]), None);
    let not_its_own = vec![(target(0), give((9_000, 9_000), 2))];
    assert_eq!(refused(not_its_own), Some(Rule::GivesItsOwn));
    let to_a_replica = vec![(target(0), give((0, 9), 3))];
    assert_eq!(refused(to_a_replica), Some(Rule::KnownPeer));
    let elsewhere = Command::GiveSlots {
        slots: SlotSet::of([(0, 9)]),
        target: "id-1-0".to_owned(),
        ip: "10.9.9.9".to_owned(),
        port: 6379,
        way: Way::Keys,
        max_stall_ms: 100,
    };
    assert_eq!(refused(vec![(target(0), elsewhere)]), Some(Rule::KnownPeer));
    let twice = vec![
        (target(0), give((0, 9), 2)),
        (target(2), give((6_000, 6_000), 4)),
    ];
    assert_eq!(refused(twice), Some(Rule::OneMove));
    let take = Command::TakeSlots {
        slots: SlotSet::of([(9_000, 9_000)]),
        source: "id-0-0".to_owned(),
    };
    assert_eq!(refused(vec![(target(4), take)]), Some(Rule::GivesItsOwn));
}

/// What is half moved is closed by nobody who may have keys, or whose keys another may have.
#[test]
fn a_mark_that_says_something_is_not_closed() {
    let close = |change: &dyn Fn(&mut [Pod]), at: usize| {
        let mut game = game(Way::Keys);
        change(&mut game.world.pods);
        let seen = game.world.observe();
        let plan = Plan {
            steps: vec![Step {
                pod: seen.nodes[at].pod.clone(),
                command: Command::CloseSlots {
                    slots: SlotSet::of([(5, 5)]),
                },
                reason: String::new(),
            }],
            waiting_for: None,
        };
        guard(&plan, &seen).err().map(|broken| broken.rule)
    };
    let gives = |pods: &mut [Pod]| {
        pods[0].given.insert(5, "id-1-0".to_owned());
    };
    let takes = |pods: &mut [Pod]| {
        pods[2].taken.insert(5, "id-0-0".to_owned());
    };
    let gave = |pods: &mut [Pod]| {
        pods[4].given.insert(5, "id-0-0".to_owned());
    };
    assert_eq!(close(&gives, 0), Some(Rule::HalfMoved));
    assert_eq!(close(&takes, 2), Some(Rule::HalfMoved));
    assert_eq!(close(&gave, 4), None);
}

/// Ready stays true while slots move.
#[test]
fn slots_of_a_job_that_runs_are_nothing_that_lacks() {
    let mut game = game(Way::Keys);
    game.moves = vec![step(0, 1, (0, 9))];
    game.pass();
    let wanted: Wanted = game.world.wanted;
    let mut was_half_moved = false;
    for _ in 0..40 {
        game.world.work(0);
        was_half_moved |= !game.world.pods[0].given.is_empty();
        assert_eq!(why_not_whole(wanted, &game.world.observe()), None);
    }
    assert!(was_half_moved);
    game.world.pods[0].moving = None;
    game.world.pods[0].given.clear();
    game.world.pods[0].given.insert(3_000, "id-1-0".to_owned());
    let lacks = why_not_whole(wanted, &game.world.observe());
    assert!(
        lacks
            .unwrap()
            .contains("slot 3000 of pod-0-0 is half moved")
    );
}
