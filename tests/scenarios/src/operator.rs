//! One of the two operators. Its decisions are the real ones ([`hera_core::instance`]): it makes an
//! [`Observation`] of what it heard and of what the API server holds, and carries out the plan one
//! thing at a time, as the operator's pass does. It may be stopped or crash between any two.

mod acts;
mod broken;
mod handover;
mod seen;

use std::collections::VecDeque;

use hera_core::agent::Question;
use hera_core::instance::{
    Leader, Observation, POSITIONS_GOOD_FOR_MS, Permit, Wanted, decide, guard,
};
use hera_core::shard::Record;

use crate::net::{Order, Payload, Position};
use crate::pod::{Pod, Status};
use crate::rules::Rules;
use crate::world::Api;
use acts::Act;
use handover::HandOver;
use seen::View;

/// A Lease that is not renewed is free after this.
pub const LEASE: u64 = 6_000;
const RENEW: u64 = 2_000;
/// An agent that was never heard is waited for as long.
const FIRST_WORD: u64 = 10_000;
/// An order without an answer is given up after this.
const PATIENCE: u64 = 1_500;
/// What failed is tried again after this.
const AGAIN: u64 = 200;
/// Without news all is looked at again after this.
const WAITING: u64 = 15_000;

/// What it is in the middle of.
enum Work {
    None,
    /// It asks where the copies stand, before it decides.
    Looking {
        since: u64,
    },
    /// It carries out a plan.
    Acting(Box<Acting>),
}

#[derive(Default)]
struct Acting {
    acts: VecDeque<Act>,
    /// A step failed: no disruptive one follows.
    failed: bool,
    /// The order whose answer is awaited, and since when.
    awaited: Option<(u64, u64)>,
    handover: Option<HandOver>,
    /// When copies were asked where they stand, if they were.
    positions_since: Option<u64>,
}

struct Asked {
    id: u64,
    at: u64,
    pod: usize,
    /// Whether it was done, once that is known.
    done: Option<bool>,
}

/// Where a copy stood, and when that was asked.
#[derive(Clone, Copy)]
struct Known {
    position: Position,
    asked: u64,
}

/// An operator.
pub struct Operator {
    pub(crate) up: bool,
    /// It was stopped in the middle of what it did.
    pub stopped: bool,
    pub(crate) starts_at: u64,
    pub(crate) offset: u64,
    /// An agent that said nothing for this long is not connected.
    pub(crate) hears_for: u64,
    /// New with each process.
    pub(crate) process: u32,
    pub(crate) next_tick: u64,
    renewed: Option<u64>,
    next_renew: u64,
    pub(crate) term: u64,
    leader: Leader,
    /// The last of each pod.
    views: Vec<Option<View>>,
    /// Since when each is listened to.
    listens: Vec<Option<u64>>,
    positions: Vec<Option<Known>>,
    asked: Vec<Asked>,
    next_id: u64,
    wanted: Wanted,
    seen: Observation,
    /// Pods of the members of `seen`, and what of the API server it was made of.
    pods: Vec<usize>,
    ordinals: [usize; 16],
    listed: u16,
    api: seen::Fingerprint,
    /// Something is other than at the last decision.
    news: bool,
    next_pass: u64,
    work: Work,
    pub(crate) outbox: Vec<(usize, Payload)>,
    /// Without proof it is sure that these serve no more.
    pub(crate) granted: u16,
    /// What it asks somebody to approve.
    pub(crate) to_approve: Option<String>,
    /// What stands on the claims, as it was read.
    records: Vec<Record>,
    /// A rule that a plan broke.
    pub(crate) broken_rule: Option<String>,
}

impl Operator {
    pub(crate) fn new(offset: u64, process: u32, hears_for: u64) -> Self {
        Self {
            up: true,
            stopped: false,
            starts_at: 0,
            offset,
            hears_for,
            process,
            next_tick: 0,
            renewed: None,
            next_renew: 0,
            term: 0,
            leader: Leader::default(),
            views: (0..16).map(|_| None).collect(),
            listens: vec![None; 16],
            positions: vec![None; 16],
            asked: Vec::new(),
            next_id: u64::from(process) << 32,
            wanted: Wanted::default(),
            seen: Observation::default(),
            pods: Vec::new(),
            ordinals: [0; 16],
            listed: 0,
            api: seen::Fingerprint::default(),
            news: true,
            next_pass: 0,
            work: Work::None,
            outbox: Vec::new(),
            granted: 0,
            to_approve: None,
            records: Vec::new(),
            broken_rule: None,
        }
    }

    pub(crate) fn clock(&self, now: u64) -> u64 {
        now + self.offset
    }

