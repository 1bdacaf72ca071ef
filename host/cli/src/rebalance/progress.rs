//! How far the plan of a cluster is: who has which slot says it, not what was ordered.

use hera_api::{RebalancePhase, RebalanceStatus, RedisClusterStatus};
use hera_core::cluster::{ClusterView, SlotSet};
use hera_core::rebalance::{SlotMove, Table};
use jiff::Timestamp;
use serde::Serialize;

use crate::status::slots;

/// A plan that is there, and how much of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub phase: RebalancePhase,
    pub digest: Option<String>,
    /// Why, in the words of the policy.
    pub reason: Option<String>,
    pub waiting_for: Option<String>,
    /// How many slots the plan moves.
    pub slots: usize,
    pub left: usize,
    /// While they move.
    pub slots_per_minute: Option<u64>,
    /// At that rate.
    pub seconds_left: Option<u64>,
    pub moves: Vec<MoveLeft>,
}

/// A move of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveLeft {
    pub source: u32,
    pub target: u32,
    pub slots: usize,
    pub left: usize,
}

impl Progress {
    /// That of the plan in the status; none where nothing is to move.
    pub fn of(status: &RedisClusterStatus, owners: &Table, now: Timestamp) -> Option<Self> {
        let rebalance = status.rebalance.as_ref()?;
        if rebalance.phase == RebalancePhase::Settled {
            return None;
        }
        let moves: Vec<MoveLeft> = moves(rebalance)
            .iter()
            .map(|step| MoveLeft {
                source: step.source,
                target: step.target,
                slots: set(step).len(),
                left: left(step, owners).len(),
            })
            .collect();
        let slots = moves.iter().map(|step| step.slots).sum();
        let left = moves.iter().map(|step| step.left).sum();
        let begun = rebalance.started_at.as_ref().map(|time| time.0);
        let begun = begun.filter(|_| rebalance.phase == RebalancePhase::Moving);
        let pace = begun.and_then(|begun| Pace::of(slots, left, begun, now));
        Some(Self {
            phase: rebalance.phase,
            digest: rebalance.digest.clone(),
            reason: rebalance.reason.clone(),
            waiting_for: rebalance.waiting_for.clone(),
            slots,
            left,
            slots_per_minute: pace.map(|pace| pace.slots_per_minute),
            seconds_left: pace.map(|pace| pace.seconds_left),
            moves,
        })
    }
}

#[derive(Clone, Copy)]
struct Pace {
    slots_per_minute: u64,
    seconds_left: u64,
}

impl Pace {
    /// None before anything moved.
    fn of(slots: usize, left: usize, begun: Timestamp, now: Timestamp) -> Option<Self> {
        let seconds = u64::try_from(now.duration_since(begun).as_secs()).ok()?;
        let done = u64::try_from(slots.saturating_sub(left)).ok()?;
        let left = u64::try_from(left).ok()?;
        if done == 0 || seconds == 0 {
            return None;
        }
        Some(Self {
            slots_per_minute: done * 60 / seconds,
            seconds_left: left * seconds / done,
        })
    }
}

/// The moves of a plan as the status has it.
pub fn moves(rebalance: &RebalanceStatus) -> Vec<SlotMove> {
    let steps = rebalance.moves.iter();
    let steps = steps.filter_map(|step| {
        Some(SlotMove {
            source: u32::try_from(step.source).ok()?,
            target: u32::try_from(step.target).ok()?,
            slots: slots::read(&step.slots).ranges().to_vec(),
        })
    });
    steps.collect()
}

/// The slots of a move.
pub fn set(step: &SlotMove) -> SlotSet {
    SlotSet::of(step.slots.iter().copied())
}

/// Those that its source still has, and its target has not.
pub fn left(step: &SlotMove, owners: &Table) -> SlotSet {
    let own = |shard: u32| owners.get(&shard).cloned().unwrap_or_default();
    set(step)
        .shared(&own(step.source))
        .without(&own(step.target))
}

/// Who has which slots: as the servers say that the operator hears now, else as the status has it.
pub fn owners(status: &RedisClusterStatus, view: Option<&ClusterView>) -> Table {
    let known = status.shards.iter().filter_map(|shard| {
        let id = u32::try_from(shard.id).ok()?;
        Some((id, slots::read(&shard.slots)))
    });
    let mut table: Table = known.collect();
    for shard in view.into_iter().flat_map(|view| &view.shards) {
        let servers = shard.servers.iter();
        let heard = servers.fold(SlotSet::default(), |all, server| {
            all.with(&slots::read(&server.slots))
        });
        for (id, own) in &mut table {
            *own = match *id == shard.id {
                true => own.with(&heard),
                false => own.without(&heard),
            };
        }
        table.entry(shard.id).or_insert(heard);
    }
    table
}
