//! The shards of a cluster as a tree.

use std::collections::BTreeSet;

use hera_api::ShardStatus;
use hera_core::cluster::{ClusterView, SLOTS, ShardView, SlotSet};

use super::lines::PodLine;
use super::slots;
use super::topology::Group;
use super::tree::Node;
use crate::output::{bad, good, odd};

/// How many slots are served, and by whom; nothing before shards are known.
pub fn slots(shards: &[ShardStatus]) -> Vec<String> {
    if shards.is_empty() {
        return Vec::new();
    }
    let owned: Vec<(i32, SlotSet)> = shards
        .iter()
        .map(|shard| (shard.id, slots::read(&shard.slots)))
        .collect();
    let all = owned
        .iter()
        .fold(SlotSet::default(), |all, (_, slots)| all.with(slots));
    let words = format!("{} of {SLOTS} have a primary", all.len());
    let words = match all.len() == usize::from(SLOTS) {
        true => good(&words),
        false => bad(&words),
    };
    vec![words, slots::map(&owned)]
}

/// Each shard with its pods.
pub fn nodes(
    shards: &[ShardStatus],
    pods: &[PodLine],
    operator: Option<&ClusterView>,
) -> Vec<Node> {
    let known = shards
        .iter()
        .filter_map(|shard| u32::try_from(shard.id).ok());
    let ids: BTreeSet<u32> = known
        .chain(pods.iter().filter_map(|pod| pod.shard))
        .collect();
    let node = |id: u32| {
        let status = shards
            .iter()
            .find(|shard| u32::try_from(shard.id) == Ok(id));
        let view = operator.map(|view| {
            let mut shards = view.shards.iter();
            shards.find(|shard| shard.id == id)
        });
        let pods = pods.iter().filter(|pod| pod.shard == Some(id)).collect();
        shard(id, status, pods, view)
    };
    ids.into_iter().map(node).collect()
}

/// `view`: what the operator tells of it, if it can be asked.
fn shard(
    id: u32,
    status: Option<&ShardStatus>,
    pods: Vec<&PodLine>,
    view: Option<Option<&ShardView>>,
) -> Node {
    let mut words = vec![format!("shard {id}")];
    let letter = i32::try_from(id).map(slots::letter);
    if let Ok(letter) = letter.map(String::from)
        && letter != id.to_string()
    {
        words.push(format!("({letter} in the map)"));
    }
    let owned = status.map(|shard| shard.slots.as_str()).unwrap_or_default();
    match slots::read(owned).len() {
        0 => words.push(odd("no slots")),
        1 => words.push(format!("1 slot  {owned}")),
        count => words.push(format!("{count} slots  {owned}")),
    }
    if status.is_none_or(|shard| shard.primary.is_none()) {
        words.push(bad("no primary"));
    }
    let group = Group {
        pods,
        states: view.map(|view| view.map_or(&[][..], |view| &view.pods)),
        servers: Some(view.flatten().map_or(&[][..], |view| &view.servers)),
    };
    Node {
        text: words.join("  "),
        children: group.nodes(),
    }
}
