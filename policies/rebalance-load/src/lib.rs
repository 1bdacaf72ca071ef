//! Slots move from shards that bear much to shards that bear little: commands a second, and memory.
//!
//! Why one would write it: a few keys are asked for more than all others, and as many slots for each shard is
//! then not as much work for each. It shows how a policy comes to rest by what it is told of the past: a shard
//! gives only once it is well above the mean, and a slot that moved stays for a while, unless its load doubled.

mod balance;
mod measure;

use hera_policy_sdk::rebalance::{RebalanceAnswer, RebalanceInput, RebalancePolicy, ShardState};
use hera_policy_sdk::{Context, PolicyError, even, export_rebalance_policy};
use serde::Deserialize;

/// By load.
pub struct Load;

/// What stands beside the policy under `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// What memory counts, in percent; the rest is for commands a second.
    pub memory_percent: u32,
    /// A shard gives once it bears so many percent more than the mean.
    pub trigger_percent: u32,
    /// It gives until it bears so many percent more than the mean.
    pub settle_percent: u32,
    /// A slot that moved stays for so long, unless its load doubled.
    pub rest_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_percent: 30,
            trigger_percent: 25,
            settle_percent: 10,
            rest_seconds: 3_600,
        }
    }
}

impl RebalancePolicy for Load {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        settings: &Settings,
        input: &RebalanceInput,
    ) -> Result<RebalanceAnswer, PolicyError> {
        let changes = input
            .shards
            .iter()
            .any(|shard| matches!(shard.state, ShardState::Joining | ShardState::Leaving));
        if changes {
            let reason = "shards join or leave; load waits";
            return Ok(RebalanceAnswer::new(even::moves(input), reason));
        }
        // Not an error: the built-in would then make even what this policy made uneven.
        let Some(weights) = measure::weights(settings, input) else {
            let reason = "what a shard bears is not known";
            return Ok(RebalanceAnswer::new(vec![], reason));
        };
        let moves = balance::moves(settings, input, weights);
        let reason = match moves.is_empty() {
            true => "no shard bears much more than the others, or nothing may move",
            false => "shards that bear much give to those that bear little",
        };
        Ok(RebalanceAnswer::new(moves, reason))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        if settings.memory_percent > 100 {
            return Err("memoryPercent is a part of 100".to_owned());
        }
        if settings.settle_percent >= settings.trigger_percent {
            return Err(
                "settlePercent has to be below triggerPercent, or slots move to and fro".to_owned(),
            );
        }
        Ok(())
    }
}

export_rebalance_policy!(Load);
