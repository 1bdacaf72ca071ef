//! Whatever happens, what is recovered for an instant is what was written until then, or it is refused.

use hera_core::backup::log::{NotCovered, SLACK_MS, Wanted, plan};
use proptest::prelude::*;

use crate::dice::Dice;
use crate::play::{Faults, Game};
use crate::recover::{Recovered, expected, loaded, recover};

/// As many as `PROPTEST_CASES` says.
pub fn cases() -> u32 {
    let text = std::env::var("PROPTEST_CASES").ok();
    let cases = text.and_then(|text| text.parse().ok());
    cases.unwrap_or(150)
}

/// Any instants of a game, and the latest.
fn instants(game: &Game, seed: u64) -> Vec<Option<u64>> {
    let mut dice = Dice::new(seed.wrapping_mul(31));
    let first = 1_000_000 - 5_000;
    let span = usize::try_from(game.world.now - first + 5_000).unwrap();
    let any = (0..20).map(|_| Some(first + dice.below(span) as u64));
    any.chain([None]).collect()
}

/// What is recovered is what was written: nothing that was sent later, and all that was acknowledged before the slack
/// and that no failover lost. Clocks may be wrong by so much.
pub fn check(game: &Game, unix_ms: Option<u64>, skew: u64) -> Result<bool, TestCaseError> {
    let cut = match recover(game, unix_ms) {
        Recovered::Nothing => return Ok(false),
        Recovered::Cut(cut) => cut,
        Recovered::Refused(NotCovered { before, after }, headers) => {
            let index = game.store.index();
            for nearest in [before, after].into_iter().flatten() {
                let wanted = Wanted {
                    unix_ms: Some(nearest),
                    branch: None,
                };
                let cut = plan(&index, &wanted).unwrap().cut(&headers);
                prop_assert!(cut.is_ok(), "{nearest} is named, and refused");
            }
            if let Some(unix_ms) = unix_ms {
                prop_assert!(before.is_none_or(|before| before < unix_ms));
                prop_assert!(after.is_none_or(|after| after > unix_ms));
            } else {
                prop_assert_eq!(after, None);
            }
            return Ok(false);
        }
    };
    let instant = cut.unix_ms;
    prop_assert_eq!(instant, unix_ms.unwrap_or(instant));
    prop_assert!(!cut.loads.is_empty());
    let lineage = game.world.lineage();
    let (first, last) = (cut.loads.first(), cut.loads.last());
    for load in first.into_iter().chain(last) {
        let has = loaded(game, &cut, load);
        prop_assert_eq!(&has, &expected(game, &cut, load));
        let writes = game.world.histories.iter();
        for write in writes.flat_map(|history| &history.writes) {
            let is_in = has.contains(&write.number);
            prop_assert!(
                !is_in || write.sent <= instant + skew,
                "{write:?} was sent after {instant}, and is in"
            );
            let is_lost = !lineage.contains(&write.number);
            let is_due = write.acked.is_some_and(|at| at + SLACK_MS + skew < instant);
            prop_assert!(
                is_in || is_lost || !is_due,
                "{write:?} was acknowledged before {instant}, and is not in"
            );
        }
    }
    Ok(true)
}

/// Any faults but those of clocks.
pub fn faults() -> impl Strategy<Value = Faults> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(failovers, restarts, agents)| Faults {
        failovers,
        restarts,
        agents,
        clocks: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_is_recovered_is_what_was_written_or_it_is_refused(
        seed in any::<u64>(),
        faults in faults(),
    ) {
        let mut game = Game::new(seed, faults);
        game.play(600);
        for instant in instants(&game, seed) {
            check(&game, instant, 0)?;
        }
    }

    #[test]
    fn clocks_that_are_wrong_are_wrong_by_no_more(
        seed in any::<u64>(),
        faults in faults(),
        clocks in 1_i64..3_000,
    ) {
        let mut game = Game::new(seed, Faults { clocks, ..faults });
        game.play(600);
        for instant in instants(&game, seed) {
            check(&game, instant, clocks.unsigned_abs())?;
        }
    }

    #[test]
    fn a_quiet_life_is_covered_from_the_first_base_on(
        seed in any::<u64>(),
        server in 0_usize..3,
        begins in 0_usize..100,
    ) {
        let mut game = Game::new(seed, Faults::default());
        let mut dice = Dice::new(seed);
        let (mut based, mut asked) = (0, 0);
        for moment in 0..800 {
            let Game { world, store, agents, .. } = &mut game;
            let agent = &mut agents[server];
            world.now += dice.below(60) as u64;
            match dice.below(8) {
                0 => world.write(),
                1 => world.noise(),
                _ => {}
            }
            world.replicate();
            if moment == begins {
                agent.begin(world, store);
            }
            agent.read(world, store, true);
            if world.now >= asked + 1_000 {
                asked = world.now;
                agent.ask(world);
            }
            agent.hear(world);
            if dice.in_a_hundred(5) {
                agent.seal(world, false);
            }
            agent.arrive(world, store);
            agent.live(world, store);
            // Once a look came after the log began.
            if moment == begins + 100 {
                let server = &world.servers[server];
                store.add_base(&world.histories[server.history].id, server.offset, world.now);
                based = world.now;
            }
        }
        game.agents[server].end(&game.world, &mut game.store);
        for unix_ms in (based..=asked).step_by(397) {
            let covered = check(&game, Some(unix_ms), 0)?;
            prop_assert!(covered, "{unix_ms} of {based}..={asked}");
        }
        prop_assert!(check(&game, None, 0)?);
    }
}

#[test]
fn most_instants_of_a_life_with_faults_can_be_had() {
    let faults = Faults {
        failovers: true,
        agents: true,
        ..Faults::default()
    };
    let (mut had, mut all) = (0, 0);
    for seed in 0..40 {
        let mut game = Game::new(seed, faults);
        game.play(600);
        for instant in instants(&game, seed) {
            all += 1;
            had += usize::from(check(&game, instant, 0).unwrap());
        }
    }
    assert!(had * 10 > all, "the other tests see {had} of {all}");
}
