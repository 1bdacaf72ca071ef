//! One of the two operators: it leads while it holds the Lease, and then decides. What cannot be
//! observed is written down at the API server before it acts upon it: whom it is about to promote, and
//! each list of data pods that it is about to tell.

mod elect;
mod handover;
mod lead;

use hera_core::agent::Question;
use hera_core::fence::Desk;

use crate::net::{Members, Order, Payload, Position, set};
use crate::pod::{Role, Status};
use crate::rules::{Fault, Rules};
use crate::world::Api;

/// A Lease that is not renewed is free after this.
pub const LEASE: u64 = 6_000;
const RENEW: u64 = 2_000;
const PING: u64 = 500;
/// An agent that said nothing for this long is not connected.
const HEARD: u64 = 1_600;
/// An order without an answer is given up after this.
const PATIENCE: u64 = 1_500;
const PAUSE: u64 = 2_000;

#[derive(Clone, Copy)]
struct View {
    status: Status,
    heard: u64,
}

#[derive(Clone, Copy)]
struct Known {
    position: Position,
    asked: u64,
}

/// What it is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    None,
    /// Asks for positions, to promote the best.
    Elect {
        since: u64,
    },
    /// Asked one to be promoted.
    Promoted {
        id: u64,
        since: u64,
    },
    /// Another reign for the one that serves.
    CrownAgain {
        pod: usize,
        since: u64,
    },
    Handover {
        from: usize,
        to: usize,
        reign: u64,
        since: u64,
        stage: Stage,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Pausing(u64),
    Parity { asked: u64 },
    Demoting(u64, u32, u32),
    Ticket { asked: u64, branch: u32, keys: u32 },
}

/// An operator.
pub struct Operator {
    pub(crate) up: bool,
    /// It was stopped in the middle of what it did.
    pub stopped: bool,
    pub(crate) starts_at: u64,
    pub(crate) offset: u64,
    /// New with each process.
    pub(crate) process: u32,
    pub(crate) next_tick: u64,
    renewed: Option<u64>,
    next_renew: u64,
    pub(crate) term: u64,
    leads_since: u64,
    awake_since: u64,
    last_pass: u64,
    desk: Desk,
    forsworn: u64,
    sent: u64,
    views: Vec<Option<View>>,
    promises: Vec<u64>,
    positions: Vec<Option<Known>>,
    told: Vec<u64>,
    asked: Vec<(u64, u64, usize)>,
    answered: Vec<(u64, bool)>,
    next_id: u64,
    next_ping: u64,
    job: Job,
    pub(crate) outbox: Vec<(usize, Payload)>,
    /// Without proof it is sure that this one serves no more.
    pub(crate) granted: Option<usize>,
}

impl Operator {
    pub(crate) fn new(offset: u64, process: u32) -> Self {
        Self {
            up: true,
            stopped: false,
            starts_at: 0,
            offset,
            process,
            next_tick: 0,
            renewed: None,
            next_renew: 0,
            term: 0,
            leads_since: 0,
            awake_since: 0,
            last_pass: 0,
            desk: Desk::default(),
            forsworn: 0,
            sent: 0,
            views: vec![None; 16],
            promises: vec![0; 16],
            positions: vec![None; 16],
            told: vec![0; 16],
            asked: Vec::new(),
            answered: Vec::new(),
            next_id: u64::from(process) << 32,
            next_ping: 0,
            job: Job::None,
            outbox: Vec::new(),
            granted: None,
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
        self.job == Job::None
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.job, Job::Handover { .. } | Job::Promoted { .. }) || !self.outbox.is_empty()
    }

    pub(crate) fn hears(&mut self, status: Status, now: u64) {
        // One that was overtaken says nothing new.
        if self.views[status.pod].is_some_and(|view| view.status.at > status.at) {
            return;
        }
        let heard = self.clock(now);
        self.views[status.pod] = Some(View { status, heard });
        let promise = &mut self.promises[status.pod];
        *promise = (*promise).max(status.forsworn);
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
        let Some(at) = self.asked.iter().position(|(asked, _, _)| *asked == id) else {
            return;
        };
        let (_, asked, pod) = self.asked.swap_remove(at);
        if let Some(position) = position {
            let known = self.positions[pod].is_some_and(|known| known.asked > asked);
            if !known {
                self.positions[pod] = Some(Known { position, asked });
            }
        }
        if self.answered.len() > 8 {
            self.answered.remove(0);
        }
        self.answered.push((id, done));
    }

