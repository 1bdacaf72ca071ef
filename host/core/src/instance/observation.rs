use serde::{Deserialize, Serialize};

use super::{Claim, MemberList, Record};
use crate::agent::{AgentStatus, Position, REDIS_PORT, Role, ServerState, Space};

/// What the spec wants, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Hash of everything in the spec that needs a new pod.
    pub pod_revision: String,
    /// The volume; none without persistence.
    pub storage: Option<WantedStorage>,
    /// Spec changes wait; endpoints and confirmations go on.
    pub paused: bool,
    /// Data pods; 0 while the spec cannot be read.
    pub replicas: u32,
    /// Milliseconds without a confirmation after which a primary stops; 0 turns fences off.
    pub fence_after_ms: u64,
    /// The pod that somebody asks to be the primary.
    pub promote: Option<String>,
    /// Pods whose servers somebody asks to be down.
    pub fenced: Vec<String>,
    /// No primary is touched before somebody approves.
    pub supervised: bool,
    /// The digest of the step that somebody approved.
    pub approved: Option<String>,
    /// Milliseconds that a step may wait for an approval.
    pub max_wait_ms: u64,
    /// Milliseconds that a pod of a new revision may take until it is in sync.
    pub progress_deadline_ms: u64,
    /// A temporary pod may be added while others are replaced.
    pub surge: bool,
    /// Below how many replicas in sync the primary refuses writes.
    pub min_replicas_to_write: u32,
    /// No pods for now; the data stays.
    pub hibernate: bool,
}

impl Wanted {
    /// True if the pod of this ordinal is to stay, as far as the spec is known.
    pub(super) fn keeps(&self, ordinal: u32) -> bool {
        self.replicas == 0 || ordinal < self.replicas
    }
}

/// The volume that the spec wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Who may be the primary, as it was written down before they were promoted.
    pub claims: Vec<Claim>,
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
    /// What the operator remembers; nothing of it outlives the operator.
    pub remembered: Remembered,
}

/// What somebody is asked to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Digest of the step.
    pub digest: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// A data pod and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// The volume claim.
    pub claim: Option<ClaimView>,
    /// The pod.
    pub pod: Option<PodView>,
    /// What the pod's agent says.
    pub agent: AgentView,
    /// Where its copy stands; asked only while there is no primary.
    pub position: Option<Position>,
    /// The name in its agent's certificate.
    pub server_name: String,
}

/// What the operator remembers of an instance without a primary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    /// Milliseconds since it saw a primary; 0 while it sees one.
    pub leaderless_ms: u64,
    /// It was stopped itself until a moment ago: a connection that broke says nothing yet.
    pub just_woke: bool,
    /// Highest reign whose primary it knows to be dead.
    pub proven: u64,
    /// Whether another may be promoted without proof; none before that was asked.
    pub permit: Option<Permit>,
    /// Highest reign that it confirms no more.
    pub forsworn: u64,
    /// Highest reign that it ever saw, also of one that is forgotten since.
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

/// A revision that agents are to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    /// The revision kept in the ConfigMap or Secret.
    pub revision: u64,
}

/// A volume claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Requested size in bytes.
    pub requested: u64,
    /// Size in bytes that the volume has; none while unbound.
    pub capacity: Option<u64>,
    /// Its storage class, if one is named and known to be missing.
    pub missing_class: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// That of a temporary pod.
    pub temporary: bool,
    /// Goes when its pod does.
    pub goes_with_pod: bool,
    /// What stands on it about its data.
    #[serde(default)]
    pub record: Record,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its address, once it has one.
    pub ip: Option<String>,
    /// When it was made, or ceased to be ready, in milliseconds since 1970.
    pub since_ms: u64,
    /// The pod revision it was made from.
    pub revision: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// Finished for good (phase Failed or Succeeded), as after an eviction.
    pub finished: bool,
    /// The kubelet says that it is ready.
    pub ready: bool,
    /// The kubelet says that the server's container is terminated, and it is not started again yet.
    pub terminated: bool,
    /// The node that it runs on.
    pub node: Option<String>,
    /// How that node is; asked only while its agent is not heard.
    pub node_state: NodeState,
    /// Why the scheduler can't place it, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// Why a container waits: reason and message of the kubelet (`ImagePullBackOff`, …).
    pub waiting: Option<(String, String)>,
}

/// How the node of a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// Not asked, or no answer.
    #[default]
    Unknown,
    /// The operator has no right to read nodes.
    Hidden,
    /// Its kubelet is heard.
    Ready,
    /// Its kubelet is not heard. What runs on it may go on.
    NotReady,
    /// Not ready, and somebody put the taint of Kubernetes on it that says that it is off: nothing
    /// runs on it.
    OutOfService,
}

/// What is known of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentView {
    /// Nothing: no pod, or no connection since the pod came.
    #[default]
    Absent,
    /// There was a connection and it broke; the words are for people.
    Unreachable(String),
    /// Connected; the last status it sent.
    Connected(Box<AgentStatus>),
}

impl AgentView {
    /// The status, if the agent is connected.
    pub fn status(&self) -> Option<&AgentStatus> {
        match self {
            Self::Connected(status) => Some(status),
            Self::Absent | Self::Unreachable(_) => None,
        }
    }

