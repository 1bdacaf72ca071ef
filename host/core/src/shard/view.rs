//! Data pods for people who ask. Nothing is decided by it.

use serde::{Deserialize, Serialize};

use super::member::{AgentView, Member};
use crate::agent::{FenceState, Position, Role, ServerExit, ServerState};

/// A data pod as its agent tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    /// Its name.
    pub name: String,
    /// Why its agent is not heard; none if it is.
    pub unheard: Option<String>,
    /// What its server is.
    pub role: Role,
    /// The server process, if the agent is heard.
    pub server: Option<ServerState>,
    /// Epoch of its data; 0 if none is known.
    pub epoch: u64,
    /// Whom it follows, and how well.
    pub link: Option<LinkView>,
    /// When its server stops by itself, or why it is down.
    pub fence: FenceView,
    /// Keys in all databases, if the server answers.
    pub keys: Option<u64>,
    /// Why it does not serve, as its agent tells it.
    pub waiting_for: Option<String>,
    /// It is asked to end, and waits for another to take over.
    pub leaving: bool,
    /// Its server answers nothing.
    pub hangs: bool,
    /// Times that its server was started again since its agent started.
    pub restarts: u64,
    /// How its last server ended, if one did.
    pub last_exit: Option<ServerExit>,
}

/// Whom a replica follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    /// The pod, or the address if it is none of the instance's.
    pub follows: String,
    /// It receives what the primary writes, and has heard it lately.
    pub up: bool,
    /// It takes in the whole dataset.
    pub syncing: bool,
    /// Bytes of the replication stream that it has not received yet; none if nobody could tell.
    pub lag_bytes: Option<u64>,
}

/// The fence of a pod's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "state"
)]
pub enum FenceView {
    /// Nobody could tell.
    Unknown,
    /// It is no primary, or one that is never fenced.
    Off,
    /// A primary that stops by itself unless it is confirmed before.
    Armed {
        /// In this many milliseconds.
        left_ms: u64,
    },
    /// The server is down.
    Down {
        /// Why, in the agent's words.
        why: String,
        /// An annotation asks for it.
        by_request: bool,
    },
}

/// What an agent answered just now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Where the copy stands.
    pub position: Option<Position>,
    /// The fence.
    pub fence: Option<FenceState>,
}

/// These data pods, with what their agents answered just now, in the same order. `fenced` are
/// those whose servers somebody asks to be down.
pub fn pod_states(members: &[Member], fenced: &[String], fresh: &[Fresh]) -> Vec<PodState> {
    let none = Fresh::default();
    let fresh: Vec<&Fresh> = (0..members.len())
        .map(|at| fresh.get(at).unwrap_or(&none))
        .collect();
    let group = Group {
        fenced,
        members: members.iter().zip(fresh).collect(),
    };
    let pods = group
        .members
        .iter()
        .filter(|(member, _)| member.pod.is_some());
    pods.map(|(member, fresh)| group.pod_state(member, fresh))
        .collect()
}

/// The members, each with what its agent answered.
struct Group<'a> {
    fenced: &'a [String],
    members: Vec<(&'a Member, &'a Fresh)>,
}

impl Group<'_> {
    fn pod_state(&self, member: &Member, fresh: &Fresh) -> PodState {
        let status = member.agent.status();
        let unheard = match &member.agent {
            AgentView::Connected(_) => None,
            AgentView::Unreachable(why) => Some(why.clone()),
            AgentView::Absent => Some("it was not heard yet".to_owned()),
        };
        PodState {
            name: member.name().to_owned(),
            unheard,
            role: status.map_or(Role::Unknown, |status| status.role),
            server: status.map(|status| status.server.clone()),
            epoch: member.epoch(),
            link: self.link(member, fresh),
            fence: self.fence(member, fresh),
            keys: fresh.position.as_ref().map(|position| position.keys),
            waiting_for: status.and_then(|status| status.waiting_for.clone()),
            leaving: status.is_some_and(|status| status.leaving),
            hangs: status.is_some_and(|status| status.hangs),
            restarts: status.map_or(0, |status| status.restarts),
            last_exit: status.and_then(|status| status.last_exit.clone()),
        }
    }

    fn link(&self, member: &Member, fresh: &Fresh) -> Option<LinkView> {
        let link = member.agent.status()?.link.as_ref()?;
        let mut members = self.members.iter();
        let followed = members.find(|(other, _)| other.ip() == Some(link.host.as_str()));
        let lag = || {
            let (has, all) = (fresh.position.as_ref()?, followed?.1.position.as_ref()?);
            let same = has.replication_id == all.replication_id;
            same.then(|| all.offset.saturating_sub(has.offset))
        };
        Some(LinkView {
            follows: followed
                .map_or(link.host.as_str(), |(other, _)| other.name())
                .to_owned(),
            up: link.up && !link.quiet,
            syncing: link.syncing,
            lag_bytes: lag(),
        })
    }

    fn fence(&self, member: &Member, fresh: &Fresh) -> FenceView {
        let Some(status) = member.agent.status() else {
            return FenceView::Unknown;
        };
        let left_ms = fresh.fence.map(|fence| fence.left_ms);
        match (&status.server, status.role, left_ms) {
            (ServerState::Fenced, _, _) => FenceView::Down {
                why: status.waiting_for.clone().unwrap_or_default(),
                by_request: self.fenced.iter().any(|name| name == member.name()),
            },
            (_, Role::Primary, None) => FenceView::Unknown,
            (_, _, Some(Some(left_ms))) => FenceView::Armed { left_ms },
            _ => FenceView::Off,
        }
    }
}
