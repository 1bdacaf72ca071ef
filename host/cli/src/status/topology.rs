//! Pods as a tree: the primary, and below it who follows it.

use hera_core::agent::{Role, ServerExit, ServerState};
use hera_core::instance::InstanceView;
use hera_core::shard::{FenceView, LinkView, PodState};

use super::PodLine;
use super::tree::Node;
use crate::output::{bad, faint, good, odd};

/// The primary with its replicas, then all others.
pub fn pods(pods: &[PodLine], operator: Option<&InstanceView>) -> Vec<Node> {
    let Some(view) = operator else {
        return pods.iter().map(without_operator).collect();
    };
    let told = |name: &str| view.pods.iter().find(|state| state.name == name);
    let is_primary =
        |pod: &&PodLine| told(&pod.name).is_some_and(|state| state.role == Role::Primary);
    let primary = pods.iter().find(is_primary).map(|pod| pod.name.as_str());
    let mut roots: Vec<Node> = Vec::new();
    let mut replicas = Vec::new();
    for pod in pods {
        let state = told(&pod.name);
        let follows = state.and_then(|state| Some(state.link.as_ref()?.follows.as_str()));
        let node = node(pod, state);
        match follows.is_some() && follows == primary {
            true => replicas.push(node),
            false if primary == Some(&pod.name) => roots.insert(0, node),
            false => roots.push(node),
        }
    }
    if let Some(root) = roots.first_mut() {
        root.children.extend(replicas);
    }
    roots
}

/// What the cluster tells.
fn place(pod: &PodLine) -> String {
    let ready = match (pod.phase.as_str(), pod.ready) {
        ("Running", true) => "ready".to_owned(),
        ("Running", false) => odd("not ready"),
        (phase, _) => odd(phase),
    };
    let node = pod.node.as_deref().unwrap_or("no node");
    let ip = pod.ip.as_deref().unwrap_or("no address");
    let restarts = match pod.restarts {
        0 => String::new(),
        1 => "  1 restart".to_owned(),
        count => format!("  {count} restarts"),
    };
    format!("{ready}  {node}  {ip}{restarts}")
}

fn without_operator(pod: &PodLine) -> Node {
    let role = match pod.role.as_deref() {
        Some("primary") => good("primary"),
        Some(role) => role.to_owned(),
        None => faint("no role yet"),
    };
    Node::leaf(format!("{}  {role}  {}", pod.name, place(pod)))
}

fn node(pod: &PodLine, state: Option<&PodState>) -> Node {
    let Some(state) = state else {
        return Node::leaf(format!(
            "{}  {}  {}",
            pod.name,
            faint("unknown to the operator"),
            place(pod)
        ));
    };
    let mut words = vec![pod.name.clone(), role(state), place(pod)];
    words.extend(state.link.as_ref().map(link));
    words.extend(fence(state));
    Node::over(words.join("  "), notes(state))
}

fn role(state: &PodState) -> String {
    match (&state.unheard, &state.server, state.role) {
        (Some(_), _, _) => bad("not heard"),
        (_, Some(ServerState::Fenced), _) => odd("fenced"),
        (_, _, Role::Primary) => good("primary"),
        (_, _, Role::Replica) => "replica".to_owned(),
        (_, Some(server), Role::Held | Role::Unknown) => odd(process(server)),
        (_, None, Role::Held | Role::Unknown) => faint("no role yet"),
    }
}

fn process(server: &ServerState) -> &'static str {
    match server {
        ServerState::Starting => "starts",
        ServerState::Loading { .. } => "reads its data",
        ServerState::Running { .. } => "held back",
        ServerState::BackOff { .. } => "starts again soon",
        ServerState::Stopping => "stops",
        ServerState::Fenced => "fenced",
    }
}

fn link(link: &LinkView) -> String {
    match (link.up, link.syncing) {
        (true, _) => good(&match link.lag_bytes {
            Some(bytes) => format!("in sync, {bytes} bytes behind"),
            None => "in sync, lag unknown".to_owned(),
        }),
        (false, true) => odd("takes in the data"),
        (false, false) => bad(&format!("no link to {}", link.follows)),
    }
}

/// Of a primary, when it stops by itself; of a server that is down, who took it down.
fn fence(state: &PodState) -> Option<String> {
    Some(match &state.fence {
        FenceView::Armed { left_ms } => {
            let tenths = left_ms / 100;
            format!("fence armed, {}.{} s left", tenths / 10, tenths % 10)
        }
        FenceView::Down {
            by_request: true, ..
        } => "on request".to_owned(),
        FenceView::Down { .. } => return None,
        FenceView::Off if state.role == Role::Primary => faint("no fence"),
        FenceView::Unknown if state.role == Role::Primary => faint("fence unknown"),
        FenceView::Off | FenceView::Unknown => return None,
    })
}

/// What more there is to say, a line each.
fn notes(state: &PodState) -> Vec<String> {
    let mut lines = Vec::new();
    let unheard = state.unheard.as_ref();
    lines.extend(unheard.map(|why| format!("its agent does not answer: {why}")));
    if state.epoch > 0 && state.role == Role::Primary {
        lines.push(format!("epoch {}", state.epoch));
    }
    if state.hangs {
        lines.push(bad("its server answers nothing"));
    }
    if state.leaving {
        lines.push(odd("its pod ends; it waits for another to take over"));
    }
    lines.extend(state.waiting_for.as_deref().map(odd));
    if state.restarts > 0 {
        let ended = state.last_exit.as_ref().map(ended).unwrap_or_default();
        lines.push(format!(
            "its server was started again {}{ended}",
            times(state.restarts)
        ));
    }
    lines
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn ended(exit: &ServerExit) -> String {
    let how = match (exit.code, exit.signal) {
        (_, Some(signal)) => format!("by signal {signal}"),
        (Some(code), None) => format!("with code {code}"),
        (None, None) => return String::new(),
    };
    let words = match exit.message.lines().last() {
        Some(words) if !words.is_empty() => format!(": {words}"),
        _ => String::new(),
    };
    format!("; the last ended {how}{words}")
}
