//! Slots that are half moved, as servers tell them.

use serde::{Deserialize, Serialize};

use super::observation::{Entry, MovingState, Observation, Server};
use super::slots::SlotSet;

/// Where a slot moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The server takes it from another.
    In,
    /// Another takes it.
    Out,
}

/// A slot that a server takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// The slot.
    pub slot: u16,
    /// Where it moves.
    pub moves: Direction,
    /// Id of the other server.
    pub peer: &'a str,
}

impl<'a> Open<'a> {
    /// Reads the server's notation: `[93->-ID]` of a slot that goes, `[93-<-ID]` of one that comes.
    pub fn read(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        let goes = inner.split_once("->-");
        let goes = goes.map(|parts| (Direction::Out, parts));
        let comes = || Some((Direction::In, inner.split_once("-<-")?));
        let (moves, (slot, peer)) = goes.or_else(comes)?;
        let slot = slot.parse().ok()?;
        Some(Self { slot, moves, peer })
    }
}

impl Entry {
    /// Its slots that are half moved.
    pub fn opened(&self) -> impl Iterator<Item = Open<'_>> {
        self.open_slots.iter().filter_map(|text| Open::read(text))
    }
}

impl Server {
    /// Its slots that are half moved.
    pub fn opened(&self) -> impl Iterator<Item = Open<'_>> {
        self.own().into_iter().flat_map(Entry::opened)
    }

    /// True if a job by which slots move runs at it.
    pub fn is_in_a_job(&self) -> bool {
        let job = self.moving.as_ref();
        job.is_some_and(|job| job.state == MovingState::Running)
    }

    /// The same, of one by which they move between it and the server of this id.
    pub(super) fn is_in_a_job_with(&self, id: &str) -> bool {
        let job = self.moving.as_ref().filter(|_| self.is_in_a_job());
        job.is_some_and(|job| job.peer == id)
    }
}

impl Observation {
    /// True if a job by which slots move runs at a server.
    pub fn has_jobs(&self) -> bool {
        let mut servers = self.nodes.iter().filter_map(|node| node.server.as_ref());
        servers.any(Server::is_in_a_job)
    }
}

/// True while slots move between servers that are heard: a job runs, or one is half moved. On Redis, and on Valkey
/// before 9, replicas do not know of a slot that is half moved: one that took over would answer for keys that it
/// does not have (redis-facts §1.3).
pub fn slots_move(seen: &Observation) -> bool {
    let servers = || seen.nodes.iter().filter_map(|node| node.server.as_ref());
    let is_half_moved = |server: &Server| {
        let mut opened = server.opened();
        opened.any(|open| servers().any(|other| other.id == open.peer))
    };
    let leads = |server: &&Server| server.replica_of().is_none();
    seen.has_jobs() || servers().filter(leads).any(is_half_moved)
}

/// Slots that a server has by the word of another, and not by its own, which has them coming, or with somebody else
/// who is heard. Servers are not asked at the same instant: it may have got them since. Nobody else than that server
/// gets those, so what is in between with that of the id `to` does not count.
pub(super) fn in_between<'a>(
    servers: impl Iterator<Item = &'a Server> + Clone,
    to: &str,
) -> SlotSet {
    let mut all = SlotSet::default();
    for server in servers.clone().filter(|server| server.id != to) {
        let others = || servers.clone().filter(|other| other.id != server.id);
        let said = others().flat_map(|other| &other.known);
        let said = said.filter(|entry| entry.id == server.id);
        let said = said.fold(SlotSet::default(), |said, entry| said.with(&entry.slots));
        let coming = server.opened().filter(|open| open.moves == Direction::In);
        let elsewhere = server.known.iter();
        let elsewhere = elsewhere.filter(|entry| others().any(|other| other.id == entry.id));
        let elsewhere = elsewhere.fold(SlotSet::default(), |all, entry| all.with(&entry.slots));
        let doubted = elsewhere.with(&coming.map(|open| open.slot).collect());
        all = all.with(&said.shared(&doubted).without(&server.slots()));
    }
    all
}

/// True if a server takes or gives slots: by its own word, or by that of who takes or gives the others.
pub(super) fn is_moving<'a>(server: &Server, mut others: impl Iterator<Item = &'a Server>) -> bool {
    let names = |other: &Server| {
        other.is_in_a_job_with(&server.id) || other.opened().any(|open| open.peer == server.id)
    };
    server.is_in_a_job() || server.opened().next().is_some() || others.any(names)
}
