//! What the built-in `rebalance` policy does, for policies that want it slightly different: shards that
//! leave give all they have, and the others serve as many slots each, give or take one.

use std::cmp::Reverse;

use crate::plan::Plan;
use crate::rebalance::{RebalanceInput, ShardState, SlotMove};
use crate::slots;

/// The moves of the built-in.
///
/// Where all fits and all may move, no others move fewer slots: who has the most already keeps what is left
/// over when slots are shared out.
pub fn moves(input: &RebalanceInput) -> Vec<SlotMove> {
    let mut plan = Plan::new(input);
    let mut lacks = lacks(input, &plan);
    drain(input, &mut plan, &mut lacks);
    level(&mut plan, &mut lacks);
    plan.into_moves()
}

/// How many slots each shard lacks of its share; below zero if it has more.
fn lacks(input: &RebalanceInput, plan: &Plan<'_>) -> Vec<i64> {
    let shards = &input.shards;
    let has = |shard: usize| {
        shards
            .get(shard)
            .map_or(0, |shard| slots::count(&shard.slots))
    };
    let takers = by_most(input, |shard| u64::from(has(shard)));
    let mut all: u32 = takers.iter().map(|shard| has(*shard)).sum();
    for shard in leaving(input) {
        all += slots::count(plan.free(shard));
    }
    let mut lacks = vec![0; shards.len()];
    let Ok(count) = u32::try_from(takers.len()) else {
        return lacks;
    };
    for (shard, rank) in takers.into_iter().zip(0..) {
        let share = all / count + u32::from(rank < all % count);
        if let Some(lack) = lacks.get_mut(shard) {
            *lack = i64::from(share) - i64::from(has(shard));
        }
    }
    lacks
}

/// Empties the shards that leave: first into what others lack, then wherever there is room.
fn drain(input: &RebalanceInput, plan: &mut Plan<'_>, lacks: &mut [i64]) {
    for source in leaving(input) {
        pour(input, plan, lacks, source, true);
        // A large slot that found its place may have kept smaller ones from another.
        while pour(input, plan, lacks, source, false) {}
    }
}

/// Gives what a shard has to the others, those first with the most room: as much as each lacks, or as much as
/// fits. Tells whether anything moved.
fn pour(
    input: &RebalanceInput,
    plan: &mut Plan<'_>,
    lacks: &mut [i64],
    source: usize,
    lacked: bool,
) -> bool {
    let mut any = false;
    for target in by_most(input, |shard| plan.room(shard)) {
        let lack = lacks.get(target).copied().unwrap_or(0);
        let most = match lacked {
            true => u32::try_from(lack).unwrap_or(0),
            false => u32::MAX,
        };
        let moved = plan.shift(source, target, most);
        any |= moved > 0;
        if let Some(lack) = lacks.get_mut(target) {
            *lack -= i64::from(moved);
        }
    }
    any
}

/// Moves what some have too much to those that lack it.
fn level(plan: &mut Plan<'_>, lacks: &mut [i64]) {
    let takers: Vec<usize> = (0..lacks.len())
        .filter(|shard| lacks.get(*shard).is_some_and(|lack| *lack > 0))
        .collect();
    for source in 0..lacks.len() {
        for target in &takers {
            let lack = |shard: usize| lacks.get(shard).copied().unwrap_or(0);
            let most = lack(*target).min(-lack(source));
            let Ok(most @ 1..) = u32::try_from(most) else {
                continue;
            };
            let moved = i64::from(plan.shift(source, *target, most));
            for (shard, change) in [(*target, -moved), (source, moved)] {
                if let Some(lack) = lacks.get_mut(shard) {
                    *lack += change;
                }
            }
        }
    }
}

fn leaving(input: &RebalanceInput) -> Vec<usize> {
    let shards = input.shards.iter().enumerate();
    let leaving = shards.filter(|(_, shard)| shard.state == ShardState::Leaving);
    leaving.map(|(at, _)| at).collect()
}

/// The shards that take slots, those first that have the most of something.
fn by_most(input: &RebalanceInput, of: impl Fn(usize) -> u64) -> Vec<usize> {
    let shards = input.shards.iter().enumerate();
    let takers = shards.filter(|(_, shard)| shard.takes());
    let mut order: Vec<(Reverse<u64>, usize)> =
        takers.map(|(at, _)| (Reverse(of(at)), at)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}
