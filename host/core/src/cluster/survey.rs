//! What every part of the decision asks of an observation, worked out once.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::{Node, NodeId, Observation, Server, Wanted};
use super::open::is_moving;
use super::slots::SlotSet;

/// A pod whose server is heard.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub node: &'a Node,
    pub server: &'a Server,
}

impl Heard<'_> {
    /// True if it replicates nobody.
    pub fn is_primary(&self) -> bool {
        self.server.replica_of().is_none()
    }
}

/// An owner of slots that no pod is heard with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// By what the others say.
    pub slots: SlotSet,
    /// When they said so.
    pub config_epoch: u64,
}

pub(crate) struct Survey<'a> {
    pub wanted: Wanted,
    pub nodes: &'a [Node],
    pub heard: Vec<Heard<'a>>,
    primaries: Vec<Heard<'a>>,
    /// Every pod that the spec wants is there and heard.
    pub all_heard: bool,
    /// The same, but for those that are known to have no server that runs.
    pub all_known: bool,
    /// Owners of slots by what the others say, that are not heard.
    pub lost: BTreeMap<&'a NodeId, Lost>,
    /// Primaries that are heard have all slots: nobody who is not heard has any.
    pub served: bool,
    pub now_ms: u64,
}

impl<'a> Survey<'a> {
    pub fn of(wanted: Wanted, seen: &'a Observation) -> Self {
        let heard: Vec<Heard<'a>> = seen
            .nodes
            .iter()
            .filter_map(|node| {
                let server = node.server.as_ref()?;
                Some(Heard { node, server })
            })
            .collect();
        let serves = |one: &&Heard<'_>| {
            let own = one.server.own();
            let has_slots =
                own.is_some_and(|own| own.replica_of.is_none() && !own.slots.is_empty());
            has_slots && !one.server.is_alone()
        };
        let primaries = heard.iter().filter(serves).copied().collect();
        let is_there = |shard, ordinal, fits: fn(&Node) -> bool| {
            let mut nodes = seen.nodes.iter();
            nodes.any(|node| (node.shard, node.ordinal) == (shard, ordinal) && fits(node))
        };
        let all = |fits: fn(&Node) -> bool| {
            let wanted = (0..wanted.shards)
                .all(|shard| (0..=wanted.replicas).all(|ordinal| is_there(shard, ordinal, fits)));
            wanted && seen.nodes.iter().all(fits)
        };
        let all_heard = all(|node| node.server.is_some());
        let all_known = all(|node| node.server.is_some() || node.is_dead());
        let mut lost: BTreeMap<&'a NodeId, Lost> = BTreeMap::new();
        let ids: BTreeSet<&str> = heard.iter().map(|one| one.server.id.as_str()).collect();
        let entries = heard.iter().flat_map(|one| &one.server.known);
        for entry in entries.filter(|entry| !ids.contains(entry.id.as_str())) {
            if entry.slots.is_empty() {
                continue;
            }
            let known = lost.entry(&entry.id).or_default();
            if entry.config_epoch >= known.config_epoch {
                known.config_epoch = entry.config_epoch;
                known.slots.clone_from(&entry.slots);
            }
        }
        let survey = Self {
            wanted,
            nodes: &seen.nodes,
            heard,
            primaries,
            all_heard,
            all_known,
            lost,
            served: false,
            now_ms: seen.now_ms,
        };
        // What a server has by now, heard or by what the others say, is lost no more.
        let owned = survey.owned();
        let later = |lost: &Lost| {
            let known = survey.heard.iter().flat_map(|one| &one.server.known);
            let known = known.filter(|entry| entry.config_epoch > lost.config_epoch);
            let slots = known.map(|entry| &entry.slots).chain([&owned]);
            SlotSet::of(slots.flat_map(|slots| slots.ranges().iter().copied()))
        };
        let is_lost = |lost: &Lost| !lost.slots.without(&later(lost)).is_empty();
        let lost = survey.lost.iter().filter(|(_, lost)| is_lost(lost));
        let lost: BTreeMap<_, _> = lost.map(|(id, lost)| (*id, lost.clone())).collect();
        Self {
            served: lost.is_empty() && owned == SlotSet::all(),
            lost,
            ..survey
        }
    }

    /// All slots that anybody else who is heard says to have.
    pub fn slots_of_others(&self, one: &Heard<'_>) -> SlotSet {
        let others = self
            .heard
            .iter()
            .filter(|other| other.server.id != one.server.id);
        others.fold(SlotSet::default(), |all, other| {
            all.with(&other.server.slots())
        })
    }

    /// All slots that primaries which are heard say they have.
    pub fn owned(&self) -> SlotSet {
        self.primaries()
            .fold(SlotSet::default(), |all, one| all.with(&one.server.slots()))
    }

    /// The primaries with slots that are heard, but for those that know nothing of the cluster.
    pub fn primaries(&self) -> impl Iterator<Item = Heard<'a>> + '_ {
        self.primaries.iter().copied()
    }

    pub fn in_shard(&self, shard: u32) -> impl Iterator<Item = Heard<'a>> + '_ {
        let heard = self.heard.iter().copied();
        heard.filter(move |one| one.node.shard == shard)
    }

    /// The server that is heard with this id.
    pub fn by_id(&self, id: &str) -> Option<Heard<'a>> {
        self.heard.iter().copied().find(|one| one.server.id == id)
    }

    /// The pod whose server was last seen with this id, and is not heard.
    pub fn unheard(&self, id: &str) -> Option<&'a Node> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.server.is_none() && node.last_id.as_deref() == Some(id))
    }

    /// A pod of a shard that may have a copy of which nobody hears.
    pub fn silent_in(&self, shard: u32) -> Option<&'a Node> {
        let mut pods = self.nodes.iter().filter(|node| node.shard == shard);
        pods.find(|node| node.server.is_none() && node.held.is_none_or(|held| held.has_data))
    }

    /// The primary of a shard, if one of its pods is heard as one. Of several the one with the latest word, if no two
    /// have the same slot: one took over, and the other is back with what that one had not heard of.
    pub fn primary_of(&self, shard: u32) -> Option<Heard<'a>> {
        let primaries = || self.primaries().filter(|one| one.node.shard == shard);
        let mut all = SlotSet::default();
        for one in primaries() {
            let slots = one.server.slots();
            if !all.shared(&slots).is_empty() {
                return None;
            }
            all = all.with(&slots);
        }
        primaries().max_by_key(|one| one.server.own().map(|own| own.config_epoch))
    }

    /// Who leads a shard: its primary; or, of one that has no slot while others serve all of them, who replicates
    /// nobody: rather one that has keys or takes part in a move, of several that took over last; rather one that is
    /// followed.
    pub fn leader_of(&self, shard: u32) -> Option<Heard<'a>> {
        if let Some(primary) = self.primary_of(shard) {
            return Some(primary);
        }
        let members = || {
            let pods = self.in_shard(shard);
            pods.filter(|one| !one.server.is_alone())
        };
        if !self.served || members().any(|one| !one.server.slots().is_empty()) {
            return None;
        }
        let is_engaged = |one: &Heard<'_>| {
            let servers = self.heard.iter().map(|other| other.server);
            one.server.keys > 0 || is_moving(one.server, servers)
        };
        let is_followed = |one: &Heard<'_>| {
            members().any(|other| other.server.replica_of() == Some(one.server.id.as_str()))
        };
        let free = || members().filter(Heard::is_primary);
        let epoch = |one: &Heard<'_>| one.server.own().map(|own| own.config_epoch);
        let last = free().filter(is_engaged).max_by_key(epoch);
        last.or_else(|| free().min_by_key(|one| (!is_followed(one), one.node.ordinal)))
    }

    /// The shard of the pod whose server has this id, or had it last.
    pub fn shard_of(&self, id: &str) -> Option<u32> {
        let heard = self.by_id(id).map(|one| one.node);
        let last = || {
            let mut nodes = self.nodes.iter();
            nodes.find(|node| node.last_id.as_deref() == Some(id))
        };
        heard.or_else(last).map(|node| node.shard)
    }

    /// The largest group of servers that know each other; where several are as large, that with the
    /// latest epoch. One alone that has keys is none: it lost what it knew.
    pub fn core(&self) -> BTreeSet<&'a str> {
        let groups = self.heard.iter().map(|one| {
            let known = one.server.by_id();
            let knows = |other: &&Heard<'a>| known.contains_key(other.server.id.as_str());
            let group: BTreeSet<&'a str> = self
                .heard
                .iter()
                .filter(knows)
                .map(|other| other.server.id.as_str())
                .collect();
            (group, one.server.current_epoch)
        });
        let largest = groups.max_by_key(|(group, epoch)| (group.len(), *epoch));
        let mut core = largest.map(|(group, _)| group).unwrap_or_default();
        if core.len() == 1 {
            core.retain(|id| self.by_id(id).is_none_or(|one| one.server.keys == 0));
        }
        core
    }
}
