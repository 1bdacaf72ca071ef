//! Where clients are led.

use super::{Observation, Plan, Step};
use crate::agent::{AgentStatus, ServerState};
use crate::shard::{AgentView, Member};

pub(super) fn plan(seen: &Observation, plan: &mut Plan) {
    if let Some(ip) = wanted(seen)
        && ip != seen.endpoint
    {
        let reason = match &ip {
            Some(ip) => format!("{ip} is the primary"),
            None => "there is no primary".to_owned(),
        };
        plan.push(Step::SetEndpoint { ip }, reason);
    }
    let ips = in_sync(seen);
    if ips != seen.replica_endpoints {
        let reason = format!("{} replicas are in sync", ips.len());
        plan.push(Step::SetReplicas { ips }, reason);
    }
}

/// Where clients are to be led; the outer `None` means that it is not known and stays as it is.
fn wanted(seen: &Observation) -> Option<Option<String>> {
    if let Some(primary) = seen.primary()
        && !primary.pod.as_ref().is_none_or(|pod| pod.finished)
    {
        let ends = primary.pod.as_ref().is_some_and(|pod| pod.deleting);
        // It serves on until another takes over, if there is another.
        return Some(primary.ip().filter(|_| !ends || seen.members.len() > 1))
            .map(|ip| ip.map(str::to_owned));
    }
    let holder = |ip: &str| {
        let mut members = seen.members.iter();
        members.find(|member| member.ip() == Some(ip))
    };
    let Some(holder) = seen.endpoint.as_deref().and_then(holder) else {
        return Some(None);
    };
    match (&holder.pod, &holder.agent) {
        (None, _) => Some(None),
        (Some(pod), _) if pod.deleting || pod.finished => Some(None),
        (Some(_), AgentView::Connected(status)) if !comes_back(status) => Some(None),
        (Some(_), _) => None,
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
        ServerState::Stopping | ServerState::Fenced => false,
    }
}

/// While there is no primary the replicas stay: what they have is as good as before.
fn in_sync(seen: &Observation) -> Vec<String> {
    let Some(primary) = seen.primary() else {
        let alive = |ip: &&String| {
            let holds = |member: &Member| member.ip() == Some(ip.as_str()) && !member.is_leaving();
            seen.members.iter().any(holds)
        };
        return seen
            .replica_endpoints
            .iter()
            .filter(alive)
            .cloned()
            .collect();
    };
    let replicas = seen
        .members
        .iter()
        .filter(|member| !member.is_leaving() && member.is_in_sync(primary));
    let mut ips: Vec<String> = replicas
        .filter_map(|member| member.ip().map(str::to_owned))
        .collect();
    ips.sort();
    ips
}
