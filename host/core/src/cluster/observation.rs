//! What one pass sees of a cluster.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::slots::SlotSet;
use crate::shard::Target;

/// The name that a server has in its cluster.
pub type NodeId = String;

/// What the spec wants of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Shards.
    pub shards: u32,
    /// Replicas of each primary.
    pub replicas: u32,
}

/// What one pass saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The data pods, by shard and ordinal.
    pub nodes: Vec<Node>,
    /// It was whole once: it is formed again only if nothing of it is left.
    pub formed: bool,
    /// When this was seen, in milliseconds of a clock that never goes back.
    pub now_ms: u64,
}

/// A data pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The shard whose StatefulSet makes it.
    pub shard: u32,
    /// Its place there.
    pub ordinal: u32,
    /// The pod.
    pub pod: Target,
    /// Its address.
    pub ip: String,
    /// The server's port; the bus has the one that is 10 000 higher.
    pub port: u16,
    /// The id that its server was last seen to have.
    pub last_id: Option<NodeId>,
    /// What its server says; none if it is not heard.
    pub server: Option<Server>,
    /// Since when it is proved that no server of it runs, in milliseconds of the clock of
    /// [`Observation::now_ms`]; also of one that is held.
    pub dead_since_ms: Option<u64>,
    /// Its node is out of service, and its data was nowhere but there.
    pub is_lost: bool,
    /// Nothing of it has ever run: no node takes it, or its image cannot be pulled.
    pub never_ran: bool,
    /// Its agent waits with the server's start: started, it would serve replicas of the one that it was.
    pub held: Option<Held>,
    /// When its server was ordered to take over its shard by vote, in milliseconds of the same clock, and has
    /// not yet.
    pub asked_for_votes_ms: Option<u64>,
}

/// A server that is not started yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
    /// Its volume has data.
    pub has_data: bool,
    /// The data is a snapshot, written so many milliseconds ago: what came later is not in it. None for a log,
    /// which has all.
    pub snapshot_ms: Option<u64>,
    /// The epoch that its server had; 0 of an agent that does not tell.
    pub epoch: u64,
}

/// What a server says of itself and of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// Its id.
    pub id: NodeId,
    /// Keys in all databases, also of slots that are not its own.
    pub keys: u64,
    /// Replication offset.
    pub offset: u64,
    /// Address and port of the primary to which it connects, if it is a replica: an earlier one, as long as the
    /// others have not told it of another.
    pub connects_to: Option<(String, u16)>,
    /// It receives what its primary writes.
    pub link_up: bool,
    /// For how many milliseconds its link has been down; none if it is up, or was not since it started: what
    /// it has then may be older than its primary's volume.
    pub link_down_ms: Option<u64>,
    /// It serves its slots.
    pub serves: bool,
    /// The highest epoch that it knows.
    pub current_epoch: u64,
    /// Memory that it uses, in bytes; none of an agent that does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Memory that it may use, in bytes; none if nothing limits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Commands a second, a mean over minutes; none before anything is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_per_second: Option<u64>,
    /// Its slots that have most to do, the heaviest first, at most [`MOST_HEAVY`]; none of a replica, of a server that
    /// keeps no statistics of slots, and of an agent that does not tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heaviest: Vec<HeavySlot>,
    /// Whom it knows, itself included.
    #[serde(deserialize_with = "bounded")]
    pub known: Vec<Entry>,
    /// The job by which it gives or takes slots: the one that runs, else the last one. None before the first
    /// since the agent's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
}

/// The directive that tells a server to count what its slots have to do. One that does not know it does not know how to
/// tell either.
pub const SLOT_STATS: &str = "cluster-slot-stats-enabled";
/// Heavy slots that a server tells at most.
pub const MOST_HEAVY: usize = 16;

/// A slot that has much to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeavySlot {
    /// Which.
    pub slot: u16,
    /// Its share of the time that the commands of its server take, in millionths; a mean over minutes.
    pub load_ppm: u32,
    /// What its keys take, in bytes; none where the server does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// A job by which slots move between this server and another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Moving {
    /// The slots that it was begun for.
    pub slots: SlotSet,
    /// The other server.
    pub peer: NodeId,
    /// The server takes them; else it gives.
    pub takes: bool,
    /// How far it is.
    pub state: MovingState,
    /// Keys that moved so far, where that is known.
    pub keys: u64,
    /// Why it failed or what it waits for, for people; at most 256 bytes.
    pub words: String,
    /// Keys that are too large to be sent in [`Command::GiveSlots`]'s time, by slot: those slots stay. At most 16.
    ///
    /// [`Command::GiveSlots`]: super::Command::GiveSlots
    pub too_large: Vec<LargeKey>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MovingState {
    /// It runs.
    #[default]
    Running,
    /// All that could move did.
    Done,
    /// It ended before; what is left is ordered again.
    Failed,
    /// It was told to end.
    Stopped,
}

