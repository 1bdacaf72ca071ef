//! Everything together, in steps of a twentieth of a second, and what must hold at each.

mod agents;
mod pods;
mod servers;

use hera_core::instance::{Candidate, MemberList};
use hera_core::shard::Record;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::data::{Branches, Data};
use crate::net::{API, Message, Net, OPERATORS, Payload, set};
use crate::operator::Operator;
use crate::pod::{Look, Persistence, Pod, Process, Role};
use crate::rules::Rules;
pub use pods::Spec;

/// Milliseconds of one step.
pub const TICK: u64 = 50;
/// A stream without news says so after this.
const BEAT: u64 = 500;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// Never two that may acknowledge writes.
    OnePrimary,
    /// A planned handover loses nothing.
    HandoverLosesNothing,
    /// The best copy within reach is promoted.
    BestCopy,
    /// An order of an older term is never carried out.
    OlderTerm,
    /// Once faults end there is one primary, all follow it, and it stays.
    Settles,
    /// A primary that nobody confirms has stopped when another may be promoted.
    Fence,
    /// A copy is replaced only by that of a primary of a later epoch.
    NothingWiped,
    /// An object that is made anew over old volumes goes on with the data of the last primary.
    Remade,
    /// No plan breaks a rule of the guard.
    Guard,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Breach {
    /// Which.
    pub guarantee: Guarantee,
    /// How.
    pub what: String,
    /// When, in milliseconds.
    pub at: u64,
}

/// What the API server holds.
#[derive(Clone, Debug, Default)]
pub struct Api {
    pub(crate) holder: Option<u32>,
    pub(crate) renewed_at: u64,
    pub(crate) term: u64,
    /// Those that may be the primary: whom anybody was about to promote.
    pub candidates: Vec<Candidate>,
    /// The lists of data pods that the primary may hold.
    pub(crate) lists: Vec<MemberList>,
    /// Where clients are led.
    pub endpoint: Option<usize>,
    /// Where readers are led.
    pub(crate) replicas: u16,
    pub(crate) listed: u16,
    /// The kubelet says that their containers have ended.
    pub(crate) terminated: u16,
    pub(crate) fence_after: u64,
    /// Somebody wants another primary.
    pub wish: bool,
    /// This one.
    pub(crate) named: Option<usize>,
    /// Since when nobody is seen to lead, as the status has it.
    pub(crate) lost_since: Option<u64>,
    /// What somebody approved.
    pub(crate) approved: Option<String>,
    /// What the spec asks for.
    pub(crate) spec: Spec,
    /// There are volumes.
    pub(crate) persistent: bool,
    /// Pods of the StatefulSet.
    pub(crate) size: u32,
    /// Pods that somebody deleted.
    pub(crate) deleted: u16,
    /// Ordinals of temporary claims, and of those that go with their pods.
    pub(crate) temporary: u16,
    pub(crate) tied: u16,
    /// What stands on the claims, by ordinal.
    pub(crate) records: Vec<Record>,
    /// Counts objects: each is made anew over the volumes of the one before.
    pub(crate) object: u8,
}

/// What the last primary of an object had that was deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buried {
    pub(crate) had: Data,
    /// Its epoch.
    pub(crate) last: u64,
    /// When the object was made anew.
    pub(crate) at: u64,
}

/// How a world begins.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// For all that is random.
    pub seed: u64,
    /// Data pods.
    pub pods: usize,
    /// Milliseconds; 0 for none.
    pub fence_after: u64,
    /// What servers keep.
    pub persistence: Persistence,
    /// A temporary pod may be added while others are replaced.
    pub surge: bool,
    /// The primary refuses writes below so many linked replicas.
    pub min_replicas: u32,
    /// Milliseconds after which an operator notices that a stream is broken.
    pub hears_for: u64,
    /// The rules.
    pub rules: Rules,
    /// True to keep a journal.
    pub journal: bool,
}

