//! Moves all that every shard has to the first one, fit or not, and says why at length.

use hera_policy_hostile::{Context, PolicyError};
use hera_policy_sdk::export_rebalance_policy;
use hera_policy_sdk::rebalance::{RebalanceAnswer, RebalanceInput, RebalancePolicy, SlotMove};

/// The policy.
pub struct Policy;

impl RebalancePolicy for Policy {
    type Settings = hera_policy_sdk::Map<i64>;

    fn decide(
        _: &Context,
        _: &Self::Settings,
        input: &RebalanceInput,
    ) -> Result<RebalanceAnswer, PolicyError> {
        let target = input.shards.first().map_or(0, |shard| shard.id);
        let moves = input.shards.iter().skip(1).map(|shard| SlotMove {
            source: shard.id,
            target,
            slots: shard.slots.clone(),
        });
        let reason = format!("\u{1b}[31mmine{}", ", all mine".repeat(100));
        Ok(RebalanceAnswer::new(moves.collect(), &reason))
    }
}

export_rebalance_policy!(Policy);
