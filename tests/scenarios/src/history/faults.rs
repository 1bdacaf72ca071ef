//! What may happen to an instance.

use rand::Rng as _;

use hera_core::shard::Record;

use crate::net::{API, OPERATORS, Weather, set};
use crate::pod::{Persistence, Pod, Process, Role};
use crate::rules::Fault;
use crate::world::{Buried, World};

impl World {
    pub(crate) fn disturb(&mut self) {
        self.disturbed_at = self.time;
    }

    pub(super) fn any_cut(&mut self, pod: usize) {
        self.disturb();
        let mut nodes: Vec<usize> = self
            .pods
            .iter()
            .filter(|pod| !pod.gone)
            .map(|pod| pod.index)
            .collect();
        nodes.extend(OPERATORS);
        match self.rng.random_range(0..4) {
            0 => {
                self.note(|_| format!("pod {pod} is cut off"));
                self.isolate(pod);
            }
            // Two sides.
            1 | 2 => {
                let side: u32 = self.rng.random();
                let one_way = self.rng.random_range(0..4) == 0;
                let (here, there): (Vec<_>, Vec<_>) =
                    nodes.into_iter().partition(|node| side & (1 << node) != 0);
                self.note(|_| format!("{here:?} is cut from {there:?}, one way: {one_way}"));
                for one in &here {
                    for other in &there {
                        self.net.cut(*one, *other);
                        if !one_way {
                            self.net.cut(*other, *one);
                        }
                    }
                }
            }
            _ => {
                let other = nodes[self.rng.random_range(0..nodes.len())];
                self.note(|_| format!("{pod} and {other} are cut"));
                self.net.cut(pod, other);
                if self.rng.random_range(0..2) == 0 {
                    self.net.cut(other, pod);
                }
            }
        }
    }

    /// Cuts a pod off from everything.
    pub fn isolate(&mut self, pod: usize) {
        self.disturb();
        self.net.isolate(pod);
    }

    /// Cuts two pods from each other.
    pub fn part(&mut self, one: usize, other: usize) {
        self.disturb();
        self.net.cut(one, other);
        self.net.cut(other, one);
    }

    /// Cuts a pod from both operators.
    pub fn part_from_operators(&mut self, pod: usize) {
        for operator in OPERATORS {
            self.part(pod, operator);
        }
    }

    /// The network is whole.
    pub fn heal_network(&mut self) {
        if !self.net.is_whole() {
            self.disturb();
            self.note(|_| "the network is whole".to_owned());
            self.net.heal();
        }
    }

    pub(super) fn cut_api(&mut self) {
        self.disturb();
        self.note(|_| "the API server is cut off".to_owned());
        self.net.isolate(API);
    }

    pub(super) fn any_weather(&mut self) {
        self.disturb();
        self.net.weather = match self.rng.random_range(0..3) {
            0 => Weather {
                lost: 0,
                slow: 300,
                twice: 100,
                late: 4_900,
            },
            1 => Weather {
                lost: 50,
                slow: 100,
                twice: 20,
                late: 20_000,
            },
            _ => Weather::CALM,
        };
        let weather = self.net.weather;
        self.note(|_| format!("{weather:?}"));
    }

    /// A pod stops, its agent with its server.
    pub fn freeze(&mut self, pod: usize) {
        self.disturb();
        self.note(|_| format!("pod {pod} freezes"));
        self.pods[pod].frozen = true;
    }

    /// It goes on; queued writes may be acknowledged before the agent has looked at the clock.
    pub fn thaw(&mut self, pod: usize) {
        if !self.pods[pod].frozen {
            return;
        }
        self.disturb();
        self.note(|_| format!("pod {pod} wakes"));
        let next = self.time + self.rng.random_range(0..120);
        let pod = &mut self.pods[pod];
        pod.frozen = false;
        pod.thawing = true;
        pod.next_look = next;
    }

    pub(super) fn thaw_all(&mut self) {
        for pod in 0..self.pods.len() {
            self.thaw(pod);
        }
    }

    /// A server's process is killed.
    pub fn crash_server(&mut self, pod: usize) {
        if self.pods[pod].process == Process::Running && !self.pods[pod].frozen {
            self.disturb();
            self.note(|_| format!("server {pod} crashes"));
            let pause = self.rng.random_range(0..500);
            self.stop_server(pod, pause);
        }
    }

