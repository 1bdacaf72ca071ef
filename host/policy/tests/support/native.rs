//! Questions as a policy sees them, without a sandbox.

use hera_core::cluster::SlotSet;
use hera_core::rebalance::{Moved, RebalanceInput, Shard, ShardState};
use hera_policy_sdk::rebalance as sdk;

/// The same question.
pub fn question(input: &RebalanceInput) -> sdk::RebalanceInput {
    sdk::RebalanceInput {
        shards: input.shards.iter().map(shard).collect(),
        stays: ranges(&input.stays),
        history: input.history.iter().map(moved).collect(),
        limits: sdk::Limits {
            slots: input.limits.slots,
            cooldown_seconds: input.limits.cooldown_seconds,
            fill_percent: input.limits.fill_percent,
        },
    }
}

fn shard(shard: &Shard) -> sdk::Shard {
    let loads = shard.heaviest.iter();
    sdk::Shard {
        id: shard.id,
        state: match shard.state {
            ShardState::Serving => sdk::ShardState::Serving,
            ShardState::Joining => sdk::ShardState::Joining,
            ShardState::Leaving => sdk::ShardState::Leaving,
            ShardState::Unhealthy => sdk::ShardState::Unhealthy,
        },
        slots: ranges(&shard.slots),
        used_bytes: shard.used_bytes,
        max_bytes: shard.max_bytes,
        ops_per_second: shard.ops_per_second,
        heaviest: loads
            .map(|load| sdk::SlotLoad {
                slot: load.slot,
                load_ppm: load.load_ppm,
                used_bytes: load.used_bytes,
            })
            .collect(),
    }
}

fn moved(moved: &Moved) -> sdk::Moved {
    sdk::Moved {
        source: moved.source,
        target: moved.target,
        slots: ranges(&moved.slots),
        age_seconds: moved.age_seconds,
        ops_per_second: moved.ops_per_second,
    }
}

fn ranges(slots: &SlotSet) -> Vec<sdk::SlotRange> {
    let range = |(first, last): &(u16, u16)| sdk::SlotRange {
        first: *first,
        last: *last,
    };
    slots.ranges().iter().map(range).collect()
}
