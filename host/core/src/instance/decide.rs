use super::{AgentView, Observation, Plan, PodView, Step, Wanted};
use crate::agent::{AgentStatus, ServerState};

/// The plan for one pass.
///
/// # Guarantees
/// At most one disruptive step, always the last. While `paused`, nothing that carries a spec
/// change to a pod; the endpoint and confirmations go on. What is unknown is never acted upon:
/// a broken stream neither moves the endpoint nor deletes a pod. No pod is deleted whose volume
/// would go with it.
pub fn decide(wanted: &Wanted, seen: &Observation) -> Plan {
    let mut plan = Plan::default();
    plan_endpoint(seen, &mut plan);
    if let Some(status) = seen.agent.status() {
        plan_pushes(wanted, seen, status, &mut plan);
    }
    plan_replacement(wanted, seen, &mut plan);
    plan
}

fn plan_endpoint(seen: &Observation, plan: &mut Plan) {
    let Some(ip) = wanted_endpoint(seen) else {
        return;
    };
    if ip == seen.endpoint {
        return;
    }
    let reason = match &ip {
        Some(ip) => format!("{ip} is the primary"),
        None => "there is no primary".to_owned(),
    };
    plan.push(Step::SetEndpoint { ip }, reason);
}

/// Where clients are to be led; the outer `None` means that it is not known and stays as it is.
fn wanted_endpoint(seen: &Observation) -> Option<Option<String>> {
    match (&seen.pod, &seen.agent) {
        (None, _) => Some(None),
        (Some(pod), _) if pod.deleting || pod.finished => Some(None),
        (Some(pod), AgentView::Connected(status)) => {
            let leads_there = seen.endpoint.is_some() && pod.ip == seen.endpoint;
            if leads_there && comes_back(status) {
                return None;
            }
            Some(pod.ip.clone().filter(|_| seen.agent.serves()))
        }
        // A new pod whose agent was never heard has another address than the endpoint.
        (Some(pod), AgentView::Absent | AgentView::Unreachable(_)) => {
            (pod.ip != seen.endpoint && seen.endpoint.is_some()).then_some(None)
        }
    }
}

/// The server is on its way back inside its pod. Its address stays: there is no other to lead to, and
/// taking it away and giving it back costs clients about a second until every node has followed.
fn comes_back(status: &AgentStatus) -> bool {
    match status.server {
        ServerState::Starting
        | ServerState::Loading { .. }
        | ServerState::Running { .. }
        | ServerState::BackOff { .. } => true,
        ServerState::Stopping => false,
    }
}

fn plan_pushes(wanted: &Wanted, seen: &Observation, status: &AgentStatus, plan: &mut Plan) {
    if matches!(status.server, ServerState::Stopping) {
        return;
    }
    // Rights first: a revocation waits for no configuration.
    let answers = matches!(status.server, ServerState::Running { .. });
    if answers
        && seen.acl.revision != 0
        && (status.acl.revision != seen.acl.revision || !status.acl.confirmed)
    {
        plan.push(
            Step::PushAcl,
            format!("revision {} is wanted", seen.acl.revision),
        );
    }
    if !wanted.paused && seen.config.revision != 0 && status.config.revision != seen.config.revision
    {
        let reason = format!("revision {} is wanted", seen.config.revision);
        plan.push(Step::PushConfig, reason);
    }
}

fn plan_replacement(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    let Some(pod) = seen.pod.as_ref().filter(|pod| !pod.deleting) else {
        return;
    };
    // A claim that is being deleted lives as long as its pod: the data would go with it.
    if seen.claim.as_ref().is_some_and(|claim| claim.deleting) {
        return;
    }
    let Some(reason) = replacement_reason(wanted, pod, &seen.agent) else {
        return;
    };
    let step = Step::DeletePod {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
    };
    plan.push(step, reason);
}

fn replacement_reason(wanted: &Wanted, pod: &PodView, agent: &AgentView) -> Option<String> {
    if pod.finished {
        return Some("the pod has finished".to_owned());
    }
    if wanted.paused {
        return None;
    }
    if pod.revision.as_deref() != Some(wanted.pod_revision.as_str()) {
        return Some("the spec asks for another pod".to_owned());
    }
    let pending = agent
        .status()
        .map(|s| s.config.pending_restart.as_slice())
        .unwrap_or_default();
    if pending.is_empty() {
        return None;
    }
    Some(format!(
        "the server takes {} only at its start",
        pending.join(", ")
    ))
}
