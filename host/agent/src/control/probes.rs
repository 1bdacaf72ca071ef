//! What the kubelet asks, over plain HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hera_core::agent::{AgentStatus, Role, ServerState};

use crate::agent::Agent;

/// A server that gave no answer at all for this long hangs: longer than the worst stall of a fork,
/// a large delete or a script (redis-facts §6.3).
const HANGS_AFTER_MS: u64 = 60_000;

/// The routes.
pub fn routes(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(livez))
        .with_state(agent)
}

async fn livez(State(agent): State<Arc<Agent>>) -> (StatusCode, &'static str) {
    say(
        is_live(&agent.board.status(), agent.board.silent_for()),
        "the server hangs\n",
    )
}

async fn readyz(State(agent): State<Arc<Agent>>) -> (StatusCode, &'static str) {
    say(
        is_ready(&agent.board.status()),
        "the server does not serve\n",
    )
}

fn say(good: bool, otherwise: &'static str) -> (StatusCode, &'static str) {
    if good {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, otherwise)
    }
}

/// A server that is down on purpose, or loads, is no reason to restart the pod. The silence of one
/// that starts is counted from its start.
fn is_live(status: &AgentStatus, silent_ms: u64) -> bool {
    match status.server {
        ServerState::Starting | ServerState::Running { .. } | ServerState::Loading { .. } => {
            silent_ms < HANGS_AFTER_MS
        }
        ServerState::BackOff { .. } | ServerState::Stopping | ServerState::Fenced => true,
    }
}

fn is_ready(status: &AgentStatus) -> bool {
    let serves = match status.role {
        Role::Primary => true,
        Role::Replica => status
            .link
            .as_ref()
            .is_some_and(|link| link.up && !link.quiet),
        Role::Held | Role::Unknown => false,
    };
    let in_cluster = status.cluster.as_ref().is_none_or(|news| news.serves);
    serves && in_cluster && matches!(status.server, ServerState::Running { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_core::agent::{AclState, ConfigState, Link, Members, Memory};

    fn status(server: ServerState) -> AgentStatus {
        AgentStatus {
            protocol: 1,
            agent_version: String::new(),
            boot_id: String::new(),
            pod_uid: String::new(),
            server,
            role: Role::Held,
            link: None,
            memory: Memory::default(),
            members: Members::default(),
            leaving: false,
            hangs: false,
            engine: None,
            version: None,
            term: 0,
            config: ConfigState::default(),
            acl: AclState::default(),
            restarts: 0,
            last_exit: None,
            waiting_for: None,
            volume: Default::default(),
            led_to: None,
            forked_at: None,
            connections: None,
            script: None,
            login: None,
            recovery: None,
            capture: None,
            cluster: None,
        }
    }

    #[test]
    fn a_server_that_loads_is_alive_and_not_ready() {
        let loading = status(ServerState::Loading { pid: 1 });
        assert!(is_live(&loading, 5_000) && !is_ready(&loading));
    }

    #[test]
    fn a_replica_is_ready_while_its_link_is_up() {
        let mut replica = status(ServerState::Running {
            pid: 1,
            run_id: "r".into(),
        });
        replica.role = Role::Replica;
        assert!(!is_ready(&replica));
        let link = |up| Link {
            host: "h".into(),
            port: 1,
            up,
            syncing: false,
            quiet: false,
        };
        replica.link = Some(link(false));
        assert!(!is_ready(&replica));
        replica.link = Some(link(true));
        assert!(is_ready(&replica));
    }

    #[test]
    fn a_silent_server_is_dead_and_one_that_is_down_on_purpose_is_not() {
        let running = status(ServerState::Running {
            pid: 1,
            run_id: "r".into(),
        });
        assert!(!is_live(&running, HANGS_AFTER_MS));
        assert!(is_live(&status(ServerState::Starting), 5_000));
        assert!(!is_live(&status(ServerState::Starting), HANGS_AFTER_MS));
        assert!(is_live(
            &status(ServerState::BackOff { until_unix_ms: 0 }),
            HANGS_AFTER_MS
        ));
        assert!(is_live(&status(ServerState::Fenced), HANGS_AFTER_MS));
    }
}
