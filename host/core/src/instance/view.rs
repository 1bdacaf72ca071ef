//! What the leading operator knows of an instance beyond its status, for people who ask. Nothing is
//! decided by it.

use serde::{Deserialize, Serialize};

use super::{AgentView, Member, Observation, Plan};
use crate::agent::{FenceState, Position, Role, ServerExit, ServerState};

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
    /// Reign of its data; 0 if none is known.
    pub reign: u64,
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

/// The data pods of `seen`, with what their agents answered just now, in the same order. `fenced` are
/// those whose servers somebody asks to be down.
pub fn pod_states(seen: &Observation, fenced: &[String], fresh: &[Fresh]) -> Vec<PodState> {
    let none = Fresh::default();
    let fresh: Vec<&Fresh> = (0..seen.members.len())
        .map(|at| fresh.get(at).unwrap_or(&none))
        .collect();
    let group = Group {
        fenced,
        members: seen.members.iter().zip(fresh).collect(),
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
            reign: member.reign(),
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
