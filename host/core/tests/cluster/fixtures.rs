//! Clusters of three shards with a replica each.

use hera_core::cluster::{Entry, Node, Observation, Plan, Server, SlotSet, Wanted, decide};
use hera_core::shard::Target;

pub const WANTED: Wanted = Wanted {
    shards: 3,
    replicas: 1,
};

/// A cluster, as it is seen.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub wanted: Wanted,
    pub seen: Observation,
}

fn node(shard: u32, ordinal: u32) -> Node {
    let name = format!("pod-{shard}-{ordinal}");
    Node {
        shard,
        ordinal,
        pod: Target {
            name: name.clone(),
            uid: name,
        },
        ip: format!("10.0.{shard}.{ordinal}"),
        port: 6379,
        last_id: Some(format!("id-{shard}-{ordinal}")),
        ..Node::default()
    }
}

/// What everybody knows of it in a cluster that is whole.
fn entry(node: &Node) -> Entry {
    let slots = SlotSet::even(WANTED.shards).remove(node.shard as usize);
    let is_primary = node.ordinal == 0;
    Entry {
        id: node.last_id.clone().unwrap(),
        ip: node.ip.clone(),
        port: node.port,
        replica_of: (!is_primary).then(|| format!("id-{}-0", node.shard)),
        connected: true,
        config_epoch: u64::from(node.shard) + 1,
        slots: if is_primary {
            slots
        } else {
            SlotSet::default()
        },
        ..Entry::default()
    }
}

/// Formed and whole, with a hundred keys in each shard.
pub fn whole() -> Cluster {
    let mut nodes: Vec<Node> = (0..3).flat_map(|s| [node(s, 0), node(s, 1)]).collect();
    let known: Vec<Entry> = nodes.iter().map(entry).collect();
    for node in &mut nodes {
        node.server = Some(Server {
            id: node.last_id.clone().unwrap(),
            keys: 100,
            offset: 1_000,
            connects_to: None,
            link_up: node.ordinal > 0,
            link_down_ms: None,
            serves: true,
            current_epoch: 3,
            known: known.clone(),
            ..Server::default()
        });
    }
    Cluster {
        wanted: WANTED,
        seen: Observation {
            nodes,
            formed: true,
            now_ms: 1_000,
        },
    }
}

/// Started, and nobody knows anybody.
pub fn new() -> Cluster {
    (0..6)
        .fold(whole(), |cluster, at| cluster.alone(at))
        .change(|seen| seen.formed = false)
}

impl Cluster {
    pub fn plan(&self) -> Plan {
        decide(self.wanted, &self.seen)
    }

    pub fn change(mut self, change: impl FnOnce(&mut Observation)) -> Self {
        change(&mut self.seen);
        self
    }

    /// Its server is not heard.
    pub fn unheard(self, at: usize) -> Self {
        self.change(|seen| seen.nodes[at].server = None)
    }

    /// Its server is known not to run.
    pub fn dead(self, at: usize) -> Self {
        self.unheard(at).change(|seen| {
            seen.nodes[at].dead_since_ms = Some(seen.now_ms);
            let id = seen.nodes[at].last_id.clone();
            for server in seen
                .nodes
                .iter_mut()
                .filter_map(|node| node.server.as_mut())
            {
                if server.replica_of() == id.as_deref() {
                    (server.link_up, server.link_down_ms) = (false, Some(0));
                }
            }
        })
    }

    /// Its server knows nobody, and has nothing.
    fn alone(self, at: usize) -> Self {
        self.change(|seen| {
            let server = seen.nodes[at].server.as_mut().unwrap();
            let mut own = server.own().unwrap().clone();
            own.slots = SlotSet::default();
            own.replica_of = None;
            own.config_epoch = 0;
            (server.keys, server.link_up, server.current_epoch) = (0, false, 0);
            server.serves = false;
            server.known = vec![own];
        })
    }

    /// It came back under another id: with nothing, or with keys of these slots.
    pub fn stranger(self, at: usize, keys: u64, slots: SlotSet) -> Self {
        let mut cluster = self.alone(at).change(|seen| {
            let node = &mut seen.nodes[at];
            let id = format!("new-{at}");
            node.last_id = Some(id.clone());
            let server = node.server.as_mut().unwrap();
            server.keys = keys;
            server.known[0].slots = slots;
            server.known[0].id.clone_from(&id);
            server.id = id;
        });
        let old = format!("id-{}-{}", at / 2, at % 2);
        for node in &mut cluster.seen.nodes {
            let known = node.server.iter_mut().flat_map(|server| &mut server.known);
            for entry in known.filter(|entry| entry.id == old) {
                (entry.failed, entry.connected) = (true, false);
            }
        }
        cluster
    }

    /// All who know somebody know it by now, and it knows them.
    pub fn acquainted(self, at: usize) -> Self {
        self.change(|seen| {
            let own = seen.nodes[at]
                .server
                .as_ref()
                .unwrap()
                .own()
                .unwrap()
                .clone();
            let mut others = Vec::new();
            for (other, node) in seen.nodes.iter_mut().enumerate() {
                let met = |server: &&mut Server| other != at && !server.is_alone();
                let Some(server) = node.server.as_mut().filter(met) else {
                    continue;
                };
                others.push(server.own().unwrap().clone());
                server.known.push(own.clone());
            }
            let server = seen.nodes[at].server.as_mut().unwrap();
            server.known.extend(others);
            server.serves = true;
        })
    }

    /// It replicates, and all know.
    pub fn follows(self, at: usize, primary: &str) -> Self {
        self.change(|seen| {
            let server = seen.nodes[at].server.as_mut().unwrap();
            let id = server.id.clone();
            server.link_up = true;
            for node in &mut seen.nodes {
                let known = node.server.iter_mut().flat_map(|server| &mut server.known);
                for entry in known.filter(|entry| entry.id == id) {
                    entry.replica_of = Some(primary.to_owned());
                }
            }
        })
    }
}
