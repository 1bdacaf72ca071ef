//! What is to be done with the servers of a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observation::NodeId;
use super::slots::SlotSet;
use crate::shard::Target;

/// How a replica takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// With all that its primary wrote, which is there and lets it.
    Agreed,
    /// By a vote of the other primaries; its own is known to be dead.
    Force,
    /// By itself: there is nobody to vote, or the vote came to nothing.
    Takeover,
}

/// How slots move from one server to another. All servers of a cluster must know the way (redis-facts §1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Key by key, driven by the agent of the source: every version.
    Keys,
    /// Whole slots at once, taken by the server of the target: Redis from 8.4.
    Import,
    /// Whole slots at once, given by the server of the source: Valkey from 9.0.
    Export,
}

/// What a server, or its agent, is told. Telling it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "command"
)]
pub enum Command {
    /// Start the server that was held back.
    Start,
    /// Take an epoch; it knows nobody yet.
    SetEpoch {
        /// The epoch.
        epoch: u64,
    },
    /// Take a later epoch than all others: it has slots, and none yet.
    BumpEpoch,
    /// Take slots that nobody has.
    AddSlots {
        /// The slots.
        slots: SlotSet,
    },
    /// Get to know another of this cluster, or its new address.
    Meet {
        /// Address of the other.
        ip: String,
        /// Its port.
        port: u16,
    },
    /// Be the replica of another.
    Replicate {
        /// The primary.
        primary: NodeId,
    },
    /// Start again as a server that knows nothing of the cluster, with its data, which says what slots it is of:
    /// it takes itself for a primary without slots, and has keys, or led before.
    Rejoin {
        /// Who it is until then: an order may come late, and it is another by then.
        id: NodeId,
    },
    /// Take over from the primary.
    Failover {
        /// How.
        how: Failover,
        /// The primary: of another it does not take over, were the order late.
        primary: NodeId,
    },
    /// Forget one that is gone for good.
    Forget {
        /// Who is gone.
        id: NodeId,
    },
    /// Give slots to another: begin a job, or go on with one that was cut off. [`Server::moving`] tells how far
    /// it is. Refused while another job runs at this server.
    ///
    /// [`Server::moving`]: super::Server::moving
    GiveSlots {
        /// The slots; those that it no longer has are left out.
        slots: SlotSet,
        /// Who gets them.
        target: NodeId,
        /// Its address.
        ip: String,
        /// Its port.
        port: u16,
        /// [`Way::Keys`] or [`Way::Export`].
        way: Way,
        /// For how long a step may hold up clients, in milliseconds.
        max_stall_ms: u64,
    },
    /// Take slots from another, by [`Way::Import`]; the rest as for [`Command::GiveSlots`].
    TakeSlots {
        /// The slots; those that it has already are left out.
        slots: SlotSet,
        /// Who has them.
        source: NodeId,
    },
    /// End the job that runs at this server, if any: what moved stays where it is, slots that are half moved
    /// are finished first.
    StopMoving,
    /// Close slots that are half moved, and have no key at another server.
    CloseSlots {
        /// The slots.
        slots: SlotSet,
    },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::SetEpoch { epoch } => write!(f, "epoch {epoch}"),
            Self::BumpEpoch => f.write_str("a later epoch"),
            Self::AddSlots { slots } => write!(f, "slots {slots}"),
            Self::Meet { ip, port } => write!(f, "meet {ip}:{port}"),
            Self::Replicate { primary } => write!(f, "replicate {primary}"),
            Self::Rejoin { .. } => f.write_str("join as another"),
            Self::Failover { how, .. } => write!(f, "take over ({how:?})"),
            Self::Forget { id } => write!(f, "forget {id}"),
            Self::GiveSlots { slots, target, .. } => write!(f, "give {slots} to {target}"),
            Self::TakeSlots { slots, source } => write!(f, "take {slots} from {source}"),
            Self::StopMoving => f.write_str("move no more slots"),
            Self::CloseSlots { slots } => write!(f, "close {slots}"),
        }
    }
}

/// What one pod is told, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The pod.
    pub pod: Target,
    /// What it is told.
    pub command: Command,
    /// Why, for logs and Events.
    pub reason: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pod.name, self.command)
    }
}

/// What to do now, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What nothing can be done about yet, for people.
    pub waiting_for: Option<String>,
}

impl Plan {
    pub(super) fn push(&mut self, pod: &Target, command: Command, reason: impl Into<String>) {
        self.steps.push(Step {
            pod: pod.clone(),
            command,
            reason: reason.into(),
        });
    }

    /// The first that is said stays: it comes before the others in order of what depends on what.
    pub(super) fn wait(&mut self, words: impl Into<String>) {
        self.waiting_for.get_or_insert_with(|| words.into());
    }
}
