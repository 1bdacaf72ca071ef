//! Builders: a settled instance, and what is different about it.

use hera_core::agent::{
    AclState, AgentStatus, ConfigState, Link, Members, Memory, PROTOCOL, Peer, Position, Role,
    ServerState,
};
use hera_core::instance::{
    Leader, MemberList, Observation, Permit, Plan, Step, Wanted, WantedStorage, decide, guard,
};
use hera_core::shard::{
    AgentView, ClaimView, Lineage, Member, PodView, PodsWanted, Record, RevisionView,
};

pub const GIB: u64 = 1 << 30;
pub const HOUR: u64 = 3_600_000;
pub const PROGRESS_DEADLINE: u64 = 600_000;

pub fn wanted() -> Wanted {
    Wanted {
        // The stories about temporary pods turn `surge` on.
        pods: PodsWanted {
            revision: "new".into(),
            count: Some(1),
            max_wait_ms: 168 * HOUR,
            progress_deadline_ms: PROGRESS_DEADLINE,
            ..PodsWanted::default()
        },
        storage: Some(WantedStorage { bytes: GIB }),
        fence_after_ms: 15_000,
        ..Wanted::default()
    }
}

/// One pod, which serves.
pub fn seen() -> Observation {
    Observation {
        members: vec![Member {
            claim: Some(claim()),
            pod: Some(pod().0),
            agent: agent().view(),
            server_name: "shop-0.shop-headless".into(),
            ..Member::default()
        }],
        endpoint: Some("10.0.0.1".into()),
        config: RevisionView { revision: 3 },
        acl: RevisionView { revision: 5 },
        lists: vec![MemberList::of(&alone())],
        ..Observation::default()
    }
}

/// Who the data pods of [`seen`] are.
fn alone() -> Members {
    Members {
        pods: vec![Peer {
            pod_uid: "pod-uid".into(),
            server_name: "shop-0.shop-headless".into(),
            ip: Some("10.0.0.1".into()),
        }],
        fence_after_ms: 15_000,
        revision: 1,
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
        temporary: false,
        goes_with_pod: false,
        adopted: false,
        record: recorded(1, "", true),
    }
}

