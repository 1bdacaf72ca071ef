//! Servers of a cluster: slots, keys with versions, marks of half-moved slots, and what each has heard of the
//! others. Replicas have every key at once, and know nothing of marks unless the version tells them.

use std::collections::BTreeMap;

use hera_core::cluster::{
    Command, Entry, Failover, Held, Moving, Node, Observation, Server, SlotSet, Wanted,
};
use hera_core::shard::Target;

use crate::agents::Running;

/// A primary that starts serves after this, in milliseconds (redis-facts §1.1).
const STARTS: u64 = 2_000;

/// What a server knows of one, itself included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub epoch: u64,
    pub slots: SlotSet,
    pub replica_of: Option<String>,
    /// Of its slots those that it no longer says it has: whoever says so next has them, by whatever word.
    pub unclaimed: SlotSet,
}

impl View {
    pub fn loses(&mut self, slots: &SlotSet) {
        self.slots = self.slots.without(slots);
        self.unclaimed = self.unclaimed.without(slots);
    }
}

/// A pod with its server.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub shard: u32,
    pub ordinal: u32,
    pub id: String,
    /// The highest epoch that it has heard of, of whomever.
    pub current_epoch: u64,
    pub alive: bool,
    pub dead_since: u64,
    /// It came back and waits with its start.
    pub held: bool,
    /// It has started, and neither serves nor takes slots until then: by then it has heard from all.
    pub starts_until: Option<u64>,
    pub knows: BTreeMap<String, View>,
    /// Versions by key, by slot.
    pub keys: BTreeMap<u16, BTreeMap<u8, u64>>,
    /// Marks of slots that go, and to whom.
    pub given: BTreeMap<u16, String>,
    /// Marks of slots that come, and from whom.
    pub taken: BTreeMap<u16, String>,
    pub job: Option<Running>,
    pub moving: Option<Moving>,
}

impl Pod {
    pub fn new(shard: u32, ordinal: u32) -> Self {
        let id = format!("id-{shard}-{ordinal}");
        Self {
            shard,
            ordinal,
            knows: BTreeMap::from([(id.clone(), View::default())]),
            id,
            alive: true,
            ..Self::default()
        }
    }

    pub fn own(&self) -> &View {
        &self.knows[&self.id]
    }

    pub fn own_mut(&mut self) -> &mut View {
        self.knows.get_mut(&self.id).unwrap()
    }

    pub fn is_primary(&self) -> bool {
        self.own().replica_of.is_none()
    }

    pub fn leads(&self) -> bool {
        self.alive && self.is_primary()
    }

    pub fn serves(&self) -> bool {
        self.leads() && self.starts_until.is_none()
    }

    pub fn count(&self) -> u64 {
        self.keys.values().map(|keys| keys.len() as u64).sum()
    }

    pub fn next_epoch(&self) -> u64 {
        let known = self.knows.values().map(|view| view.epoch);
        known.fold(self.current_epoch, u64::max) + 1
    }

    fn takes_an_epoch(&mut self) {
        self.current_epoch = self.next_epoch();
        self.own_mut().epoch = self.current_epoch;
    }

    /// The same, of one that takes it by itself: not if none is later than its own.
    fn takes_a_later_epoch(&mut self) {
        let own = self.own().epoch;
        if own == 0 || own + 1 != self.next_epoch() {
            self.takes_an_epoch();
        }
    }

    /// Has slots by a later word than anybody.
    pub fn takes(&mut self, slots: &SlotSet) {
        self.takes_a_later_epoch();
        self.has_got(slots);
    }

    fn has_got(&mut self, slots: &SlotSet) {
        let id = self.id.clone();
        for (other, view) in &mut self.knows {
            match *other == id {
                true => view.slots = view.slots.with(slots),
                false => view.loses(slots),
            }
        }
        self.taken.retain(|slot, _| !slots.contains(*slot));
    }

    /// Hears what another says of itself. A server that loses a slot deletes the keys.
    fn hears(&mut self, id: &str, said: &View, version: Version) {
        if !self.knows.contains_key(id) {
            return;
        }
        let own = self.own().clone();
        let both = own.replica_of.is_none() && said.replica_of.is_none();
        if both && own.epoch == said.epoch && *self.id < *id {
            self.takes_an_epoch();
        }
        let mut won = said.slots.clone();
        for (other, view) in &self.knows {
            if other != id && view.epoch >= said.epoch {
                won = won.without(&view.slots.without(&view.unclaimed));
            }
        }
        let coming = SlotSet::of(self.taken.keys().map(|slot| (*slot, *slot)));
        let won = won.without(&coming);
        let lost = own.slots.shared(&won);
        for (_, view) in self.knows.iter_mut().filter(|(other, _)| *other != id) {
            view.loses(&won);
        }
        let known = self.knows.get_mut(id).unwrap();
        known.slots = match said.replica_of {
            Some(_) => SlotSet::default(),
            None => known.slots.with(&won),
        };
        (known.epoch, known.replica_of) = (said.epoch, said.replica_of.clone());
        if version.hears_of_losses {
            known.unclaimed = known.slots.without(&said.slots);
        }
        if own.replica_of.is_none() {
            self.keys.retain(|slot, _| !lost.contains(*slot));
        }
        if version.tells_replicas {
            self.given.retain(|slot, _| !lost.contains(*slot));
        }
    }
}

