use super::error::Problems;
use super::messages;
use crate::spec::{OnFailure, Surge, UpdateMode, UpdateStrategy};
use crate::{RedisClusterSpec, RedisInstanceSpec, duration};

const SECOND: u64 = 1000;
const LONGEST: u64 = 300 * SECOND;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
const YEAR: u64 = 8760 * 60 * MINUTE;
const DEFAULT_FENCE_AFTER: u64 = 15 * SECOND;
const DEFAULT_HANG_AFTER: u64 = 10 * SECOND;
const DEFAULT_SCRIPT_AFTER: u64 = 60 * SECOND;
/// Most data pods of an instance.
const MAX_REPLICAS: u32 = 7;
/// How many shards a cluster may have.
const MASTERS: std::ops::RangeInclusive<u32> = 3..=128;
/// Most replicas of a primary in a cluster.
const MAX_REPLICAS_PER_MASTER: u32 = 5;

/// When a primary that cannot be reached is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Milliseconds without a confirmation after which a primary stops; 0 for never.
    pub fence_after_ms: u64,
    /// Milliseconds without an answer after which a server is taken for hung.
    pub hang_after_ms: u64,
    /// Milliseconds after which a script that keeps a server busy is ended; 0 for never.
    pub script_after_ms: u64,
}

/// How many pods there are, and what holds between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) replicas: u32,
    pub(super) failover: Failover,
    pub(super) min_replicas_to_write: u32,
    pub(super) update_mode: UpdateMode,
    pub(super) surge: Surge,
    pub(super) max_wait_ms: u64,
    pub(super) progress_deadline_ms: u64,
    pub(super) on_failure: OnFailure,
}

pub(super) fn of_instance(spec: &RedisInstanceSpec, problems: &mut Problems) -> Replication {
    let replicas = u32::try_from(spec.replicas).unwrap_or(0);
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        problems.add("spec.replicas", messages::REPLICAS);
    }
    let min_replicas_to_write =
        u32::try_from(spec.durability.min_replicas_to_write).unwrap_or(u32::MAX);
    if min_replicas_to_write >= replicas.max(1) {
        problems.add(
            "spec.durability.minReplicasToWrite",
            messages::MIN_REPLICAS_TO_WRITE,
        );
    }
    let failover = Failover {
        fence_after_ms: millis(
            problems,
            "spec.failover.fenceAfter",
            &spec.failover.fence_after,
            |millis| millis == 0 || (5 * SECOND..=LONGEST).contains(&millis),
            messages::FENCE_AFTER,
        ),
        hang_after_ms: millis(
            problems,
            "spec.failover.hangAfter",
            &spec.failover.hang_after,
            |millis| (2 * SECOND..=LONGEST).contains(&millis),
            messages::HANG_AFTER,
        ),
        script_after_ms: millis(
            problems,
            "spec.failover.scriptAfter",
            &spec.failover.script_after,
            |millis| millis == 0 || (10 * SECOND..=LONGEST).contains(&millis),
            messages::SCRIPT_AFTER,
        ),
    };
    Replication {
        replicas,
        failover,
        min_replicas_to_write,
        ..of_pods(&spec.common.update_strategy, problems)
    }
}

/// The pods of each shard. An isolated primary stops by itself, so that no agent fences it.
pub(super) fn of_cluster(spec: &RedisClusterSpec, problems: &mut Problems) -> Replication {
    let replicas = u32::try_from(spec.replicas_per_master).unwrap_or(u32::MAX);
    if replicas > MAX_REPLICAS_PER_MASTER {
        problems.add("spec.replicasPerMaster", messages::REPLICAS_PER_MASTER);
    }
    Replication {
        replicas: replicas.min(MAX_REPLICAS_PER_MASTER) + 1,
        ..of_pods(&spec.common.update_strategy, problems)
    }
}

/// How many shards there are.
pub(super) fn shards(spec: &RedisClusterSpec, problems: &mut Problems) -> u32 {
    let masters = u32::try_from(spec.masters).unwrap_or(0);
    if !MASTERS.contains(&masters) {
        problems.add("spec.masters", messages::MASTERS);
    }
    masters
}

fn of_pods(strategy: &UpdateStrategy, problems: &mut Problems) -> Replication {
    Replication {
        replicas: 1,
        failover: Failover {
            fence_after_ms: 0,
            hang_after_ms: DEFAULT_HANG_AFTER,
            script_after_ms: DEFAULT_SCRIPT_AFTER,
        },
        min_replicas_to_write: 0,
        update_mode: strategy.mode,
        surge: strategy.surge,
        max_wait_ms: millis(
            problems,
            "spec.updateStrategy.maxWait",
            &strategy.max_wait,
            |millis| (MINUTE..=YEAR).contains(&millis),
            messages::MAX_WAIT,
        ),
        progress_deadline_ms: millis(
            problems,
            "spec.updateStrategy.progressDeadline",
            &strategy.progress_deadline,
            |millis| (MINUTE..=DAY).contains(&millis),
            messages::PROGRESS_DEADLINE,
        ),
        on_failure: strategy.on_failure,
    }
}

pub(super) fn millis(
    problems: &mut Problems,
    field: &str,
    text: &str,
    good: fn(u64) -> bool,
    message: &str,
) -> u64 {
    let millis = duration::parse_millis(text).filter(|millis| good(*millis));
    if millis.is_none() {
        problems.add(field, message);
    }
    millis.unwrap_or_default()
}

/// The fence of a spec of which nothing else may be usable; the default where it is none.
pub fn fence_after_ms(spec: &RedisInstanceSpec) -> u64 {
    duration::parse_millis(&spec.failover.fence_after).unwrap_or(DEFAULT_FENCE_AFTER)
}
