//! The servers of a RedisCluster as their agents tell of them: each does at once what it is told, and all that know
//! each other hear of it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hera_core::agent::{ClusterNews, ClusterState, REDIS_PORT, Role};
use hera_core::cluster::{Command, Entry, Moving, MovingState, NodeId, Server, SlotSet};
use hera_core::digest::sha256_hex;

use super::agent::Told;

/// What a server of the image `redis:8.6` says it is: it takes slots whole, some hundred at a time.
const VERSION: &str = "8.6.3";
/// That image.
pub const IMAGE: &str = "redis:8.6";
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// All of them.
#[derive(Default)]
pub struct Ring(Mutex<Servers>);

#[derive(Default)]
struct Servers {
    /// By uid of the pod.
    servers: BTreeMap<String, One>,
    /// What servers were told about slots.
    orders: Vec<Command>,
    /// Jobs begin, and do not end.
    stuck: bool,
    /// Memory that each may use.
    max_bytes: Option<u64>,
    /// Counts changes.
    changes: u64,
}

struct One {
    id: NodeId,
    shard: u32,
    ip: IpAddr,
    told: Told,
    slots: SlotSet,
    replica_of: Option<NodeId>,
    epoch: u64,
    /// Whom it knows, itself not included: also those who are gone, until it is told to forget them.
    knows: BTreeSet<NodeId>,
    moving: Option<Moving>,
}

/// The place of one pod among them.
#[derive(Clone)]
pub struct Seat {
    ring: Arc<Ring>,
    uid: String,
    shard: u32,
    ip: IpAddr,
    /// Its server is of [`IMAGE`].
    is_late: bool,
}

impl Seat {
    pub fn new(ring: Arc<Ring>, uid: &str, shard: u32, ip: IpAddr, is_late: bool) -> Self {
        let uid = uid.to_owned();
        Self {
            ring,
            uid,
            shard,
            ip,
            is_late,
        }
    }

    /// A server starts, which knows nobody.
    pub fn take(&self, told: Told) {
        let id = sha256_hex(self.uid.as_bytes())[..40].to_owned();
        let one = One {
            id,
            shard: self.shard,
            ip: self.ip,
            told,
            slots: SlotSet::default(),
            replica_of: None,
            epoch: 0,
            knows: BTreeSet::new(),
            moving: None,
        };
        if self.is_late {
            let version = Some(VERSION.to_owned());
            one.told.send_modify(|status| status.version = version);
        }
        self.ring.change(|ring| {
            ring.servers.insert(self.uid.clone(), one);
        });
    }

    /// It does what it is told.
    pub fn obey(&self, command: &Command) {
        self.ring.change(|ring| ring.obey(&self.uid, command));
    }

    /// What it says.
    pub fn state(&self) -> ClusterState {
        let ring = self.ring.0.lock().unwrap();
        let server = ring.server(&self.uid);
        ClusterState {
            id: server.as_ref().map(|server| server.id.clone()),
            server,
            ..ClusterState::default()
        }
    }
}

impl Ring {
    /// The server of a pod is gone.
    pub fn leave(&self, uid: &str) {
        self.change(|ring| {
            ring.servers.remove(uid);
        });
    }

    /// What servers were told about slots so far.
    pub fn orders(&self) -> Vec<Command> {
        self.0.lock().unwrap().orders.clone()
    }

    /// What the servers of a shard have.
    pub fn slots(&self, shard: u32) -> SlotSet {
        let ring = self.0.lock().unwrap();
        let own = ring.servers.values().filter(|one| one.shard == shard);
        own.fold(SlotSet::default(), |all, one| all.with(&one.slots))
    }

    /// From now on jobs begin and do not end; or all end that have begun.
    pub fn is_stuck(&self, stuck: bool) {
        self.change(|ring| {
            ring.stuck = stuck;
            let waiting: Vec<(NodeId, Moving)> = ring
                .servers
                .values()
                .filter(|_| !stuck)
                .filter_map(|one| Some((one.id.clone(), one.moving.clone()?)))
                .filter(|(_, moving)| moving.state == MovingState::Running)
                .collect();
            for (id, moving) in waiting {
                ring.end(&id, &moving);
            }
        });
    }

    /// Servers may use so many MiB from now on.
    pub fn limit(&self, mib: u64) {
        self.change(|ring| ring.max_bytes = Some(mib * MIB));
    }

