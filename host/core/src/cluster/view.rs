//! What the leading operator knows of a cluster beyond its status, for people who ask. Nothing is decided
//! by it.

use serde::{Deserialize, Serialize};

use super::observation::{Node, NodeId, Observation, Server, Wanted};
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

/// Where a slot moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The server takes it from another.
    In,
    /// Another takes it.
    Out,
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
    let open = server.own().map(|own| own.open_slots.as_slice());
    let open = open.unwrap_or_default().iter();
    Some(ServerView {
        pod: node.name().to_owned(),
        id: server.id.clone(),
        slots: server.slots().to_string(),
        open_slots: open.filter_map(|text| open_slot(text, seen)).collect(),
        serves: server.serves,
        offset: server.offset,
    })
}

/// Reads the server's notation: `[93->-ID]` of a slot that goes, `[93-<-ID]` of one that comes. Answers the slot,
/// where it moves, and the other's id.
pub fn read_open_slot(text: &str) -> Option<(u16, Direction, &str)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let goes = inner.split_once("->-");
    let goes = goes.map(|parts| (Direction::Out, parts));
    let comes = || Some((Direction::In, inner.split_once("-<-")?));
    let (moves, (slot, id)) = goes.or_else(comes)?;
    Some((slot.parse().ok()?, moves, id))
}

fn open_slot(text: &str, seen: &Observation) -> Option<OpenSlot> {
    let (slot, moves, id) = read_open_slot(text)?;
    let mut nodes = seen.nodes.iter();
    let peer = nodes.find(|node| node.server.as_ref().is_some_and(|server| server.id == id));
    Some(OpenSlot {
        slot,
        moves,
        peer: peer.map_or(id, Node::name).to_owned(),
    })
}
