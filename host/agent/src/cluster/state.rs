//! What the agent knows of its server as one of a cluster.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hera_core::agent::{ClusterNews, ClusterState};
use hera_core::cluster::{Held, Moving, NodeId, Server};
use hera_core::digest::sha256_hex;
use hera_redis::{Probe, SlotStats};
use rustls::ClientConfig;
use tokio::sync::watch;

use super::login::Login;
use super::moving::job::Jobs;
use super::rate::Rate;
use super::slot_loads::SlotLoads;
use crate::agent::Agent;
use crate::fence::clock;

/// Who asks waits no longer for a server that does not answer: other shards wait for it as well.
const ANSWERS: Duration = Duration::from_millis(500);

/// A server that gives keys up has fewer at each look, of which there is one a second.
const QUIET: Duration = Duration::from_millis(2_500);
/// Keys that only expire are no reason to wait for longer.
const LONG: Duration = Duration::from_secs(60);

/// What the agent knows of its server as one of a cluster.
pub struct Cluster {
    known: Mutex<Known>,
    /// Why the server waits with its start, if it does.
    pub held: watch::Sender<Option<Held>>,
    /// The job that moves slots of the server.
    pub moves: Arc<Jobs>,
    /// With which password the server logs in at others.
    pub login: Login,
    /// How agents of other shards are asked, once the certificates are read.
    pub tls: OnceLock<watch::Receiver<ClientConfig>>,
}

struct Known {
    id: Option<NodeId>,
    replica_of: Option<NodeId>,
    /// Since when no server runs, by [`clock::now`].
    dead_since: Option<u64>,
    /// From whom it was ordered to take over by vote, and when.
    asked: Option<(NodeId, u64)>,
    /// When it was asked to take over with its primary's consent.
    agreed: Option<u64>,
    /// When an operator was last heard; the agent's start before that.
    operator: u64,
    /// The server led before, and has no slots.
    astray: Option<Astray>,
    /// How many commands the server carries out.
    rate: Rate,
    /// It is a primary that has slots.
    leads: bool,
    /// Its slots that have most to do.
    loads: SlotLoads,
}

#[derive(Clone, Copy)]
struct Astray {
    first: u64,
    /// Since when it has not had fewer keys than before.
    quiet: u64,
    keys: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            known: Mutex::new(Known {
                id: None,
                replica_of: None,
                dead_since: Some(clock::now()),
                asked: None,
                agreed: None,
                operator: clock::now(),
                astray: None,
                rate: Rate::default(),
                leads: false,
                loads: SlotLoads::default(),
            }),
            held: watch::channel(None).0,
            moves: Arc::default(),
            login: Login::default(),
            tls: OnceLock::new(),
        }
    }
}

impl Cluster {
    /// A server runs.
    pub fn runs(&self) {
        self.lock().dead_since = None;
    }

    /// None does any more.
    pub fn ended(&self) {
        let mut known = self.lock();
        known.dead_since.get_or_insert_with(clock::now);
        known.replica_of = None;
        known.asked = None;
        known.astray = None;
        known.rate = Rate::default();
        known.leads = false;
        known.loads = SlotLoads::default();
    }

    /// The id that the next server has; none if it takes a new one.
    pub fn begins_as(&self, id: Option<NodeId>) {
        self.lock().id = id;
    }

    /// The server is asked to take over by vote.
    pub fn asks_for_votes(&self) {
        let mut known = self.lock();
        known.asked = known.replica_of.clone().map(|id| (id, clock::now()));
    }

    /// The server is asked to take over with its primary's consent.
    pub fn asks_for_consent(&self) {
        self.lock().agreed = Some(clock::now());
    }

    /// How long ago that was.
    pub fn asked_for_consent(&self) -> Option<Duration> {
        let agreed = self.lock().agreed?;
        Some(Duration::from_millis(clock::now().saturating_sub(agreed)))
    }

    /// An operator asks or tells something.
    pub fn hears_operator(&self) {
        self.lock().operator = clock::now();
    }

    /// For how long none did.
    pub fn operator_silent_for(&self) -> Duration {
        Duration::from_millis(clock::now().saturating_sub(self.lock().operator))
    }

