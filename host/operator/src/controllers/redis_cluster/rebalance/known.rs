//! What this process remembers of slots that move. Nothing in it needs to survive a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_core::cluster::{LargeKey, MovingState, NodeId, Observation, Server, SlotSet};
use hera_core::shard::Target;

use crate::object::ObjectKey;

/// What failed is ordered again after this, in milliseconds.
const AGAIN_AFTER: u64 = 5_000;
/// What failed so often in a row needs somebody.
const MOST_FAILURES: u32 = 3;
/// A key that was too large to be sent is looked at again after this, in milliseconds.
const LARGE_FOR: u64 = 3_600_000;
/// What is tried again is told for so long, in milliseconds.
const TOLD_FOR: u64 = 60_000;
/// A shard that lacks a replica for so long, in milliseconds, is not waited for by the others.
const UNWELL_AFTER: u64 = 60_000;
/// A server that was told to send its slot says within this that it still is, in milliseconds.
const SAID_WITHIN: u64 = 5_000;

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
    /// What pods were told to move slots, by uid.
    orders: BTreeMap<String, Ordered>,
    /// Since when shards lack a replica, in milliseconds since the machine started.
    lacking: BTreeMap<u32, u64>,
}

/// That a pod was told to move slots.
struct Ordered {
    /// When, in milliseconds since the machine started.
    at_ms: u64,
    /// How often in a row it was told because that failed before.
    failures: u32,
    /// Why it did.
    words: String,
}

/// Times are in milliseconds since the machine started.
struct Large {
    key: LargeKey,
    /// The server that has it.
    owner: NodeId,
    /// For how long a step might hold up clients, in milliseconds.
    max_stall_ms: u64,
    /// When that was told.
    since_ms: u64,
    /// Since when its slot may be sent once more: its server says what it said until then.
    free_ms: Option<u64>,
    /// When its server was told to, since then.
    ordered_ms: Option<u64>,
}

impl Large {
    /// A look at `now_ms` at a key that its server tells of, or not. False once nothing is left to be known.
    fn look(&mut self, is_told: bool, again: &Again, now_ms: u64) -> bool {
        let passed = |since: u64| now_ms.saturating_sub(since);
        let Some(free_ms) = self.free_ms else {
            let allows_more = again.max_stall_ms > self.max_stall_ms;
            self.max_stall_ms = again.max_stall_ms;
            if allows_more || again.anew || passed(self.since_ms) >= LARGE_FOR {
                (self.free_ms, self.ordered_ms) = (Some(now_ms), None);
            }
            return true;
        };
        if is_told && self.ordered_ms.is_some_and(|at| passed(at) >= SAID_WITHIN) {
            (self.since_ms, self.free_ms) = (now_ms, None);
        }
        is_told || passed(free_ms) < TOLD_FOR
    }
}

/// What decides whether a key that was too large is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// For how long a step may hold up clients, in milliseconds.
    pub max_stall_ms: u64,
    /// Somebody wants it.
    pub anew: bool,
}

/// Keys that are too large to be sent.
#[derive(Clone, Debug, Default)]
pub struct LargeKeys {
    /// By slot.
    pub keys: BTreeMap<u16, LargeKey>,
    /// Their slots, but for those that may be sent once more.
    pub stays: SlotSet,
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

    /// Those of the shards that lack a replica now which have lacked one for so long that the others wait for them no
    /// more.
    pub fn unwell(
        &self,
        cluster: &ObjectKey,
        lacking: &BTreeSet<u32>,
        now_ms: u64,
    ) -> BTreeSet<u32> {
        self.with(cluster, |known| {
            known.lacking.retain(|shard, _| lacking.contains(shard));
            for shard in lacking {
                known.lacking.entry(*shard).or_insert(now_ms);
            }
            let is_long = |since: u64| now_ms.saturating_sub(since) >= UNWELL_AFTER;
            let long = known.lacking.iter().filter(|(_, since)| is_long(**since));
            long.map(|(shard, _)| *shard).collect()
        })
    }

    /// A pod is told to move slots, unless it was a moment ago and that `failed`, for this reason. True if it may be.
    pub fn orders(
        &self,
        cluster: &ObjectKey,
        pod: &Target,
        failed: Option<&str>,
        now_ms: u64,
    ) -> bool {
        self.with(cluster, |known| {
            let before = known.orders.get(&pod.uid);
            let failures = match (failed, before) {
                (None, _) => 0,
                (Some(_), Some(last)) if now_ms.saturating_sub(last.at_ms) < AGAIN_AFTER => {
                    return false;
                }
                (Some(_), last) => last.map_or(1, |last| last.failures.saturating_add(1)),
            };
            // The words of the first time stay, once they are told.
            let told = before.filter(|last| failures > 0 && last.failures >= MOST_FAILURES);
            let words = told.map_or(failed.unwrap_or_default(), |last| &last.words);
            let order = Ordered {
                at_ms: now_ms,
                failures,
                words: words.to_owned(),
            };
            known.orders.insert(pod.uid.clone(), order);
            true
        })
    }