    /// A server's process is stopped; its agent runs on.
    pub fn hang_server(&mut self, pod: usize) {
        if self.pods[pod].runs() && !self.pods[pod].frozen {
            self.disturb();
            self.note(|_| format!("server {pod} hangs"));
            self.pods[pod].stopped_at = Some(self.time);
        }
    }

    /// A pod's container starts again, after a loss of power or not.
    pub fn restart_pod(&mut self, pod: usize, power: bool) {
        self.disturb();
        self.note(|_| format!("pod {pod} starts again, power lost: {power}"));
        let longest = if self.rng.random() { 300 } else { 5_000 };
        let start = self.time + self.rng.random_range(100..longest);
        self.stop_server(pod, 0);
        if power && self.pods[pod].disk != self.pods[pod].synced {
            self.note_loss(pod);
        }
        self.pods[pod].container_ends(power, start, self.rules);
    }

    /// A pod is deleted and made anew. By force it may run on where it is, unseen; else its volume
    /// goes to the new one.
    pub fn replace_pod(&mut self, old: usize, force: bool) {
        if self.api.listed & (1 << old) == 0 {
            return;
        }
        self.disturb();
        let new = self.pods.len();
        self.note(|_| format!("pod {old} is replaced by pod {new}, by force: {force}"));
        let clock = self.rng.random_range(0..1 << 30);
        let start = self.time + self.rng.random_range(500..8_000);
        let mut pod = Pod::new(new, self.pods[old].ordinal, clock, self.time);
        pod.is_to_start(start);
        pod.revision = self.api.spec.revision;
        pod.object = self.api.object;
        if force {
            // The old volume stays with who runs on.
            self.buried = None;
            self.api.records[pod.ordinal] = Record::New;
        }
        self.api.deleted &= !(1 << old);
        self.api.listed &= !(1 << old);
        self.api.listed |= 1 << new;
        if !force {
            self.stop_server(old, 0);
            let from = &mut self.pods[old];
            from.gone = true;
            // Without a volume nothing outlives the pod.
            if self.persistence != Persistence::None {
                pod.inherit(from);
            }
        }
        self.pods.push(pod);
    }

    /// The volume of a pod is full.
    pub fn fill_volume(&mut self, pod: usize) {
        if self.persistence == Persistence::None || self.pods[pod].full {
            return;
        }
        self.disturb();
        self.note(|_| format!("the volume of pod {pod} is full"));
        self.pods[pod].full = true;
        self.pods[pod].news = true;
    }

    /// All volumes have room again.
    pub fn grow_volumes(&mut self) {
        for pod in 0..self.pods.len() {
            if std::mem::take(&mut self.pods[pod].full) {
                self.disturb();
                self.note(|_| format!("the volume of pod {pod} has room"));
                self.pods[pod].news = true;
            }
        }
    }

    /// The spec asks for other pods.
    pub fn roll(&mut self) {
        self.api.spec.revision += 1;
        self.note(|world| format!("revision {} is wanted", world.api.spec.revision));
    }

    /// The spec asks for so many pods.
    pub fn scale(&mut self, pods: u32) {
        self.api.spec.pods = pods;
        self.note(|_| format!("{pods} data pods are wanted"));
    }

