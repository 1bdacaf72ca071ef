//! What is sent, and a network that may cut, delay, lose and repeat it.

use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::pod::Status;

/// Nodes of the network: data pods by index, then these.
pub const OPERATORS: [usize; 2] = [16, 17];
pub const API: usize = 18;
/// A message takes at least this long.
const HOP: u64 = 25;
pub const NODES: usize = 19;

/// The orders of `hera_core::agent::Order`, and the list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become the primary.
    Promote {
        /// Its epoch.
        epoch: u64,
        /// Of a position.
        token: u64,
    },
    /// Be a replica of that pod.
    Follow {
        /// Epoch of the primary.
        epoch: u64,
        /// Its pod.
        whom: usize,
    },
    /// Hold writes back, for a handover to that epoch.
    Pause {
        /// How long.
        millis: u64,
        /// The epoch that is to come.
        epoch: u64,
    },
    /// End a pause.
    Release,
    /// Kill the server if its epoch is not later than this.
    Fence {
        /// The last epoch that is to go.
        epoch: u64,
    },
    /// Start a server that is kept down.
    Start,
    /// Promise to vouch for no primary up to this epoch.
    Promise {
        /// The epoch.
        epoch: u64,
    },
    /// The data pods are these.
    Members(Members),
    /// Tell the position.
    Position,
    /// End now: nobody is left who could take over.
    Leave,
    /// A scale-down leaves this copy behind, or does not.
    MarkLeft(bool),
}

/// The data pods, as a set of indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub pods: u16,
    pub fence_after: u64,
    /// Grows with each change.
    pub revision: u64,
}

impl Members {
    pub fn iter(self) -> impl Iterator<Item = usize> {
        set(self.pods)
    }
}

/// The indices of a set.
pub fn set(pods: u16) -> impl Iterator<Item = usize> {
    (0..16).filter(move |pod| pods & (1 << pod) != 0)
}

/// Where a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub token: u64,
    pub branch: u32,
    /// 0 if the server lost count.
    pub offset: u32,
    pub keys: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Payload {
    News(Status),
    Order {
        term: u64,
        id: u64,
        order: Order,
    },
    Answer {
        id: u64,
        done: bool,
        position: Option<Position>,
        status: Status,
    },
    Question {
        number: u64,
        epoch: u64,
    },
    Confirm {
        term: u64,
        number: u64,
        epoch: u64,
    },
    Vouch {
        number: u64,
        boot: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// It was sent into a cut, and arrives only if that has healed by then.
    pub held: bool,
    pub from: usize,
    pub to: usize,
    pub payload: Payload,
}

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// In a thousand.
    pub lost: u32,
    pub slow: u32,
    pub twice: u32,
    /// At most this late, in milliseconds.
    pub late: u64,
}

impl Weather {
    pub const CALM: Self = Self {
        lost: 0,
        slow: 0,
        twice: 0,
        late: 0,
    };
}

pub struct Net {
    /// For each sender, those it does not reach.
    cuts: [u32; NODES],
    pub weather: Weather,
    messages: Vec<Message>,
    /// When each arrives: most looks at the messages go by this alone.
    arrivals: Vec<u64>,
}

impl Net {
    pub fn new() -> Self {
        Self {
            cuts: [0; NODES],
            weather: Weather::CALM,
            messages: Vec::with_capacity(64),
            arrivals: Vec::with_capacity(64),
        }
    }

    pub fn reaches(&self, from: usize, to: usize) -> bool {
        self.cuts[from] & (1 << to) == 0
    }

    pub fn both_ways(&self, one: usize, other: usize) -> bool {
        self.reaches(one, other) && self.reaches(other, one)
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts[from] |= 1 << to;
    }

    pub fn isolate(&mut self, node: usize) {
        for other in (0..NODES).filter(|other| *other != node) {
            self.cut(node, other);
            self.cut(other, node);
        }
    }

    pub fn heal(&mut self) {
        self.cuts = [0; NODES];
    }

    pub fn is_whole(&self) -> bool {
        self.cuts == [0; NODES]
    }

    pub fn send(&mut self, now: u64, from: usize, to: usize, payload: Payload, rng: &mut SmallRng) {
        let weather = self.weather;
        let held = !self.reaches(from, to);
        let mut at = now + HOP;
        let message = Message {
            held,
            from,
            to,
            payload,
        };
        if held || weather.lost + weather.slow + weather.twice > 0 {
            let late = weather.late.max(if held { 20_000 } else { 1 });
            let dice = rng.random_range(0..1000);
            let lost = if held { 800 } else { weather.lost };
            if dice < lost {
                return;
            }
            if rng.random_range(0..1000) < weather.twice {
                let again = at + rng.random_range(0..late);
                self.arrives(again, message);
            }
            if held || dice < lost + weather.slow {
                at += rng.random_range(0..late);
            }
        }
        self.arrives(at, message);
    }

    pub fn arrives(&mut self, at: u64, message: Message) {
        self.arrivals.push(at);
        self.messages.push(message);
    }

    /// A message that has arrived, of those from `index` on; `index` is where to look for the next.
    pub fn next(&mut self, index: &mut usize, now: u64) -> Option<Message> {
        let ahead = self.arrivals.get(*index..)?;
        *index += ahead.iter().position(|at| *at <= now)?;
        self.arrivals.swap_remove(*index);
        Some(self.messages.swap_remove(*index))
    }
}
