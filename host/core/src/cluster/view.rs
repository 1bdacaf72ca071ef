//! What the leading operator knows of a cluster beyond its status, for people who ask. Nothing is decided
//! by it.

use serde::{Deserialize, Serialize};

use super::observation::{LargeKey, Node, NodeId, Observation, Server, Wanted};
use super::open::{Direction, Open};
use super::whole::why_not_whole;
use crate::shard::{Member, PodState, pod_states};

/// A cluster as the operator that leads knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterView {
    /// The leader's term.
    pub term: u64,
    /// What the last pass waits for.
    pub waiting_for: Option<String>,
    /// What it lacks to be whole, by what its servers say now.
    pub lacks: Option<String>,
    /// The shards that have pods.
    pub shards: Vec<ShardView>,
    /// What moves between them; none before any slot was to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceView>,
}

/// What moves between shards, as the last pass saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RebalanceView {
    /// Slots that the plan moves.
    pub slots: u32,
    /// Those of them that have not moved yet.
    pub left: u32,
    /// Jobs that run.
    pub running: u32,
    /// What is waited for, for people.
    pub waiting_for: Option<String>,
    /// Keys that are too large to be moved.
    pub too_large: Vec<LargeKey>,
    /// When the policy is asked again, in milliseconds since 1970, if it said so.
    pub again_unix_ms: Option<u64>,
}

/// The pods of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardView {
    /// Its number.
    pub id: u32,
    /// The data pods by ordinal.
    pub pods: Vec<PodState>,
    /// The servers that are heard.
    pub servers: Vec<ServerView>,
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerView {
    /// The pod that it runs in.
    pub pod: String,
    /// Its id.
    pub id: NodeId,
    /// Its slots, as ranges: `0-5460 8000`.
    pub slots: String,
    /// Slots of its that move.
    pub open_slots: Vec<OpenSlot>,
    /// It serves its slots; not while it takes the cluster for failed.
    pub serves: bool,
    /// Replication offset.
    pub offset: u64,
}

/// A slot that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenSlot {
    /// The slot.
    pub slot: u16,
    /// To this server, or away from it.
    pub moves: Direction,
    /// The pod of the other server; its id if no pod is heard with it.
    pub peer: String,
}

impl ClusterView {
    /// Of these pods, by shard, and what their servers say. `fenced` are those whose servers somebody asks to
    /// be down.
    pub fn of(
        wanted: Wanted,
        shards: &[Vec<Member>],
        fenced: &[String],
        seen: &Observation,
    ) -> Self {
        let shards = (0_u32..).zip(shards);
        let shards = shards.filter(|(_, members)| !members.is_empty());
        Self {
            // Without pods there is nothing that could be whole.
            lacks: why_not_whole(wanted, seen).filter(|_| !seen.nodes.is_empty()),
            shards: shards
                .map(|(id, members)| shard(id, members, fenced, seen))
                .collect(),
            ..Self::default()
        }
    }
}

fn shard(id: u32, members: &[Member], fenced: &[String], seen: &Observation) -> ShardView {
    let mut pods = pod_states(members, fenced, &[]);
    for pod in &mut pods {
        let Some(server) = server_in(seen, &pod.name) else {
            continue;
        };
        pod.keys = Some(server.keys);
        if let Some(link) = &mut pod.link {
            let followed = server_in(seen, &link.follows);
            // One that links up to another server than it did counts another history.
            let followed =
                followed.filter(|followed| server.replica_of() == Some(followed.id.as_str()));
            link.lag_bytes = followed.map(|followed| followed.offset.saturating_sub(server.offset));
        }
    }
    let nodes = seen.nodes.iter().filter(|node| node.shard == id);
    ShardView {
        id,
        pods,
        servers: nodes.filter_map(|node| server(node, seen)).collect(),
    }
}

fn server_in<'a>(seen: &'a Observation, pod: &str) -> Option<&'a Server> {
    let mut nodes = seen.nodes.iter();
    nodes.find(|node| node.name() == pod)?.server.as_ref()
}

fn server(node: &Node, seen: &Observation) -> Option<ServerView> {
    let server = node.server.as_ref()?;
    Some(ServerView {
        pod: node.name().to_owned(),
        id: server.id.clone(),
        slots: server.slots().to_string(),
        open_slots: server.opened().map(|open| open_slot(open, seen)).collect(),
        serves: server.serves,
        offset: server.offset,
    })
}

/// It, with the name of the other's pod.
fn open_slot(open: Open<'_>, seen: &Observation) -> OpenSlot {
    let is_peer = |node: &&Node| {
        let server = node.server.as_ref();
        server.is_some_and(|server| server.id == open.peer)
    };
    let peer = seen.nodes.iter().find(is_peer);
    OpenSlot {
        slot: open.slot,
        moves: open.moves,
        peer: peer.map_or(open.peer, Node::name).to_owned(),
    }
}
