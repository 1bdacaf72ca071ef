use super::{Candidate, MemberList};
use crate::shard::{Asked, Member, PodsWanted, RevisionView, Shard, primary};
use serde::{Deserialize, Serialize};

/// What the spec wants, as far as the decision needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Of its pods.
    #[serde(flatten)]
    pub pods: PodsWanted,
    /// The volume; none without persistence.
    pub storage: Option<WantedStorage>,
    /// Milliseconds without a confirmation after which a primary stops; 0 turns fences off.
    pub fence_after_ms: u64,
    /// The pod that somebody asks to be the primary.
    pub promote: Option<String>,
    /// Pods whose servers somebody asks to be down.
    pub fenced: Vec<String>,
}

/// The volume that the spec wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedStorage {
    /// Size in bytes.
    pub bytes: u64,
}

/// What one pass saw. Unknown is never zero: what could not be read is `None` or `Unreachable`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The data pods by ordinal: those that the spec wants, and those that are there beyond, if only
    /// with the claim of a temporary pod.
    pub members: Vec<Member>,
    /// Address that the client Service leads to now.
    pub endpoint: Option<String>,
    /// Addresses that the Service of replicas leads to now, sorted.
    pub replica_endpoints: Vec<String>,
    /// The configuration that is to be in force.
    pub config: RevisionView,
    /// The users that are to be in force.
    pub acl: RevisionView,
    /// SHA-256 of the password with which replicas are to log in; none while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Who may be the primary, as it was written down before they were promoted.
    pub candidates: Vec<Candidate>,
    /// The lists of data pods that the primary may go by, as they were written down before; oldest
    /// first.
    pub lists: Vec<MemberList>,
    /// The highest epoch that stands on a claim that no member has; 0 without one.
    #[serde(default)]
    pub spare_epoch: u64,
    /// When this was seen, in milliseconds since 1970.
    pub now_ms: u64,
    /// When copies were asked where they stand, in milliseconds of a clock that never goes back; 0 if
    /// they were not.
    pub positions_since_ms: u64,
    /// What somebody is asked to approve, as the status has it.
    pub asked: Option<Asked>,
    /// Since when something is on its way, in milliseconds since 1970, as the status has it.
    pub changing_since_ms: Option<u64>,
    /// Since when it is not ready, in milliseconds since 1970, as the status has it.
    #[serde(default)]
    pub lost_since_ms: Option<u64>,
    /// A primary of this instance was promoted before, by what is written down anywhere.
    pub served: bool,
    /// The object is to begin with a backup, and has not.
    #[serde(default)]
    pub recovery_due: bool,
    /// What the operator remembers; nothing of it outlives the operator.
    pub remembered: Remembered,
}

/// What the operator remembers of an instance without a primary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    /// Milliseconds since it saw a primary; 0 while it sees one.
    pub leaderless_ms: u64,
    /// It was stopped itself until a moment ago: a connection that broke says nothing yet.
    pub just_woke: bool,
    /// Highest epoch whose primary it knows to be dead.
    pub proven: u64,
    /// Whether another may be promoted without proof; none before that was asked.
    pub permit: Option<Permit>,
    /// Highest epoch that it confirms no more.
    pub promised_epoch: u64,
    /// Highest epoch that it ever saw, also of one that is forgotten since.
    #[serde(default)]
    pub highest: u64,
    /// Term of the leader.
    pub term: u64,
}

/// Whether another may be promoted without proof; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// The old primary has stopped by itself by now.
    Granted,
    /// Not yet: it may still serve for this many milliseconds.
    Wait(u64),
    /// Not yet: too few agents have promised not to vouch for it.
    Promises,
    /// Never: fences are off.
    Never,
}

impl Observation {
    /// The member that serves as the primary; see [`primary`].
    pub fn primary(&self) -> Option<&Member> {
        primary(&self.members)
    }

    /// True unless the volume of a member is to be filled from a backup first.
    pub(super) fn is_filled(&self, member: &Member) -> bool {
        match member.recovery() {
            Some(news) => !news.holds(),
            None => !self.recovery_due,
        }
    }

    /// Its pods, as they come, go and are replaced.
    pub fn shard<'a>(&'a self, wanted: &'a Wanted) -> Shard<'a> {
        Shard {
            wanted: &wanted.pods,
            members: &self.members,
            primary: self.primary(),
            asked: self.asked.as_ref(),
            changing_since_ms: self.changing_since_ms,
            now_ms: self.now_ms,
        }
    }
}
