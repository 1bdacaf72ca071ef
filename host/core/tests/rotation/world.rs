//! Two Secrets, the written users, servers, and passes of an operator that may end after any write.

use hera_core::acl::{AclSet, AclUser};
use hera_core::agent::{
    AclState, AgentStatus, ConfigState, Members, Memory, PROTOCOL, Role, ServerState, Volume,
};
use hera_core::digest::sha256_hex;
use hera_core::rotation::{Phase, Rotation, Seen, Spread, Step, step};
use hera_core::shard::{AgentView, Member, PodView};

pub const USER: &str = "app";
/// A further user that logs in with the same password.
pub const OTHER: &str = "worker";
pub const OVERLAP_MS: u64 = 1_000;
/// Pods that are wanted.
const PODS: u32 = 3;

/// A server, and the users that it has.
#[derive(Clone, Debug)]
pub struct Server {
    pub set: AclSet,
    pub away: bool,
}

#[derive(Debug)]
pub struct World {
    pub written: Option<Rotation>,
    /// What the application's Secret shows.
    pub shown: String,
    /// What it showed before, and until when.
    pub before: Vec<(String, u64)>,
    pub set: AclSet,
    pub servers: Vec<Server>,
    pub request: Option<String>,
    pub rotate_after_ms: Option<u64>,
    pub overlap_ms: u64,
    /// When the Secret was made; none while it shows no password.
    pub made_ms: Option<u64>,
    /// Further users that log in with the password.
    pub others: Vec<&'static str>,
    pub now_ms: u64,
    made: u32,
}

fn set(revision: u64, hashes: &[String]) -> AclSet {
    let mut password_sha256 = hashes.to_vec();
    password_sha256.sort();
    AclSet {
        owner: "uid".to_owned(),
        revision,
        app: USER.to_owned(),
        users: vec![AclUser {
            name: USER.to_owned(),
            password_sha256,
            rules: Vec::new(),
        }],
        ..AclSet::default()
    }
}

fn status(acl: AclState) -> AgentStatus {
    AgentStatus {
        protocol: PROTOCOL,
        agent_version: "0.1.0".to_owned(),
        boot_id: "boot".to_owned(),
        pod_uid: "uid".to_owned(),
        server: ServerState::Running {
            pid: 7,
            run_id: "run".to_owned(),
        },
        role: Role::Replica,
        link: None,
        memory: Memory::default(),
        members: Members::default(),
        leaving: false,
        hangs: false,
        engine: None,
        version: None,
        term: 0,
        config: ConfigState::default(),
        acl,
        restarts: 0,
        last_exit: None,
        waiting_for: None,
        volume: Volume::default(),
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

/// A pod whose agent tells this of its users; one that is not heard where there is none.
pub fn member(ordinal: u32, acl: Option<AclState>) -> Member {
    Member {
        ordinal,
        pod: Some(PodView {
            name: format!("cache-{ordinal}"),
            ..PodView::default()
        }),
        agent: match acl {
            Some(acl) => AgentView::Connected(Box::new(status(acl))),
            None => AgentView::Unreachable("gone".to_owned()),
        },
        ..Member::default()
    }
}

pub fn confirmed(revision: u64) -> AclState {
    AclState {
        revision,
        confirmed: true,
        ..AclState::default()
    }
}

impl World {
    pub fn new() -> Self {
        let shown = "first".to_owned();
        let set = set(1, &[sha256_hex(shown.as_bytes())]);
        let server = Server {
            set: set.clone(),
            away: false,
        };
        Self {
            written: None,
            shown,
            before: Vec::new(),
            set,
            servers: (0..PODS).map(|_| server.clone()).collect(),
            request: None,
            rotate_after_ms: None,
            overlap_ms: OVERLAP_MS,
            made_ms: Some(0),
            others: Vec::new(),
            now_ms: 1_000,
            made: 0,
        }
    }

    /// What a pass decides.
    pub fn decide(&mut self) -> Step {
        let members: Vec<Member> = (0..PODS).zip(&self.servers).map(seen).collect();
        let spread = Spread::of(Some(&self.set), &members, PODS);
        let seen = Seen {
            written: self.written.as_ref(),
            shown: &self.shown,
            made_ms: self.made_ms,
            request: self.request.as_deref(),
            rotate_after_ms: self.rotate_after_ms,
            overlap_ms: self.overlap_ms,
            user: USER,
            others: &self.others,
            servers_log_in: false,
            spread: &spread,
            now_ms: self.now_ms,
        };
        self.made += 1;
        let fresh = format!("made-{}", self.made);
        step(&seen, || fresh)
    }

    /// A pass that ends after so many of its three writes. The two Secrets are written side by side; the users
    /// come after both.
    pub fn pass(&mut self, writes: usize, app_first: bool) {
        let step = self.decide();
        let order = match app_first {
            true => ["app", "rotation", "users"],
            false => ["rotation", "app", "users"],
        };
        for write in order.iter().take(writes) {
            match *write {
                "rotation" => self.written.clone_from(&step.rotation),
                "app" => self.show(&step.show),
                _ => self.write_users(&step.accept),
            }
        }
    }

    /// The Secret shows another password.
    pub fn show(&mut self, password: &str) {
        if self.shown != password {
            let before = std::mem::replace(&mut self.shown, password.to_owned());
            self.before.push((before, self.now_ms));
        }
    }

    fn write_users(&mut self, hashes: &[String]) {
        let wanted = set(self.set.revision, hashes);
        if wanted != self.set {
            self.set = AclSet {
                revision: wanted.revision + 1,
                ..wanted
            };
        }
    }

    /// Agents that are heard take what is written.
    pub fn push(&mut self) {
        for server in self.servers.iter_mut().filter(|server| !server.away) {
            server.set.clone_from(&self.set);
        }
    }

    /// True if every server lets a password in.
    pub fn all_accept(&self, password: &str) -> bool {
        let hash = sha256_hex(password.as_bytes());
        let accepts = |server: &Server| server.set.users[0].password_sha256.contains(&hash);
        self.servers.iter().all(accepts)
    }

    /// Passwords that an application may still have.
    pub fn in_use(&self) -> Vec<&str> {
        let recent = self
            .before
            .iter()
            .filter(|(_, until)| until + OVERLAP_MS > self.now_ms);
        let recent = recent.map(|(password, _)| password.as_str());
        recent.chain([self.shown.as_str()]).collect()
    }

    pub fn phase(&self) -> Phase {
        self.written.as_ref().unwrap().phase.clone()
    }
}

fn seen((ordinal, server): (u32, &Server)) -> Member {
    let acl = confirmed(server.set.revision);
    member(ordinal, (!server.away).then_some(acl))
}
