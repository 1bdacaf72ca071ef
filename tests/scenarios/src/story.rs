//! Steps without operators that the model and real servers take alike: orders by hand, writes, and
//! processes that end. `host/agent/tests/servers/story.rs` takes them on real servers, and compares.

use std::collections::BTreeSet;

use rand::Rng as _;

use crate::data::Data;
use crate::net::{Members, Order};
use crate::pod::{Persistence, Process, Role};
use crate::rules::Rules;
use crate::world::{Setup, TICK, World};

/// Longer than a story takes: no fence strikes in it, and no pause ends by itself.
pub const NEVER_MS: u64 = 3_600_000;
/// Milliseconds of a pause that ends within its step.
pub const SHORT_MS: u64 = 300;
/// The term of all orders but those that come too late.
pub const TERM: u64 = 1;
/// After this everything is done that a step began: a full resynchronisation takes 3 s in the model.
const RESTS: u64 = 6_000;

/// One step, at one of the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An order to be the primary of that epoch, with a token just given out.
    Promote(usize, u64),
    /// An order to follow that pod, of that epoch.
    Follow(usize, usize, u64),
    /// Writes are held back for a handover to that epoch.
    Pause(usize, u64),
    /// As before, but the pause ends before the next step.
    ShortPause(usize, u64),
    /// The pause ends.
    Release(usize),
    /// The server is killed if its epoch is not later, and stays down.
    Fence(usize, u64),
    /// A server that is kept down starts.
    Start(usize),
    /// A promise about that epoch.
    Promise(usize, u64),
    /// A promise, asked for by an operator whose term is over.
    PromiseTooLate(usize, u64),
    /// A client writes.
    Write(usize),
    /// The server writes a snapshot.
    Save(usize),
    /// The server's process is killed.
    CrashServer(usize),
    /// Agent and server are killed, and start again.
    Restart(usize),
}

/// A pod once nothing changes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The server answers.
    pub running: bool,
    /// It is kept down.
    pub fenced: bool,
    /// Its role, if it runs.
    pub role: Option<Role>,
    /// Epoch of the data, and whose.
    pub epoch: Option<(u64, usize)>,
    /// This was the primary then.
    pub was_primary: bool,
    /// It vouches for none up to this.
    pub promised_epoch: u64,
    /// Whom it follows, if it is a replica.
    pub follows: Option<usize>,
    /// It receives what that one writes.
    pub linked: bool,
    /// How many writes its copy has.
    pub keys: u64,
    /// Which, where clients may read.
    pub content: Option<BTreeSet<usize>>,
}

/// A story in the model.
pub struct Story {
    world: World,
    /// The copy after each write that was acknowledged.
    writes: Vec<Data>,
    planned: Vec<Step>,
}

impl Story {
    /// Of so many pods, which have started and know one another.
    pub fn new(pods: usize, persistence: Persistence, seed: u64) -> Self {
        let mut world = World::new(&Setup {
            seed,
            pods,
            fence_after: NEVER_MS,
            persistence,
            surge: false,
            min_replicas: 0,
            hears_for: NEVER_MS,
            rules: Rules::default(),
            journal: false,
        });
        for operator in &mut world.operators {
            operator.up = false;
            operator.starts_at = u64::MAX;
        }
        world.writing = false;
        world.snapshots = false;
        let mut story = Self {
            world,
            writes: Vec::new(),
            planned: Vec::new(),
        };
        story.rest(RESTS);
        let members = Members {
            pods: (1 << pods) - 1,
            fence_after: NEVER_MS,
            revision: 1,
        };
        for pod in 0..pods {
            story.order(pod, TERM, Order::Members(members));
        }
        story
    }

    /// Takes a step. True if the order was carried out, or the write acknowledged.
    pub fn take(&mut self, step: Step) -> bool {
        let done = match step {
            Step::Promote(pod, epoch) => {
                let (_, position) = self.world.obey(pod, TERM, Order::Position);
                let token = position.map_or(0, |position| position.token);
                self.order(pod, TERM, Order::Promote { epoch, token })
            }
            Step::Follow(pod, whom, epoch) => self.order(pod, TERM, Order::Follow { epoch, whom }),
            Step::Pause(pod, epoch) => self.pause(pod, NEVER_MS, epoch),
            Step::ShortPause(pod, epoch) => self.pause(pod, SHORT_MS, epoch),
            Step::Release(pod) => self.order(pod, TERM, Order::Release),
            Step::Fence(pod, epoch) => self.order(pod, TERM, Order::Fence { epoch }),
            Step::Start(pod) => self.order(pod, TERM, Order::Start),
            Step::Promise(pod, epoch) => self.order(pod, TERM, Order::Promise { epoch }),
            Step::PromiseTooLate(pod, epoch) => self.order(pod, TERM - 1, Order::Promise { epoch }),
            Step::Write(pod) => {
                let acknowledged = self.world.acknowledges(pod);
                if acknowledged {
                    self.writes.push(self.world.pods[pod].data);
                }
                acknowledged
            }
            Step::Save(pod) => {
                let pod = &mut self.world.pods[pod];
                let answers = pod.runs() && (pod.role == Role::Primary || pod.link_up);
                if answers {
                    pod.disk = pod.data;
                }
                answers
            }
            Step::CrashServer(pod) => {
                let runs = self.world.pods[pod].runs();
                self.world.crash_server(pod);
                runs
            }
            Step::Restart(pod) => {
                self.world.restart_pod(pod, false);
                true
            }
        };
        self.rest(RESTS);
        done
    }

