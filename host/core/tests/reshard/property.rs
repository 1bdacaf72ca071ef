//! Whatever table, plan and faults: all slots once in the end, and no key lost or doubled.

use hera_core::cluster::{Plan, SLOTS, SlotSet, Way, guard};
use hera_core::rebalance::SlotMove;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::dice::Dice;
use crate::play::{Faults, Game};
use crate::world::{Version, World};

/// What a history begins with.
#[derive(Clone, Debug)]
struct Begin {
    seed: u64,
    stay: u32,
    join: u32,
    leave: u32,
    replicas: u32,
    version: Version,
    way: Way,
}

fn begin() -> impl Strategy<Value = Begin> {
    let way = prop_oneof![
        3 => Just(Way::Keys),
        1 => Just(Way::Import),
        1 => Just(Way::Export),
    ];
    (
        any::<u64>(),
        2_u32..4,
        0_u32..3,
        0_u32..3,
        0_u32..2,
        0_u32..3,
        way,
    )
        .prop_map(|(seed, stay, join, leave, replicas, version, way)| Begin {
            seed,
            stay,
            // A cluster grows or shrinks.
            join: if leave > 0 { 0 } else { join },
            leave,
            replicas,
            // Of Redis before 7.2, of later ones, or of Valkey.
            version: match way {
                Way::Keys => Version {
                    hears_of_losses: version > 0,
                    tells_replicas: version > 1,
                },
                Way::Import | Way::Export => Version {
                    hears_of_losses: true,
                    tells_replicas: way == Way::Export,
                },
            },
            way,
        })
}

/// Who leaves has few slots, the others share the rest in pieces.
fn table(begin: &Begin, dice: &mut Dice) -> Vec<SlotSet> {
    let shards = begin.stay + begin.leave;
    let mut ranges: Vec<Vec<(u16, u16)>> = vec![Vec::new(); shards as usize];
    let mut first = 0;
    let mut at = 0;
    while first < SLOTS {
        let length = match first {
            0..300 => 1 + dice.below(30),
            _ => 1_000 + dice.below(3_000),
        };
        let last = (first + u16::try_from(length).unwrap()).min(SLOTS) - 1;
        let end = if first < 300 { shards } else { begin.stay };
        let owner = match at < shards {
            true if first < 300 => at,
            _ => u32::try_from(dice.below(end as usize)).unwrap(),
        };
        ranges[owner as usize].push((first, last));
        first = last + 1;
        at += 1;
    }
    ranges.into_iter().map(SlotSet::of).collect()
}

/// Some of the first slots go from who has them to another that stays or joins; all of who leaves.
fn moves(begin: &Begin, table: &[SlotSet], dice: &mut Dice) -> Vec<SlotMove> {
    let targets = begin.stay + begin.join;
    let first = SlotSet::of([(0, 300), (15_990, 16_010)]);
    let mut moves = Vec::new();
    for (source, slots) in (0_u32..).zip(table) {
        let leaves = source >= begin.stay;
        let slots = if leaves {
            slots.clone()
        } else {
            slots.shared(&first)
        };
        for range in slots.ranges() {
            let target = u32::try_from(dice.below(targets as usize)).unwrap();
            if target != source && (leaves || dice.in_a_hundred(60)) {
                moves.push(SlotMove {
                    source,
                    target,
                    slots: vec![*range],
                });
            }
        }
    }
    moves
}

fn game(begin: &Begin) -> Game {
    let mut dice = Dice::new(begin.seed);
    let table = table(begin, &mut dice);
    let moves = moves(begin, &table, &mut dice);
    let world = World::new(&table, begin.replicas, begin.version);
    let mut game = Game::new(world, begin.way, begin.seed.wrapping_add(1));
    for slot in (0..200_u16).step_by(5) {
        game.world.write(slot, 0);
    }
    for _ in 0..begin.join {
        game.world.add_shard();
    }
    game.keep = begin.stay + begin.join;
    game.moves = moves;
    game
}

/// Anything at all, also what names no shard and no slot.
fn any_moves() -> impl Strategy<Value = Vec<SlotMove>> {
    let range = (0_u16..400, 0_u16..60).prop_map(|(first, more)| (first, first + more));
    let odd = Just((9_u16, 3_u16));
    let slots = vec(prop_oneof![9 => range, 1 => odd], 0..3);
    let step = (0_u32..6, 0_u32..6, slots).prop_map(|(source, target, slots)| SlotMove {
        source,
        target,
        slots,
    });
    vec(step, 0..8)
}

/// As many as `PROPTEST_CASES` says.
fn cases() -> u32 {
    let text = std::env::var("PROPTEST_CASES").ok();
    let cases = text.and_then(|text| text.parse().ok());
    cases.unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// P11, P34, P35.
    #[test]
    fn a_plan_is_made_whole_and_nothing_is_lost(begin in begin()) {
        let mut game = game(&begin);
        let moves = game.moves.clone();
        game.until_the_end(0, 1_500);
        game.check();
        game.moves = moves;
        game.check_moved();
    }

    /// P31: whoever dies, and whatever becomes of orders.
    #[test]
    fn whatever_is_cut_off_goes_on(begin in begin()) {
        let mut game = game(&begin);
        game.faults = Faults {
            deaths: true,
            orders: true,
            pauses: true,
        };
        game.until_the_end(150, 2_500);
        game.check();
    }

    #[test]
    fn a_plan_that_is_given_up_leaves_nothing_half_moved(begin in begin()) {
        let mut game = game(&begin);
        game.keep = game.world.wanted.shards;
        for _ in 0..10 {
            game.pass();
            game.meanwhile();
        }
        game.moves.clear();
        game.until_the_end(0, 1_000);
        game.check();
    }

    #[test]
    fn a_plan_that_makes_no_sense_moves_each_slot_once_and_ends(
        begin in begin(),
        moves in any_moves(),
    ) {
        let mut game = game(&Begin { leave: 0, ..begin });
        game.moves = moves;
        game.until_the_end(0, 1_500);
        game.check();
    }

    #[test]
    fn no_order_breaks_a_rule_whatever_the_marks(
        begin in begin(),
        marks in vec((any::<usize>(), 0_u16..300, any::<usize>(), any::<bool>()), 0..8),
        dead in prop::option::of(any::<usize>()),
    ) {
        let mut game = game(&begin);
        let count = game.world.pods.len();
        for (at, slot, peer, gives) in marks {
            let peer = game.world.pods[peer % count].id.clone();
            let pod = &mut game.world.pods[at % count];
            match gives {
                true => pod.given.insert(slot, peer),
                false => pod.taken.insert(slot, peer),
            };
        }
        if let Some(dead) = dead {
            game.world.kill(dead % count);
        }
        let seen = game.world.observe();
        let orders = game.next(&seen, true);
        let plan = Plan { steps: orders.steps, waiting_for: None };
        prop_assert_eq!(guard(&plan, &seen), Ok(()), "{:#?}", plan);
        let drained = orders.drained.iter().all(|shard| {
            let mut pods = game.world.pods.iter();
            pods.all(|pod| pod.shard != *shard || (pod.count() == 0 && pod.own().slots.is_empty()))
        });
        prop_assert!(drained);
    }
}
