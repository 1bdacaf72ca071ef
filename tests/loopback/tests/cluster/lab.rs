//! Nodes, and the real planner that drives them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hera_core::cluster::{
    self, Command, Failover, Observation, Step, Wanted, decide, guard, why_not_whole,
};

use crate::Engine;
use crate::node::{Node, PORT, new_address};

/// Between two passes.
const PASS: Duration = Duration::from_millis(40);
/// A person looks after this.
const PATIENCE: Duration = Duration::from_secs(8);
const FOR_A_PERSON: &str = "before somebody says which is right\n";
/// From any state it is whole again within this.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A cluster.
pub struct Lab {
    pub wanted: Wanted,
    pub nodes: Vec<Node>,
    pub formed: bool,
    /// A person had to choose between copies.
    pub chosen: bool,
    begun: Instant,
    /// What was done, for who reads a failure.
    journal: String,
}

impl Lab {
    /// Started, and not formed.
    pub fn new(engine: Engine, shards: u32, replicas: u32) -> Self {
        let of_shard = |shard| (0..=replicas).map(move |ordinal| Node::new(engine, shard, ordinal));
        let mut nodes: Vec<Node> = (0..shards).flat_map(of_shard).collect();
        nodes.iter_mut().for_each(Node::start);
        Self {
            wanted: Wanted { shards, replicas },
            nodes,
            formed: false,
            chosen: false,
            begun: Instant::now(),
            journal: String::new(),
        }
    }

    /// Formed and whole.
    pub async fn formed(engine: Engine, shards: u32, replicas: u32) -> Self {
        let mut lab = Self::new(engine, shards, replicas);
        lab.until_whole("it forms").await;
        lab
    }

    pub fn note(&mut self, words: &str) {
        let at = self.now();
        let _ = writeln!(self.journal, "{at:>7} {words}");
    }

    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    pub fn tell(&self) -> String {
        let logs = self
            .nodes
            .iter()
            .map(|node| format!("--- {} {}\n{}\n", node.name(), node.ip, node.log()));
        format!("{}\n{}", self.journal, logs.collect::<String>())
    }

    pub fn addresses(&self) -> Vec<String> {
        let running = self.nodes.iter().filter(|node| node.runs() && !node.frozen);
        running.map(|node| node.ip.clone()).collect()
    }

    pub async fn observe(&mut self) -> Observation {
        for at in 0..self.nodes.len() {
            if self.nodes[at].revive() {
                let name = self.nodes[at].name();
                self.note(&format!("== {name} crashed, and starts again"));
            }
        }
        let servers = join_all(self.nodes.iter().map(Node::ask)).await;
        let now_ms = self.now();
        for (at, server) in servers.iter().enumerate() {
            if self.nodes[at].hangs(server.is_some(), now_ms) {
                let name = self.nodes[at].name();
                self.note(&format!("== {name} hangs: it is killed, and starts again"));
                self.nodes[at].kill();
                self.nodes[at].start();
            }
        }
        for (node, server) in self.nodes.iter_mut().zip(&servers) {
            node.dead_since_ms = match node.runs() {
                true => None,
                false => node.dead_since_ms.or(Some(now_ms)),
            };
            let Some(server) = server else { continue };
            node.last_id = Some(server.id.clone());
            if server.replica_of().is_none() {
                node.asked_for_votes_ms = None;
            }
        }
        let nodes = self
            .nodes
            .iter()
            .zip(servers)
            .map(|(node, server)| cluster::Node {
                shard: node.shard,
                ordinal: node.ordinal,
                pod: node.target(),
                ip: node.ip.clone(),
                port: PORT,
                last_id: node.last_id.clone(),
                server,
                dead_since_ms: node.dead_since_ms,
                is_lost: false,
                never_ran: false,
                held: node.held,
                asked_for_votes_ms: node.asked_for_votes_ms,
            });
        Observation {
            nodes: nodes.collect(),
            formed: self.formed,
            now_ms,
        }
    }

    /// One pass of an operator, or its first `steps`. True if it found the cluster whole.
    pub async fn pass(&mut self, steps: usize) -> bool {
        let seen = self.observe().await;
        if why_not_whole(self.wanted, &seen).is_none() {
            self.formed = true;
            return true;
        }
        let plan = decide(self.wanted, &seen);
        if let Err(broken) = guard(&plan, &seen) {
            panic!("{broken}\n{}\n{}", describe(&seen), self.tell());
        }
        if let Some(words) = &plan.waiting_for
            && !self.journal.ends_with(&format!("{words}\n"))
        {
            self.note(&format!("waits: {words}"));
        }
        for step in plan.steps.iter().take(steps) {
            let done = self.carry_out(step).await;
            let words = match done {
                Ok(()) => format!("{step} ({})", step.reason),
                Err(error) => format!("{step} ({}) FAILED {error}", step.reason),
            };
            self.note(&words);
        }
        false
    }

