//! Questions as a policy sees them, without a sandbox.

use hera_core::backup::Source;
use hera_core::backup::decision::{
    BackupInput, Cause, Copy as DataCopy, CopyRole, Demand, Past, ShardCopies,
};
use hera_core::cluster::SlotSet;
use hera_core::rebalance::{Moved, RebalanceInput, Shard, ShardState};
use hera_policy_sdk::backup as sdk_backup;
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

/// The same question about a backup.
pub fn backup_question(input: &BackupInput) -> sdk_backup::BackupInput {
    sdk_backup::BackupInput {
        demand: input.demand.as_ref().map(demand),
        others: input.others.iter().map(demand).collect(),
        next_due_unix_ms: input.next_due_unix_ms,
        shards: input.shards.iter().map(shard_copies).collect(),
        history: input.history.iter().map(past).collect(),
        log_kept: input.log_kept,
        limits: sdk_backup::Limits {
            source: match input.limits.source {
                Source::PreferReplica => sdk_backup::Source::PreferReplica,
                Source::Replica => sdk_backup::Source::Replica,
                Source::Primary => sdk_backup::Source::Primary,
            },
            max_age_seconds: input.limits.max_age_seconds,
            keep_seconds: input.limits.keep_seconds,
            keep_last: input.limits.keep_last,
        },
    }
}

fn demand(demand: &Demand) -> sdk_backup::Demand {
    sdk_backup::Demand {
        name: demand.name.clone(),
        cause: cause(demand.cause),
        schedule: demand.schedule.clone(),
        since_unix_ms: demand.since_unix_ms,
        latest_unix_ms: demand.latest_unix_ms,
    }
}

fn cause(cause: Cause) -> sdk_backup::Cause {
    match cause {
        Cause::Schedule => sdk_backup::Cause::Schedule,
        Cause::Person => sdk_backup::Cause::Person,
        Cause::Age => sdk_backup::Cause::Age,
        Cause::Replay => sdk_backup::Cause::Replay,
        Cause::Gap => sdk_backup::Cause::Gap,
    }
}

fn shard_copies(shard: &ShardCopies) -> sdk_backup::Shard {
    sdk_backup::Shard {
        id: shard.id,
        copies: shard.copies.iter().map(copy).collect(),
        base_unix_ms: shard.base_unix_ms,
        log_bytes: shard.log_bytes,
        replay_seconds: shard.replay_seconds,
    }
}

fn copy(copy: &DataCopy) -> sdk_backup::Copy {
    sdk_backup::Copy {
        id: copy.id,
        role: match copy.role {
            CopyRole::Primary => sdk_backup::Role::Primary,
            CopyRole::Replica => sdk_backup::Role::Replica,
        },
        fits: copy.fits,
        used_bytes: copy.used_bytes,
        free_bytes: copy.free_bytes,
        ops_per_second: copy.ops_per_second,
        usual_ops_per_second: copy.usual_ops_per_second,
        zone: copy.zone.clone(),
        keeps_log: copy.keeps_log,
        read_last: copy.read_last,
    }
}

fn past(past: &Past) -> sdk_backup::Past {
    sdk_backup::Past {
        id: past.id.clone(),
        instant_unix_ms: past.instant_unix_ms,
        stored_bytes: past.stored_bytes,
        cause: cause(past.cause),
        needed: past.needed,
    }
}
