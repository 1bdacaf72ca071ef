//! The pods of a cluster, real agents with real servers, and an operator's view of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hera_core::agent::{
    AclState, AgentStatus, ClusterState, Members, Order, PATH_ACL, PATH_CLUSTER, PATH_MEMBERS,
    PATH_ORDERS, Request,
};
use hera_core::cluster::{self, Command, Observation};
use hera_core::rebalance::Table;
use hera_core::shard::Target;
use reqwest::RequestBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::case::Case;
use crate::certificates::Authority;
use crate::client::{app, keeping_http, replication, user};
use crate::owners::Owners;
use crate::pod::{Pod, free_port, set};
use crate::sender::connect;

/// What makes a cluster form at once, and leaves healing to who drives it.
const QUICK: [(&str, &str); 6] = [
    ("appendonly", "yes"),
    ("save", "\"\""),
    ("repl-diskless-sync-delay", "0"),
    ("cluster-node-timeout", "5000"),
    ("cluster-allow-replica-migration", "no"),
    ("cluster-require-full-coverage", "no"),
];
/// An agent answers by then, or not in this pass.
const ANSWERS: Duration = Duration::from_secs(2);
/// The password of those who replicate, as it is mounted.
const LOGIN: &str = "hera-replication";
/// The user of a person, and of the server's own tool.
pub const ROOT: &str = "root";

/// A pod, and where it stands.
pub struct Placed {
    pub shard: u32,
    pub ordinal: u32,
    pub ip: String,
    pub pod: Pod,
    last_id: Option<String>,
}

/// The pods of a cluster.
pub struct Fleet {
    pub case: Case,
    pub replicas: u32,
    pub pods: Vec<Placed>,
    /// Of shards that left, with their volumes.
    pub left: Vec<Placed>,
    /// Of the operator that leads.
    pub term: u64,
    authority: Arc<Authority>,
    /// Agents listen on the same port, each at an address of its own.
    port: u16,
    network: u8,
    made: u8,
    begun: Instant,
    journal: String,
}

impl Placed {
    pub fn name(&self) -> String {
        format!("pod-{}-{}", self.shard, self.ordinal)
    }

    pub fn address(&self) -> (String, u16) {
        (self.ip.clone(), self.pod.port)
    }

    fn target(&self) -> Target {
        Target {
            name: self.name(),
            uid: self.pod.uid.clone(),
        }
    }
}

impl Fleet {
    pub fn new(case: Case, replicas: u32) -> Self {
        static NETWORKS: AtomicU8 = AtomicU8::new(0);
        Self {
            case,
            replicas,
            pods: Vec::new(),
            left: Vec::new(),
            term: 1,
            authority: Arc::new(Authority::new()),
            port: free_port(),
            network: NETWORKS.fetch_add(1, Ordering::SeqCst),
            made: 0,
            begun: Instant::now(),
            journal: String::new(),
        }
    }

    /// The pods of a shard begin, those that it left behind if there are any.
    pub async fn add(&mut self, shard: u32) {
        let all = std::mem::take(&mut self.left).into_iter();
        let (mut pods, left): (Vec<_>, Vec<_>) = all.partition(|placed| placed.shard == shard);
        self.left = left;
        if pods.is_empty() {
            pods = (0..=self.replicas)
                .map(|ordinal| self.placed(shard, ordinal))
                .collect();
        }
        self.note(&format!("== shard {shard} begins"));
        let first = self.pods.len();
        self.pods.extend(pods);
        for at in first..self.pods.len() {
            self.start(at).await;
        }
    }

    /// Takes away the volumes that shards left behind: other pods begin in their place.
    pub fn clear_left(&mut self) {
        self.left.clear();
    }

    fn placed(&mut self, shard: u32, ordinal: u32) -> Placed {
        self.made += 1;
        // None of the testbed's, nor of other tests'.
        let mine = u8::try_from(std::process::id() % 64).unwrap() + 64;
        let ip = Ipv4Addr::new(127, mine, self.network, self.made);
        let name = format!("pod-{shard}-{ordinal}.agents.test");
        let control = SocketAddr::from((ip, self.port));
        let uid = format!("uid-{shard}-{ordinal}");
        let authority = self.authority.clone();
        let mut pod = Pod::with(self.case.engine, authority, &uid, &name, control);
        let tls = self.authority.client(Some(&self.authority.operator()));
        pod.http = keeping_http(tls, &name, control);
        pod.lone = false;
        pod.ip = ip.to_string();
        pod.mount_config(1, &QUICK);
        std::fs::write(pod.path("etc/login"), LOGIN).unwrap();
        let (shard_number, login) = (shard.to_string(), pod.path("etc/login"));
        let login = login.display().to_string();
        let more = ["--shard", &shard_number, "--ip", &pod.ip, "--login", &login];
        pod.more = more.map(str::to_owned).to_vec();
        Placed {
            shard,
            ordinal,
            ip: ip.to_string(),
            pod,
            last_id: None,
        }
    }