    async fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        let now = self.now();
        let mut nodes = self.nodes.iter_mut();
        let node = nodes.find(|node| node.target() == step.pod).unwrap();
        if step.command == Command::Start {
            node.go();
            return Ok(());
        }
        if matches!(step.command, Command::Rejoin { .. }) {
            println!("{step}: {}", step.reason);
            node.kill();
            node.lose("nodes.conf");
            node.start();
            return Ok(());
        }
        let server = node.connect().await.map_err(|error| error.to_string())?;
        if let Command::Failover {
            how: Failover::Force,
            ..
        } = &step.command
        {
            node.asked_for_votes_ms = Some(now);
        }
        let done = server.cluster_command(&step.command).await;
        done.map_err(|error| error.to_string())
    }

    /// Passes until it is whole; tells how long that took.
    pub async fn until_whole(&mut self, what: &str) -> Duration {
        self.note(&format!("== {what}"));
        let since = Instant::now();
        while !self.pass(usize::MAX).await {
            if since.elapsed() > PATIENCE && self.journal.ends_with(FOR_A_PERSON) {
                self.choose().await;
            }
            if since.elapsed() > LIMIT {
                let seen = self.observe().await;
                let why = why_not_whole(self.wanted, &seen);
                panic!(
                    "not whole in time, {what}: {why:?}\n{}\n{}",
                    describe(&seen),
                    self.tell()
                );
            }
            tokio::time::sleep(PASS).await;
        }
        self.note("== whole");
        since.elapsed()
    }

    /// Two copies of a shard know nothing of the cluster: a person keeps the one with more keys.
    async fn choose(&mut self) {
        let seen = self.observe().await;
        let lone = |node: &cluster::Node| {
            let server = node.server.as_ref().filter(|server| server.is_alone());
            server.map(|server| server.keys).filter(|keys| *keys > 0)
        };
        for shard in 0..self.wanted.shards {
            let of_shard = |at: &usize| seen.nodes[*at].shard == shard;
            let lone: Vec<(usize, u64)> = (0..seen.nodes.len())
                .filter(of_shard)
                .filter_map(|at| Some((at, lone(&seen.nodes[at])?)))
                .collect();
            let Some((best, _)) = lone.iter().max_by_key(|(_, keys)| *keys) else {
                continue;
            };
            for (at, _) in lone.iter().filter(|(at, _)| at != best) {
                let name = self.nodes[*at].name();
                self.note(&format!("== a person gives up the copy of {name}"));
                self.nodes[*at].kill();
                self.nodes[*at].lose_volume();
                self.nodes[*at].start();
                self.chosen = true;
            }
        }
    }

    /// The place of the primary of a shard, by what the servers say.
    pub async fn primary(&mut self, shard: u32) -> usize {
        self.primary_or_none(shard).await.unwrap()
    }

    /// True if what this one has is whole elsewhere: another of its shard is in sync with the same primary,
    /// and none of them is away.
    pub async fn may_lose(&mut self, at: usize) -> bool {
        let seen = self.observe().await;
        let shard = self.nodes[at].shard;
        let mut others = seen.nodes.iter().filter(|node| node.shard == shard);
        let whole = others.all(|node| {
            let server = node.server.as_ref();
            server.is_some_and(|s| s.replica_of().is_none() != s.link_up && !s.is_alone())
        });
        whole && self.primary_or_none(shard).await.is_some()
    }

    pub async fn primary_or_none(&mut self, shard: u32) -> Option<usize> {
        let seen = self.observe().await;
        let leads = |node: &cluster::Node| {
            let server = node.server.as_ref();
            node.shard == shard
                && server.is_some_and(|s| s.replica_of().is_none() && !s.slots().is_empty())
        };
        seen.nodes.iter().position(leads)
    }

    /// The place of a replica of a shard.
    pub async fn replica(&mut self, shard: u32) -> usize {
        let primary = self.primary(shard).await;
        let mut nodes = self.nodes.iter().enumerate();
        let found = nodes.find(|(at, node)| node.shard == shard && *at != primary);
        found.unwrap().0
    }

    /// All pods come again, each at the address that another had; `meanwhile` is done before they start.
    pub fn exchange_addresses(&mut self, by: usize, meanwhile: impl FnOnce(&mut Vec<Node>)) {
        self.nodes.iter_mut().for_each(Node::kill);
        let mut addresses: Vec<_> = self.nodes.iter().map(|node| node.ip.clone()).collect();
        addresses.rotate_left(by);
        for (node, ip) in self.nodes.iter_mut().zip(addresses) {
            node.ip = ip;
        }
        meanwhile(&mut self.nodes);
        self.nodes.iter_mut().for_each(Node::start);
    }

    /// The pod comes again at another address.
    pub fn restart_elsewhere(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.kill();
        node.ip = new_address();
        node.start();
    }
}

/// What each server says, a line for each that it knows.
fn describe(seen: &Observation) -> String {
    let short = |id: &str| id.chars().take(6).collect::<String>();
    let mut text = String::new();
    for node in &seen.nodes {
        let Some(server) = &node.server else {
            let _ = writeln!(
                text,
                "{} {} not heard, dead {:?}",
                node.name(),
                node.ip,
                node.dead_since_ms
            );
            continue;
        };
        let _ = writeln!(
            text,
            "{} {} is {}: {} keys, offset {}, link {}, serves {}",
            node.name(),
            node.ip,
            short(&server.id),
            server.keys,
            server.offset,
            server.link_up,
            server.serves
        );
        for entry in &server.known {
            let of = entry.replica_of.as_deref().map(short);
            let _ = writeln!(
                text,
                "    {} {} of {of:?} epoch {} failed {} handshake {} connected {}: {} slots {:?}",
                short(&entry.id),
                entry.ip,
                entry.config_epoch,
                entry.failed,
                entry.handshake,
                entry.connected,
                entry.slots.len(),
                entry.open_slots
            );
        }
    }
    text
}
