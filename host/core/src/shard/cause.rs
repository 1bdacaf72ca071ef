//! Why a pod serves or does not, for people.

use super::member::{AgentView, Member};
use super::pod::{NodeState, PodView};
use crate::agent::{AgentStatus, Connections, ServerState, Space, Volume};

/// Why an instance serves or does not, in the order in which a person would ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Writes are accepted through the client Service.
    Serving,
    /// The storage class of the claim does not exist.
    StorageClassMissing(String),
    /// There is no pod yet.
    NoPod,
    /// The scheduler finds no place.
    Unschedulable(String),
    /// An image cannot be pulled.
    ImagePull(String),
    /// A container cannot start, for another reason of the kubelet.
    ContainerWaiting(String),
    /// The pod is on its way.
    PodStarting,
    /// The pod is being replaced.
    PodReplaced,
    /// The server refused its configuration and does not start.
    ConfigRejected(String),
    /// The server exits again and again.
    ServerCrashing(String),
    /// The server reads its data.
    ServerLoading,
    /// The server starts.
    ServerStarting(String),
    /// The agent was heard and is not any more.
    AgentUnreachable(String),
    /// None of several pods is the primary; what is waited for.
    NoPrimary(String),
}

/// A replica that is not in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagging {
    /// Its pod, or its ordinal while there is none.
    pub name: String,
    /// Why, for people.
    pub why: String,
    /// True while this passes by itself: it starts, loads or takes in the data.
    pub passing: bool,
    /// True if its server runs.
    pub running: bool,
    /// True if it led before, and gives its data up for that of the primary.
    pub deposed: bool,
}

/// A pod whose agent is not heard, on a node that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// The pod.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// True if the node is out of service, so that the pod is replaced without it.
    pub dead: bool,
}

/// A pod whose volume needs somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortOfSpace {
    /// The pod.
    pub pod: String,
    /// What its agent says of it.
    pub volume: Volume,
}

/// A pod whose server has few connections left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The pod.
    pub pod: String,
    /// What its agent says of them.
    pub connections: Connections,
}

pub(crate) fn crowded(member: &Member) -> Option<Crowded> {
    Some(Crowded {
        pod: member.name().to_owned(),
        connections: member.agent.status()?.connections.clone()?,
    })
}

pub(crate) fn short_of_space(member: &Member) -> Option<ShortOfSpace> {
    let volume = &member.agent.status()?.volume;
    let needs_somebody = volume.space != Space::Enough
        || volume.refused_writes.is_some()
        || volume.state_error.is_some();
    needs_somebody.then(|| ShortOfSpace {
        pod: member.name().to_owned(),
        volume: volume.clone(),
    })
}

pub(crate) fn dump_not_read(member: &Member) -> Option<String> {
    let status = member.agent.status()?;
    let found = status.volume.dump_not_read;
    found.then(|| member.name().to_owned())
}

pub(crate) fn stranded(member: &Member) -> Option<Stranded> {
    let pod = member.pod.as_ref().filter(|pod| !pod.finished)?;
    let dead = match pod.node_state {
        NodeState::NotReady => false,
        NodeState::OutOfService => true,
        NodeState::Unknown | NodeState::Hidden | NodeState::Ready => return None,
    };
    member.agent.status().is_none().then(|| Stranded {
        pod: pod.name.clone(),
        node: pod.node.clone().unwrap_or_default(),
        dead,
    })
}

/// It led an earlier epoch and was stopped; what it had not sent is not part of today's data.
pub(crate) fn is_deposed(member: &Member, primary: &Member) -> bool {
    member.agent.status().is_some_and(|status| {
        let memory = &status.memory;
        memory.deposed && memory.epoch < primary.epoch()
    })
}

pub(crate) fn lagging(member: &Member) -> Lagging {
    let link = member
        .agent
        .status()
        .and_then(|status| status.link.as_ref());
    let running = member.is_running() && !member.is_leaving();
    let (why, passing) = match link {
        Some(link) if running && link.syncing => ("takes in the data".to_owned(), true),
        Some(link) if running && link.up => ("hears nothing from the primary".to_owned(), false),
        Some(_) if running => ("has no link to the primary".to_owned(), false),
        None if running => ("is about to follow the primary".to_owned(), true),
        _ => {
            let cause = member_cause(member);
            (describe(&cause), passes(&cause))
        }
    };
    Lagging {
        name: member.label(),
        why,
        passing,
        running,
        deposed: false,
    }
}

