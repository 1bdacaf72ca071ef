//! The password with which servers log in at each other: whatever happens, none logs in with one that another refuses.

use hera_core::acl::{AclSet, AclUser, REPLICATION_USER, replication_user};
use hera_core::agent::{AgentStatus, ClusterNews, LoginState, Role};
use hera_core::digest::sha256_hex;
use hera_core::rotation::{Phase, Rotation, Seen, Spread, Step, step};
use hera_core::shard::{AgentView, Member};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{confirmed, member};

const PODS: u32 = 3;

/// How a server comes by the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The operator tells it whom to follow: a `RedisInstance`.
    Told,
    /// Its pod mounts it, and shows another late: a `RedisCluster`.
    Mounted,
}

#[derive(Clone, Debug)]
struct Server {
    set: AclSet,
    /// With what it logs in; none before it was told.
    login: Option<String>,
    /// What its pod mounts.
    file: String,
    away: bool,
}

#[derive(Debug)]
struct World {
    way: Way,
    written: Option<Rotation>,
    /// What the Secret shows.
    shown: String,
    set: AclSet,
    servers: Vec<Server>,
    request: Option<String>,
    now_ms: u64,
    made: u32,
}

fn set(revision: u64, hashes: &[String]) -> AclSet {
    let mut password_sha256 = hashes.to_vec();
    password_sha256.sort();
    AclSet {
        revision,
        users: vec![AclUser {
            name: REPLICATION_USER.to_owned(),
            password_sha256,
            rules: Vec::new(),
        }],
        ..AclSet::default()
    }
}

fn hash(password: &str) -> String {
    sha256_hex(password.as_bytes())
}

fn with(mut pod: Member, change: impl FnOnce(&mut AgentStatus)) -> Member {
    if let AgentView::Connected(status) = &mut pod.agent {
        change(status);
    }
    pod
}

fn logs_in(password: &str, in_force: bool) -> LoginState {
    LoginState {
        password_sha256: hash(password),
        in_force,
    }
}

impl World {
    fn new(way: Way) -> Self {
        let shown = "first".to_owned();
        let set = set(1, &[hash(&shown)]);
        let server = Server {
            set: set.clone(),
            login: Some(shown.clone()),
            file: shown.clone(),
            away: false,
        };
        Self {
            way,
            written: None,
            shown,
            set,
            servers: (0..PODS).map(|_| server.clone()).collect(),
            request: None,
            now_ms: 1_000,
            made: 0,
        }
    }

    fn members(&self) -> Vec<Member> {
        let seen = |(ordinal, server): (u32, &Server)| {
            let acl = confirmed(server.set.revision);
            let pod = member(ordinal, (!server.away).then_some(acl));
            with(pod, |status| {
                let login = server.login.as_deref();
                status.login = login.map(|password| logs_in(password, true));
                if status.login.is_none() {
                    status.role = Role::Held;
                }
            })
        };
        (0..PODS).zip(&self.servers).map(seen).collect()
    }

    fn decide(&mut self) -> Step {
        let members = self.members();
        let spread = Spread::of(Some(&self.set), &members, PODS);
        let seen = Seen {
            written: self.written.as_ref(),
            shown: &self.shown,
            made_ms: Some(0),
            request: self.request.as_deref(),
            rotate_after_ms: None,
            overlap_ms: 0,
            user: REPLICATION_USER,
            others: &[],
            servers_log_in: true,
            spread: &spread,
            now_ms: self.now_ms,
        };
        self.made += 1;
        let fresh = format!("made-{}", self.made);
        step(&seen, || fresh)
    }

    /// A pass that ends after so many of its two writes: that of the Secret, and that of the users.
    fn pass(&mut self, writes: usize) {
        let step = self.decide();
        if writes > 0 {
            self.written.clone_from(&step.rotation);
            self.shown.clone_from(&step.show);
        }
        let wanted = set(self.set.revision, &step.accept);
        if writes > 1 && wanted != self.set {
            self.set = AclSet {
                revision: wanted.revision + 1,
                ..wanted
            };
        }
    }

