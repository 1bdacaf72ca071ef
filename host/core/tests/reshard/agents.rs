//! What agents do about slots: jobs that go on in small steps, and end with their server.

use hera_core::cluster::{Command, LargeKey, Moving, MovingState, SlotSet, Way};

use crate::world::World;

/// Slots with a key that is too large.
pub const LARGE: [u16; 1] = [16_000];
/// Slots that move together.
const LOT: usize = 8;

/// A job of the agent of one pod.
#[derive(Clone, Debug)]
pub struct Running {
    /// What is left, without those that move now; the next is the last.
    pub slots: Vec<u16>,
    /// Those that move now, key by key.
    pub lot: SlotSet,
    pub peer: String,
    pub takes: bool,
    pub stage: Stage,
    pub stops: bool,
}

/// Where it is with the slots that move now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    Begin,
    Marked,
    Sending,
    /// A key of a slot is at both ends.
    Sent(u16, u8),
    Owned,
    /// Whole slots are on their way, for so many steps.
    Whole(u8),
}

impl World {
    pub(super) fn about_slots(&mut self, at: usize, command: &Command) {
        let (slots, peer, takes, way) = match command {
            Command::GiveSlots {
                slots, target, way, ..
            } => (slots, target, false, *way),
            Command::TakeSlots { slots, source } => (slots, source, true, Way::Import),
            Command::StopMoving => {
                if let Some(job) = &mut self.pods[at].job {
                    job.stops = true;
                }
                return;
            }
            Command::CloseSlots { slots } => {
                if self.pods[at].job.is_none() {
                    let pod = &mut self.pods[at];
                    pod.given.retain(|slot, _| !slots.contains(*slot));
                    pod.taken.retain(|slot, _| !slots.contains(*slot));
                }
                return;
            }
            _ => return,
        };
        let pod = &mut self.pods[at];
        if pod.job.is_some() || !pod.is_primary() || !pod.knows.contains_key(peer) {
            return;
        }
        let mut whole: Vec<u16> = slots.iter().collect();
        whole.reverse();
        pod.job = Some(Running {
            slots: whole,
            lot: SlotSet::default(),
            peer: peer.clone(),
            takes,
            stage: match way {
                Way::Keys => Stage::Begin,
                Way::Import | Way::Export => Stage::Whole(4),
            },
            stops: false,
        });
        pod.moving = Some(Moving {
            slots: slots.clone(),
            peer: peer.clone(),
            takes,
            state: MovingState::Running,
            ..Moving::default()
        });
    }

    /// One step of the job of a pod.
    pub fn work(&mut self, at: usize) {
        let Some(mut job) = self.pods[at].job.take() else {
            return;
        };
        let state = match self.step(at, &mut job) {
            Some(state) => state,
            None => {
                self.pods[at].job = Some(job);
                return;
            }
        };
        if let Some(moving) = &mut self.pods[at].moving {
            moving.state = state;
        }
    }

