//! What this process remembers of slots that move. Nothing in it needs to survive a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_core::cluster::{LargeKey, NodeId, Observation, Server, SlotSet};
use hera_core::shard::Target;

use crate::object::ObjectKey;

/// What failed is ordered again after this, in milliseconds.
const AGAIN_AFTER: u64 = 5_000;
/// A key that was too large to be sent is looked at again after this, in milliseconds.
const LARGE_FOR: u64 = 3_600_000;

/// Memory of all clusters.
#[derive(Default)]
pub struct Rebalances(Mutex<HashMap<ObjectKey, Known>>);

#[derive(Default)]
struct Known {
    /// Stands for what was asked last; none before anything was.
    asked: Option<String>,
    /// When the same is asked again, in milliseconds since 1970.
    again_unix_ms: Option<u64>,
    /// Keys that are too large to be sent, by slot.
    large: BTreeMap<u16, Large>,
    /// When pods were told of late to move slots, by uid, in milliseconds since the machine started.
    ordered_ms: HashMap<String, u64>,
}

struct Large {
    key: LargeKey,
    /// The server that has it.
    owner: NodeId,
    /// When that was told, in milliseconds since the machine started.
    since_ms: u64,
}

impl Rebalances {
    /// True if this was asked last, and holds still at a time in milliseconds since 1970.
    pub fn was_asked(&self, cluster: &ObjectKey, question: &str, now_unix_ms: u64) -> bool {
        self.with(cluster, |known| {
            let holds = known.again_unix_ms.is_none_or(|again| now_unix_ms < again);
            holds && known.asked.as_deref() == Some(question)
        })
    }

    /// This is asked; the same is asked again then, if ever.
    pub fn asks(&self, cluster: &ObjectKey, question: String, again_unix_ms: Option<u64>) {
        self.with(cluster, |known| {
            known.asked = Some(question);
            known.again_unix_ms = again_unix_ms;
        });
    }

    /// When it is.
    pub fn again_unix_ms(&self, cluster: &ObjectKey) -> Option<u64> {
        self.with(cluster, |known| known.again_unix_ms)
    }

    /// A pod is told to move slots, unless it was a moment ago and that `failed`. True if it may be.
    pub fn orders(&self, cluster: &ObjectKey, pod: &Target, failed: bool, now_ms: u64) -> bool {
        self.with(cluster, |known| {
            let is_recent = |at: &u64| now_ms.saturating_sub(*at) < AGAIN_AFTER;
            known.ordered_ms.retain(|_, at| is_recent(at));
            let may = !failed || !known.ordered_ms.contains_key(&pod.uid);
            if may {
                known.ordered_ms.insert(pod.uid.clone(), now_ms);
            }
            may
        })
    }

    /// Servers tell of keys that are too large to be sent: all that is known of those by slot, for as long as
    /// their slots stay where they are.
    pub fn large(&self, cluster: &ObjectKey, seen: &Observation) -> BTreeMap<u16, LargeKey> {
        let owners = seen.nodes.iter().filter_map(|node| node.server.as_ref());
        let owners: BTreeMap<&NodeId, (SlotSet, &Server)> = owners
            .filter(|server| server.replica_of().is_none())
            .map(|server| (&server.id, (server.slots(), server)))
            .collect();
        self.with(cluster, |known| {
            for (slots, server) in owners.values() {
                let told = server.moving.iter().flat_map(|moving| &moving.too_large);
                for key in told.filter(|key| slots.contains(key.slot)) {
                    let found = known.large.entry(key.slot);
                    found.or_insert_with(|| Large {
                        key: key.clone(),
                        owner: server.id.clone(),
                        since_ms: seen.now_ms,
                    });
                }
            }
            known.large.retain(|slot, large| {
                let own = owners.get(&large.owner);
                let is_there = own.is_some_and(|(slots, _)| slots.contains(*slot));
                is_there && seen.now_ms.saturating_sub(large.since_ms) < LARGE_FOR
            });
            let all = known.large.iter();
            all.map(|(slot, large)| (*slot, large.key.clone()))
                .collect()
        })
    }

    /// The cluster is gone.
    pub fn forget(&self, cluster: &ObjectKey) {
        self.lock().remove(cluster);
    }

    fn with<T>(&self, cluster: &ObjectKey, look: impl FnOnce(&mut Known) -> T) -> T {
        look(self.lock().entry(cluster.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::{Entry, Moving, Node, Server};

    use super::*;

    fn key() -> ObjectKey {
        ObjectKey::cluster("shop", "cart")
    }

    /// A server with these slots, which tells of a large key in one of them.
    fn seen(slots: (u16, u16), large: Option<u16>, now_ms: u64) -> Observation {
        let too_large = large.into_iter().map(|slot| LargeKey {
            slot,
            key: "all".to_owned(),
            bytes: 1 << 30,
        });
        let server = Server {
            id: "a".to_owned(),
            known: vec![Entry {
                id: "a".to_owned(),
                slots: SlotSet::of([slots]),
                ..Entry::default()
            }],
            moving: Some(Moving {
                too_large: too_large.collect(),
                ..Moving::default()
            }),
            ..Server::default()
        };
        Observation {
            nodes: vec![Node {
                server: Some(server),
                ..Node::default()
            }],
            now_ms,
            ..Observation::default()
        }
    }

    #[test]
    fn the_same_is_asked_once_unless_the_answer_ends_to_hold() {
        let known = Rebalances::default();
        assert!(!known.was_asked(&key(), "a", 5));
        known.asks(&key(), "a".to_owned(), Some(9));
        assert!(known.was_asked(&key(), "a", 8));
        assert!(!known.was_asked(&key(), "a", 9) && !known.was_asked(&key(), "b", 8));
        known.forget(&key());
        assert!(!known.was_asked(&key(), "a", 8));
    }

    #[test]
    fn what_failed_is_not_ordered_again_at_once() {
        let known = Rebalances::default();
        let [one, other] = ["a", "b"].map(|uid| Target {
            uid: uid.to_owned(),
            ..Target::default()
        });
        let orders = |pod, failed, now_ms| known.orders(&key(), pod, failed, now_ms);
        assert!(orders(&one, true, 10), "of before this process");
        assert!(!orders(&one, true, 11));
        assert!(orders(&other, true, 11), "it holds up nobody else");
        assert!(orders(&one, false, 12));
        assert!(!orders(&one, true, 11 + AGAIN_AFTER));
        assert!(orders(&one, true, 12 + AGAIN_AFTER));
    }

    #[test]
    fn a_large_key_is_known_beyond_the_job_that_found_it_and_not_for_ever() {
        let known = Rebalances::default();
        assert_eq!(known.large(&key(), &seen((0, 9), Some(7), 1)).len(), 1);
        assert_eq!(known.large(&key(), &seen((0, 9), None, 2)).len(), 1);
        assert_eq!(
            known.large(&key(), &seen((8, 9), None, 3)).len(),
            0,
            "it moved"
        );
        known.large(&key(), &seen((0, 9), Some(7), 4));
        let later = 4 + LARGE_FOR;
        assert_eq!(known.large(&key(), &seen((0, 9), None, later)).len(), 0);
    }
}