    /// How many writes were acknowledged.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// All pods, once nothing changes any more.
    pub fn seen(&self) -> Vec<Seen> {
        (0..self.world.pods.len())
            .map(|pod| self.see(pod))
            .collect()
    }

    fn see(&self, index: usize) -> Seen {
        let pod = &self.world.pods[index];
        let running = pod.process == Process::Running;
        let role = running.then_some(pod.role);
        let replica = role == Some(Role::Replica);
        let reads = role == Some(Role::Primary) || (replica && pod.link_up);
        let has = |(_, data): &(usize, &Data)| self.world.branches.contains(pod.data, **data);
        let content = || {
            let there = self.writes.iter().enumerate().filter(has);
            there.map(|(number, _)| number).collect()
        };
        Seen {
            running,
            fenced: pod.fenced,
            role,
            epoch: (pod.epoch > 0).then_some((pod.epoch, pod.primary)),
            was_primary: pod.was_primary,
            promised_epoch: pod.promised_epoch,
            follows: pod.following.map(|(_, whom)| whom).filter(|_| replica),
            linked: replica && pod.link_up,
            keys: if running { u64::from(pod.data.len) } else { 0 },
            content: reads.then(content),
        }
    }

    fn order(&mut self, pod: usize, term: u64, order: Order) -> bool {
        self.world.obey(pod, term, order).0
    }

    fn pause(&mut self, pod: usize, millis: u64, epoch: u64) -> bool {
        self.order(pod, TERM, Order::Pause { millis, epoch })
    }

    /// What is promised is not asked of a story that nobody directs.
    fn rest(&mut self, millis: u64) {
        for _ in 0..millis / TICK {
            self.world.tick();
            self.world.breach = None;
        }
    }

    /// A step that makes a story: often one that goes on, sometimes one that is to be refused.
    pub fn next_step(&mut self) -> Step {
        if let Some(step) = self.planned.pop() {
            return step;
        }
        let pods = self.world.pods.len();
        let any = self.world.rng.random_range(0..pods);
        let other = (any + self.world.rng.random_range(1..pods)) % pods;
        let third = (0..pods).find(|pod| *pod != any && *pod != other);
        let known = self.world.pods.iter().map(|pod| {
            let epoch = pod.known().0.max(pod.epoch);
            epoch.max(pod.promised_epoch)
        });
        let known = known.max().unwrap_or(0);
        let next = known + 1;
        // Mostly the next, also the last and the one before.
        let epoch = match self.world.rng.random_range(0..8) {
            0 => known.saturating_sub(1),
            1 | 2 => known,
            _ => next,
        };
        let serving = self.world.primary();
        let leads = serving.unwrap_or(any);
        let mut plan = |steps: &[Step]| {
            self.planned.extend(steps.iter().rev());
            self.planned.pop().unwrap_or(Step::Write(leads))
        };
        let all_follow = |whom: usize, epoch: u64| {
            let others = (0..pods).filter(move |pod| *pod != whom);
            others.map(move |pod| Step::Follow(pod, whom, epoch))
        };
        match self.world.rng.random_range(0..24) {
            // It begins, or goes on after a failure.
            _ if serving.is_none() && self.world.rng.random_range(0..3) > 0 => {
                let mut steps = vec![Step::Promote(any, next)];
                steps.extend(all_follow(any, next));
                steps.push(Step::Write(any));
                plan(&steps)
            }
            0..=5 => plan(&[Step::Write(leads), Step::Write(leads)]),
            6 => Step::Write(any),
            7 | 8 => {
                // A handover, and the others after it.
                let to = if leads == any { other } else { any };
                let mut steps = vec![Step::Pause(leads, next), Step::Write(leads)];
                steps.push(Step::Follow(leads, to, next));
                steps.push(Step::Promote(to, next));
                steps.extend(all_follow(to, next));
                steps.extend([Step::Release(leads), Step::Write(to)]);
                plan(&steps)
            }
            9 => plan(&[
                Step::ShortPause(leads, next),
                Step::Follow(leads, other, next),
                Step::Write(leads),
            ]),
            // A failover: the loser writes on, and comes back.
            10 => {
                let to = if leads == any { other } else { any };
                plan(&[
                    Step::Promote(to, next),
                    Step::Write(leads),
                    Step::Write(to),
                    Step::Fence(leads, known),
                    Step::Follow(leads, to, next),
                ])
            }
            11 => plan(&[Step::Pause(any, epoch), Step::Release(any)]),
            12 => Step::Promote(any, epoch),
            13 | 14 => Step::Follow(any, third.unwrap_or(other), epoch),
            15 => Step::Follow(any, leads, known),
            16 => Step::Promise(any, epoch),
            17 => Step::PromiseTooLate(any, next + 10),
            18 => plan(&[Step::Fence(any, epoch), Step::Start(any)]),
            19 => Step::Fence(any, epoch.saturating_sub(1)),
            20 | 21 => Step::CrashServer(any),
            22 => Step::Restart(any),
            _ if self.world.persistence == Persistence::Snapshots => Step::Save(leads),
            _ => Step::Write(other),
        }
    }
}