/// An instance and what is around it.
pub struct World {
    /// Milliseconds since it began.
    pub time: u64,
    /// Data pods, also those that are gone.
    pub pods: Vec<Pod>,
    /// The API server.
    pub api: Api,
    /// The two operators.
    pub operators: [Operator; 2],
    /// The first broken promise.
    pub breach: Option<Breach>,
    /// What happened, if it is kept.
    pub journal: Vec<String>,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Those of them that a woken server acknowledged before its agent had looked at the clock.
    pub after_thaw: u64,
    /// Promotions.
    pub promotions: u64,
    /// Servers that their fence stopped.
    pub fenced: u64,
    /// Handovers that got as far as the promotion.
    pub handovers: u64,
    /// Copies of another history that were replaced.
    pub replaced: u64,
    /// Copies that went back a little, to another replica's.
    pub shortened: u64,
    /// Times that an operator became sure without proof.
    pub granted: u64,
    /// Ends at which a person had to say that the last primary is dead.
    pub stuck: u64,
    /// Ends at which the model had no names left for pods.
    pub cut_short: u64,
    pub(crate) net: Net,
    pub(crate) rng: SmallRng,
    pub(crate) rules: Rules,
    pub(crate) persistence: Persistence,
    pub(crate) branches: Branches,
    /// The last fault of a pod or of the network.
    pub(crate) disturbed_at: u64,
    /// The last fault of an operator.
    pub(crate) stirred_at: u64,
    /// Who wrote last which temporary claims go with their pods knew of every server that had ended with
    /// more than its volume, and none did since.
    pub(crate) tied_with_all_known: bool,
    pub(crate) stubborn: usize,
    pub(crate) writing: bool,
    /// They are made from time to time.
    pub(crate) snapshots: bool,
    /// What the demoted primary had, when, and for which epoch.
    pub(crate) demoted: Option<(Data, u64, u64)>,
    /// Of the object before, until somebody is promoted or a volume is lost.
    pub(crate) buried: Option<Buried>,
    /// Chance in ten that a replica catches up in a step.
    pub(crate) drain: u32,
    /// Of each ordinal, the pod that had its volume last, while none has it.
    pub(crate) volumes: [Option<usize>; 16],
    /// More pods would have been made than the model has names for.
    pub(crate) out_of_names: bool,
    /// Of the steps of a history.
    pub(crate) weights: Vec<u32>,
    keeps_journal: bool,
    processes: u32,
    serving: u16,
}

impl World {
    /// A new one.
    pub fn new(setup: &Setup) -> Self {
        let mut rng = SmallRng::seed_from_u64(setup.seed);
        let pods = (0..setup.pods).map(|pod| Pod::new(pod, pod, rng.random_range(0..1 << 30), 0));
        let pods: Vec<_> = pods.collect();
        let api = Api {
            listed: (1 << setup.pods) - 1,
            fence_after: setup.fence_after,
            spec: Spec {
                pods: setup.pods as u32,
                revision: 0,
                surge: setup.surge,
                min_replicas: setup.min_replicas,
            },
            persistent: setup.persistence != Persistence::None,
            size: setup.pods as u32,
            records: vec![Record::New; 16],
            object: 1,
            ..Api::default()
        };
        let operators = [1, 2]
            .map(|process| Operator::new(rng.random_range(0..1 << 30), process, setup.hears_for));
        Self {
            time: 0,
            pods,
            api,
            operators,
            breach: None,
            journal: Vec::new(),
            writes: 0,
            after_thaw: 0,
            promotions: 0,
            fenced: 0,
            handovers: 0,
            replaced: 0,
            shortened: 0,
            granted: 0,
            stuck: 0,
            cut_short: 0,
            net: Net::new(),
            rng,
            rules: setup.rules,
            persistence: setup.persistence,
            branches: Branches::new(),
            disturbed_at: 0,
            stirred_at: 0,
            tied_with_all_known: true,
            stubborn: 0,
            writing: true,
            snapshots: true,
            demoted: None,
            buried: None,
            drain: 8,
            volumes: [None; 16],
            out_of_names: false,
            weights: Vec::new(),
            keeps_journal: setup.journal,
            processes: 2,
            serving: 0,
        }
    }

    /// Goes on for that long.
    pub fn pass_time(&mut self, millis: u64) {
        let end = self.time + millis;
        while self.time < end && self.breach.is_none() {
            self.tick();
        }
    }

    /// Goes on until it is so, or the time is over. True if it is.
    pub fn until(&mut self, millis: u64, so: impl Fn(&Self) -> bool) -> bool {
        let end = self.time + millis;
        while self.time < end && self.breach.is_none() && !so(self) {
            self.tick();
        }
        so(self)
    }

    /// The one that serves.
    pub fn primary(&self) -> Option<usize> {
        self.pods.iter().position(Pod::serves)
    }

    /// True if all of that data is in the pod's copy.
    pub fn keeps(&self, pod: usize, data: Data) -> bool {
        self.branches.contains(self.pods[pod].data, data)
    }

    /// The data pods that the API server lists.
    pub fn listed(&self) -> impl Iterator<Item = usize> + use<> {
        set(self.api.listed)
    }

    /// The operator that leads.
    pub fn leader(&self) -> Option<usize> {
        self.operators
            .iter()
            .position(|operator| operator.up && !operator.stopped && operator.leads(self.time))
    }