/// What servers of a version do, and earlier ones do not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Version {
    /// One that no longer says it has a slot is not taken for its owner against who says so (from Redis 7.2 on).
    pub hears_of_losses: bool,
    /// Servers tell their replicas of marks, and clear those that say nothing any more (from Valkey 8.0 on).
    pub tells_replicas: bool,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct World {
    pub pods: Vec<Pod>,
    pub wanted: Wanted,
    pub now: u64,
    pub version: Version,
    /// What was acknowledged last, by slot and key.
    pub acknowledged: BTreeMap<(u16, u8), u64>,
    pub writes: u64,
}

impl World {
    /// Whole, of these shards.
    pub fn new(shards: &[SlotSet], replicas: u32, version: Version) -> Self {
        let mut pods = Vec::new();
        for (shard, slots) in (0_u32..).zip(shards) {
            for ordinal in 0..=replicas {
                let mut pod = Pod::new(shard, ordinal);
                let own = pod.own_mut();
                own.epoch = u64::from(shard) + 1;
                match ordinal {
                    0 => own.slots = slots.clone(),
                    _ => own.replica_of = Some(format!("id-{shard}-0")),
                }
                pods.push(pod);
            }
        }
        let views: Vec<(String, View)> = pods
            .iter()
            .map(|pod: &Pod| (pod.id.clone(), pod.own().clone()))
            .collect();
        for pod in &mut pods {
            pod.knows = views.iter().cloned().collect();
        }
        Self {
            pods,
            wanted: Wanted {
                shards: u32::try_from(shards.len()).unwrap(),
                replicas,
            },
            now: 100_000,
            version,
            acknowledged: BTreeMap::new(),
            writes: 0,
        }
    }

    /// Another shard: its pods start, and know nobody.
    pub fn add_shard(&mut self) {
        let shard = self.wanted.shards;
        self.wanted.shards += 1;
        let pods = (0..=self.wanted.replicas).map(|ordinal| Pod::new(shard, ordinal));
        self.pods.extend(pods);
    }

    /// The last shard goes.
    pub fn remove_shard(&mut self) {
        self.wanted.shards -= 1;
        let left = self.wanted.shards;
        self.pods.retain(|pod| pod.shard < left);
    }

    pub fn at(&self, id: &str) -> Option<usize> {
        self.pods.iter().position(|pod| pod.id == id)
    }

    pub fn is_alive(&self, id: &str) -> bool {
        self.at(id).is_some_and(|at| self.pods[at].alive)
    }

    /// Two servers tell each other what they are.
    pub fn gossip(&mut self, one: usize, other: usize) {
        if one == other || !self.pods[one].alive || !self.pods[other].alive {
            return;
        }
        // Who takes a later epoch, as the two had the same, tells it.
        for (from, to) in [(one, other), (other, one), (one, other)] {
            let (id, said) = (self.pods[from].id.clone(), self.pods[from].own().clone());
            let epoch = self.pods[from].current_epoch.max(said.epoch);
            let knows_it = self.pods[from].knows.contains_key(&self.pods[to].id);
            if knows_it {
                let version = self.version;
                let to = &mut self.pods[to];
                to.current_epoch = to.current_epoch.max(epoch);
                to.hears(&id, &said, version);
            }
        }
    }

    /// A server tells all that it knows what it is, and hears what they are.
    pub fn tells_all(&mut self, at: usize) {
        for other in 0..self.pods.len() {
            self.gossip(at, other);
        }
    }

    /// Who started a while ago has heard from all.
    pub fn start(&mut self) {
        for at in 0..self.pods.len() {
            let until = self.pods[at].starts_until;
            if until.is_some_and(|until| until <= self.now) {
                self.tells_all(at);
                self.pods[at].starts_until = None;
            }
        }
    }

