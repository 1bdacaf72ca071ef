//! What agents do about slots: jobs that go on in small steps, and end with their server.

use hera_core::cluster::{Command, LargeKey, Moving, MovingState, SlotSet, Way};

use crate::world::World;

/// Slots with a key that is too large.
pub const LARGE: [u16; 1] = [16_000];

/// A job of the agent of one pod.
#[derive(Clone, Debug)]
pub struct Running {
    pub slots: Vec<u16>,
    pub peer: String,
    pub takes: bool,
    pub stage: Stage,
    pub stops: bool,
}

/// Where it is with the first of its slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    Begin,
    Marked,
    Sending,
    /// A key is at both ends.
    Sent(u8),
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
        let whole = slots
            .ranges()
            .iter()
            .flat_map(|(first, last)| *first..=*last);
        let mut whole: Vec<u16> = whole.collect();
        whole.reverse();
        pod.job = Some(Running {
            slots: whole,
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
        let Some(slot) = job.slots.last().copied() else {
            return Some(MovingState::Done);
        };
        let id = self.pods[at].id.clone();
        match job.stage {
            Stage::Begin if !self.pods[at].own().slots.contains(slot) => {
                job.slots.pop();
            }
            Stage::Begin if LARGE.contains(&slot) => {
                job.slots.pop();
                let moving = self.pods[at].moving.as_mut().unwrap();
                moving.too_large.push(LargeKey {
                    slot,
                    bytes: u64::MAX,
                    ..LargeKey::default()
                });
            }
            Stage::Begin => {
                self.pods[there].taken.insert(slot, id);
                job.stage = Stage::Marked;
            }
            Stage::Marked => {
                self.pods[at].given.insert(slot, job.peer.clone());
                job.stage = Stage::Sending;
            }
            Stage::Sending => {
                let keys = self.pods[at].keys.get(&slot);
                let key = keys.and_then(|keys| keys.first_key_value());
                if let Some((key, version)) = key.map(|(key, version)| (*key, *version)) {
                    let keys = self.pods[there].keys.entry(slot).or_default();
                    keys.insert(key, version);
                    job.stage = Stage::Sent(key);
                } else {
                    let marked = self.pods[at].given.get(&slot) == Some(&job.peer);
                    let owns = self.pods[at].own().slots.contains(slot);
                    let expected = self.pods[there].taken.get(&slot) == Some(&id);
                    if !(marked && owns && expected) {
                        return Some(MovingState::Failed);
                    }
                    self.pods[at].keys.remove(&slot);
                    self.takes_and_tells(there, &SlotSet::of([(slot, slot)]), at);
                    job.stage = Stage::Owned;
                }
            }
            Stage::Sent(key) => {
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
                self.gives_up(at, &job.peer, &SlotSet::of([(slot, slot)]));
                self.pods[at].given.remove(&slot);
                job.slots.pop();
                job.stage = Stage::Begin;
            }
            Stage::Whole(_) => {}
        }
        self.replicate();
        None
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
        for slot in job.slots.iter().filter(|slot| slots.contains(**slot)) {
            if let Some(keys) = self.pods[from].keys.remove(slot) {
                self.pods[to].keys.insert(*slot, keys);
            }
        }
        self.takes_and_tells(to, &slots, from);
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