    /// True if one serves, clients are led to it, and all others follow it.
    pub fn is_settled(&self) -> bool {
        let Some(primary) = self.primary() else {
            return false;
        };
        let epoch = self.pods[primary].epoch;
        self.is_as_asked()
            && self.api.endpoint == Some(primary)
            && self.api.listed & (1 << primary) != 0
            && self.pods.iter().filter(|pod| pod.serves()).count() == 1
            && set(self.api.listed).all(|other| {
                let pod = &self.pods[other];
                other == primary
                    || (pod.role == Role::Replica
                        && pod.link_up
                        && pod.following == Some((epoch, primary)))
            })
    }

    /// The longest limit that a primary may go by.
    pub(crate) fn longest_limit(&self) -> u64 {
        let limits = self.api.lists.iter().map(|list| list.fence_after_ms);
        limits.max().unwrap_or(0)
    }

    pub(crate) fn note(&mut self, words: impl FnOnce(&Self) -> String) {
        if self.keeps_journal {
            let line = format!("{:>9.2} {}", self.time as f64 / 1000.0, words(self));
            self.journal.push(line);
        }
    }

    pub(crate) fn broken(&mut self, guarantee: Guarantee, what: impl FnOnce(&Self) -> String) {
        if self.breach.is_none() {
            let what = what(self);
            self.note(|_| format!("BROKEN {guarantee:?}: {what}"));
            let at = self.time;
            self.breach = Some(Breach {
                guarantee,
                what,
                at,
            });
        }
    }

    pub(crate) fn tick(&mut self) {
        self.time += TICK;
        self.deliver();
        let first = self.rng.random_range(0..self.pods.len());
        for pod in (first..self.pods.len()).chain(0..first) {
            if !self.pods[pod].gone {
                self.run_server(pod);
                self.run_agent(pod);
            }
        }
        self.write();
        self.run_stateful_set();
        self.operate();
        self.look();
    }

    fn deliver(&mut self) {
        let mut index = 0;
        while let Some(message) = self.net.next(&mut index, self.time) {
            self.receive(message);
        }
    }

