use hera_core::cluster::SlotSet;
use hera_core::rebalance::{
    Limits, Moved, RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotMove,
};

/// A shard that serves these slots and uses half of its memory.
pub fn shard(id: u32, slots: &[(u16, u16)]) -> Shard {
    Shard {
        id,
        state: ShardState::Serving,
        slots: SlotSet::of(slots.iter().copied()),
        used_bytes: Some(500_000),
        max_bytes: Some(1_000_000),
        ops_per_second: Some(1_000),
        heaviest: Vec::new(),
    }
}

pub fn limits() -> Limits {
    Limits {
        slots: 16_384,
        cooldown_seconds: 60,
        fill_percent: 80,
    }
}

pub fn input(shards: Vec<Shard>) -> RebalanceInput {
    RebalanceInput {
        shards,
        stays: SlotSet::default(),
        history: Vec::new(),
        limits: limits(),
    }
}

pub fn step(source: u32, target: u32, slots: &[(u16, u16)]) -> SlotMove {
    SlotMove {
        source,
        target,
        slots: slots.to_vec(),
    }
}

pub fn plan(moves: Vec<SlotMove>) -> RebalanceAnswer {
    RebalanceAnswer {
        moves,
        reason: "a test".to_owned(),
    }
}

pub fn moved(slots: &[(u16, u16)], age_seconds: u64) -> Moved {
    Moved {
        source: 1,
        target: 0,
        slots: SlotSet::of(slots.iter().copied()),
        age_seconds,
        ops_per_second: None,
    }
}