    /// Agents that are heard take the users that are written.
    fn push(&mut self) {
        for server in self.servers.iter_mut().filter(|server| !server.away) {
            server.set.clone_from(&self.set);
        }
    }

    /// The password that is shown comes to a pod, by its way.
    fn bring(&mut self, at: usize) {
        let server = &mut self.servers[at];
        match self.way {
            Way::Told if server.away => {}
            Way::Told => server.login = Some(self.shown.clone()),
            Way::Mounted => server.file.clone_from(&self.shown),
        }
    }

    /// The agent looks at what its pod mounts.
    fn look(&mut self, at: usize) {
        let server = &mut self.servers[at];
        if self.way == Way::Mounted {
            server.login = Some(server.file.clone());
        }
    }

    /// A server starts anew, with what its pod has.
    fn restart(&mut self, at: usize) {
        self.servers[at].login = None;
        self.look(at);
    }

    /// A whole pass, and all that follows of it.
    fn round(&mut self) {
        self.pass(2);
        self.push();
        for at in 0..self.servers.len() {
            self.bring(at);
            self.look(at);
        }
    }

    fn accepts_everywhere(&self, password: &str) -> bool {
        let hash = hash(password);
        let accepts = |server: &Server| server.set.users[0].password_sha256.contains(&hash);
        self.servers.iter().all(accepts)
    }

    /// With what a server logs in, or would if it started now.
    fn in_use(&self) -> Vec<&str> {
        let logins = self.servers.iter().filter_map(|s| s.login.as_deref());
        let files = self.servers.iter().map(|server| server.file.as_str());
        let files = files.filter(|_| self.way == Way::Mounted);
        logins.chain(files).chain([self.shown.as_str()]).collect()
    }

    fn phase(&self) -> Phase {
        self.written.as_ref().unwrap().phase.clone()
    }
}

#[derive(Clone, Debug)]
enum Event {
    Pass(usize),
    Push,
    Bring(usize),
    Look(usize),
    Restart(usize),
    Away(usize, bool),
    Ask(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let pod = || 0..3_usize;
    prop_oneof![
        6 => (0..=2_usize).prop_map(Event::Pass),
        4 => Just(Event::Push),
        5 => pod().prop_map(Event::Bring),
        5 => pod().prop_map(Event::Look),
        2 => pod().prop_map(Event::Restart),
        1 => (pod(), any::<bool>()).prop_map(|(pod, away)| Event::Away(pod, away)),
        1 => any::<u8>().prop_map(Event::Ask),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Pass(writes) => world.pass(*writes),
        Event::Push => world.push(),
        Event::Bring(pod) => world.bring(*pod),
        Event::Look(pod) => world.look(*pod),
        Event::Restart(pod) => world.restart(*pod),
        Event::Away(pod, away) => world.servers[*pod].away = *away,
        Event::Ask(token) => world.request = Some(token.to_string()),
    }
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Told), Just(Way::Mounted)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_server_logs_in_with_a_password_that_another_refuses(
        way in way(),
        events in vec(event(), 1..160),
    ) {
        let mut world = World::new(way);
        world.request = Some("first".to_owned());
        for (at, event) in events.iter().enumerate() {
            happen(&mut world, event);
            for password in world.in_use() {
                prop_assert!(
                    world.accepts_everywhere(password),
                    "{password} after {:?}: {world:?}",
                    &events[..=at]
                );
            }
        }
    }

    #[test]
    fn it_ends_once_all_pods_are_there(way in way(), events in vec(event(), 1..80)) {
        let mut world = World::new(way);
        world.request = Some("first".to_owned());
        for event in &events {
            happen(&mut world, event);
        }
        for server in &mut world.servers {
            server.away = false;
        }
        // The one that is under way, and one that was asked for meanwhile.
        for _ in 0..14 {
            world.round();
        }
        prop_assert_eq!(world.phase(), Phase::Settled);
        prop_assert_ne!(world.shown.as_str(), "first");
        let accepted = &world.set.users[0].password_sha256;
        prop_assert!(*accepted == [hash(&world.shown)], "{world:?}");
        let has = |server: &Server| server.login.as_ref() == Some(&world.shown);
        prop_assert!(world.servers.iter().all(has), "{world:?}");
        prop_assert!(!world.decide().moved);
    }
}

