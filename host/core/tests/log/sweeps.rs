//! Whatever a sweep deletes: what could be recovered of the window before can be after it, and is the same.

use std::collections::BTreeSet;

use hera_core::backup::Keep;
use hera_core::backup::log::{Cut, Index, Start, Wanted, plan, resume};
use hera_core::backup::retention::{Needed, needed, needed_simple, needed_without};
use proptest::prelude::*;

use crate::dice::Dice;
use crate::play::{Faults, Game};
use crate::properties::{cases, check, faults};
use crate::recover::{Headers, loaded};
use crate::sweep::sweep;

const MINUTE: u64 = 60_000;

/// What there is at one time, with all that it says.
struct Stored {
    game: Game,
    index: Index,
    headers: Headers,
}

impl Stored {
    fn of(game: &Game) -> Self {
        Self {
            game: game.clone(),
            index: game.store.index(),
            headers: game.store.headers(),
        }
    }

    fn cut(&self, unix_ms: Option<u64>, branch: Option<&String>) -> Option<Cut> {
        let wanted = Wanted {
            unix_ms,
            branch: branch.cloned(),
        };
        let plan = plan(&self.index, &wanted).ok()?;
        plan.cut(&self.headers).ok()
    }

    /// Times since then of which something is known.
    fn looks(&self, begins: u64) -> Vec<u64> {
        let looks = self.headers.values().flat_map(|evidence| &evidence.looks);
        let times = looks.map(|look| look.unix_ms);
        times.filter(|unix_ms| *unix_ms >= begins).collect()
    }

    /// What a server has by each base.
    fn contents(&self, cut: &Cut) -> Vec<BTreeSet<u64>> {
        let loads = cut.loads.iter();
        loads.map(|load| loaded(&self.game, cut, load)).collect()
    }
}

/// Asks both for an instant, or for the latest unless that is before the window. True if it could be had.
fn same(
    before: &Stored,
    after: &Stored,
    unix_ms: Option<u64>,
    branch: Option<&String>,
    begins: u64,
) -> Result<bool, TestCaseError> {
    let was = before.cut(unix_ms, branch);
    let Some(was) = was.filter(|was| was.unix_ms >= begins) else {
        return Ok(false);
    };
    let is = after.cut(unix_ms, branch);
    let Some(is) = is else {
        return Err(TestCaseError::fail(format!(
            "{unix_ms:?} of {branch:?} cannot be recovered any more: {was:?}"
        )));
    };
    prop_assert_eq!(was.unix_ms, is.unix_ms);
    let expected = before.contents(&was).into_iter().next();
    for content in after.contents(&is) {
        prop_assert_eq!(Some(&content), expected.as_ref());
    }
    Ok(true)
}

/// What is needed of the game's store.
fn reckon(game: &Game, keep: &Keep, kept: &BTreeSet<String>) -> Needed {
    let told = game.agents[game.world.primary].told(&game.world);
    let server = [Some(told.id), told.id2].into_iter().flatten().collect();
    let (held, heads) = (game.store.held(), game.store.heads(server));
    let needed = needed(&held, &heads, keep, kept, game.world.now).unwrap();

    let held = held.iter().filter_map(|base| {
        let backup = base.backup.clone()?;
        Some((backup, base.taken_unix_ms))
    });
    let held: Vec<(String, u64)> = held.collect();
    let simple = needed_simple(&held, keep, kept, game.world.now).unwrap();
    assert!(simple.is_subset(&needed.backups), "{simple:?} {needed:?}");
    needed
}

/// Who keeps the log goes on from where it would have.
fn goes_on(before: &Game, after: &Game) -> Result<(), TestCaseError> {
    let told = after.agents[after.world.primary].told(&after.world);
    let start = |game: &Game| resume(&told, &game.store.reached(), game.world.now);
    let begins_anew = |start: &Start| matches!(start, Start::Anew { .. });
    let (was, is) = (start(before), start(after));
    let swept = told.id2.as_ref().and_then(|id| after.store.swept.get(id));
    // A replica may be promoted that has nothing of the window.
    let has_none = matches!(was, Start::Child { at, .. } if swept.is_some_and(|to| at < *to));
    prop_assert!(
        begins_anew(&was) || has_none || !begins_anew(&is),
        "{was:?} became {is:?}"
    );
    Ok(())
}

