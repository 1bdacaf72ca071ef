use super::{AgentView, Observation, Plan, Wanted};
use crate::agent::{AgentStatus, ServerState};

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
}

/// What a pass found, for the conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why the instance serves or does not.
    pub cause: Cause,
    /// True when the wanted size is below the claim's.
    pub shrink_refused: bool,
    /// True while the volume is smaller than asked for.
    pub growing: bool,
    /// The claim, if somebody deleted it: it stays as long as the pod does.
    pub claim_lost_with_pod: Option<String>,
    /// Directives that the server refused, with its words; sorted.
    pub rejected_config: Vec<(String, String)>,
    /// Users that the server refused, with its words; sorted.
    pub rejected_users: Vec<(String, String)>,
    /// True when every wanted change has reached the server.
    pub settled: bool,
}

/// Judges one pass.
pub fn verdict(wanted: &Wanted, seen: &Observation, plan: &Plan) -> Verdict {
    let status = seen.agent.status();
    let growing = is_growing(wanted, seen);
    let applied = status.is_some_and(|s| {
        s.config.revision == seen.config.revision
            && s.config.pending_restart.is_empty()
            && s.acl.confirmed
            && s.acl.revision == seen.acl.revision
    });
    Verdict {
        cause: cause(seen),
        shrink_refused: matches!((&wanted.storage, &seen.claim),
            (Some(storage), Some(claim)) if storage.bytes < claim.requested),
        growing,
        claim_lost_with_pod: seen
            .claim
            .as_ref()
            .filter(|claim| claim.deleting)
            .map(|claim| claim.name.clone()),
        rejected_config: pairs(status.map(|s| &s.config.rejected)),
        rejected_users: pairs(status.map(|s| &s.acl.rejected)),
        settled: plan.steps.is_empty() && applied && !growing && seen.agent.serves(),
    }
}

fn pairs(map: Option<&std::collections::BTreeMap<String, String>>) -> Vec<(String, String)> {
    map.into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn is_growing(wanted: &Wanted, seen: &Observation) -> bool {
    match (&wanted.storage, &seen.claim) {
        (Some(storage), Some(claim)) => {
            claim.requested < storage.bytes
                || claim
                    .capacity
                    .is_some_and(|capacity| capacity < claim.requested)
        }
        _ => false,
    }
}

fn cause(seen: &Observation) -> Cause {
    let missing_class = seen
        .claim
        .as_ref()
        .filter(|claim| claim.capacity.is_none())
        .and_then(|claim| claim.missing_class.clone());
    if let Some(class) = missing_class {
        return Cause::StorageClassMissing(class);
    }
    let Some(pod) = &seen.pod else {
        return Cause::NoPod;
    };
    if pod.deleting || pod.finished {
        return Cause::PodReplaced;
    }
    match &seen.agent {
        AgentView::Connected(status) => server_cause(status, seen.agent.serves()),
        AgentView::Unreachable(why) if pod.waiting.is_none() => {
            Cause::AgentUnreachable(why.clone())
        }
        AgentView::Unreachable(_) | AgentView::Absent => pod_cause(pod),
    }
}

fn pod_cause(pod: &super::PodView) -> Cause {
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
