//! What an operator does, pass by pass, with nothing of its own but what it would read from the object's status.

use std::time::{Duration, Instant};

use hera_core::cluster::{
    Command, Observation, Plan, SlotSet, Wanted, decide, guard, why_not_whole,
};
use hera_core::rebalance::SlotMove;
use hera_core::reshard::{self, Going, Job, Resharding};

use crate::case::Case;
use crate::fleet::{Fleet, table};
use crate::slots::{inwards, outwards, some};

/// Between two passes.
const PASS: Duration = Duration::from_millis(40);
/// Whatever happened, all is at rest within this.
const LIMIT: Duration = Duration::from_secs(240);

/// A cluster and its operator.
pub struct Driver {
    pub fleet: Fleet,
    /// What the status of the object says.
    pub status: Status,
    /// Slots with a key that was told to be too large since the plan began.
    stays: SlotSet,
}

/// What outlives an operator.
pub struct Status {
    /// Shards that the spec wants.
    pub keep: u32,
    pub moves: Vec<SlotMove>,
    pub goes_on: bool,
    max_stall_ms: u64,
    formed: bool,
}

/// What a pass saw and planned.
pub struct Pass {
    pub seen: Observation,
    pub resharding: Resharding,
    /// What the cluster lacks to be whole with the shards that are wanted.
    pub lacks: Option<String>,
    /// No pod of another shard is there.
    pub has_no_other: bool,
}

impl Pass {
    /// Nothing is left to do.
    pub fn is_at_rest(&self) -> bool {
        self.has_moved_all() && self.has_no_other && self.lacks.is_none()
    }

    /// Slots move, or were just ordered to.
    pub fn moves(&self) -> bool {
        let mut steps = self.resharding.steps.iter();
        let gives = |command: &Command| {
            matches!(
                command,
                Command::GiveSlots { .. } | Command::TakeSlots { .. }
            )
        };
        self.resharding.running > 0 || steps.any(|step| gives(&step.command))
    }

    /// No slot of the plan is left to move.
    pub fn has_moved_all(&self) -> bool {
        self.resharding.left == 0 && self.resharding.running == 0
    }

    fn tell(&self) -> String {
        let Resharding {
            left,
            running,
            waiting_for,
            failed,
            ..
        } = &self.resharding;
        let lacks = &self.lacks;
        format!(
            "{left} slots left, {running} jobs, waits for {waiting_for:?}, failed {failed:?}, lacks {lacks:?}"
        )
    }
}

impl Driver {
    /// Formed, whole, and of so many shards.
    pub async fn formed(case: Case, shards: u32, replicas: u32) -> Self {
        let mut fleet = Fleet::new(case, replicas);
        for shard in 0..shards {
            fleet.add(shard).await;
        }
        let status = Status {
            keep: shards,
            moves: Vec::new(),
            goes_on: true,
            max_stall_ms: 100,
            formed: false,
        };
        let mut driver = Self {
            fleet,
            status,
            stays: SlotSet::default(),
        };
        driver.until_at_rest("it forms").await;
        driver.status.formed = true;
        driver
    }

    /// One pass, or its first `most` steps.
    pub async fn pass(&mut self, most: usize) -> Pass {
        let replicas = self.fleet.replicas;
        let keep = self.status.keep;
        let seen = self.fleet.observe(self.status.formed).await;
        let shards = self.fleet.pods.iter().map(|placed| placed.shard);
        let wanted = Wanted {
            shards: reshard::shards_there(keep, shards),
            replicas,
        };
        let mut steps = decide(wanted, &seen).steps;
        let resharding = reshard::next(&Job {
            seen: &seen,
            wanted,
            keep,
            moves: &self.status.moves,
            stays: &self.stays,
            way: self.fleet.case.way,
            max_stall_ms: self.status.max_stall_ms,
            going: match self.status.goes_on {
                true => Going::On,
                false => Going::Stops,
            },
        });
        let large = resharding.too_large.iter();
        let large = SlotSet::of(large.map(|key| (key.slot, key.slot)));
        self.stays = self.stays.with(&large);
        steps.extend(resharding.steps.iter().cloned());
        let plan = Plan {
            steps,
            waiting_for: None,
        };
        if let Err(broken) = guard(&plan, &seen) {
            panic!("{broken}\n{}", self.fleet.journal());
        }
        for step in plan.steps.iter().take(most) {
            self.fleet.order(step).await;
        }
        if most > plan.steps.len() {
            for shard in &resharding.drained {
                self.fleet.remove(*shard).await;
            }
        }
        let kept = Wanted {
            shards: keep,
            replicas,
        };
        Pass {
            lacks: why_not_whole(kept, &seen),
            has_no_other: seen.nodes.iter().all(|node| node.shard < keep),
            seen,
            resharding,
        }
    }

    /// Passes until one is as asked; tells how long that took.
    pub async fn until(&mut self, what: &str, mut is: impl FnMut(&Pass) -> bool) -> Duration {
        self.fleet.note(&format!("== {what}"));
        let since = Instant::now();
        loop {
            let pass = self.pass(usize::MAX).await;
            if is(&pass) {
                return since.elapsed();
            }
            if since.elapsed() > LIMIT {
                let (journal, told) = (self.fleet.journal(), pass.tell());
                panic!("not in time, {what}: {told}\n{journal}\n{:#?}", pass.seen);
            }
            tokio::time::sleep(PASS).await;
        }
    }

    /// Passes until nothing is left to do.
    pub async fn until_at_rest(&mut self, what: &str) -> Duration {
        let took = self.until(what, Pass::is_at_rest).await;
        // The plan has ended: so says the status.
        self.status.moves.clear();
        self.stays = SlotSet::default();
        took
    }

    /// Steps may hold up clients for so long from now on.
    pub fn allow(&mut self, max_stall_ms: u64) {
        self.status.max_stall_ms = max_stall_ms;
        self.stays = SlotSet::default();
    }

    /// More shards are wanted: their pods begin, and slots are to move to them, so many to each or their share.
    pub async fn scale_out(&mut self, shards: u32, share: Option<usize>) {
        let before = self.status.keep;
        let seen = self.fleet.observe(true).await;
        self.status.moves = outwards(&table(&seen), shards, share);
        self.status.keep = shards;
        for shard in before..shards {
            self.fleet.add(shard).await;
        }
    }

    /// Fewer shards are wanted: their slots are to move to the others.
    pub async fn scale_in(&mut self, shards: u32) {
        let seen = self.fleet.observe(true).await;
        self.status.moves = inwards(&table(&seen), shards);
        self.status.keep = shards;
    }

    /// So many slots are to move between two shards.
    pub async fn shift(&mut self, source: u32, target: u32, count: usize) {
        let seen = self.fleet.observe(true).await;
        self.status.moves = some(&table(&seen), source, target, count);
    }
}