/// A sweep by any keep, which may die at any file.
fn swept(game: &mut Game, dice: &mut Dice, skew: u64) -> Result<usize, TestCaseError> {
    let now = game.world.now;
    let for_ms = MINUTE * dice.below(60) as u64 + 1_000;
    let keep = Keep {
        for_ms: dice.in_a_hundred(85).then_some(for_ms),
        last: u32::try_from(dice.below(4)).unwrap(),
    };
    let held = game.store.held().into_iter();
    let kept = held.filter(|_| dice.in_a_hundred(5));
    let kept: BTreeSet<String> = kept.filter_map(|base| base.backup).collect();
    let needed = reckon(game, &keep, &kept);
    let before = Stored::of(game);
    let most = [usize::MAX, dice.below(30)][dice.below(2)];
    sweep(&mut game.store, &needed, dice, most);
    let after = Stored::of(game);

    for base in &before.game.store.bases {
        let stays = after
            .index
            .bases
            .iter()
            .any(|other| other.path == base.path);
        prop_assert!(stays || !needed.bases.contains(&base.path));
    }
    goes_on(&before.game, &after.game)?;
    // What is older is right too, or refused.
    for _ in 0..3 {
        let span = usize::try_from(now - 990_000).unwrap();
        check(game, Some(990_000 + dice.below(span) as u64), skew)?;
    }
    check(game, None, skew)?;
    // Without a window it is the last backups that stay, and not every instant since.
    let Some(for_ms) = keep.for_ms else {
        return Ok(0);
    };
    let begins = now.saturating_sub(for_ms);
    let mut had = usize::from(same(&before, &after, None, None, begins)?);
    let ids: Vec<&String> = before.index.histories.keys().collect();
    let looks = before.looks(begins);
    for count in 0..12 {
        // Most of the time nobody looks, and nothing is covered.
        let at = match looks.get(dice.below(looks.len() + 1)) {
            Some(look) => look + dice.below(2_000) as u64,
            None => begins + dice.below(usize::try_from(for_ms).unwrap()) as u64,
        };
        let any = ids.get(dice.below(ids.len())).copied();
        let branch = any.filter(|_| count >= 6);
        had += usize::from(same(&before, &after, Some(at), branch, begins)?);
    }
    Ok(had)
}

/// Any copies are read, and time passes in which nobody does anything.
fn between(game: &mut Game, dice: &mut Dice) {
    game.moments(30 + dice.below(80));
    for at in 0..3 {
        if dice.in_a_hundred(40) {
            let world = &game.world;
            let server = &world.servers[at];
            let id = &world.histories[server.history].id;
            let taken = game.agents[at].clock(world);
            game.store.add_base(id, server.offset, taken);
        }
    }
    if dice.in_a_hundred(70) {
        game.world.now += dice.below(40) as u64 * MINUTE;
    }
}

fn lives(seed: u64, faults: Faults) -> Result<usize, TestCaseError> {
    let mut game = Game::new(seed, faults);
    let mut dice = Dice::new(seed.wrapping_add(5));
    let skew = faults.clocks.unsigned_abs();
    let mut had = 0;
    for _ in 0..7 {
        between(&mut game, &mut dice);
        if dice.in_a_hundred(70) {
            had += swept(&mut game, &mut dice, skew)?;
        }
    }
    Ok(had)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_can_be_recovered_of_the_window_can_be_after_a_sweep(
        seed in any::<u64>(),
        faults in faults(),
    ) {
        lives(seed, faults)?;
    }

    #[test]
    fn nor_does_a_sweep_lose_anything_where_clocks_differ(
        seed in any::<u64>(),
        faults in faults(),
        clocks in 1_i64..3_000,
    ) {
        lives(seed, Faults { clocks, ..faults })?;
    }
}

/// Something is written each minute, and a base is stored each ten. After half of the time the primary is lost, if it
/// is to be.
fn five_hours(fails_over: bool) -> Game {
    let mut game = Game::new(3, Faults::default());
    for minute in 0..300 {
        let Game {
            world,
            store,
            agents,
            ..
        } = &mut game;
        let agent = &mut agents[1];
        world.now += MINUTE;
        if fails_over && minute == 150 {
            world.fence();
            world.promote();
        }
        for _ in 0..5 {
            world.write();
        }
        world.replicate();
        // A server of another history has closed the link.
        agent.read(world, store, true);
        if !agent.is_reading() {
            agent.begin(world, store);
            agent.read(world, store, true);
        }
        agent.ask(world);
        agent.hear(world);
        agent.seal(world, false);
        agent.arrive(world, store);
        if minute % 10 == 5 {
            let server = &world.servers[1];
            store.add_base(
                &world.histories[server.history].id,
                server.offset,
                world.now,
            );
        }
    }
    game
}

