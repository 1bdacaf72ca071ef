//! Pods as a tree: the primary, and below it who follows it.

use hera_core::agent::{Role, ServerExit, ServerState};
use hera_core::cluster::{Direction, OpenSlot, ServerView};
use hera_core::shard::{FenceView, LinkView, PodState};

use super::lines::PodLine;
use super::tree::Node;
use crate::output::{bad, faint, good, odd};

/// A primary and its replicas.
pub struct Group<'a> {
    /// What the cluster tells of them.
    pub pods: Vec<&'a PodLine>,
    /// What the operator tells, if it can be asked.
    pub states: Option<&'a [PodState]>,
    /// What servers of a cluster say of themselves. Their primaries have no fence.
    pub servers: Option<&'a [ServerView]>,
}

impl Group<'_> {
    /// The primary with its replicas, then all others.
    pub fn nodes(&self) -> Vec<Node> {
        let Some(states) = self.states else {
            return self.pods.iter().map(|pod| without_operator(pod)).collect();
        };
        let told = |name: &str| states.iter().find(|state| state.name == name);
        let is_primary =
            |pod: &&&PodLine| told(&pod.name).is_some_and(|state| state.role == Role::Primary);
        let primary = self.pods.iter().find(is_primary);
        let primary = primary.map(|pod| pod.name.as_str());
        let mut roots: Vec<Node> = Vec::new();
        let mut replicas = Vec::new();
        for pod in &self.pods {
            let state = told(&pod.name);
            let follows = state.and_then(|state| Some(state.link.as_ref()?.follows.as_str()));
            let node = self.node(pod, state);
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

    fn node(&self, pod: &PodLine, state: Option<&PodState>) -> Node {
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
        words.extend(fence(state).filter(|_| self.servers.is_none()));
        let mut lines = notes(state);
        let mut servers = self.servers.into_iter().flatten();
        let server = servers.find(|server| server.pod == pod.name);
        lines.extend(server.iter().flat_map(|server| of_cluster(server, state)));
        Node::over(words.join("  "), lines)
    }
}

/// What the cluster tells.
fn place(pod: &PodLine) -> String {
    let ready = match (pod.phase.as_str(), pod.ready) {
        ("Running", true) => "ready".to_owned(),
        ("Running", false) => odd("not ready"),
        (phase, _) => odd(phase),
    };
    let node = pod.node.as_deref().unwrap_or("no node");
    let zone = pod.zone.as_ref().map(|zone| format!(" ({zone})"));
    let zone = zone.unwrap_or_default();
    let ip = pod.ip.as_deref().unwrap_or("no address");
    let restarts = match pod.restarts {
        0 => String::new(),
        1 => "  1 restart".to_owned(),
        count => format!("  {count} restarts"),
    };
    format!("{ready}  {node}{zone}  {ip}{restarts}")
}

fn without_operator(pod: &PodLine) -> Node {
    let role = match pod.role.as_deref() {
        Some("primary") => good("primary"),
        Some(role) => role.to_owned(),
        None => faint("no role yet"),
    };
    Node::leaf(format!("{}  {role}  {}", pod.name, place(pod)))
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

/// What more a server says of the cluster.
fn of_cluster(server: &ServerView, state: &PodState) -> Vec<String> {
    let mut lines = Vec::new();
    if !server.serves {
        lines.push(odd("it takes the cluster for failed, and serves no slots"));
    }
    if state.role == Role::Primary && server.slots.is_empty() {
        lines.push(odd("it has no slots"));
    }
    lines.extend(server.open_slots.iter().map(|open| odd(&moves(open))));
    lines
}

fn moves(open: &OpenSlot) -> String {
    let OpenSlot { slot, moves, peer } = open;
    match moves {
        Direction::In => format!("slot {slot} comes from {peer}"),
        Direction::Out => format!("slot {slot} goes to {peer}"),
    }
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