    fn receive(&mut self, message: Message) {
        let Message {
            held,
            from,
            to,
            payload,
            ..
        } = message;
        if held && !self.net.reaches(from, to) {
            return;
        }
        let sleeps = match to.checked_sub(OPERATORS[0]) {
            Some(operator) => self.operators[operator].stopped,
            None => self.pods[to].frozen,
        };
        if sleeps {
            // It is read when the receiver wakes.
            self.net.arrives(self.time + TICK * 4, message);
            return;
        }
        let now = self.time;
        let Some(operator) = to.checked_sub(OPERATORS[0]) else {
            if self.pods[to].up && !self.pods[to].gone {
                self.agent_receives(from, to, payload);
            }
            return;
        };
        let operator = &mut self.operators[operator];
        if !operator.up {
            return;
        }
        match payload {
            Payload::News(status) => operator.hears(status, now),
            Payload::Answer {
                id,
                done,
                position,
                status,
            } => {
                operator.is_answered(id, done, position, status, now);
            }
            Payload::Question { number, epoch } => {
                let question = self.pods[from].question(number, epoch);
                operator.is_asked(from, question, now);
            }
            Payload::Order { .. } | Payload::Confirm { .. } | Payload::Vouch { .. } => {}
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, payload: Payload) {
        self.net.send(self.time, from, to, payload, &mut self.rng);
    }

    fn run_agent(&mut self, index: usize) {
        let now = self.time;
        let pod = &mut self.pods[index];
        if pod.frozen || now < pod.next_look {
            return;
        }
        if !pod.up {
            pod.up = true;
            pod.vouched = pod.clock(now);
            pod.process = Process::Loading(now + self.rng.random_range(50..800));
            pod.news = true;
        }
        if pod.watch.is_some() || pod.thawing || pod.stopped_at.is_some() || pod.hangs {
            match pod.look(now) {
                Look::Nothing => {}
                Look::Stop => self.stop_unconfirmed(index),
                Look::Ask(number) => self.ask(index, number),
            }
            self.pods[index].next_look = now + self.rng.random_range(50..250);
        }
        let pod = &mut self.pods[index];
        if pod.news || now >= pod.next_beat {
            pod.news = false;
            pod.next_beat = now + BEAT;
            let status = pod.status(now);
            for operator in OPERATORS {
                self.send(index, operator, Payload::News(status));
            }
        }
    }

    fn ask(&mut self, pod: usize, number: u64) {
        let epoch = self.pods[pod].epoch;
        let question = Payload::Question { number, epoch };
        for operator in OPERATORS {
            self.send(pod, operator, question);
        }
        for peer in self.pods[pod].members.iter().filter(|peer| *peer != pod) {
            self.send(pod, peer, question);
        }
    }

    fn write(&mut self) {
        if !self.writing {
            return;
        }
        let led = self.api.endpoint;
        for pod in [led, Some(self.stubborn)].into_iter().flatten() {
            self.acknowledges(pod);
        }
    }

    /// A client writes to that server. True if it is acknowledged.
    pub(crate) fn acknowledges(&mut self, pod: usize) -> bool {
        let now = self.time;
        let linked = self.pods.iter().filter(|other| {
            other.runs() && other.link_up && other.following.is_some_and(|(_, whom)| whom == pod)
        });
        let enough = linked.count() >= self.api.spec.min_replicas as usize;
        let pod = &mut self.pods[pod];
        if !pod.serves() || !enough || pod.is_paused(now) || pod.full {
            return false;
        }
        pod.data.len += 1;
        self.writes += 1;
        if pod.thawing {
            self.after_thaw += 1;
        }
        if self.persistence == Persistence::Appends {
            pod.is_saved();
        }
        true
    }

    fn operate(&mut self) {
        let now = self.time;
        let ended = |pod: &&Pod| !pod.up && self.net.both_ways(pod.index, API);
        let ended = self.pods.iter().filter(ended);
        self.api.terminated = ended.fold(0, |all, pod| all | 1 << pod.index);
        for (index, sender) in OPERATORS.into_iter().enumerate() {
            let operator = &mut self.operators[index];
            if !operator.up && now >= operator.starts_at {
                self.processes += 1;
                let hears_for = operator.hears_for;
                *operator = Operator::new(operator.offset, self.processes, hears_for);
            }
            if !operator.up || operator.stopped {
                continue;
            }
            let mut outbox = std::mem::take(&mut self.operators[index].outbox);
            for (to, payload) in outbox.drain(..) {
                self.send(sender, to, payload);
            }
            self.operators[index].outbox = outbox;
            if now < self.operators[index].next_tick {
                continue;
            }
            self.operators[index].next_tick = now + self.rng.random_range(50..250);
            if self.net.both_ways(sender, API) {
                let before = self.keeps_journal.then(|| self.api.clone());
                let tied = self.api.tied;
                let operator = &mut self.operators[index];
                operator.pass(&mut self.api, &self.pods, now, self.rules);
                if self.api.tied != tied {
                    self.tied_with_all_known = operator.knows_of_losses(&self.pods);
                }
                let broken = operator.broken_rule.take();
                for pod in set(std::mem::take(&mut operator.granted)) {
                    self.is_sure(pod);
                }
                if let Some(words) = broken {
                    self.broken(Guarantee::Guard, |_| words);
                }
                if let Some(before) = before {
                    self.note_written(index, &before);
                }
            }
        }
    }

    /// What an operator changed, for the journal.
    fn note_written(&mut self, operator: usize, before: &Api) {
        let volumes = |api: &Api| (api.size, api.temporary, api.tied);
        if self.api.candidates != before.candidates {
            self.note(|world| {
                format!("operator {operator} writes down {:?}", world.api.candidates)
            });
        }
        if volumes(&self.api) != volumes(before) {
            self.note(|world| {
                let (size, temporary, tied) = volumes(&world.api);
                format!(
                    "operator {operator} wants {size} pods, claims {temporary:b} are temporary, \
                     {tied:b} go with their pods"
                )
            });
        }
    }

    /// An operator is sure, without proof, that this one serves no more.
    fn is_sure(&mut self, pod: usize) {
        self.granted += 1;
        if self.pods[pod].could_serve(self.time) {
            self.broken(Guarantee::Fence, |world| {
                format!(
                    "pod {pod} of epoch {} may still serve",
                    world.pods[pod].epoch
                )
            });
        }
    }

    fn look(&mut self) {
        let mut serving = 0u16;
        for pod in &self.pods {
            if pod.serves() && !pod.thawing {
                serving |= 1 << pod.index;
            }
        }
        if serving != self.serving {
            self.serving = serving;
            let pods: Vec<_> = if self.keeps_journal {
                set(serving).collect()
            } else {
                Vec::new()
            };
            self.note(|_| format!("serving: {pods:?}"));
            if serving.count_ones() > 1 {
                self.broken(Guarantee::OnePrimary, |_| {
                    format!("pods {:?} serve", set(serving).collect::<Vec<_>>())
                });
            }
        }
    }
}
