//! What a spec wants of a shard's pods, and the shard beside it.

use serde::{Deserialize, Serialize};

use super::approval::Asked;
use super::member::Member;

/// What a spec wants of the pods of one shard, as far as they come, go and are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsWanted {
    /// Hash of everything in the spec that needs a new pod.
    pub revision: String,
    /// How many there are to be, the primary's included; none while the spec cannot be read.
    pub count: Option<u32>,
    /// Spec changes wait; endpoints and confirmations go on.
    pub paused: bool,
    /// No pods for now; the data stays.
    pub hibernate: bool,
    /// A temporary pod may be added while others are replaced.
    pub surge: bool,
    /// Below how many replicas in sync the primary refuses writes.
    pub min_replicas_to_write: u32,
    /// No primary is touched before somebody approves.
    pub supervised: bool,
    /// The digest of the step that somebody approved.
    pub approved: Option<String>,
    /// Milliseconds that a step may wait for an approval.
    pub max_wait_ms: u64,
    /// Milliseconds that a pod of a new revision may take until it is in sync.
    pub progress_deadline_ms: u64,
}

impl PodsWanted {
    /// True if the pod of this ordinal is to stay, as far as the spec is known.
    pub fn keeps(&self, ordinal: u32) -> bool {
        self.count.is_none_or(|count| ordinal < count)
    }

    /// True unless there are to be several.
    pub fn is_single(&self) -> bool {
        self.count.is_none_or(|count| count <= 1)
    }
}

/// A shard as one pass sees it, beside what the spec wants of its pods.
#[derive(Clone, Copy)]
pub struct Shard<'a> {
    /// What the spec wants.
    pub wanted: &'a PodsWanted,
    /// Its pods by ordinal: those that the spec wants, and those that are there beyond.
    pub members: &'a [Member],
    /// The one that leads.
    pub primary: Option<&'a Member>,
    /// What somebody is asked to approve, as the status has it.
    pub asked: Option<&'a Asked>,
    /// Since when something is on its way, in milliseconds since 1970, as the status has it.
    pub changing_since_ms: Option<u64>,
    /// When this was seen, in milliseconds since 1970.
    pub now_ms: u64,
}

impl<'a> Shard<'a> {
    /// The members that stay.
    pub(super) fn that_stay(&self) -> impl Iterator<Item = &'a Member> + Clone + use<'a> {
        let wanted = self.wanted;
        let members = self.members.iter();
        members.filter(move |member| wanted.keeps(member.ordinal))
    }

    /// True if it is the one that leads.
    pub fn is_primary(&self, member: &Member) -> bool {
        self.primary
            .is_some_and(|primary| primary.ordinal == member.ordinal)
    }

    /// True if another leads, and it is not in sync with it or does not stay.
    pub fn is_away(&self, member: &Member) -> bool {
        self.primary.is_some_and(|primary| member.is_away(primary))
    }
}