    /// Why slots do not move, if orders to a server failed so often: its name, and its own words.
    pub fn failing(&self, cluster: &ObjectKey, seen: &Observation) -> Option<String> {
        self.with(cluster, |known| {
            let nodes = seen.nodes.iter().map(|node| {
                let job = node.server.as_ref().and_then(|one| one.moving.as_ref());
                (
                    node.pod.uid.as_str(),
                    (node.name(), job.map(|job| job.state)),
                )
            });
            let nodes: BTreeMap<_, _> = nodes.collect();
            // What succeeded, or has no server any more, fails no longer.
            known.orders.retain(|uid, order| {
                let state = nodes.get(uid.as_str()).and_then(|(_, state)| *state);
                let fails = matches!(state, Some(MovingState::Failed | MovingState::Running));
                fails || (order.failures == 0 && nodes.contains_key(uid.as_str()))
            });
            known.orders.iter().find_map(|(uid, order)| {
                let (name, state) = nodes.get(uid.as_str())?;
                // Nor what nobody wants any more.
                let is_recent = seen.now_ms.saturating_sub(order.at_ms) < TOLD_FOR;
                let is_wanted = *state == Some(MovingState::Running) || is_recent;
                let fails = order.failures >= MOST_FAILURES && is_wanted;
                fails.then(|| format!("{name}: {}", order.words))
            })
        })
    }

    /// Servers tell of keys that are too large to be sent: all that is known of those by slot, for as long as
    /// their slots stay where they are. A slot is tried once more after a while, when clients may be held up for
    /// longer, and when somebody asks.
    pub fn large(&self, cluster: &ObjectKey, seen: &Observation, again: &Again) -> LargeKeys {
        let owners = seen.nodes.iter().filter_map(|node| node.server.as_ref());
        let owners: BTreeMap<&NodeId, (SlotSet, &Server)> = owners
            .filter(|server| server.replica_of().is_none())
            .map(|server| (&server.id, (server.slots(), server)))
            .collect();
        self.with(cluster, |known| {
            let mut said = BTreeSet::new();
            for (slots, server) in owners.values() {
                let told = server.moving.iter().flat_map(|moving| &moving.too_large);
                for key in told.filter(|key| slots.contains(key.slot)) {
                    said.insert(key.slot);
                    let found = known.large.entry(key.slot);
                    found.or_insert_with(|| Large {
                        key: key.clone(),
                        owner: server.id.clone(),
                        max_stall_ms: again.max_stall_ms,
                        since_ms: seen.now_ms,
                        free_ms: None,
                        ordered_ms: None,
                    });
                }
            }
            known.large.retain(|slot, large| {
                let own = owners.get(&large.owner);
                let is_there = own.is_some_and(|(slots, _)| slots.contains(*slot));
                is_there && large.look(said.contains(slot), again, seen.now_ms)
            });
            let is_told = |large: &Large| {
                let free = large.free_ms;
                free.is_none_or(|at| seen.now_ms.saturating_sub(at) < TOLD_FOR)
            };
            let told = known.large.iter().filter(|(_, large)| is_told(large));
            let stay = known
                .large
                .iter()
                .filter(|(_, large)| large.free_ms.is_none());
            LargeKeys {
                keys: told
                    .map(|(slot, large)| (*slot, large.key.clone()))
                    .collect(),
                stays: SlotSet::of(stay.map(|(slot, _)| (*slot, *slot))),
            }
        })
    }

