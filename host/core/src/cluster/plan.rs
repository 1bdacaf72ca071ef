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

/// One thing to do. Steps are idempotent; carrying one out twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Step {
    /// Give a server that knows nobody its epoch.
    SetEpoch {
        /// The pod.
        pod: Target,
        /// The epoch.
        epoch: u64,
    },
    /// Give a server slots that nobody has.
    AddSlots {
        /// The pod.
        pod: Target,
        /// The slots.
        slots: SlotSet,
    },
    /// Have a server get to know another of this cluster, or its new address.
    Meet {
        /// The pod.
        pod: Target,
        /// Address of the other.
        ip: String,
        /// Its port.
        port: u16,
    },
    /// Make a server the replica of another.
    Replicate {
        /// The pod.
        pod: Target,
        /// The primary.
        primary: NodeId,
    },
    /// Let a replica take over.
    Failover {
        /// The pod.
        pod: Target,
        /// How.
        how: Failover,
    },
    /// Have an agent start a server that it held back.
    Start {
        /// The pod.
        pod: Target,
    },
    /// Have a server forget one that is gone for good.
    Forget {
        /// The pod.
        pod: Target,
        /// Who is gone.
        id: NodeId,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetEpoch { pod, epoch } => write!(f, "{}: epoch {epoch}", pod.name),
            Self::AddSlots { pod, slots } => write!(f, "{}: slots {slots}", pod.name),
            Self::Meet { pod, ip, port } => write!(f, "{}: meet {ip}:{port}", pod.name),
            Self::Replicate { pod, primary } => write!(f, "{}: replicate {primary}", pod.name),
            Self::Failover { pod, how } => write!(f, "{}: take over ({how:?})", pod.name),
            Self::Start { pod } => write!(f, "{}: start", pod.name),
            Self::Forget { pod, id } => write!(f, "{}: forget {id}", pod.name),
        }
    }
}

/// A step and why it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Why, for logs and Events.
    pub reason: String,
}

/// What to do now, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlannedStep>,
    /// What nothing can be done about yet, for people.
    pub waiting_for: Option<String>,
}

impl Plan {
    pub(super) fn push(&mut self, step: Step, reason: impl Into<String>) {
        self.steps.push(PlannedStep {
            step,
            reason: reason.into(),
        });
    }

    /// The first that is said stays: it comes before the others in order of what depends on what.
    pub(super) fn wait(&mut self, words: impl Into<String>) {
        self.waiting_for.get_or_insert_with(|| words.into());
    }
}
