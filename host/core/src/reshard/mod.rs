//! Brings slots to the shards that an accepted plan names, and shards in and out: from what was observed to the
//! next orders (decision 027).
//!
//! What servers say counts, never what was ordered: a slot that has left its source has moved, and what is left is
//! ordered again, whoever stopped in the middle.

mod drained;
mod half;
mod jobs;
mod pending;
mod way;

use crate::cluster::{LargeKey, Observation, SlotSet, Step, Survey, Wanted, Way};
use crate::rebalance::SlotMove;

pub use way::{bytes_in, is_too_large, shards_there, way};

/// Whether a plan is carried out. Slots that are half moved are finished in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It is.
    On,
    /// No job begins; those that run come to their end.
    Out,
    /// No job begins, and those that run are told to end.
    Stops,
}

/// What is to be moved, and how.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// What was observed.
    pub seen: &'a Observation,
    /// The shards that are there, those that leave included: see [`shards_there`].
    pub wanted: Wanted,
    /// The shards that the spec wants: those from this number on leave.
    pub keep: u32,
    /// The accepted plan. Of moves that name a slot twice the first counts; those of shards that are not there, and
    /// those to one that leaves, are left out.
    pub moves: &'a [SlotMove],
    /// Slots that stay, as they were told to have too large a key. A server tells those of its last job, and goes on
    /// telling them until the next one: see [`Resharding::too_large`]. Whoever orders says when it is tried again.
    pub stays: &'a SlotSet,
    /// How slots move: see [`way`].
    pub way: Way,
    /// For how long a step may hold up clients, in milliseconds.
    pub max_stall_ms: u64,
    /// Whether it is carried out now.
    pub going: Going,
}

/// What comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resharding {
    /// Orders, to be held against [`guard`](crate::cluster::guard).
    pub steps: Vec<Step>,
    /// What the plan, or a shard that leaves, waits for; for people.
    pub waiting_for: Option<String>,
    /// Slots of the plan that are still to move, without those that stay. The plan has ended with the last one.
    pub left: u32,
    /// Jobs that run.
    pub running: u32,
    /// Why the last job of a server failed, for people: who orders again waits for a while first.
    pub failed: Option<String>,
    /// Keys that are too large, as servers tell them now: their slots are to stay.
    pub too_large: Vec<LargeKey>,
    /// Shards that may go, the last one first, and in this order: no slot, no key and no job is theirs.
    pub drained: Vec<u32>,
}

impl Resharding {
    /// The first that is said stays.
    fn wait(&mut self, words: impl FnOnce() -> String) {
        self.waiting_for.get_or_insert_with(words);
    }
}

/// The next orders.
///
/// # Guarantees
/// A slot leaves a server that has it, by its own word and nobody else's, for a primary of another shard whose
/// replicas are in sync; one that is half moved goes on to whoever has its keys. No server is part of two moves.
pub fn next(job: &Job<'_>) -> Resharding {
    let survey = Survey::of(job.wanted, job.seen);
    let mut next = Resharding {
        too_large: jobs::too_large(&survey, job.max_stall_ms),
        running: jobs::running(&survey),
        failed: jobs::failed(&survey),
        ..Resharding::default()
    };
    let table = pending::Table::of(&survey);
    let pairs = pending::pairs(job, &table);
    let left = pairs.iter().map(|pair| pair.slots.len()).sum::<usize>();
    next.left = u32::try_from(left).unwrap_or(u32::MAX);
    let half = half::find(&survey, &pairs, &mut next);
    jobs::stop(job, &survey, &pairs, &half, &mut next);
    let mut busy = jobs::busy(&survey);
    half::carry_on(job, &survey, half, &mut busy, &mut next);
    if job.going == Going::On {
        jobs::begin(job, &survey, &pairs, &mut busy, &mut next);
    }
    let mut words = None;
    next.drained = drained::shards(job, &survey, &mut words);
    if next.running == 0 && next.steps.is_empty() {
        next.waiting_for = next.waiting_for.or(words);
    }
    next
}