    /// Servers are told to send these slots.
    pub fn sends(&self, cluster: &ObjectKey, slots: &SlotSet, now_ms: u64) {
        self.with(cluster, |known| {
            let large = known.large.iter_mut();
            for (_, large) in large.filter(|(slot, _)| slots.contains(**slot)) {
                large.ordered_ms.get_or_insert(now_ms);
            }
        });
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
    fn a_replica_that_is_missed_for_a_moment_is_waited_for() {
        let known = Rebalances::default();
        let unwell = |lacking: &[u32], now_ms| {
            let lacking = lacking.iter().copied().collect();
            let unwell = known.unwell(&key(), &lacking, now_ms);
            unwell.into_iter().collect::<Vec<u32>>()
        };
        assert!(unwell(&[1, 2], 5).is_empty());
        assert!(unwell(&[1], UNWELL_AFTER).is_empty());
        assert_eq!(unwell(&[1, 2], 5 + UNWELL_AFTER), [1], "2 was well again");
        assert!(unwell(&[], 6 + UNWELL_AFTER).is_empty());
        assert!(unwell(&[1], 7 + UNWELL_AFTER).is_empty());
    }

    #[test]
    fn what_failed_is_not_ordered_again_at_once() {
        let known = Rebalances::default();
        let [one, other] = ["a", "b"].map(target);
        let orders = |pod, failed, now_ms| known.orders(&key(), pod, failed, now_ms);
        let why = Some("NOAUTH");
        assert!(orders(&one, why, 10), "of before this process");
        assert!(!orders(&one, why, 11));
        assert!(orders(&other, why, 11), "it holds up nobody else");
        assert!(orders(&one, None, 12));
        assert!(!orders(&one, why, 11 + AGAIN_AFTER));
        assert!(orders(&one, why, 12 + AGAIN_AFTER));
    }

    fn target(uid: &str) -> Target {
        Target {
            name: format!("pod-{uid}"),
            uid: uid.to_owned(),
        }
    }

    /// P32, P33, P37: whatever a server is refused, nobody waits for it in silence.
    #[test]
    fn what_fails_again_and_again_is_told_until_it_does_not() {
        let known = Rebalances::default();
        let mut seen = seen((0, 9), None, 1);
        seen.nodes[0].pod = target("a");
        let is = |seen: &mut Observation, state| {
            let server = seen.nodes[0].server.as_mut().unwrap();
            server.moving.as_mut().unwrap().state = state;
        };
        is(&mut seen, MovingState::Failed);
        for at in 1..=3 {
            assert_eq!(known.failing(&key(), &seen), None);
            let now_ms = at * AGAIN_AFTER;
            assert!(known.orders(&key(), &target("a"), Some("NOAUTH"), now_ms));
        }
        let told = Some("pod-a: NOAUTH".to_owned());
        assert_eq!(known.failing(&key(), &seen), told);
        seen.now_ms = 3 * AGAIN_AFTER + TOLD_FOR;
        assert_eq!(known.failing(&key(), &seen), None, "nobody tries again");
        is(&mut seen, MovingState::Running);
        assert_eq!(known.failing(&key(), &seen), told);
        is(&mut seen, MovingState::Done);
        assert_eq!(known.failing(&key(), &seen), None);
        is(&mut seen, MovingState::Failed);
        assert_eq!(known.failing(&key(), &seen), None);
    }

    const AGAIN: Again = Again {
        max_stall_ms: 100,
        anew: false,
    };

    fn stays(known: &Rebalances, seen: &Observation, again: &Again) -> (usize, usize) {
        let large = known.large(&key(), seen, again);
        (large.keys.len(), large.stays.len())
    }

    #[test]
    fn a_large_key_is_known_beyond_the_job_that_found_it() {
        let known = Rebalances::default();
        let all = (0, 9);
        assert_eq!(stays(&known, &seen(all, Some(7), 1), &AGAIN), (1, 1));
        assert_eq!(stays(&known, &seen(all, None, 2), &AGAIN), (1, 1));
        let moved = seen((8, 9), None, 3);
        assert_eq!(stays(&known, &moved, &AGAIN), (0, 0));
    }

    #[test]
    fn a_slot_that_stays_is_tried_again_whatever_its_server_still_says() {
        let (all, known) = ((0, 9), Rebalances::default());
        let at = |now_ms| seen(all, Some(7), now_ms);
        stays(&known, &at(4), &AGAIN);
        let later = 4 + LARGE_FOR;
        assert_eq!(stays(&known, &at(later - 1), &AGAIN), (1, 1));
        assert_eq!(stays(&known, &at(later), &AGAIN), (1, 0));
        // Nobody tells its server to send it: what that says is of before.
        let later = later + TOLD_FOR;
        assert_eq!(stays(&known, &at(later), &AGAIN), (0, 0));
        known.sends(&key(), &SlotSet::of([all]), later);
        assert_eq!(stays(&known, &at(later + 1), &AGAIN), (0, 0));
        let said = later + SAID_WITHIN;
        assert_eq!(stays(&known, &at(said), &AGAIN), (1, 1), "it still is");
    }

    #[test]
    fn a_slot_that_stays_is_tried_again_when_more_is_allowed_or_somebody_asks() {
        let (all, known) = ((0, 9), Rebalances::default());
        let at = |now_ms| seen(all, Some(7), now_ms);
        stays(&known, &at(1), &AGAIN);
        let more = Again {
            max_stall_ms: 5_000,
            ..AGAIN
        };
        assert_eq!(stays(&known, &at(2), &more), (1, 0));
        assert_eq!(stays(&known, &at(3), &more), (1, 0));
        let known = Rebalances::default();
        stays(&known, &at(1), &AGAIN);
        let anew = Again {
            anew: true,
            ..AGAIN
        };
        assert_eq!(stays(&known, &at(2), &anew), (1, 0));
        assert_eq!(stays(&known, &seen(all, None, 3), &AGAIN), (1, 0));
        let end = 2 + TOLD_FOR;
        assert_eq!(stays(&known, &seen(all, None, end), &AGAIN), (0, 0));
        assert_eq!(stays(&known, &at(end + 1), &AGAIN), (1, 1), "it is new");
    }
}