    /// True if the server led before and has no slots, and is not about to give keys up: later servers do so in the
    /// background, which looks the same as keys that expire.
    pub fn is_astray(&self) -> bool {
        let now = clock::now();
        self.lock().astray.is_some_and(|astray| {
            let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
            since(astray.quiet) >= QUIET || since(astray.first) >= LONG
        })
    }

    /// The server has carried out so many commands since its start.
    pub fn counts(&self, commands: Option<u64>) {
        if let Some(commands) = commands {
            self.lock().rate.sees(commands, clock::now());
        }
    }

    /// True if it is time to look at what the server counts of its slots.
    pub fn is_to_look_at_slots(&self) -> bool {
        let known = self.lock();
        known.leads && known.loads.is_due(clock::now())
    }

    /// The server counted this of its slots; none if it does not.
    pub fn looks_at_slots(&self, told: Option<&SlotStats>) {
        self.lock().loads.sees(told, clock::now());
    }

    /// The server tells this.
    fn sees(&self, server: &Server) {
        let mut known = self.lock();
        let now = clock::now();
        let before = known.astray;
        let fewer = before.is_some_and(|before| server.keys < before.keys);
        known.astray = server.led_before().then(|| Astray {
            first: before.map_or(now, |before| before.first),
            quiet: before.filter(|_| !fewer).map_or(now, |before| before.quiet),
            keys: server.keys,
        });
        known.id = Some(server.id.clone());
        known.leads = server.replica_of().is_none() && !server.slots().is_empty();
        if !known.leads {
            known.loads = SlotLoads::default();
        }
        known.replica_of = server.replica_of().map(str::to_owned);
        let of = known.replica_of.clone();
        known.asked = known.asked.take().filter(|(id, _)| Some(id) == of.as_ref());
    }

    /// What the server tells, and the job that moves its slots.
    fn with_job(&self, server: Server) -> Server {
        Server {
            moving: self.moves.told(),
            ..server
        }
    }

