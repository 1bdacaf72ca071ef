//! The planner and the world, step by step, with whatever goes wrong between.

use std::collections::BTreeMap;

use hera_core::cluster::{
    Command, Observation, Plan, SlotSet, Step, Way, decide, guard, why_not_whole,
};
use hera_core::rebalance::SlotMove;
use hera_core::reshard::{Going, Job, Resharding, next};

use crate::dice::Dice;
use crate::world::World;

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Servers die and come back.
    pub deaths: bool,
    /// Orders are lost, come twice, or late.
    pub orders: bool,
    /// The plan is paused at times.
    pub pauses: bool,
}

/// A history.
pub struct Game {
    pub world: World,
    pub keep: u32,
    pub way: Way,
    pub moves: Vec<SlotMove>,
    pub stays: SlotSet,
    pub dice: Dice,
    pub faults: Faults,
    /// Orders under way.
    late: Vec<Step>,
    /// Since when pods are dead, by place.
    away: BTreeMap<usize, u64>,
    /// For who reads a failure.
    pub journal: Vec<String>,
}

impl Game {
    pub fn new(world: World, way: Way, seed: u64) -> Self {
        Self {
            keep: world.wanted.shards,
            world,
            way,
            moves: Vec::new(),
            stays: SlotSet::default(),
            dice: Dice::new(seed),
            faults: Faults::default(),
            late: Vec::new(),
            away: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    pub fn next(&self, seen: &Observation, goes_on: bool) -> Resharding {
        next(&Job {
            seen,
            wanted: self.world.wanted,
            keep: self.keep,
            moves: &self.moves,
            stays: &self.stays,
            way: self.way,
            max_stall_ms: 100,
            going: if goes_on { Going::On } else { Going::Stops },
        })
    }

    fn fail(&self, words: &str) -> ! {
        let first = self.journal.len().saturating_sub(120);
        let last = self.journal.get(first..).unwrap_or_default().join("\n");
        panic!("{words}\n{last}\n{:#?}", self.world.observe());
    }

    pub fn obey(&mut self, step: &Step) {
        let at = self.world.pods.iter().position(|pod| {
            let name = format!("pod-{}-{}", pod.shard, pod.ordinal);
            name == step.pod.name
        });
        if let Some(at) = at {
            self.journal.push(format!("{} {step}", self.world.now));
            self.world.obey(at, &step.command);
        }
    }

    /// A pass of the operator. True if all is as it should be.
    pub fn pass(&mut self) -> bool {
        let seen = self.world.observe();
        let plan = decide(self.world.wanted, &seen);
        if let Err(broken) = guard(&plan, &seen) {
            self.fail(&broken.to_string());
        }
        let heals = !plan.steps.is_empty();
        for step in &plan.steps {
            if !self.faults.orders || self.dice.in_a_hundred(85) {
                self.obey(step);
            }
        }
        let seen = self.world.observe();
        let goes_on = !self.faults.pauses || self.dice.in_a_hundred(80);
        let resharding = self.next(&seen, goes_on);
        let steps = resharding.steps.clone();
        let orders = Plan {
            steps,
            waiting_for: None,
        };
        if let Err(broken) = guard(&orders, &seen) {
            self.fail(&broken.to_string());
        }
        for key in &resharding.too_large {
            self.stays = self.stays.with(&SlotSet::of([(key.slot, key.slot)]));
        }
        for step in &resharding.steps {
            match self.dice.below(10) {
                0 if self.faults.orders => {}
                1 if self.faults.orders => self.late.push(step.clone()),
                2 if self.faults.orders => {
                    self.obey(step);
                    self.late.push(step.clone());
                }
                _ => self.obey(step),
            }
        }
        for shard in &resharding.drained {
            self.check_drained(*shard);
            self.world.remove_shard();
            let left = self.world.pods.len();
            self.away.retain(|at, _| *at < left);
        }
        self.plan_anew(&resharding);
        let lacks = why_not_whole(self.world.wanted, &self.world.observe());
        let is_still = self.world.pods.iter().all(|pod| pod.job.is_none());
        !heals
            && resharding.left == 0
            && resharding.steps.is_empty()
            && self.keep == self.world.wanted.shards
            && is_still
            && self.late.is_empty()
            && lacks.is_none()
    }

    /// A shard that leaves has slots that no plan takes away: an order came late.
    fn plan_anew(&mut self, resharding: &Resharding) {
        if resharding.left > 0 || self.keep == self.world.wanted.shards {
            return;
        }
        let left = self.world.pods.iter().filter(|pod| pod.shard >= self.keep);
        let left = left.filter(|pod| pod.leads() && !pod.own().slots.is_empty());
        let moves = left.map(|pod| SlotMove {
            source: pod.shard,
            target: 0,
            slots: pod.own().slots.ranges().to_vec(),
        });
        let moves: Vec<SlotMove> = moves.collect();
        if !moves.is_empty() {
            self.moves = moves;
        }
    }

    fn check_drained(&self, shard: u32) {
        if shard + 1 != self.world.wanted.shards {
            self.fail("a shard goes, and one behind it stays");
        }
        for pod in &self.world.pods {
            let of_it = pod.shard == shard;
            let has_any = pod.count() > 0 && !pod.keys.is_empty();
            let owns = pod.leads() && !pod.own().slots.is_empty();
            let marks = pod.is_primary() && !(pod.given.is_empty() && pod.taken.is_empty());
            if of_it && pod.alive && (has_any || owns || marks || pod.job.is_some()) {
                self.fail(&format!("shard {shard} goes, and {} has something", pod.id));
            }
        }
    }

    /// What happens between two passes.
    pub fn meanwhile(&mut self) {
        self.world.now += 200;
        self.world.start();
        for step in std::mem::take(&mut self.late) {
            match self.dice.in_a_hundred(30) {
                true => self.obey(&step),
                false => self.late.push(step),
            }
        }
        self.death();
        for at in 0..self.world.pods.len() {
            for _ in 0..self.dice.below(60) {
                self.world.work(at);
            }
        }
        for _ in 0..3 {
            let slot = self.slot_with_keys();
            let key = u8::try_from(self.dice.below(6)).unwrap();
            self.world.write(slot, key);
        }
        let count = self.world.pods.len();
        for _ in 0..count * 2 {
            let (one, other) = (self.dice.below(count), self.dice.below(count));
            self.world.gossip(one, other);
        }
        self.world.replicate();
    }

    /// Few slots have keys, so that those that move often do.
    fn slot_with_keys(&mut self) -> u16 {
        u16::try_from(self.dice.below(40)).unwrap() * 5
    }

    /// A server dies if a copy of all that it has is elsewhere, or if it comes back with it.
    fn death(&mut self) {
        let now = self.world.now;
        let due: Vec<usize> = self
            .away
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(at, _)| *at)
            .collect();
        for at in due {
            self.away.remove(&at);
            self.world.come_back(at);
            self.journal
                .push(format!("{now} == {} is back", self.world.pods[at].id));
        }
        if !self.faults.deaths || !self.dice.in_a_hundred(12) {
            return;
        }
        let at = self.dice.below(self.world.pods.len());
        let shard = self.world.pods[at].shard;
        let mates: Vec<usize> = (0..self.world.pods.len())
            .filter(|other| self.world.pods[*other].shard == shard && *other != at)
            .collect();
        let seen = self.world.observe();
        let in_sync = |other: &usize| {
            let server = seen.nodes[*other].server.as_ref();
            let of = server.filter(|server| server.link_up);
            of.is_some_and(|of| of.replica_of() == Some(self.world.pods[at].id.as_str()))
        };
        let is_replica = !self.world.pods[at].is_primary();
        let is_safe = self.world.pods[at].alive && (is_replica || mates.iter().all(in_sync));
        if is_safe && mates.iter().all(|other| self.world.pods[*other].alive) {
            self.world.kill(at);
            let until = now + 200 * (1 + self.dice.below(12) as u64);
            self.away.insert(at, until);
            self.journal
                .push(format!("{now} == {} dies", self.world.pods[at].id));
        }
    }

    /// Plays until all is as it should be, the first passes with faults.
    pub fn until_the_end(&mut self, with_faults: usize, most: usize) {
        for pass in 0..most {
            if pass == with_faults {
                self.faults = Faults::default();
            }
            let is_done = self.pass() && pass > with_faults;
            if is_done {
                return;
            }
            // An operator that is away for a while.
            let times = if self.faults.orders {
                self.dice.below(4)
            } else {
                1
            };
            for _ in 0..times {
                self.meanwhile();
            }
        }
        let seen = self.world.observe();
        let plan = decide(self.world.wanted, &seen);
        let resharding = self.next(&seen, true);
        self.fail(&format!("it does not end: {plan:#?} {resharding:#?}"));
    }

    /// All slots once, and each key once, as it was written last.
    pub fn check(&self) {
        let mut all = SlotSet::default();
        for pod in self.world.pods.iter().filter(|pod| pod.leads()) {
            let slots = &pod.own().slots;
            if !all.shared(slots).is_empty() {
                self.fail("a slot has two owners");
            }
            all = all.with(slots);
            if pod
                .keys
                .iter()
                .any(|(slot, keys)| !keys.is_empty() && !slots.contains(*slot))
            {
                self.fail("a key is where its slot is not");
            }
            if !(pod.given.is_empty() && pod.taken.is_empty()) {
                self.fail("a slot is half moved");
            }
        }
        if all != SlotSet::all() {
            self.fail("a slot has no owner");
        }
        for ((slot, key), version) in &self.world.acknowledged {
            let leads = self.world.pods.iter().filter(|pod| pod.leads());
            let found: Vec<u64> = leads
                .filter_map(|pod| pod.keys.get(slot)?.get(key).copied())
                .collect();
            if found != [*version] {
                self.fail(&format!(
                    "key {key} of slot {slot} was written as {version}, found {found:?}"
                ));
            }
        }
    }

    /// Slots of the moves are where the last of them says, but for those that stay.
    pub fn check_moved(&self) {
        for step in &self.moves {
            let target = self.world.pods.iter().filter(|pod| pod.leads());
            let target = target.filter(|pod| pod.shard == step.target);
            let has = target.fold(SlotSet::default(), |all, pod| all.with(&pod.own().slots));
            let slots = SlotSet::of(step.slots.iter().copied());
            let left = slots.without(&has).without(&self.stays);
            if !left.is_empty() {
                self.fail(&format!("{left} are not at shard {}", step.target));
            }
        }
    }
}

/// The orders, for who reads them.
pub fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

/// The slots of an order.
pub fn slots_of(command: &Command) -> SlotSet {
    match command {
        Command::GiveSlots { slots, .. }
        | Command::TakeSlots { slots, .. }
        | Command::CloseSlots { slots } => slots.clone(),
        _ => SlotSet::default(),
    }
}
