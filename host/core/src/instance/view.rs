//! What the leading operator knows of an instance beyond its status, for people who ask. Nothing is
//! decided by it.

use super::Plan;
use crate::shard::PodState;
use serde::{Deserialize, Serialize};

/// An instance as the operator that leads knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceView {
    /// The leader's term.
    pub term: u64,
    /// What the last pass waits for.
    #[serde(flatten)]
    pub waits: Waits,
    /// What is being done this moment, each with its reason.
    pub under_way: Vec<String>,
    /// Why the last step that was begun did not succeed; it is tried again.
    pub failed: Option<String>,
    /// The last time that this leader moved the primary, or tried to.
    pub last_change: Option<Change>,
    /// The data pods by ordinal.
    pub pods: Vec<PodState>,
}

/// What a plan waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waits {
    /// What nothing can be done about yet.
    pub waiting_for: Option<String>,
    /// Digest of the step that waits for somebody to approve it.
    pub to_approve: Option<String>,
    /// Why what somebody asks for is not done.
    pub refused: Option<String>,
}

impl Waits {
    /// Of this plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            waiting_for: plan.waiting_for.clone(),
            to_approve: plan.to_approve.clone(),
            refused: plan.refused.clone(),
        }
    }
}

/// The primary moved, or should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Planned or not.
    pub kind: ChangeKind,
    /// The pod that was the primary; none after a failover.
    pub from: Option<String>,
    /// The pod that took over.
    pub to: String,
    /// Milliseconds since 1970 at its end.
    pub at_unix_ms: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// Why.
    pub reason: String,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// How the primary moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Planned: nothing is lost.
    Handover,
    /// There was no primary.
    Promotion,
}
