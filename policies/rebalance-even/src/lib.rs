//! The built-in `rebalance` policy: as many slots for each shard, by the fewest moves.
//!
//! How it gets there is in [`hera_policy_sdk::even`], so that other policies can start from it;
//! `docs/guards.md` has the limits that hold for all of them.

use hera_policy_sdk::rebalance::{
    RebalanceAnswer, RebalanceInput, RebalancePolicy, ShardState, SlotMove,
};
use hera_policy_sdk::{Context, PolicyError, even, export_rebalance_policy};
use serde::Deserialize;

/// As many slots for each shard.
pub struct Even;

/// It has none; a misspelt one is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl RebalancePolicy for Even {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        _settings: &Settings,
        input: &RebalanceInput,
    ) -> Result<RebalanceAnswer, PolicyError> {
        let moves = even::moves(input);
        let reason = reason(input, &moves);
        Ok(RebalanceAnswer::new(moves, reason))
    }
}

fn reason(input: &RebalanceInput, moves: &[SlotMove]) -> &'static str {
    let leaves = |shard: u32| {
        let mut shards = input.shards.iter();
        shards.any(|known| known.id == shard && known.state == ShardState::Leaving)
    };
    let drains = moves.iter().any(|step| leaves(step.source));
    match (moves.is_empty(), drains) {
        (true, _) => "nothing is to move, or may",
        (false, true) => "shards that leave give their slots away",
        (false, false) => "each shard gets as many slots",
    }
}

export_rebalance_policy!(Even);
