//! What an agent of which nothing is known tells.

use hera_core::agent::{AgentStatus, Role, ServerState};

pub fn status(uid: &str) -> AgentStatus {
    AgentStatus {
        protocol: 1,
        agent_version: String::new(),
        boot_id: String::new(),
        pod_uid: uid.to_owned(),
        server: ServerState::Starting,
        role: Role::Unknown,
        link: None,
        memory: Default::default(),
        members: Default::default(),
        leaving: false,
        hangs: false,
        engine: None,
        version: None,
        term: 0,
        config: Default::default(),
        acl: Default::default(),
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