/// What stands on a claim.
pub fn recorded(epoch: u64, primary_uid: &str, led: bool) -> Record {
    Record::Data(Lineage {
        epoch,
        primary_uid: primary_uid.to_owned(),
        led,
        ..Lineage::default()
    })
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
        led_to: None,
        forked_at: None,
        connections: None,
        script: None,
        login: None,
        recovery: None,
        capture: None,
        cluster: None,
        protocol: PROTOCOL,
        agent_version: "0.1.0".into(),
        boot_id: "boot".into(),
        pod_uid: "pod-uid".into(),
        server: ServerState::Running {
            pid: 7,
            run_id: "run".into(),
        },
        role: Role::Primary,
        link: None,
        memory: Memory::default(),
        members: alone(),
        leaving: false,
        hangs: false,
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
        volume: Default::default(),
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

/// An instance of several pods, of which the first is the primary of epoch 7.
#[derive(Debug)]
pub struct Group {
    pub wanted: Wanted,
    pub seen: Observation,
}

pub const EPOCH: u64 = 7;

pub fn group(replicas: u32) -> Group {
    let mut wanted = wanted();
    wanted.pods.count = Some(replicas);
    let members: Vec<Member> = (0..replicas).map(member).collect();
    let mut seen = Observation {
        members,
        replica_endpoints: (1..replicas).map(address).collect(),
        ..seen()
    };
    let peers = Members {
        pods: (0..replicas)
            .map(|ordinal| Peer {
                pod_uid: uid(ordinal),
                server_name: format!("shop-{ordinal}.shop-headless"),
                ip: Some(address(ordinal)),
            })
            .collect(),
        fence_after_ms: 15_000,
        revision: 1,
    };
    seen.lists = vec![MemberList::of(&peers)];
    for member in &mut seen.members {
        status(member).members = peers.clone();
    }
    Group { wanted, seen }
}

pub fn uid(ordinal: u32) -> String {
    format!("uid-{ordinal}")
}

pub fn address(ordinal: u32) -> String {
    format!("10.0.0.{}", ordinal + 1)
}

pub fn status(member: &mut Member) -> &mut AgentStatus {
    match &mut member.agent {
        AgentView::Connected(status) => status,
        AgentView::Absent | AgentView::Unreachable(_) => panic!("its agent is not heard"),
    }
}

pub fn member(ordinal: u32) -> Member {
    let mut agent = agent().0;
    agent.pod_uid = uid(ordinal);
    agent.memory = Memory {
        epoch: EPOCH,
        primary_uid: uid(0),
        was_primary: ordinal == 0,
        ..Memory::default()
    };
    if ordinal > 0 {
        agent.role = Role::Replica;
        agent.link = Some(Link {
            host: address(0),
            port: 6379,
            up: true,
            syncing: false,
            quiet: false,
        });
    }
    Member {
        ordinal,
        claim: Some(ClaimView {
            name: format!("data-shop-{ordinal}"),
            record: recorded(EPOCH, &uid(0), ordinal == 0),
            ..claim()
        }),
        pod: Some(PodView {
            name: format!("shop-{ordinal}"),
            uid: uid(ordinal),
            ip: Some(address(ordinal)),
            ..pod().0
        }),
        agent: AgentView::Connected(Box::new(agent)),
        position: None,
        server_name: format!("shop-{ordinal}.shop-headless"),
    }
}

impl Group {
    /// The ordinal of its temporary pod, if there is to be one.
    pub fn temporary(&self) -> Option<u32> {
        self.seen.shard(&self.wanted).temporary()
    }

    /// The server of a pod died, and its agent started it again, held.
    pub fn crash(mut self, ordinal: usize) -> Self {
        let status = status(&mut self.seen.members[ordinal]);
        (status.role, status.link) = (Role::Held, None);
        self
    }

    /// Replicas saw their link to the primary break.
    pub fn links_down(mut self) -> Self {
        for member in &mut self.seen.members {
            if let AgentView::Connected(status) = &mut member.agent
                && let Some(link) = &mut status.link
            {
                link.up = false;
            }
        }
        self
    }

    /// A replica's link stands, and it hears nothing on it.
    pub fn quiet(mut self, ordinal: usize) -> Self {
        let link = status(&mut self.seen.members[ordinal]).link.as_mut();
        link.unwrap().quiet = true;
        self
    }

    pub fn unheard(mut self, ordinal: usize) -> Self {
        self.seen.members[ordinal].agent = AgentView::Unreachable("silence".into());
        self
    }

    /// Where the copy of a pod stands.
    pub fn at(mut self, ordinal: usize, offset: u64, keys: u64) -> Self {
        self.seen.members[ordinal].position = Some(Position {
            offset,
            keys,
            ..Position::default()
        });
        self
    }

    pub fn outdated(mut self, ordinals: &[usize]) -> Self {
        for ordinal in ordinals {
            let pod = self.seen.members[*ordinal].pod.as_mut().unwrap();
            pod.revision = Some("old".into());
        }
        self
    }

    pub fn change(mut self, change: impl FnOnce(&mut Wanted, &mut Observation)) -> Self {
        change(&mut self.wanted, &mut self.seen);
        self
    }
}

pub fn plan(group: &Group) -> Plan {
    let plan = decide(&group.wanted, &group.seen);
    guard(&plan, &group.seen).unwrap();
    plan
}

/// The steps by name, but for what is written on claims.
pub fn names(plan: &Plan) -> Vec<&'static str> {
    plan.steps
        .iter()
        .filter(|planned| !matches!(planned.step, Step::WriteRecord { .. }))
        .map(|planned| planned.step.name())
        .collect()
}

pub fn promoted(plan: &Plan) -> Option<(String, u64)> {
    plan.steps.iter().find_map(|planned| match &planned.step {
        Step::Promote { pod, epoch, .. } => Some((pod.name.clone(), *epoch)),
        _ => None,
    })
}

pub fn permit(group: &Group, now: u64) -> Option<Permit> {
    let mut leader = Leader::new(1, 0);
    let asked = |leader: &mut Leader, now| {
        let limit = group.wanted.fence_after_ms;
        leader.remember(&group.seen, limit, now).permit
    };
    asked(&mut leader, 0);
    asked(&mut leader, now)
}
