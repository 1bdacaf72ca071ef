//! The moves of the built-in policy, but only during some hours of the day. Shards that join or leave do not
//! wait for them.

use hera_policy_sdk::rebalance::{RebalanceAnswer, RebalanceInput, RebalancePolicy, ShardState};
use hera_policy_sdk::{Context, PolicyError, even, export_rebalance_policy};
use serde::Deserialize;

const HOUR_MS: u64 = 3_600_000;

/// The policy.
pub struct PolicyName;

/// What stands beside the policy under `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// The hours of the day in which slots move, in UTC: `[2, 3, 4]`. None are all.
    pub hours: Vec<u64>,
}

impl RebalancePolicy for PolicyName {
    type Settings = Settings;

    fn decide(
        context: &Context,
        settings: &Settings,
        input: &RebalanceInput,
    ) -> Result<RebalanceAnswer, PolicyError> {
        let hour = context.now_unix_ms / HOUR_MS;
        let open = settings.hours.is_empty() || settings.hours.contains(&(hour % 24));
        let mut states = input.shards.iter().map(|shard| shard.state);
        let changes = states.any(|s| matches!(s, ShardState::Joining | ShardState::Leaving));
        if !open && !changes {
            let later = RebalanceAnswer::new(vec![], "slots move at another hour");
            return Ok(later.until((hour + 1) * HOUR_MS));
        }
        let moves = even::moves(input);
        Ok(RebalanceAnswer::new(moves, "as many slots for each shard"))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        match settings.hours.iter().all(|hour| *hour < 24) {
            true => Ok(()),
            false => Err("hours are 0 to 23".to_owned()),
        }
    }
}

export_rebalance_policy!(PolicyName);
