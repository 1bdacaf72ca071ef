//! Questions of the `rebalance` decision.

use crate::rebalance::{Limits, RebalanceInput, Shard, ShardState, SlotLoad, SlotRange};

/// A shard that serves these slots, from first to last each; nothing is known of its memory and load.
pub fn shard(id: u32, slots: &[(u16, u16)]) -> Shard {
    let range = |(first, last): &(u16, u16)| SlotRange {
        first: *first,
        last: *last,
    };
    Shard {
        id,
        state: ShardState::Serving,
        slots: slots.iter().map(range).collect(),
        used_bytes: None,
        max_bytes: None,
        ops_per_second: None,
        heaviest: vec![],
    }
}

impl Shard {
    /// In another state.
    #[must_use]
    pub fn state(mut self, state: ShardState) -> Self {
        self.state = state;
        self
    }

    /// With memory: what it uses, of what it may use.
    #[must_use]
    pub fn memory(mut self, used: u64, max: u64) -> Self {
        self.used_bytes = Some(used);
        self.max_bytes = Some(max);
        self
    }

    /// With so many commands a second.
    #[must_use]
    pub fn ops(mut self, per_second: u64) -> Self {
        self.ops_per_second = Some(per_second);
        self
    }

    /// With a slot that takes this share of its commands, in millionths.
    #[must_use]
    pub fn heavy(mut self, slot: u16, load_ppm: u32) -> Self {
        self.heaviest.push(SlotLoad {
            slot,
            load_ppm,
            used_bytes: None,
        });
        self
    }
}

/// A question about these shards, where all slots may move at once, and fill a shard up to 80 %.
pub fn rebalance_input(shards: Vec<Shard>) -> RebalanceInput {
    RebalanceInput {
        shards,
        stays: vec![],
        history: vec![],
        limits: Limits {
            slots: 16_384,
            cooldown_seconds: 0,
            fill_percent: 80,
        },
    }
}
