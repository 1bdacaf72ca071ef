//! Whether every slot is served, while slots and shards are on the move.

use super::observation::{Node, Observation, Wanted};
use super::slots::{SLOTS, SlotSet};
use super::survey::{Heard, Survey};
use super::whole::lacks_its_place;

/// What keeps a slot from being served, or from being served by as many as are wanted, for people. That servers do
/// not agree yet on who has which slot is nothing, nor that one is half moved, nor a shard that has none: unlike
/// [`super::why_not_whole`] it is for a cluster in which slots move.
pub fn why_not_served(wanted: Wanted, seen: &Observation) -> Option<String> {
    let survey = Survey::of(wanted, seen);
    let counts = |node: &&Node| node.server.is_none() && !is_empty_shard(seen, node.shard);
    let silent = survey.nodes.iter().find(counts);
    if let Some(silent) = silent {
        return Some(format!("{} is not heard", silent.name()));
    }
    let owned = survey.owned().len();
    if owned < usize::from(SLOTS) {
        return Some(format!("{owned} of {SLOTS} slots are served"));
    }
    let lacks = |one: &Heard<'_>| lacks(&survey, one);
    survey.heard.iter().find_map(lacks)
}

fn lacks(survey: &Survey<'_>, one: &Heard<'_>) -> Option<String> {
    let shard = one.node.shard;
    if survey
        .in_shard(shard)
        .all(|one| one.server.slots().is_empty())
    {
        return None;
    }
    lacks_its_place(one, survey.primary_of(shard))
}

/// The pod that leads a shard, if exactly one does: the one with slots; where none has any, the one that
/// replicates nobody.
pub fn leader(seen: &Observation, shard: u32) -> Option<&Node> {
    let nodes = || seen.nodes.iter().filter(move |node| node.shard == shard);
    let any = nodes().any(has_slots);
    let mut leading = nodes().filter(|node| is_primary(node) && (!any || has_slots(node)));
    let first = leading.next()?;
    leading.next().is_none().then_some(first)
}

/// True if it is known that no server of a shard has a slot, as others have all: it has just come, or is about to
/// go.
pub fn is_empty_shard(seen: &Observation, shard: u32) -> bool {
    let owners = || seen.nodes.iter().filter(|node| is_primary(node));
    let slots = owners().filter_map(|node| node.server.as_ref());
    let slots = slots.fold(SlotSet::default(), |all, server| all.with(&server.slots()));
    let mut own = owners().filter(|node| node.shard == shard);
    slots.len() == usize::from(SLOTS) && !own.any(has_slots)
}

/// True if its server says that it has slots.
pub(super) fn has_slots(node: &Node) -> bool {
    let server = node.server.as_ref();
    server.is_some_and(|server| !server.slots().is_empty())
}

fn is_primary(node: &Node) -> bool {
    let server = node.server.as_ref();
    server.is_some_and(|server| server.replica_of().is_none())
}

#[cfg(test)]
mod tests {
    use super::super::observation::{Entry, Server};
    use super::*;

    /// The pod of a shard that has these slots, or replicates the one of this id.
    fn pod(shard: u32, ordinal: u32, slots: &SlotSet, replica_of: Option<&str>) -> Node {
        let id = format!("{shard}-{ordinal}");
        let own = Entry {
            id: id.clone(),
            slots: slots.clone(),
            replica_of: replica_of.map(str::to_owned),
            ..Entry::default()
        };
        let other = Entry {
            id: "another".to_owned(),
            ..Entry::default()
        };
        Node {
            shard,
            ordinal,
            server: Some(Server {
                id,
                serves: true,
                link_up: replica_of.is_some(),
                known: vec![own, other],
                ..Server::default()
            }),
            ..Node::default()
        }
    }

    /// Three shards with all slots, and a fourth that has none.
    fn seen() -> Observation {
        let parts = SlotSet::even(3);
        let none = SlotSet::default();
        let shards = (0_u32..).zip(&parts);
        let nodes = shards.flat_map(|(shard, slots)| {
            let of = format!("{shard}-0");
            [
                pod(shard, 0, slots, None),
                pod(shard, 1, &none, Some(of.as_str())),
            ]
        });
        let mut nodes: Vec<Node> = nodes.collect();
        nodes.push(pod(3, 0, &none, None));
        Observation {
            nodes,
            formed: true,
            now_ms: 0,
        }
    }

    const WANTED: Wanted = Wanted {
        shards: 4,
        replicas: 1,
    };

    #[test]
    fn a_shard_that_has_no_slot_yet_takes_nothing_from_the_others() {
        let mut seen = seen();
        assert_eq!(why_not_served(WANTED, &seen), None);
        assert!(is_empty_shard(&seen, 3) && !is_empty_shard(&seen, 0));
        // Nor before its pod is heard.
        seen.nodes[6].server = None;
        assert_eq!(why_not_served(WANTED, &seen), None);
    }

    #[test]
    fn what_is_not_heard_with_its_slots_is_missed() {
        let mut all = seen();
        all.nodes[1].server = None;
        assert!(why_not_served(WANTED, &all).unwrap().contains("not heard"));
        let mut all = seen();
        all.nodes[2].server = None;
        assert!(why_not_served(WANTED, &all).is_some());
        // Who has its slots is not known: it may be one of the fourth.
        assert!(!is_empty_shard(&all, 3));
        let mut all = seen();
        all.nodes[1].server.as_mut().unwrap().link_up = false;
        assert!(why_not_served(WANTED, &all).unwrap().contains("no link"));
    }

    #[test]
    fn who_leads_is_who_has_slots_or_else_who_follows_nobody() {
        let mut all = seen();
        let leads = |all: &Observation, shard| leader(all, shard).map(|node| node.ordinal);
        assert_eq!((leads(&all, 0), leads(&all, 3)), (Some(0), Some(0)));
        all.nodes.push(pod(3, 1, &SlotSet::default(), None));
        assert_eq!(leads(&all, 3), None, "neither follows the other yet");
        all.nodes[7] = pod(3, 1, &SlotSet::default(), Some("3-0"));
        assert_eq!(leads(&all, 3), Some(0));
    }
}
