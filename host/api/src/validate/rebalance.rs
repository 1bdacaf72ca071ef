use std::time::Duration;

use super::error::Problems;
use super::messages;
use super::replication::millis;
use crate::RedisClusterSpec;
use crate::spec::RebalanceMode;

/// How slots move between shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Who says when.
    pub mode: RebalanceMode,
    /// For how long a step may hold up clients.
    pub max_stall: Duration,
    /// A slot that moved less than this ago stays, unless its shard is to leave.
    pub cooldown: Duration,
}

pub(super) fn resolve(spec: &RedisClusterSpec, problems: &mut Problems) -> Rebalance {
    let spec = &spec.rebalance;
    Rebalance {
        mode: spec.mode,
        max_stall: Duration::from_millis(millis(
            problems,
            "spec.rebalance.maxStall",
            &spec.max_stall,
            |millis| (10..=5_000).contains(&millis),
            messages::MAX_STALL,
        )),
        cooldown: Duration::from_millis(millis(
            problems,
            "spec.rebalance.cooldown",
            &spec.cooldown,
            |millis| millis <= 7 * 24 * 3_600_000,
            messages::COOLDOWN,
        )),
    }
}