    /// Replicas take over what their primaries have.
    pub fn replicate(&mut self) {
        for at in 0..self.pods.len() {
            let of = self.pods[at].own().replica_of.clone();
            let primary = of.and_then(|of| self.at(&of));
            let Some(primary) = primary.filter(|of| self.pods[*of].leads()) else {
                continue;
            };
            if !self.pods[at].alive {
                continue;
            }
            self.pods[at].keys = self.pods[primary].keys.clone();
            if self.version.tells_replicas {
                self.pods[at].given = self.pods[primary].given.clone();
                self.pods[at].taken = self.pods[primary].taken.clone();
            }
        }
    }

    /// A client writes, where servers lead it.
    pub fn write(&mut self, slot: u16, key: u8) {
        let owners = 0..self.pods.len();
        let owners = owners.filter(|at| {
            let pod = &self.pods[*at];
            pod.serves() && pod.own().slots.contains(slot)
        });
        let Some(owner) = owners.max_by_key(|at| self.pods[*at].own().epoch) else {
            return;
        };
        let has = self.pods[owner]
            .keys
            .get(&slot)
            .is_some_and(|keys| keys.contains_key(&key));
        let at = match self.pods[owner].given.get(&slot).cloned() {
            Some(id) if !has => {
                let there = self.at(&id).filter(|at| {
                    let pod = &self.pods[*at];
                    pod.serves() && pod.taken.contains_key(&slot)
                });
                let Some(there) = there else { return };
                there
            }
            _ => owner,
        };
        self.writes += 1;
        let version = self.writes;
        self.pods[at]
            .keys
            .entry(slot)
            .or_default()
            .insert(key, version);
        self.acknowledged.insert((slot, key), version);
        self.replicate();
    }

    /// The server dies, and with it what its agent does.
    pub fn kill(&mut self, at: usize) {
        let pod = &mut self.pods[at];
        (pod.alive, pod.held, pod.dead_since) = (false, false, self.now);
        pod.starts_until = None;
        (pod.job, pod.moving) = (None, None);
    }

    /// Its pod is there again: a replica starts, and who led waits.
    pub fn come_back(&mut self, at: usize) {
        let pod = &mut self.pods[at];
        if !pod.alive {
            pod.held = pod.is_primary();
            pod.alive = !pod.held;
        }
        // Its link is up once all is there, and by then it has heard what is.
        self.tells_all(at);
        self.replicate();
    }

    pub fn observe(&self) -> Observation {
        Observation {
            nodes: self.pods.iter().map(|pod| self.node(pod)).collect(),
            formed: true,
            now_ms: self.now,
        }
    }

    fn node(&self, pod: &Pod) -> Node {
        let name = format!("pod-{}-{}", pod.shard, pod.ordinal);
        Node {
            shard: pod.shard,
            ordinal: pod.ordinal,
            pod: Target {
                name: name.clone(),
                uid: name,
            },
            ip: address(&pod.id),
            port: 6379,
            last_id: Some(pod.id.clone()),
            server: pod.alive.then(|| self.server(pod)),
            dead_since_ms: (!pod.alive).then_some(pod.dead_since),
            held: pod.held.then_some(Held {
                has_data: true,
                snapshot_ms: None,
                epoch: pod.own().epoch,
            }),
            ..Node::default()
        }
    }

    fn server(&self, pod: &Pod) -> Server {
        let primary = pod.own().replica_of.as_ref().map(|of| self.at(of));
        let link_up = primary.is_some_and(|at| at.is_some_and(|at| self.pods[at].leads()));
        let down = primary.filter(|_| !link_up).map(|at| {
            let since = at.map_or(0, |at| self.pods[at].dead_since);
            self.now.saturating_sub(since)
        });
        let known = pod.knows.iter().map(|(id, view)| self.entry(pod, id, view));
        Server {
            id: pod.id.clone(),
            keys: pod.count(),
            offset: 1,
            link_up,
            link_down_ms: down,
            serves: pod.starts_until.is_none(),
            current_epoch: pod.next_epoch() - 1,
            known: known.collect(),
            moving: pod.moving.clone(),
            ..Server::default()
        }
    }

    fn entry(&self, pod: &Pod, id: &str, view: &View) -> Entry {
        let is_there = self.is_alive(id);
        let given = pod
            .given
            .iter()
            .map(|(slot, to)| format!("[{slot}->-{to}]"));
        let taken = pod
            .taken
            .iter()
            .map(|(slot, of)| format!("[{slot}-<-{of}]"));
        Entry {
            id: id.to_owned(),
            ip: address(id),
            port: 6379,
            replica_of: view.replica_of.clone(),
            failed: !is_there,
            connected: is_there,
            config_epoch: view.epoch,
            slots: view.slots.clone(),
            open_slots: match *id == *pod.id {
                true => given.chain(taken).collect(),
                false => Vec::new(),
            },
            ..Entry::default()
        }
    }