#[test]
fn the_former_one_goes_once_every_server_logs_in_with_the_new_one() {
    let mut world = World::new(Way::Told);
    world.request = Some("now".to_owned());
    world.pass(2);
    world.push();
    let Phase::Spreading { next } = world.phase() else {
        panic!("{world:?}");
    };
    assert_eq!(world.shown, "first", "not before every server accepts it");
    for _ in 0..3 {
        world.pass(2);
        world.push();
    }
    assert_eq!(world.shown, next);
    assert!(matches!(world.phase(), Phase::Overlap { .. }));
    assert!(world.accepts_everywhere("first") && world.accepts_everywhere(&next));
    assert_eq!(world.decide().due_ms, None, "only news of pods ends it");
    for at in 0..2 {
        world.bring(at);
        world.pass(2);
        assert!(matches!(world.phase(), Phase::Overlap { .. }));
    }
    world.bring(2);
    world.pass(2);
    assert_eq!(world.phase(), Phase::Withdrawing);
    world.push();
    assert!(!world.accepts_everywhere("first"));
    world.pass(2);
    assert_eq!(world.phase(), Phase::Settled);
}

#[test]
fn a_pod_that_is_away_holds_the_former_one_open_whatever_it_was_told_before() {
    let mut world = World::new(Way::Mounted);
    world.request = Some("now".to_owned());
    for _ in 0..2 {
        world.pass(2);
        world.push();
    }
    assert_ne!(world.shown, "first");
    world.servers[1].away = true;
    for _ in 0..5 {
        world.round();
    }
    assert!(matches!(world.phase(), Phase::Overlap { .. }));
    assert!(world.accepts_everywhere("first"));
    world.servers[1].away = false;
    for _ in 0..3 {
        world.round();
    }
    assert_eq!(world.phase(), Phase::Settled);
}

/// Which pods may log in with another password than `new`, by their ordinals.
fn otherwise(pods: &[Member]) -> Vec<u32> {
    let spread = Spread::of(None, pods, PODS);
    let others = spread.logging_in_otherwise(&hash("new"));
    others.iter().map(|pod| pod.ordinal).collect()
}

#[test]
fn a_server_counts_once_it_has_the_password_and_one_that_was_told_none_gets_the_one_of_then() {
    let pod = |ordinal, login: Option<LoginState>, role| {
        with(member(ordinal, Some(confirmed(1))), |status| {
            status.login = login;
            status.role = role;
        })
    };
    let on_its_way = pod(1, Some(logs_in("new", false)), Role::Replica);
    let has = pod(0, Some(logs_in("new", true)), Role::Replica);
    let former = pod(2, Some(logs_in("old", true)), Role::Primary);
    assert_eq!(otherwise(&[has, on_its_way, former]), [1, 2]);
    // An agent of an earlier release says nothing of it.
    let leads = pod(0, None, Role::Primary);
    let follows = pod(1, None, Role::Replica);
    let may_follow = with(pod(2, None, Role::Primary), |status| {
        status.cluster = Some(ClusterNews::default());
    });
    assert_eq!(otherwise(&[leads, follows, may_follow]), [1, 2]);
    assert_eq!(otherwise(&[member(0, None)]), [0], "it is away");
}

#[test]
fn a_server_of_a_shard_that_refuses_the_user_by_its_name_there_has_not_come_to_it() {
    let known = set(1, &[hash("first")]);
    let all_accept = |refused: &str| {
        let pod = with(member(0, Some(confirmed(1))), |status| {
            let words = "no".to_owned();
            status.acl.rejected = [(refused.to_owned(), words)].into();
        });
        let pods = [pod];
        Spread::of(Some(&known), &pods, 1).all_accept(REPLICATION_USER, &hash("first"))
    };
    assert!(!all_accept(REPLICATION_USER));
    assert!(!all_accept(&replication_user(2)));
    assert!(all_accept("hera-replicationist"));
}