    /// The object is deleted, and made anew with so many pods over the volumes that it left. The pods end
    /// well, the primary last, or all lose power at once.
    pub fn remake(&mut self, pods: u32, power: bool) {
        let calm = self.is_settled();
        let primary = self.primary();
        self.disturb();
        self.note(|_| format!("the object is made anew with {pods} pods, power lost: {power}"));
        for pod in 0..self.pods.len() {
            if self.pods[pod].gone {
                continue;
            }
            let it = &mut self.pods[pod];
            let ends_well = it.runs() && !it.frozen && !it.full && !power;
            if ends_well {
                it.is_saved();
                it.synced = it.data;
            }
            self.stop_server(pod, 0);
            let it = &mut self.pods[pod];
            it.disk = it.synced;
            it.gone = true;
            it.role = Role::Held;
            let (ordinal, listed) = (it.ordinal, self.api.listed & (1 << pod) != 0);
            if listed && self.persistence != Persistence::None {
                self.volumes[ordinal] = Some(pod);
            }
        }
        for ordinal in set(self.api.temporary & self.api.tied) {
            self.volumes[ordinal] = None;
            self.api.records[ordinal] = Record::New;
        }
        if self.rules.has(Fault::LineageForgotten) {
            self.api.records.fill(Record::Unknown);
        }
        // A full volume takes no more of what its server has.
        let last = primary.filter(|pod| calm && !power && !self.pods[*pod].full);
        let lasts = self.persistence != Persistence::None;
        self.buried = last.filter(|_| lasts).map(|pod| Buried {
            had: self.pods[pod].data,
            last: self.pods[pod].epoch,
            at: self.time,
        });
        let api = &mut self.api;
        api.temporary &= !api.tied;
        (api.listed, api.deleted, api.tied, api.size) = (0, 0, 0, 0);
        (api.endpoint, api.replicas, api.terminated) = (None, 0, 0);
        api.candidates.clear();
        api.lists.clear();
        (api.approved, api.named, api.lost_since) = (None, None, None);
        api.object += 1;
        api.spec.pods = pods;
        self.demoted = None;
    }

    /// A pod is deleted, and has time to end well.
    pub fn evict(&mut self, pod: usize) {
        self.note(|_| format!("pod {pod} is deleted"));
        // An eviction waits until all are in sync (the disruption budget); who deletes does not.
        if !self.is_settled() {
            self.disturb();
        }
        self.api.deleted |= self.api.listed & (1 << pod);
    }

    /// An operator stops where it is.
    pub fn stop_operator(&mut self, operator: usize) {
        self.stirred_at = self.time;
        self.note(|_| format!("operator {operator} is stopped"));
        self.operators[operator].stopped = true;
    }

    /// It goes on where it was.
    pub fn wake_operator(&mut self, operator: usize) {
        if self.operators[operator].stopped {
            self.stirred_at = self.time;
            self.note(|_| format!("operator {operator} goes on"));
            let time = self.time;
            self.operators[operator].wakes(time);
        }
    }

    pub(super) fn wake_operators(&mut self) {
        self.wake_operator(0);
        self.wake_operator(1);
    }

    /// An operator's process ends; some of what it was about to send is sent.
    pub fn crash_operator(&mut self, operator: usize) {
        self.stirred_at = self.time;
        self.note(|_| format!("operator {operator} crashes"));
        let starts_at = self.time + self.rng.random_range(500..8_000);
        let dead = &mut self.operators[operator];
        dead.up = false;
        dead.stopped = false;
        dead.starts_at = starts_at;
        let mut outbox = std::mem::take(&mut dead.outbox);
        outbox.truncate(self.rng.random_range(0..=outbox.len()));
        for (to, payload) in outbox {
            self.send(OPERATORS[operator], to, payload);
        }
    }

    /// Somebody says that those who may be the primary are dead. True if they are all gone, and somebody
    /// is asked to say so.
    pub(crate) fn a_person_says(&mut self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let leader = &self.operators[leader];
        let gone = set(leader.unproven()).all(|pod| self.pods[pod].gone);
        let asked = leader.to_approve.clone().filter(|_| gone);
        let says = asked.is_some() && asked != self.api.approved;
        if says {
            self.note(|_| "a person says that the last primary is dead".to_owned());
            self.api.approved = asked;
        }
        says
    }

    /// No fault is left.
    pub fn mend(&mut self) {
        self.heal_network();
        self.net.weather = Weather::CALM;
        self.thaw_all();
        self.wake_operators();
        self.drain = 8;
        self.api.wish = false;
        for pod in 0..self.pods.len() {
            let it = &mut self.pods[pod];
            it.stopped_at = None;
            // The kubelet is heard again, and ends what was deleted by force.
            if self.api.listed & (1 << pod) == 0 && !it.gone {
                it.gone = true;
                it.role = Role::Held;
                self.stop_server(pod, 0);
            }
        }
        self.disturb();
        self.note(|_| "no fault is left".to_owned());
    }
}