#[test]
fn a_long_log_shrinks_to_its_window() {
    for fails_over in [false, true] {
        let mut game = five_hours(fails_over);
        let begins = game.world.now - 20 * MINUTE;
        let keep = Keep {
            for_ms: Some(20 * MINUTE),
            last: 1,
        };
        let needed = reckon(&game, &keep, &BTreeSet::new());
        let before = Stored::of(&game);
        sweep(&mut game.store, &needed, &mut Dice::new(1), usize::MAX);
        let after = Stored::of(&game);
        let (was, is) = (before.game.store.bytes(), after.game.store.bytes());
        assert!(is * 4 < was, "{is} of {was} bytes are left");
        assert!(after.index.bases.len() * 2 < before.index.bases.len());
        assert_eq!(after.index.histories.len(), 1);
        assert!(after.game.store.parents.is_empty() || fails_over);
        let instants = (0..20).map(|minutes| begins + minutes * MINUTE);
        let had = instants.filter(|at| same(&before, &after, Some(*at), None, begins).unwrap());
        assert!(had.count() > 5);
        // Nothing more goes at once.
        let again = reckon(&game, &keep, &BTreeSet::new());
        sweep(&mut game.store, &again, &mut Dice::new(1), usize::MAX);
        assert_eq!(game.store.bytes(), is);
    }
}

#[test]
fn where_no_window_is_kept_a_backup_that_goes_takes_no_log_of_the_others_along() {
    let mut game = five_hours(false);
    let keep = Keep {
        for_ms: None,
        last: 1,
    };
    let mut backups = game.store.held();
    backups.retain(|base| base.backup.is_some());
    let (named, others) = backups.split_at(10);
    let named = named.iter().filter_map(|base| base.backup.clone());
    let named: BTreeSet<String> = named.collect();
    let begins = others[0].taken_unix_ms;
    let told = game.agents[game.world.primary].told(&game.world);
    let heads = game.store.heads(vec![told.id]);
    let (held, now) = (game.store.held(), game.world.now);
    let left = needed_without(&named, &held, &heads, &keep, &BTreeSet::new(), now);
    let left = left.unwrap();
    let before = Stored::of(&game);
    sweep(&mut game.store, &left, &mut Dice::new(1), usize::MAX);
    let after = Stored::of(&game);
    assert!(after.game.store.bytes() < before.game.store.bytes());
    for base in others {
        let mut bases = after.index.bases.iter();
        assert!(bases.any(|other| other.path == base.path), "{base:?}");
    }
    let instants = (0..150).map(|minutes| begins + minutes * MINUTE);
    let had = instants.filter(|at| same(&before, &after, Some(*at), None, begins).unwrap());
    assert!(had.count() > 50);
}

#[test]
fn the_properties_see_what_can_be_recovered() {
    let faults = Faults {
        failovers: true,
        agents: true,
        ..Faults::default()
    };
    let had: usize = (0..40).map(|seed| lives(seed, faults).unwrap()).sum();
    assert!(had > 60, "they see {had}");
}

/// How many histories are left of a life with faults, once nothing but the last hours count.
fn left(seed: u64) -> usize {
    let faults = Faults {
        failovers: true,
        restarts: true,
        ..Faults::default()
    };
    let mut game = Game::new(seed, faults);
    game.play(400);
    let Game {
        world,
        store,
        agents,
        ..
    } = &mut game;
    // The log goes on with what the primary has.
    let agent = &mut agents[world.primary];
    agent.crash();
    agent.begin(world, store);
    world.write();
    agent.read(world, store, true);
    agent.end(world, store);
    for _ in 0..2 {
        let server = &world.servers[world.primary];
        let id = &world.histories[server.history].id;
        store.add_base(id, server.offset, world.now);
        world.now += 60 * MINUTE;
    }
    let keep = Keep {
        for_ms: Some(MINUTE),
        last: 1,
    };
    let needed = reckon(&game, &keep, &BTreeSet::new());
    sweep(&mut game.store, &needed, &mut Dice::new(1), usize::MAX);
    game.store.index().histories.len()
}

#[test]
fn once_their_window_is_over_histories_go() {
    let left: Vec<usize> = (0..20).map(left).collect();
    let alone = left.iter().filter(|left| **left == 1);
    assert!(alone.count() > 10, "{left:?}");
}
