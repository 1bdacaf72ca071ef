//! Builders: a settled instance, and what is different about it.

use hera_core::agent::{AclState, AgentStatus, ConfigState, PROTOCOL, Role, ServerState};
use hera_core::instance::{
    AgentView, ClaimView, Observation, PodView, RevisionView, Wanted, WantedStorage,
};

pub const GIB: u64 = 1 << 30;

pub fn wanted() -> Wanted {
    Wanted {
        pod_revision: "new".into(),
        storage: Some(WantedStorage { bytes: GIB }),
        paused: false,
    }
}

pub fn seen() -> Observation {
    Observation {
        claim: Some(claim()),
        pod: Some(pod().0),
        agent: agent().view(),
        endpoint: Some("10.0.0.1".into()),
        config: RevisionView { revision: 3 },
        acl: RevisionView { revision: 5 },
    }
}

pub struct Pod(pub PodView);

pub fn pod() -> Pod {
    Pod(PodView {
        name: "shop-0".into(),
        uid: "pod-uid".into(),
        ip: Some("10.0.0.1".into()),
        revision: Some("new".into()),
        ..PodView::default()
    })
}

impl Pod {
    pub fn with_revision(mut self, revision: &str) -> PodView {
        self.0.revision = Some(revision.into());
        self.0
    }

    pub fn deleting(mut self) -> PodView {
        self.0.deleting = true;
        self.0
    }
}

pub fn claim() -> ClaimView {
    ClaimView {
        name: "data-shop-0".into(),
        requested: GIB,
        capacity: Some(GIB),
        missing_class: None,
        deleting: false,
    }
}

pub trait ClaimExt {
    fn with_requested(self, bytes: u64) -> Self;
    fn unbound(self, class: &str) -> Self;
    fn deleting(self) -> Self;
}

impl ClaimExt for ClaimView {
    fn with_requested(mut self, bytes: u64) -> Self {
        self.requested = bytes;
        self
    }

    fn unbound(mut self, class: &str) -> Self {
        self.capacity = None;
        self.missing_class = Some(class.into());
        self
    }

    fn deleting(mut self) -> Self {
        self.deleting = true;
        self
    }
}

pub struct Agent(AgentStatus);

pub fn agent() -> Agent {
    Agent(AgentStatus {
        protocol: PROTOCOL,
        agent_version: "0.1.0".into(),
        boot_id: "boot".into(),
        pod_uid: "pod-uid".into(),
        server: ServerState::Running {
            pid: 7,
            run_id: "run".into(),
        },
        role: Role::Primary,
        engine: Some("redis".into()),
        version: Some("7.2.4".into()),
        term: 1,
        config: ConfigState {
            revision: 3,
            ..ConfigState::default()
        },
        acl: AclState {
            revision: 5,
            confirmed: true,
            ..AclState::default()
        },
        restarts: 0,
        last_exit: None,
        waiting_for: None,
    })
}

impl Agent {
    pub fn unconfirmed(mut self) -> Self {
        self.0.acl.confirmed = false;
        self.held()
    }

    pub fn held(mut self) -> Self {
        self.0.role = Role::Held;
        self
    }

    pub fn pending(mut self, directive: &str) -> Self {
        self.0.config.pending_restart.push(directive.into());
        self
    }

    pub fn rejected(mut self, directive: &str, why: &str) -> Self {
        self.0.config.rejected.insert(directive.into(), why.into());
        self
    }

    pub fn server(mut self, server: ServerState) -> Self {
        self.0.server = server;
        self
    }

    pub fn view(self) -> AgentView {
        AgentView::Connected(Box::new(self.0))
    }
}