/// A key that takes too long to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LargeKey {
    /// Its slot.
    pub slot: u16,
    /// Its name, cut and made printable: at most 64 bytes.
    pub key: String,
    /// What it takes in memory, in bytes.
    pub bytes: u64,
}

/// Whom a server may know: those of 128 shards with six pods, twice, as ids change.
const MOST_KNOWN: usize = 2_048;

/// A list of a length that is none would take far more memory than the bytes that tell it.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST_KNOWN} servers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut known = Vec::new();
            while let Some(entry) = seq.next_element()? {
                if known.len() == MOST_KNOWN {
                    return Err(A::Error::invalid_length(known.len() + 1, &self));
                }
                known.push(entry);
            }
            Ok(known)
        }
    }

    deserializer.deserialize_seq(Entries)
}

/// What a server knows of one of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Its id; a made-up one in a handshake.
    pub id: NodeId,
    /// Its address; empty if that is not known.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// A replica, of this id.
    pub replica_of: Option<NodeId>,
    /// The server takes it for failed, by a vote or by itself.
    pub failed: bool,
    /// The two do not know each other yet.
    pub handshake: bool,
    /// The two are connected; true of itself.
    pub connected: bool,
    /// Epoch of what it says of its slots.
    pub config_epoch: u64,
    /// Its slots.
    pub slots: SlotSet,
    /// Slots that move, in the notation of the server; told only of itself.
    pub open_slots: Vec<String>,
}

impl Server {
    /// What it says of itself.
    pub fn own(&self) -> Option<&Entry> {
        self.entry(&self.id)
    }

    /// True if it takes itself for a primary without slots, and has keys: an update about itself came late while
    /// it replicated (Valkey 8.1), or it died while it joined, after its slots went to another and before its
    /// keys did. As it has keys it can be told to follow nobody. Not of one that is about to get its first slots.
    pub fn has_keys_without_slots(&self) -> bool {
        self.is_without_slots() && self.keys > 0
    }

    /// True for a primary without slots that led before, by what it has: keys, or an epoch of its own. A new one that
    /// is about to get its first slots has an epoch as well, once others know it: who goes by this must know that no
    /// other does.
    pub fn led_before(&self) -> bool {
        let has_epoch = self.own().is_some_and(|own| own.config_epoch > 0);
        self.is_without_slots() && (self.keys > 0 || has_epoch)
    }

    /// True for a primary that has no slots, and takes none by a job of its own.
    fn is_without_slots(&self) -> bool {
        self.replica_of().is_none() && self.slots().is_empty() && !self.takes_slots()
    }

    fn takes_slots(&self) -> bool {
        let job = self.moving.as_ref();
        job.is_some_and(|job| job.takes && job.state == MovingState::Running)
    }

    /// What it knows of another.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.known.iter().find(|entry| entry.id == id)
    }

    /// All that it knows, by id: for who asks about everybody.
    pub fn by_id(&self) -> HashMap<&str, &Entry> {
        let mut known: HashMap<&str, &Entry> = HashMap::with_capacity(self.known.len());
        for entry in &self.known {
            known.entry(&entry.id).or_insert(entry);
        }
        known
    }

    /// The slots that it says it has.
    pub fn slots(&self) -> SlotSet {
        self.own().map(|own| own.slots.clone()).unwrap_or_default()
    }

    /// Whom it replicates.
    pub fn replica_of(&self) -> Option<&str> {
        self.own()?.replica_of.as_deref()
    }

    /// True if it knows nobody but itself.
    pub fn is_alone(&self) -> bool {
        self.known.len() <= 1
    }
}

impl Node {
    /// True if it is proved that no server of it runs.
    pub fn is_dead(&self) -> bool {
        self.dead_since_ms.is_some()
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.pod.name
    }
}