    /// A primary asks.
    pub(crate) fn is_asked(&mut self, from: usize, question: &Question, now: u64) {
        if self.leads(now) && self.desk.confirm(question, self.clock(now)) {
            let payload = Payload::Confirm {
                term: self.term,
                number: question.number,
                reign: question.reign,
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
        self.asked.push((id, now, to));
        id
    }

    fn answer(&self, id: u64) -> Option<bool> {
        let found = self.answered.iter().find(|(answered, _)| *answered == id);
        found.map(|(_, done)| *done)
    }

    fn connected(&self, pod: usize, now: u64) -> Option<Status> {
        let view = self.views[pod].as_ref()?;
        (now < view.heard + HEARD).then_some(view.status)
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
                self.leads_since = now;
                self.job = Job::None;
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

    /// One pass. `time` is the API server's.
    pub(crate) fn pass(&mut self, api: &mut Api, time: u64, rules: Rules) {
        let now = self.clock(time);
        // After a sleep it has yet to hear what happened.
        if now > self.last_pass + 1_000 {
            self.awake_since = now;
            if matches!(self.job, Job::Elect { .. }) {
                self.job = Job::None;
            }
        }
        self.last_pass = now;
        self.lease(api, now, time);
        if !self.leads(time) {
            self.job = Job::None;
            return;
        }
        self.tell_members(api, now);
        let crowned = self.crowned(api, now, rules);
        if let Job::Handover { .. } = self.job {
            self.hand_over(api, now);
            return;
        }
        if let Some((pod, _)) = crowned
            && let Some(status) = self.connected(pod, now)
            && status.role == Role::Primary
        {
            self.lead(api, status, now, rules);
            return;
        }
        if matches!(self.job, Job::CrownAgain { .. }) {
            self.job = Job::None;
        }
        self.elect(api, crowned, now, rules);
    }

    /// Written down first: the old primary may hold any list that was told since it last said.
    fn tell_members(&mut self, api: &mut Api, now: u64) {
        let last = api.lists.last().copied().unwrap_or_default();
        if (last.pods, last.fence_after) != (api.listed, api.fence_after) {
            let next = Members {
                pods: api.listed,
                fence_after: api.fence_after,
                revision: last.revision + 1,
            };
            api.lists.push(next);
        }
        if now < self.next_ping {
            return;
        }
        self.next_ping = now + PING;
        let latest = api.lists.last().copied().unwrap_or_default();
        for pod in set(api.listed) {
            self.order(pod, Order::Members(latest), now);
        }
    }

    /// The only one that may be a primary: the last that anybody was about to promote.
    fn crowned(&self, api: &Api, now: u64, rules: Rules) -> Option<(usize, u64)> {
        if !rules.has(Fault::NothingWrittenDown) {
            return api.crown;
        }
        let heard = set(api.listed).filter_map(|pod| self.connected(pod, now));
        let last = heard
            .filter(|status| status.reign > 0)
            .max_by_key(|status| status.reign)?;
        Some((last.primary, last.reign))
    }

    /// Higher than any that is known, and no two leaders give the same.
    fn next_reign(&self, api: &Api) -> u64 {
        let told = self.views.iter().flatten().map(|view| {
            let status = view.status;
            status.reign.max(status.forsworn).max(status.told)
        });
        let crown = api.crown.map_or(0, |(_, reign)| reign);
        let last = told
            .max()
            .unwrap_or(0)
            .max(crown)
            .max(self.sent)
            .max(self.forsworn);
        (last + 1).max(self.term << 24)
    }

    fn promote(&mut self, api: &mut Api, pod: usize, ticket: u64, now: u64) {
        let reign = self.next_reign(api);
        self.sent = reign;
        api.crown = Some((pod, reign));
        let id = self.order(pod, Order::Promote { reign, ticket }, now);
        self.job = Job::Promoted { id, since: now };
    }
}
