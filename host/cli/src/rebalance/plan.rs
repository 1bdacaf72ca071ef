//! A plan as people and programs read it: what moves, how much that is, and what every shard has then.

use std::collections::BTreeMap;

use hera_api::{RebalanceMode, RedisCluster};
use hera_core::cluster::SlotSet;
use hera_core::rebalance::{RebalanceInput, SlotMove, Table, apply};
use jiff::Timestamp;
use serde::Serialize;

use super::progress::{self, Progress};

/// How fast slots move where nothing is known yet: what the slowest servers do, and what a slow network does.
pub const SLOTS_PER_SECOND: u64 = 100;
/// The same in bytes.
pub const BYTES_PER_SECOND: u64 = 40_000_000;

/// What moves, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub namespace: String,
    pub name: String,
    pub mode: RebalanceMode,
    /// None where nothing is to move.
    pub progress: Option<Progress>,
    pub moves: Vec<Planned>,
    pub shards: Vec<ShardChange>,
    /// What is left to be sent, as far as it can be told.
    pub bytes_left: Option<u64>,
    /// How long what is left takes.
    pub seconds_left: Option<u64>,
    /// Why sizes are not known.
    pub sizes_error: Option<String>,
}

/// A move of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    pub source: u32,
    pub target: u32,
    /// As ranges.
    pub slots: String,
    pub count: usize,
    pub left: usize,
    /// What the slots that are left take.
    pub bytes: Option<u64>,
}

/// A shard before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardChange {
    pub id: u32,
    pub slots: usize,
    pub slots_after: usize,
    /// When the plan was made.
    pub used_bytes: Option<u64>,
    pub used_bytes_after: Option<u64>,
    pub max_bytes: Option<u64>,
}

impl Plan {
    /// That of a cluster. `asked`: what the policy was asked when it made the plan, which has the sizes.
    pub fn of(
        object: &RedisCluster,
        owners: &Table,
        asked: Result<&RebalanceInput, String>,
        now: Timestamp,
    ) -> Self {
        let status = object.status.as_ref();
        let rebalance = status.and_then(|status| status.rebalance.as_ref());
        let progress = status.and_then(|status| Progress::of(status, owners, now));
        let steps = match &progress {
            Some(_) => rebalance.map(progress::moves).unwrap_or_default(),
            None => Vec::new(),
        };
        let sizes = asked.as_ref().ok().copied();
        let moves: Vec<Planned> = steps
            .iter()
            .map(|step| planned(step, owners, sizes))
            .collect();
        let bytes_left: Option<u64> = moves.iter().map(|step| step.bytes).sum();
        let metadata = &object.metadata;
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            mode: object.spec.rebalance.mode,
            seconds_left: progress.as_ref().map(|plan| seconds(plan, bytes_left)),
            progress,
            shards: shards(owners, &steps, sizes),
            moves,
            bytes_left,
            sizes_error: asked.err(),
        }
    }
}

/// As fast as it goes, or as it is assumed to go.
fn seconds(plan: &Progress, bytes: Option<u64>) -> u64 {
    let assumed = || {
        let slots = u64::try_from(plan.left).unwrap_or(u64::MAX);
        let by_slots = slots.div_ceil(SLOTS_PER_SECOND);
        by_slots.max(bytes.unwrap_or(0).div_ceil(BYTES_PER_SECOND))
    };
    plan.seconds_left.unwrap_or_else(assumed)
}

fn planned(step: &SlotMove, owners: &Table, sizes: Option<&RebalanceInput>) -> Planned {
    let (all, left) = (progress::set(step), progress::left(step, owners));
    Planned {
        source: step.source,
        target: step.target,
        slots: all.to_string(),
        count: all.len(),
        left: left.len(),
        bytes: bytes_of(step.source, &left, sizes),
    }
}

fn bytes_of(shard: u32, slots: &SlotSet, sizes: Option<&RebalanceInput>) -> Option<u64> {
    if slots.is_empty() {
        return Some(0);
    }
    let mut shards = sizes?.shards.iter();
    shards.find(|known| known.id == shard)?.bytes_of(slots)
}

/// Every shard, with the slots of now and those that it has once the rest moved; memory from before the plan to its
/// end.
fn shards(owners: &Table, steps: &[SlotMove], sizes: Option<&RebalanceInput>) -> Vec<ShardChange> {
    let after = apply(owners, steps);
    // A shard of which one move cannot be told cannot be told.
    let mut change: BTreeMap<u32, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for step in steps {
        let bytes = bytes_of(step.source, &progress::set(step), sizes);
        let add = |sum: &mut Option<u64>| *sum = sum.zip(bytes).map(|(sum, more)| sum + more);
        add(&mut change.entry(step.source).or_insert((Some(0), Some(0))).0);
        add(&mut change.entry(step.target).or_insert((Some(0), Some(0))).1);
    }
    let count = |table: &Table, id: &u32| table.get(id).map_or(0, SlotSet::len);
    let shard = |id: &u32| {
        let known = sizes.and_then(|sizes| sizes.shards.iter().find(|known| known.id == *id));
        let used = known.and_then(|known| known.used_bytes);
        let (out, more) = change.get(id).copied().unwrap_or((Some(0), Some(0)));
        ShardChange {
            id: *id,
            slots: count(owners, id),
            slots_after: count(&after, id),
            used_bytes: used,
            used_bytes_after: used
                .zip(out.zip(more))
                .map(|(used, (out, more))| used.saturating_sub(out).saturating_add(more)),
            max_bytes: known.and_then(|known| known.max_bytes),
        }
    };
    owners.keys().map(shard).collect()
}