    fn state(&self, server: Option<Server>) -> ClusterState {
        let (known, now) = (self.lock(), clock::now());
        ClusterState {
            id: known.id.clone(),
            server: server.map(|server| Server {
                ops_per_second: known.rate.per_second(),
                heaviest: known.loads.heaviest(),
                ..server
            }),
            held: *self.held.borrow(),
            dead_ms: known.dead_since.map(|since| now.saturating_sub(since)),
            asked_ms: known.asked.as_ref().map(|(_, at)| now.saturating_sub(*at)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what the server tells at a look, and tells of it if it is news.
pub fn note(agent: &Agent, cluster: &Cluster, server: Server) {
    let server = cluster.with_job(server);
    cluster.sees(&server);
    let news = ClusterNews {
        id: server.id.clone(),
        serves: server.serves,
        digest: digest(&server),
        held: false,
    };
    agent.board.change(|status| status.cluster = Some(news));
}

/// Of what no traffic drives: the same in whatever order the server tells it.
fn digest(server: &Server) -> String {
    let mut known = server.known.clone();
    known.sort_by(|one, other| one.id.cmp(&other.id));
    // How far a job is, slots tell.
    let moving = server.moving.clone();
    let moving = moving.map(|moving| Moving { keys: 0, ..moving });
    let quiet = Server {
        keys: 0,
        offset: 0,
        link_down_ms: None,
        used_bytes: None,
        ops_per_second: None,
        heaviest: Vec::new(),
        known,
        moving,
        ..server.clone()
    };
    let text = serde_json::to_vec(&quiet).unwrap_or_default();
    sha256_hex(&text).chars().take(16).collect()
}

/// What is so now, by what the server says when the operator asks.
pub async fn told(agent: &Agent, cluster: &Cluster) -> ClusterState {
    cluster.hears_operator();
    now(agent, cluster).await
}

/// What is so now, by what the server says when it is asked.
pub async fn now(agent: &Agent, cluster: &Cluster) -> ClusterState {
    let server = agent.work.lock().await.server.clone();
    let seen = match server {
        Some(server) => {
            let server = server.with_response_timeout(ANSWERS);
            match server.probe().await {
                Ok(Probe::Info(info)) if !info.loading => server.cluster(&info).await.ok(),
                _ => None,
            }
        }
        None => None,
    };
    let seen = seen.map(|seen| cluster.with_job(seen));
    if let Some(seen) = &seen {
        cluster.sees(seen);
    }
    cluster.state(seen)
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::{Entry, HeavySlot, MovingState};

    use super::*;

    #[test]
    fn traffic_is_no_news_and_another_owner_of_slots_is() {
        let entry = |id: &str| Entry {
            id: id.to_owned(),
            ..Entry::default()
        };
        let before = Server {
            keys: 5,
            offset: 7,
            known: vec![entry("a"), entry("b")],
            ..Server::default()
        };
        let after = Server {
            keys: 9,
            offset: 70,
            used_bytes: Some(1 << 20),
            ops_per_second: Some(8),
            heaviest: vec![HeavySlot {
                slot: 7,
                load_ppm: 900_000,
                used_bytes: None,
            }],
            known: vec![entry("b"), entry("a")],
            ..Server::default()
        };
        assert_eq!(digest(&before), digest(&after));
        let mut moved = after.clone();
        moved.known[0].slots = hera_core::cluster::SlotSet::all();
        assert_ne!(digest(&after), digest(&moved));
    }

    #[test]
    fn that_slots_begin_to_move_and_end_is_news_and_each_key_is_none() {
        let with = |state: MovingState, keys: u64| Server {
            moving: Some(Moving {
                state,
                keys,
                ..Moving::default()
            }),
            ..Server::default()
        };
        let begun = digest(&with(MovingState::Running, 0));
        assert_ne!(digest(&Server::default()), begun);
        assert_eq!(digest(&with(MovingState::Running, 900)), begun);
        assert_ne!(digest(&with(MovingState::Done, 900)), begun);
    }

    #[test]
    fn who_has_fewer_keys_each_time_is_not_astray_before_long() {
        let cluster = Cluster::default();
        let keys = |keys: u64| Server {
            id: "a".to_owned(),
            keys,
            known: vec![Entry {
                id: "a".to_owned(),
                ..Entry::default()
            }],
            ..Server::default()
        };
        let ago = |cluster: &Cluster, by: Duration| {
            let by = u64::try_from(by.as_millis()).unwrap();
            let mut known = cluster.lock();
            let astray = known.astray.as_mut().unwrap();
            astray.first = astray.first.saturating_sub(by);
            astray.quiet = astray.quiet.saturating_sub(by);
        };
        cluster.sees(&keys(5));
        assert!(!cluster.is_astray());
        ago(&cluster, QUIET);
        cluster.sees(&keys(5));
        assert!(cluster.is_astray());
        cluster.sees(&keys(4));
        assert!(!cluster.is_astray());
        ago(&cluster, LONG);
        cluster.sees(&keys(3));
        assert!(cluster.is_astray());
        cluster.sees(&keys(0));
        assert!(!cluster.is_astray());
    }

    #[test]
    fn who_is_about_to_get_its_first_slots_is_not_astray() {
        let mut server = Server {
            id: "a".to_owned(),
            keys: 5,
            known: vec![Entry {
                id: "a".to_owned(),
                ..Entry::default()
            }],
            ..Server::default()
        };
        assert!(server.has_keys_without_slots());
        // A mark alone says nothing: earlier Redis marks so what it reads at its start of slots that are another's.
        server.known[0].open_slots = vec!["[7-<-b]".to_owned()];
        assert!(server.has_keys_without_slots());
        server.known[0].open_slots.clear();
        server.moving = Some(Moving {
            takes: true,
            ..Moving::default()
        });
        assert!(!server.has_keys_without_slots());
        server.moving.as_mut().unwrap().state = MovingState::Failed;
        assert!(server.has_keys_without_slots());
    }

    #[test]
    fn a_vote_counts_for_the_primary_that_it_was_asked_against() {
        let cluster = Cluster::default();
        let follows = |of: Option<&str>| Server {
            id: "a".to_owned(),
            known: vec![Entry {
                id: "a".to_owned(),
                replica_of: of.map(str::to_owned),
                ..Entry::default()
            }],
            ..Server::default()
        };
        cluster.sees(&follows(Some("p")));
        cluster.asks_for_votes();
        cluster.sees(&follows(Some("p")));
        assert!(cluster.state(None).asked_ms.is_some());
        cluster.sees(&follows(Some("q")));
        assert_eq!(cluster.state(None).asked_ms, None);
    }
}