    /// A server carries out an order, or refuses.
    pub fn obey(&mut self, at: usize, command: &Command) {
        if *command == Command::Start {
            let now = self.now;
            let pod = &mut self.pods[at];
            if pod.held {
                (pod.alive, pod.held) = (true, false);
                pod.starts_until = Some(now + STARTS);
            }
            self.replicate();
            return;
        }
        if !self.pods[at].alive {
            return;
        }
        match command {
            Command::Meet { ip, .. } => {
                let met = self.pods.iter().position(|pod| address(&pod.id) == *ip);
                let Some(met) = met.filter(|met| self.pods[*met].alive && *met != at) else {
                    return;
                };
                for (one, other) in [(at, met), (met, at)] {
                    let id = self.pods[other].id.clone();
                    self.pods[one].knows.entry(id).or_default();
                }
                self.gossip(at, met);
            }
            // Not while its own slots are on their way: it may not have heard that they arrived.
            Command::BumpEpoch if self.pods[at].job.is_some() => {}
            Command::BumpEpoch => self.pods[at].takes_a_later_epoch(),
            Command::Replicate { primary } => self.replicate_other(at, primary),
            Command::Failover { primary, how } => {
                // Nobody votes for an epoch that is not later than all that it has heard of.
                if *how == Failover::Force {
                    let voters = self.pods.iter().filter(|pod| pod.leads());
                    let last = voters.map(|pod| pod.next_epoch() - 1).max();
                    let pod = &mut self.pods[at];
                    pod.current_epoch = pod.current_epoch.max(last.unwrap_or(0));
                }
                self.take_over(at, primary, *how);
            }
            Command::Forget { id } => {
                let pod = &mut self.pods[at];
                if *id != pod.id && pod.own().replica_of.as_ref() != Some(id) {
                    pod.knows.remove(id);
                    pod.given.retain(|_, to| to != id);
                    pod.taken.retain(|_, of| of != id);
                }
            }
            Command::AddSlots { slots } => {
                let pod = &mut self.pods[at];
                for view in pod.knows.values_mut() {
                    view.loses(slots);
                }
                let own = pod.own_mut();
                own.slots = own.slots.with(slots);
                pod.taken.retain(|slot, _| !slots.contains(*slot));
            }
            Command::Rejoin { id } => self.rejoin(at, id),
            other => self.about_slots(at, other),
        }
        self.replicate();
    }

    fn replicate_other(&mut self, at: usize, primary: &str) {
        let fits = |view: &View| view.replica_of.is_none();
        let pod = &mut self.pods[at];
        let is_free = pod.own().slots.is_empty() && (pod.count() == 0 || !pod.is_primary());
        if is_free && *primary != pod.id && pod.knows.get(primary).is_some_and(fits) {
            pod.own_mut().replica_of = Some(primary.to_owned());
            pod.given.clear();
            pod.taken.clear();
        }
    }

    fn take_over(&mut self, at: usize, primary: &str, how: Failover) {
        let pod = &mut self.pods[at];
        if pod.own().replica_of.as_deref() != Some(primary) {
            return;
        }
        let slots = pod.knows.get(primary).map(|view| view.slots.clone());
        pod.own_mut().replica_of = None;
        match how {
            Failover::Takeover => pod.takes_a_later_epoch(),
            Failover::Agreed | Failover::Force => pod.takes_an_epoch(),
        }
        pod.has_got(&slots.unwrap_or_default());
        if let Some(old) = pod.knows.get_mut(primary) {
            old.replica_of = Some(pod.id.clone());
        }
        // Two of one epoch have settled that by the time one of them is gone: the other would keep it.
        self.tells_all(at);
    }

    /// It starts again without what it knew, and takes itself for the owner of what it has.
    fn rejoin(&mut self, at: usize, id: &str) {
        let pod = &mut self.pods[at];
        if pod.id != id {
            return;
        }
        let has_led = pod.count() > 0 || pod.own().epoch > 0;
        if !pod.is_primary() || !pod.own().slots.is_empty() || !has_led {
            return;
        }
        let id = format!("{}-again", pod.id);
        let slots = SlotSet::of(pod.keys.keys().map(|slot| (*slot, *slot)));
        let view = View {
            slots,
            ..View::default()
        };
        pod.knows = BTreeMap::from([(id.clone(), view)]);
        (pod.id, pod.current_epoch) = (id, 0);
        (pod.job, pod.moving) = (None, None);
        pod.given.clear();
        pod.taken.clear();
    }
}

fn address(id: &str) -> String {
    format!("at-{id}")
}