    /// Changes something, which is news of all.
    fn change(&self, change: impl FnOnce(&mut Servers)) {
        let mut ring = self.0.lock().unwrap();
        change(&mut ring);
        ring.changes += 1;
        for one in ring.servers.values() {
            let role = match one.replica_of {
                Some(_) => Role::Replica,
                None => Role::Primary,
            };
            let news = ClusterNews {
                id: one.id.clone(),
                serves: true,
                digest: ring.changes.to_string(),
                held: false,
            };
            one.told.send_modify(|status| {
                status.role = role;
                status.cluster = Some(news);
            });
        }
    }
}

impl Servers {
    fn with_id(&mut self, id: &str) -> Option<&mut One> {
        self.servers.values_mut().find(|one| one.id == id)
    }

    fn obey(&mut self, uid: &str, command: &Command) {
        if let Command::GiveSlots { .. } | Command::TakeSlots { .. } | Command::StopMoving = command
        {
            self.orders.push(command.clone());
        }
        let last = self.servers.values().map(|one| one.epoch).max();
        let Some(one) = self.servers.get_mut(uid) else {
            return;
        };
        let id = one.id.clone();
        match command {
            Command::SetEpoch { epoch } => one.epoch = *epoch,
            Command::BumpEpoch => one.epoch = last.unwrap_or(0) + 1,
            Command::AddSlots { slots } => one.slots = one.slots.with(slots),
            Command::Replicate { primary } => one.replica_of = Some(primary.clone()),
            Command::Forget { id } => {
                one.knows.remove(id);
            }
            Command::Meet { ip, .. } => self.meet(&id, ip),
            Command::GiveSlots { slots, target, .. } => self.begin(&id, target, slots, false),
            Command::TakeSlots { slots, source } => self.begin(&id, source, slots, true),
            Command::StopMoving => {
                if let Some(moving) = &mut one.moving {
                    moving.state = MovingState::Stopped;
                }
            }
            other => panic!("{other}: no server of these tests is told that"),
        }
    }

    /// Two that meet know all that either does.
    fn meet(&mut self, id: &str, ip: &str) {
        let mut all = BTreeSet::new();
        for one in self.servers.values() {
            if one.id == id || one.ip.to_string() == ip {
                all.extend(one.knows.iter().cloned());
                all.insert(one.id.clone());
            }
        }
        for one in self
            .servers
            .values_mut()
            .filter(|one| all.contains(&one.id))
        {
            one.knows = all.iter().filter(|id| **id != one.id).cloned().collect();
        }
    }

    fn begin(&mut self, id: &str, peer: &str, slots: &SlotSet, takes: bool) {
        let moving = Moving {
            slots: slots.clone(),
            peer: peer.to_owned(),
            takes,
            ..Moving::default()
        };
        if let Some(one) = self.with_id(id) {
            one.moving = Some(moving.clone());
        }
        if !self.stuck {
            self.end(id, &moving);
        }
    }

    /// A job of the server of this id has done what it was begun for.
    fn end(&mut self, id: &str, moving: &Moving) {
        let (from, to) = match moving.takes {
            true => (moving.peer.as_str(), id),
            false => (id, moving.peer.as_str()),
        };
        let mut given = SlotSet::default();
        if let Some(one) = self.with_id(from) {
            given = moving.slots.shared(&one.slots);
            one.slots = one.slots.without(&given);
        }
        if let Some(one) = self.with_id(to) {
            one.slots = one.slots.with(&given);
        }
        if let Some(moving) = self.with_id(id).and_then(|one| one.moving.as_mut()) {
            moving.state = MovingState::Done;
        }
    }

    fn server(&self, uid: &str) -> Option<Server> {
        let one = self.servers.get(uid)?;
        let known = one.knows.iter().map(|id| self.entry(id));
        // As data would be spread.
        let slots = u64::try_from(one.slots.len()).unwrap();
        Some(Server {
            id: one.id.clone(),
            link_up: one.replica_of.is_some(),
            serves: true,
            current_epoch: self.servers.values().map(|one| one.epoch).max().unwrap(),
            used_bytes: Some(MIB + slots * 8 * KIB),
            max_bytes: self.max_bytes,
            known: known.chain([self.entry(&one.id)]).collect(),
            moving: one.moving.clone(),
            ..Server::default()
        })
    }

    /// What everybody says of a server.
    fn entry(&self, id: &str) -> Entry {
        let Some(one) = self.servers.values().find(|one| one.id == id) else {
            return Entry {
                id: id.to_owned(),
                failed: true,
                ..Entry::default()
            };
        };
        Entry {
            id: id.to_owned(),
            ip: one.ip.to_string(),
            port: REDIS_PORT,
            replica_of: one.replica_of.clone(),
            connected: true,
            config_epoch: one.epoch,
            slots: one.slots.clone(),
            ..Entry::default()
        }
    }
}
