//! The agent's status: one place, changed through closures, seen by everybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hera_core::agent::{AclState, AgentStatus, ConfigState, PROTOCOL, Role, ServerState};
use tokio::sync::watch;

use crate::settings::Settings;
use crate::state::durable::FileError;
use crate::state::remembered::State;

/// Holds the status.
pub struct Board {
    status: watch::Sender<AgentStatus>,
    started: Instant,
    answered: AtomicU64,
}

impl Board {
    /// The status of an agent that just started.
    pub fn new(settings: &Settings, state: &State) -> Self {
        let status = AgentStatus {
            protocol: PROTOCOL,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: format!("{:032x}", rand::random::<u128>()),
            pod_uid: settings.pod_uid.clone(),
            server: ServerState::Starting,
            role: Role::Unknown,
            link: None,
            memory: state.memory(),
            members: state.members.clone().unwrap_or_default(),
            leaving: false,
            hangs: false,
            engine: None,
            version: None,
            term: state.seen_term(),
            config: ConfigState::default(),
            acl: AclState::default(),
            restarts: 0,
            last_exit: None,
            waiting_for: Some("the server starts".to_owned()),
            volume: Default::default(),
            led_to: None,
            forked_at: None,
            connections: None,
            script: None,
            // A server of a cluster follows by itself, once that is known with which password.
            login: settings.shard.map(|_| Default::default()),
            recovery: None,
            capture: None,
            cluster: None,
        };
        Self {
            status: watch::channel(status).0,
            started: Instant::now(),
            answered: 0.into(),
        }
    }

    /// The status now.
    pub fn status(&self) -> AgentStatus {
        self.status.borrow().clone()
    }

    /// Tells of each change.
    pub fn watch(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Changes the status; nobody is told if it stays the same.
    pub fn change(&self, change: impl FnOnce(&mut AgentStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    /// The agent remembers this now.
    pub fn remembers(&self, state: &State) {
        self.change(|status| {
            status.term = state.seen_term();
            status.memory = state.memory();
            status.members = state.members.clone().unwrap_or_default();
        });
    }

    /// The agent wrote its state, or could not.
    pub fn writes_state(&self, error: Option<&FileError>) {
        self.change(|status| status.volume.state_error = error.map(ToString::to_string));
    }

    /// The server answered just now.
    pub fn answered(&self) {
        let millis = self.started.elapsed().as_millis();
        self.answered
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Milliseconds since the server last answered; counted from the agent's start if never.
    pub fn silent_for(&self) -> u64 {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(self.answered.load(Ordering::Relaxed))
    }
}