    /// What it came to, if it has ended.
    fn step(&mut self, at: usize, job: &mut Running) -> Option<MovingState> {
        let there = self.at(&job.peer).filter(|at| self.pods[*at].serves());
        let Some(there) = there.filter(|_| self.pods[at].serves()) else {
            return Some(MovingState::Failed);
        };
        if let Stage::Whole(left) = job.stage {
            return self.whole(at, there, job, left);
        }
        let begins = job.stage == Stage::Begin;
        if begins && job.stops {
            return Some(MovingState::Stopped);
        }
        if begins && job.slots.is_empty() {
            return Some(MovingState::Done);
        }
        let id = self.pods[at].id.clone();
        // An agent asks again: what the other has not heard yet comes with the next word.
        let epoch = self.pods[at].own().epoch;
        let heard = self.pods[there].knows.get(&id).map(|view| view.epoch);
        let has_heard = heard.is_some_and(|heard| heard >= epoch);
        // Who gives a slot to a third takes none: it may not have heard that it arrived.
        let target = &self.pods[there];
        let mut given = target.given.iter().filter(|(_, to)| **to != id);
        let gives = given.any(|(slot, _)| target.own().slots.contains(*slot));
        match job.stage {
            Stage::Begin if gives || !has_heard => return Some(MovingState::Failed),
            Stage::Begin => {
                job.lot = self.lot(at, &mut job.slots);
                for slot in job.lot.iter() {
                    self.pods[there].taken.insert(slot, id.clone());
                }
                if !job.lot.is_empty() {
                    job.stage = Stage::Marked;
                }
            }
            Stage::Marked => {
                for slot in job.lot.iter() {
                    self.pods[at].given.insert(slot, job.peer.clone());
                }
                job.stage = Stage::Sending;
            }
            Stage::Sending => {
                let first = job.lot.iter().find_map(|slot| {
                    let keys = self.pods[at].keys.get(&slot)?;
                    let (key, version) = keys.first_key_value()?;
                    Some((slot, *key, *version))
                });
                if let Some((slot, key, version)) = first {
                    let keys = self.pods[there].keys.entry(slot).or_default();
                    keys.insert(key, version);
                    job.stage = Stage::Sent(slot, key);
                } else {
                    let is_as_it_was = |slot: u16| {
                        let marked = self.pods[at].given.get(&slot) == Some(&job.peer);
                        let owns = self.pods[at].own().slots.contains(slot);
                        let expected = self.pods[there].taken.get(&slot) == Some(&id);
                        marked && owns && expected
                    };
                    if gives || !has_heard || !job.lot.iter().all(is_as_it_was) {
                        return Some(MovingState::Failed);
                    }
                    for slot in job.lot.iter() {
                        self.pods[at].keys.remove(&slot);
                    }
                    self.takes_and_tells(there, &job.lot, at);
                    job.stage = Stage::Owned;
                }
            }
            Stage::Sent(slot, key) => {
                // What was written meanwhile was written here, and is sent again.
                let version = |at: usize| {
                    let keys = self.pods[at].keys.get(&slot);
                    keys.and_then(|keys| keys.get(&key).copied())
                };
                if version(at) == version(there)
                    && let Some(keys) = self.pods[at].keys.get_mut(&slot)
                {
                    keys.remove(&key);
                }
                job.stage = Stage::Sending;
            }
            Stage::Owned => {
                self.gives_up(at, &job.peer, &job.lot);
                for slot in job.lot.iter() {
                    self.pods[at].given.remove(&slot);
                }
                job.lot = SlotSet::default();
                job.stage = Stage::Begin;
            }
            Stage::Whole(_) => {}
        }
        self.replicate();
        None
    }

    /// Takes the next that move together off the list: those that are another's by now are done, and those with a key
    /// that is too large stay.
    fn lot(&mut self, at: usize, slots: &mut Vec<u16>) -> SlotSet {
        let mut lot = Vec::new();
        while lot.len() < LOT
            && let Some(slot) = slots.pop()
        {
            if !self.pods[at].own().slots.contains(slot) {
                continue;
            }
            if LARGE.contains(&slot) {
                let moving = self.pods[at].moving.as_mut().unwrap();
                moving.too_large.push(LargeKey {
                    slot,
                    bytes: u64::MAX,
                    ..LargeKey::default()
                });
                continue;
            }
            lot.push(slot);
        }
        lot.into_iter().collect()
    }

    fn whole(
        &mut self,
        at: usize,
        there: usize,
        job: &mut Running,
        left: u8,
    ) -> Option<MovingState> {
        if job.stops {
            return Some(MovingState::Stopped);
        }
        if left > 0 {
            job.stage = Stage::Whole(left - 1);
            return None;
        }
        let (from, to) = match job.takes {
            true => (there, at),
            false => (at, there),
        };
        let all = SlotSet::of(job.slots.iter().map(|slot| (*slot, *slot)));
        let slots = all.shared(&self.pods[from].own().slots);
        let id = self.pods[to].id.clone();
        // A source that has the later word keeps its slots, and their keys: it lets go of them by the target's word.
        let epoch = self.pods[from].own().epoch;
        let heard = self.pods[to].knows.get(&self.pods[from].id);
        if heard.is_none_or(|heard| heard.epoch < epoch) {
            return Some(MovingState::Failed);
        }
        for slot in job.slots.iter().filter(|slot| slots.contains(**slot)) {
            if let Some(keys) = self.pods[from].keys.remove(slot) {
                self.pods[to].keys.insert(*slot, keys);
            }
        }
        self.pods[to].takes(&slots);
        self.tells_all(to);
        self.gives_up(from, &id, &slots);
        self.replicate();
        Some(MovingState::Done)
    }

    /// Who has taken slots tells all at once, but for one: its link is slow.
    fn takes_and_tells(&mut self, at: usize, slots: &SlotSet, slow: usize) {
        self.pods[at].takes(slots);
        for other in (0..self.pods.len()).filter(|other| *other != slow) {
            self.gossip(at, other);
        }
    }

    fn gives_up(&mut self, at: usize, to: &str, slots: &SlotSet) {
        let pod = &mut self.pods[at];
        let own = pod.own_mut();
        own.loses(slots);
        if let Some(view) = pod.knows.get_mut(to) {
            view.slots = view.slots.with(slots);
        }
    }
}