    /// Starts an agent, and tells it what an operator tells one that it has not heard before.
    pub async fn start(&mut self, at: usize) {
        let (term, shard) = (self.term, self.pods[at].shard);
        self.pods[at].pod.start().await;
        let root = user(ROOT, &["+@all", "~*", "&*"]);
        let users = set(1, &[app(), replication(), root]);
        let pod = &self.pods[at].pod;
        let pushed = Request { term, body: users };
        let pushed = pod.http.put(pod.url(PATH_ACL)).json(&pushed);
        answer::<AclState>(pushed).await.unwrap();
        let peers = self.pods.iter().filter(|placed| placed.shard == shard);
        let members = Members {
            pods: peers.map(|placed| placed.pod.peer()).collect(),
            fence_after_ms: 0,
            revision: 1,
        };
        for placed in self.pods.iter().filter(|placed| placed.shard == shard) {
            // Some are not started yet.
            let _ = self
                .tell::<AgentStatus>(placed, PATH_MEMBERS, &members)
                .await;
        }
    }

    async fn tell<T: DeserializeOwned>(
        &self,
        placed: &Placed,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, String> {
        let (pod, term) = (&placed.pod, self.term);
        let request = Request { term, body };
        answer(pod.http.put(pod.url(path)).json(&request)).await
    }

    /// The pods of a shard end for good; their volumes stay.
    pub async fn remove(&mut self, shard: u32) {
        self.note(&format!("== shard {shard} ends"));
        let all = std::mem::take(&mut self.pods).into_iter();
        let (mut leaving, stay): (Vec<_>, Vec<_>) = all.partition(|placed| placed.shard == shard);
        self.pods = stay;
        for placed in &mut leaving {
            assert!(
                placed.pod.terminate().await.success(),
                "{}",
                placed.pod.log()
            );
            placed.last_id = None;
        }
        self.left.extend(leaving);
    }

    /// Carries out an order; what came of it stands in the journal.
    pub async fn order(&mut self, step: &cluster::Step) {
        let mut pods = self.pods.iter();
        let placed = pods.find(|placed| placed.target() == step.pod).unwrap();
        let command: Command = step.command.clone();
        let (pod, term, body) = (&placed.pod, self.term, Order::Cluster { command });
        let request = pod.http.post(pod.url(PATH_ORDERS));
        let done = answer::<AgentStatus>(request.json(&Request { term, body })).await;
        let failed = done
            .err()
            .map(|error| format!(" FAILED {error}"))
            .unwrap_or_default();
        self.note(&format!("{step} ({}){failed}", step.reason));
    }

    /// What an operator sees. `formed` is what its status says.
    pub async fn observe(&mut self, formed: bool) -> Observation {
        let states = join_all(self.pods.iter().map(state)).await;
        let now_ms = 1_000_000 + u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        let mut nodes = Vec::new();
        for (placed, state) in self.pods.iter_mut().zip(states) {
            let state = state.unwrap_or_default();
            placed.last_id = state.id.or(placed.last_id.take());
            nodes.push(cluster::Node {
                shard: placed.shard,
                ordinal: placed.ordinal,
                pod: placed.target(),
                ip: placed.ip.clone(),
                port: placed.pod.port,
                last_id: placed.last_id.clone(),
                server: state.server,
                held: state.held,
                dead_since_ms: state.dead_ms.map(|ms| now_ms - ms),
                asked_for_votes_ms: state.asked_ms.map(|ms| now_ms - ms),
                ..cluster::Node::default()
            });
        }
        Observation {
            nodes,
            formed,
            now_ms,
        }
    }

    /// Where the clients begin: the pods that are there from the first to the last.
    pub fn seeds(&self) -> Vec<(String, u16)> {
        self.pods.iter().map(Placed::address).collect()
    }

    /// The place of the primary of a shard.
    pub async fn primary(&mut self, shard: u32) -> usize {
        let seen = self.observe(true).await;
        let mut nodes = seen.nodes.iter();
        let leads = |node: &cluster::Node| {
            let server = node.server.as_ref();
            node.shard == shard && server.is_some_and(|server| server.replica_of().is_none())
        };
        nodes
            .position(leads)
            .unwrap_or_else(|| panic!("shard {shard} has none\n{}", self.journal))
    }

    /// Who has which slot, to ask it as a person may.
    pub async fn owners(&mut self) -> Owners {
        let seen = self.observe(true).await;
        let mut owners = Vec::new();
        for (node, placed) in seen.nodes.iter().zip(&self.pods) {
            let server = node.server.as_ref().unwrap();
            if server.replica_of().is_none() && !server.slots().is_empty() {
                let connection = connect(&placed.address(), ROOT).await.unwrap();
                owners.push((server.slots(), connection));
            }
        }
        Owners::new(owners)
    }

    pub fn note(&mut self, words: &str) {
        let at = self.begun.elapsed().as_millis();
        let _ = writeln!(self.journal, "{at:>7} {words}");
    }

    pub fn journal(&self) -> &str {
        &self.journal
    }
}

/// Which shard has which slots, of the shards that are seen.
pub fn table(seen: &Observation) -> Table {
    let mut table: BTreeMap<u32, cluster::SlotSet> = BTreeMap::new();
    for node in &seen.nodes {
        let of_shard = table.entry(node.shard).or_default();
        if let Some(server) = &node.server
            && server.replica_of().is_none()
        {
            *of_shard = of_shard.with(&server.slots());
        }
    }
    table
}

async fn state(placed: &Placed) -> Option<ClusterState> {
    let request = placed.pod.http.get(placed.pod.url(PATH_CLUSTER));
    answer(request).await.ok()
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, String> {
    let response = request.timeout(ANSWERS).send().await;
    let response = response.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{status} {text}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}
