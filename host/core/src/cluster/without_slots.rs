//! Shards that have no slot: new ones, and those that leave. What is left in one counts nothing once others
//! serve all slots; unless it may be part of a slot that is half moved.

use super::observation::{Node, Server};
use super::slots::SlotSet;

/// True if the others, as far as they know of the cluster, have all slots.
pub(super) fn is_served_without<'a>(id: &str, servers: impl Iterator<Item = &'a Server>) -> bool {
    let mut ranges = Vec::new();
    for server in servers.filter(|server| server.id != id && !server.is_alone()) {
        if let Some(own) = server.own().filter(|own| own.replica_of.is_none()) {
            ranges.extend(own.slots.ranges().iter().copied());
        }
    }
    SlotSet::of(ranges) == SlotSet::all()
}

/// True if no server of another shard knows this id: one of a shard that left, before the others forgot it. Who
/// has part of a slot that is half moved is known to who has the rest.
pub(super) fn is_forgotten(shard: u32, id: &str, nodes: &[Node]) -> bool {
    let mut others = nodes.iter().filter(|node| node.shard != shard);
    let knows = |node: &Node| {
        let entry = node.server.as_ref().and_then(|server| server.entry(id));
        entry.is_some_and(|entry| !entry.handshake)
    };
    !others.any(knows)
}

/// True if a shard may be led by a server that has nothing: others serve all slots, and what its pods have is a
/// copy of what another has, or of before.
pub(super) fn is_blank(shard: u32, nodes: &[Node]) -> bool {
    let servers = || nodes.iter().filter_map(|node| node.server.as_ref());
    let is_copy = |server: &Server| {
        let of = server.replica_of();
        of.is_some_and(|of| servers().any(|other| other.id == of) || is_forgotten(shard, of, nodes))
    };
    let mut pods = nodes.iter().filter(|node| node.shard == shard);
    // One that knows nobody joins, and gives up what others have.
    let counts_nothing = |node: &Node| {
        node.server.as_ref().is_none_or(|server| {
            let is_empty = server.slots().is_empty() && (server.keys == 0 || is_copy(server));
            is_empty || server.is_alone()
        })
    };
    pods.all(counts_nothing) && is_served_without("", servers())
}