    /// True if the server runs and is the primary.
    pub fn serves(&self) -> bool {
        self.status().is_some_and(|status| {
            status.role == Role::Primary && matches!(status.server, ServerState::Running { .. })
        })
    }
}

impl Member {
    /// Its pod's name; a placeholder for people while there is none.
    pub fn name(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| pod.name.as_str())
    }

    /// True if its pod has this name, or will have it once it is made.
    pub fn is_called(&self, name: &str) -> bool {
        self.name() == name || self.server_name.split('.').next() == Some(name)
    }

    /// Its pod's address, unless the pod is on its way out.
    pub fn ip(&self) -> Option<&str> {
        self.pod.as_ref()?.ip.as_deref()
    }

    /// Uid of its pod; empty without one.
    pub fn uid(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| pod.uid.as_str())
    }

    /// True if the pod is being deleted, has finished, or waits for another to take over.
    pub fn is_leaving(&self) -> bool {
        self.pod
            .as_ref()
            .is_none_or(|pod| pod.deleting || pod.finished)
            || self.agent.status().is_some_and(|status| status.leaving)
    }

    /// True if nothing of the pod can run: its node is out of service, and its agent is not heard.
    pub fn is_on_dead_node(&self) -> bool {
        let dead = |pod: &PodView| pod.node_state == NodeState::OutOfService;
        self.agent.status().is_none() && self.pod.as_ref().is_some_and(dead)
    }

    /// True if its server runs and has its data in memory.
    pub fn is_running(&self) -> bool {
        self.agent
            .status()
            .is_some_and(|status| matches!(status.server, ServerState::Running { .. }))
    }

    /// True if it receives all that `primary` writes, and hears it.
    pub fn is_in_sync(&self, primary: &Self) -> bool {
        self.has_copy_of(primary)
            && self.agent.status().is_some_and(|status| {
                let link = status.link.as_ref();
                link.is_some_and(|link| !link.quiet)
            })
    }

    /// True if it has what `primary` wrote as long as that was heard: it may be silent since.
    pub fn has_copy_of(&self, primary: &Self) -> bool {
        self.is_running()
            && self.follows(primary)
            && self.agent.status().is_some_and(|status| {
                let link = status.link.as_ref();
                link.is_some_and(|link| link.up && !link.syncing)
            })
    }

    /// True unless its volume takes no more writes. One that is not heard is not known to be full.
    pub fn can_write(&self) -> bool {
        self.agent.status().is_none_or(|status| {
            status.volume.refused_writes.is_none() && status.volume.space != Space::Full
        })
    }

    /// True if it can write, and its data as a whole once more.
    pub fn has_room(&self) -> bool {
        let status = self.agent.status();
        self.can_write() && status.is_some_and(|status| status.volume.space == Space::Enough)
    }

    /// True if its server refuses writes, or would as the primary.
    pub fn refuses_writes(&self) -> bool {
        let status = self.agent.status();
        status.is_some_and(|status| status.volume.refused_writes.is_some())
    }

    /// True if its volume has all that its server has, or will have once that stops.
    pub fn is_saved(&self) -> bool {
        let status = self.agent.status();
        status.is_some_and(|status| !status.memory.unsaved)
    }

    /// True unless it is `primary`, or in sync with it and stays.
    pub fn is_away(&self, primary: &Self) -> bool {
        self.ordinal != primary.ordinal && (self.is_leaving() || !self.is_in_sync(primary))
    }

    /// What people call it.
    pub fn label(&self) -> String {
        match self.name() {
            "" => format!("the pod of ordinal {}", self.ordinal),
            name => name.to_owned(),
        }
    }

    /// True if it replicates `primary`, or tries to.
    pub fn follows(&self, primary: &Self) -> bool {
        let link = self.agent.status().and_then(|status| status.link.as_ref());
        link.is_some_and(|link| Some(link.host.as_str()) == primary.ip() && link.port == REDIS_PORT)
    }
}

impl Observation {
    /// The member that serves as the primary; see [`primary`].
    pub fn primary(&self) -> Option<&Member> {
        primary(&self.members)
    }
}

/// The member that serves as the primary: of several, that of the highest reign, and of one reign
/// that which was promoted. A server made a primary by hand has only the reign that it followed.
pub fn primary(members: &[Member]) -> Option<&Member> {
    let serving = members.iter().filter_map(|member| {
        let promoted = member.agent.status()?.memory.was_primary;
        member.agent.serves().then_some((member, promoted))
    });
    let best = serving.max_by_key(|(member, promoted)| {
        (member.reign(), *promoted, std::cmp::Reverse(member.ordinal))
    });
    best.map(|(member, _)| member)
}

/// The role that people are shown of a pod: primary of the one that leads, replica of those that are
/// heard as such, none of any other (P15: a label that goes on to name a dead primary).
pub fn shown_role(members: &[Member], pod_uid: &str) -> Option<Role> {
    if primary(members).is_some_and(|primary| primary.uid() == pod_uid) {
        return Some(Role::Primary);
    }
    let member = members.iter().find(|member| member.uid() == pod_uid)?;
    let role = member.agent.status()?.role;
    (role == Role::Replica).then_some(role)
}

impl Member {
    /// Reign of its data; 0 if its agent is not heard.
    pub fn reign(&self) -> u64 {
        self.agent.status().map_or(0, |status| status.memory.reign)
    }
}
