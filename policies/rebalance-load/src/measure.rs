//! What shards and slots bear, as parts of what all bear together.

use hera_policy_sdk::rebalance::{RebalanceInput, Shard, SlotLoad};
use hera_policy_sdk::slots;

use crate::Settings;

/// What each shard bears, by its place in the input; none for one that takes no part now. None at all if
/// something is not known.
pub struct Weights {
    /// By shard.
    pub shards: Vec<Option<f64>>,
    /// What a command a second weighs.
    ops: f64,
    /// What a byte weighs.
    byte: f64,
}

/// Weighs the shards.
pub fn weights(settings: &Settings, input: &RebalanceInput) -> Option<Weights> {
    let memory = f64::from(settings.memory_percent.min(100)) / 100.0;
    let sum = |of: fn(&Shard) -> Option<u64>| {
        let takers = input.shards.iter().filter(|shard| shard.takes());
        takers
            .map(of)
            .try_fold(0.0, |sum, one| Some(sum + float(one?)))
    };
    // What does not count need not be known.
    let part = |counts: f64, of: fn(&Shard) -> Option<u64>| {
        if counts <= 0.0 {
            return Some(0.0);
        }
        let all = sum(of)?;
        Some(if all > 0.0 { counts / all } else { 0.0 })
    };
    let ops = part(1.0 - memory, |shard| shard.ops_per_second)?;
    let byte = part(memory, |shard| shard.used_bytes)?;
    let weigh = |shard: &Shard| {
        let (count, used) = (shard.ops_per_second, shard.used_bytes);
        let bears = float(count.unwrap_or(0)) * ops + float(used.unwrap_or(0)) * byte;
        shard.takes().then_some(bears)
    };
    let shards = input.shards.iter().map(weigh).collect();
    Some(Weights { shards, ops, byte })
}

impl Weights {
    /// What a slot of which the server tells bears.
    pub fn slot(&self, shard: &Shard, load: &SlotLoad) -> f64 {
        let mean = shard.used_bytes.unwrap_or(0) / u64::from(slots::count(&shard.slots)).max(1);
        let used = float(load.used_bytes.unwrap_or(mean));
        commands(shard, load) * self.ops + used * self.byte
    }
}

/// Commands a second of a slot of which the server tells.
pub fn commands(shard: &Shard, load: &SlotLoad) -> f64 {
    float(shard.ops_per_second.unwrap_or(0)) * f64::from(load.load_ppm) / 1e6
}

/// Exact up to 2^53.
pub fn float(number: u64) -> f64 {
    number as f64
}