/// Why a replica is not in sync, for people.
pub(crate) fn why_not_in_sync(member: &Member) -> String {
    lagging(member).why
}

/// No pod has come as far as to be heard: what keeps them from it says more than that nobody leads.
pub(crate) fn stuck(members: &[Member]) -> Option<Cause> {
    if members.iter().any(|member| member.agent.status().is_some()) {
        return None;
    }
    members.iter().map(member_cause).find(|cause| {
        matches!(
            cause,
            Cause::StorageClassMissing(_)
                | Cause::Unschedulable(_)
                | Cause::ImagePull(_)
                | Cause::ContainerWaiting(_)
        )
    })
}

pub(crate) fn member_cause(member: &Member) -> Cause {
    let missing_class = member
        .claim
        .as_ref()
        .filter(|claim| claim.capacity.is_none())
        .and_then(|claim| claim.missing_class.clone());
    if let Some(class) = missing_class {
        return Cause::StorageClassMissing(class);
    }
    let Some(pod) = &member.pod else {
        return Cause::NoPod;
    };
    if let Some(stranded) = stranded(member) {
        return Cause::AgentUnreachable(format!("its node {} is not ready", stranded.node));
    }
    if pod.deleting || pod.finished {
        return Cause::PodReplaced;
    }
    match &member.agent {
        AgentView::Connected(status) => server_cause(status, member.agent.serves()),
        AgentView::Unreachable(why) if pod.waiting.is_none() => {
            Cause::AgentUnreachable(match pod.node_state {
                NodeState::Hidden => format!(
                    "{why}; the operator has no right to read nodes, so it cannot tell whether that \
                     of the pod is lost"
                ),
                _ => why.clone(),
            })
        }
        AgentView::Unreachable(_) | AgentView::Absent => pod_cause(pod),
    }
}

fn passes(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NoPod
            | Cause::PodStarting
            | Cause::PodReplaced
            | Cause::ServerLoading
            | Cause::ServerStarting(_)
    )
}

/// A cause, for people.
fn describe(cause: &Cause) -> String {
    match cause {
        Cause::Serving => "serves by itself".to_owned(),
        Cause::StorageClassMissing(class) => format!("there is no StorageClass {class}"),
        Cause::NoPod => "its pod is being made".to_owned(),
        Cause::PodStarting => "its pod starts".to_owned(),
        Cause::PodReplaced => "its pod is being replaced".to_owned(),
        Cause::ServerLoading => "its server reads its data".to_owned(),
        Cause::NoPrimary(words)
        | Cause::Unschedulable(words)
        | Cause::ImagePull(words)
        | Cause::ContainerWaiting(words)
        | Cause::ConfigRejected(words)
        | Cause::ServerCrashing(words)
        | Cause::ServerStarting(words)
        | Cause::AgentUnreachable(words) => words.clone(),
    }
}

fn pod_cause(pod: &PodView) -> Cause {
    if let Some(words) = &pod.unschedulable {
        return Cause::Unschedulable(words.clone());
    }
    match &pod.waiting {
        Some((reason, words)) if reason.contains("Image") || reason == "ErrImagePull" => {
            Cause::ImagePull(format!("{reason}: {words}"))
        }
        Some((reason, _)) if matches!(reason.as_str(), "ContainerCreating" | "PodInitializing") => {
            Cause::PodStarting
        }
        Some((reason, words)) => Cause::ContainerWaiting(format!("{reason}: {words}")),
        None => Cause::PodStarting,
    }
}

fn server_cause(status: &AgentStatus, serves: bool) -> Cause {
    let waiting = || {
        status
            .waiting_for
            .clone()
            .unwrap_or_else(|| "the server starts".to_owned())
    };
    match &status.server {
        ServerState::Running { .. } if serves => Cause::Serving,
        ServerState::Running { .. } | ServerState::Starting => Cause::ServerStarting(waiting()),
        ServerState::Loading { .. } => Cause::ServerLoading,
        ServerState::Stopping => Cause::PodReplaced,
        ServerState::Fenced => Cause::ServerStarting(waiting()),
        ServerState::BackOff { .. } => {
            let words = status
                .last_exit
                .as_ref()
                .map(|e| e.message.clone())
                .unwrap_or_default();
            match status.config.rejected.iter().next() {
                Some((directive, why)) => Cause::ConfigRejected(format!("{directive}: {why}")),
                None => Cause::ServerCrashing(words),
            }
        }
    }
}