    /// By its own clock.
    pub(crate) fn leads(&self, now: u64) -> bool {
        self.renewed.is_some_and(|at| self.clock(now) < at + LEASE)
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.work, Work::None)
    }

    /// In the middle of what changes a role.
    pub(crate) fn is_busy(&self) -> bool {
        let changes = |acting: &Acting| {
            acting.handover.is_some() || acting.acts.iter().any(Act::changes_a_primary)
        };
        matches!(&self.work, Work::Acting(acting) if changes(acting)) || !self.outbox.is_empty()
    }

    pub(crate) fn is_answered(
        &mut self,
        id: u64,
        done: bool,
        position: Option<Position>,
        status: Status,
        now: u64,
    ) {
        self.hears(status, now);
        let Some(asked) = self.asked.iter_mut().find(|asked| asked.id == id) else {
            return;
        };
        asked.done = Some(done);
        let (pod, asked) = (asked.pod, asked.at);
        if let Some(position) = position
            && self.positions[pod].is_none_or(|known| known.asked <= asked)
        {
            self.positions[pod] = Some(Known { position, asked });
        }
        // An answer is acted upon at once.
        self.next_tick = now;
    }

    /// A primary asks.
    pub(crate) fn is_asked(&mut self, from: usize, question: &Question, now: u64) {
        let clock = self.clock(now);
        if self.leads(now) && self.leader.confirm(question, clock) {
            let payload = Payload::Confirm {
                term: self.term,
                number: question.number,
                epoch: question.epoch,
            };
            self.outbox.push((from, payload));
        }
    }

    fn order(&mut self, to: usize, order: Order, now: u64) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let payload = Payload::Order {
            term: self.term,
            id,
            order,
        };
        self.outbox.push((to, payload));
        if self.asked.len() > 40 {
            self.asked.drain(..20);
        }
        self.asked.push(Asked {
            id,
            at: now,
            pod: to,
            done: None,
        });
        id
    }

    fn answer(&self, id: u64) -> Option<bool> {
        let asked = self.asked.iter().find(|asked| asked.id == id);
        asked.and_then(|asked| asked.done)
    }

    /// It was stopped, and goes on where it was.
    pub(crate) fn wakes(&mut self, time: u64) {
        self.stopped = false;
        let now = self.clock(time);
        self.leader.wakes(now);
    }

    fn lease(&mut self, api: &mut Api, now: u64, time: u64) {
        if now < self.next_renew {
            return;
        }
        let mine = api.holder == Some(self.process);
        if mine || api.holder.is_none() || time >= api.renewed_at + LEASE {
            if !mine {
                api.holder = Some(self.process);
                api.term += 1;
                self.work = Work::None;
                self.leader = Leader::new(api.term, now);
                self.news = true;
            }
            self.term = api.term;
            api.renewed_at = time;
            self.renewed = Some(now);
            self.next_renew = now + RENEW;
        } else {
            self.renewed = None;
            self.next_renew = now + 500;
        }
    }

    /// What it does at a moment. `time` is the API server's.
    pub(crate) fn pass(&mut self, api: &mut Api, pods: &[Pod], time: u64, rules: Rules) {
        let now = self.clock(time);
        self.lease(api, now, time);
        if !self.leads(time) {
            self.work = Work::None;
            return;
        }
        match &self.work {
            Work::Acting(_) => self.act(api, now, rules),
            Work::Looking { since } => {
                let since = *since;
                if now < since + PATIENCE && self.awaits_positions(since) {
                    return;
                }
                if now > since + POSITIONS_GOOD_FOR_MS {
                    // It was stopped; all is looked at anew.
                    self.work = Work::None;
                    self.news = true;
                    return;
                }
                self.note_positions(since);
                self.decide(Some(since), api, now, rules);
            }
            Work::None => {
                self.observe(api, pods, now);
                let is_due = self.news || now >= self.next_pass;
                if !is_due || self.is_too_early(now) {
                    return;
                }
                self.news = false;
                self.next_pass = now + WAITING;
                if self.seen.primary().is_none() && self.ask_positions(now) {
                    self.work = Work::Looking { since: now };
                } else {
                    self.decide(None, api, now, rules);
                }
            }
        }
    }

    fn decide(&mut self, positions_since: Option<u64>, api: &mut Api, now: u64, rules: Rules) {
        self.work = Work::None;
        self.remember(now, rules);
        api.lost_since = match self.seen.primary() {
            Some(_) => None,
            None => api.lost_since.or(Some(now.saturating_sub(self.offset))),
        };
        self.seen.lost_since_ms = api.lost_since;
        let plan = decide(&self.wanted, &self.to_decide(rules));
        if rules.fault().is_none()
            && let Err(broken) = guard(&plan, &self.seen)
        {
            self.broken_rule = Some(broken.to_string());
        }
        let plan = self.broken_plan(plan, rules);
        // Of several copies a person takes the latest, and of one epoch that with the most.
        let latest = plan.choices.iter().max_by_key(|c| (c.epoch, c.keys));
        let chosen = latest.map(|choice| choice.digest.clone());
        self.to_approve = chosen.or_else(|| plan.to_approve.clone());
        if self.seen.primary().is_none() {
            // What is waited for may be over.
            self.next_pass = now + AGAIN;
        }
        if plan.steps.is_empty() && self.sizing(rules).is_empty() {
            return;
        }
        self.work = Work::Acting(Box::new(self.acting(plan, positions_since, rules)));
        self.act(api, now, rules);
    }

    fn remember(&mut self, now: u64, rules: Rules) {
        let limit = self.wanted.fence_after_ms;
        let remembered = match self.broken_memory(rules) {
            Some(seen) => self.leader.remember(&seen, limit, now),
            None => self.leader.remember(&self.seen, limit, now),
        };
        self.seen.remembered = remembered;
        let permit = self.seen.remembered.permit;
        if permit == Some(Permit::Granted) {
            self.granted = self.unproven();
        }
    }
}
