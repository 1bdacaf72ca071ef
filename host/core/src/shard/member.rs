//! A data pod, its volume and its agent, as one pass sees them.

use serde::{Deserialize, Serialize};

use super::claim::ClaimView;
use super::pod::{NodeState, PodView};
use crate::agent::{AgentStatus, Position, REDIS_PORT, Role, Script, ServerState, Space};
use crate::backup::RecoveryNews;

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

/// A revision that agents are to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    /// The revision kept in the ConfigMap or Secret.
    pub revision: u64,
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

    /// True while its server is held down for data from a backup, whatever becomes of that.
    pub fn is_held_for_recovery(&self) -> bool {
        self.recovery().is_some_and(RecoveryNews::holds)
    }

    /// How far its agent is with data from a backup.
    pub fn recovery(&self) -> Option<&RecoveryNews> {
        self.agent.status()?.recovery.as_ref()
    }

    /// True if its server runs and has its data in memory.
    pub fn is_running(&self) -> bool {
        self.agent
            .status()
            .is_some_and(|status| matches!(status.server, ServerState::Running { .. }))
    }

    /// The script or function that keeps its server from answering anything else, if one does.
    pub fn script(&self) -> Option<Script> {
        self.agent.status()?.script
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

    /// True if it may take over from a primary that a script keeps busy: what that one can do, it can.
    pub fn may_follow_busy(&self, primary: &Self) -> bool {
        self.has_copy_of(primary)
            && !self.is_leaving()
            && (self.can_write() || !primary.can_write())
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

impl Member {
    /// Epoch of its data; 0 if its agent is not heard.
    pub fn epoch(&self) -> u64 {
        self.agent.status().map_or(0, |status| status.memory.epoch)
    }
}

/// The member that serves as the primary: of several, that of the highest epoch, and of one epoch
/// that which was promoted. A server made a primary by hand has only the epoch that it followed.
pub fn primary(members: &[Member]) -> Option<&Member> {
    let serving = members.iter().filter_map(|member| {
        let promoted = member.agent.status()?.memory.was_primary;
        member.agent.serves().then_some((member, promoted))
    });
    let best = serving.max_by_key(|(member, promoted)| {
        (member.epoch(), *promoted, std::cmp::Reverse(member.ordinal))
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
