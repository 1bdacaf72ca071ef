//! What a policy is asked: which shards there are, by what their servers say.

use std::collections::BTreeSet;
use std::ops::Range;

use hera_api::MovedStatus;
use hera_core::cluster::{
    MOST_HEAVY, Node, Observation, SLOTS, Server, SlotSet, Wanted, is_empty_shard, leader,
};
use hera_core::rebalance::{Limits, Moved, RebalanceInput, Shard, ShardState, SlotLoad};
use k8s_openapi::jiff::Timestamp;

/// How full a shard may be once it took what it is given, in percent of its memory.
const FILL_PERCENT: u32 = 90;
/// Where no shard comes or goes, so many slots at most move by one plan: a plan that is not good ends before it
/// does much.
const SLOTS_AT_REST: u32 = 2_048;

/// A cluster about which a policy is asked.
pub struct Subject<'a> {
    pub seen: &'a Observation,
    /// What there is, those included that are to leave.
    pub there: Wanted,
    /// Shards that the spec wants.
    pub keep: u32,
    /// Shards that lack a replica, and for which the others wait no longer.
    pub unwell: &'a BTreeSet<u32>,
    /// Slots with a key that is too large to be sent.
    pub stays: SlotSet,
    /// What moved of late.
    pub history: &'a [MovedStatus],
    /// For how long a slot stays after it moved.
    pub cooldown_seconds: u64,
    pub now: Timestamp,
}

impl Subject<'_> {
    /// True if shards come or go.
    pub fn is_scaled(&self) -> bool {
        self.keep != self.there.shards
            || self.shards().any(|shard| is_empty_shard(self.seen, shard))
    }

    /// What is asked.
    ///
    /// # Errors
    /// What is waited for before, for people.
    pub fn input(&self) -> Result<RebalanceInput, String> {
        let shards = self.shards().map(|id| self.shard(id));
        let shards = shards.collect::<Result<Vec<Shard>, String>>()?;
        Ok(RebalanceInput {
            shards,
            stays: self.stays.clone(),
            history: self
                .history
                .iter()
                .filter_map(|moved| self.moved(moved))
                .collect(),
            limits: Limits {
                slots: match self.is_scaled() {
                    true => u32::from(SLOTS),
                    false => SLOTS_AT_REST,
                },
                cooldown_seconds: self.cooldown_seconds,
                fill_percent: FILL_PERCENT,
            },
        })
    }

    fn shards(&self) -> Range<u32> {
        0..self.there.shards
    }

    fn slots(&self, shard: u32) -> SlotSet {
        let server = leader(self.seen, shard).and_then(|node| node.server.as_ref());
        server.map(Server::slots).unwrap_or_default()
    }

    fn shard(&self, id: u32) -> Result<Shard, String> {
        let slots = self.slots(id);
        let leaves = id >= self.keep;
        let lead = leader(self.seen, id);
        if lead.is_none() && !leaves {
            return Err(format!("shard {id} has no primary yet"));
        }
        let unwell = self.unwell.contains(&id);
        if !leaves
            && !unwell
            && let Some(words) = lacks_replica(self.seen, self.there, id)
        {
            return Err(words);
        }
        let server = lead.and_then(|node| node.server.as_ref());
        Ok(Shard {
            id,
            state: match (leaves, slots.is_empty()) {
                (true, _) => ShardState::Leaving,
                (false, _) if unwell => ShardState::Unhealthy,
                (false, true) => ShardState::Joining,
                (false, false) => ShardState::Serving,
            },
            used_bytes: server.and_then(|server| server.used_bytes),
            max_bytes: server.and_then(|server| server.max_bytes),
            ops_per_second: server.and_then(|server| server.ops_per_second),
            heaviest: server
                .map(|server| heaviest(server, &slots))
                .unwrap_or_default(),
            slots,
        })
    }

    fn moved(&self, moved: &MovedStatus) -> Option<Moved> {
        let age = self.now.duration_since(moved.at.0).as_secs();
        Some(Moved {
            source: u32::try_from(moved.source).ok()?,
            target: u32::try_from(moved.target).ok()?,
            slots: SlotSet::read(&moved.slots),
            // A clock that was set back makes nothing older.
            age_seconds: u64::try_from(age).unwrap_or(0),
            ops_per_second: moved.ops_per_second.and_then(|ops| u64::try_from(ops).ok()),
        })
    }
}

/// What a shard lacks before slots move to it or from it, for people: what is written there is to be in all its
/// copies. None where nobody leads, of which more is to be said.
pub fn lacks_replica(seen: &Observation, there: Wanted, shard: u32) -> Option<String> {
    let of = leader(seen, shard)?.server.as_ref()?.id.as_str();
    let nodes = seen.nodes.iter().filter(|node| node.shard == shard);
    let servers = nodes.filter_map(|node| node.server.as_ref());
    let count = servers
        .filter(|server| server.link_up && server.replica_of() == Some(of))
        .count();
    let wanted = usize::try_from(there.replicas).unwrap_or(usize::MAX);
    let words = format!("shard {shard} has {count} of {wanted} replicas in sync");
    (count < wanted).then_some(words)
}

/// What there is without the replicas of these shards.
pub fn without_replicas(seen: &Observation, shards: &BTreeSet<u32>) -> Observation {
    let leads = |node: &Node| {
        let leader = leader(seen, node.shard);
        leader.is_some_and(|leader| leader.ordinal == node.ordinal)
    };
    let nodes = seen.nodes.iter();
    let nodes = nodes.filter(|node| !shards.contains(&node.shard) || leads(node));
    Observation {
        nodes: nodes.cloned().collect(),
        ..*seen
    }
}

/// What a server tells of slots that it has, each once: what it says is bounded, whoever it is.
fn heaviest(server: &Server, slots: &SlotSet) -> Vec<SlotLoad> {
    let mut named = BTreeSet::new();
    let told = server.heaviest.iter();
    let told = told.filter(|heavy| slots.contains(heavy.slot) && named.insert(heavy.slot));
    told.take(MOST_HEAVY)
        .map(|heavy| SlotLoad {
            slot: heavy.slot,
            load_ppm: heavy.load_ppm.min(1_000_000),
            used_bytes: heavy.used_bytes,
        })
        .collect()
}

/// That what shards which leave have finds no room in the others, for people: nothing moves then. The first part
/// does not change with traffic.
pub fn no_room(input: &RebalanceInput) -> Option<(String, String)> {
    let leaving = || {
        let shards = input.shards.iter();
        shards.filter(|shard| shard.state == ShardState::Leaving && !shard.slots.is_empty())
    };
    let used = leaving().filter_map(|shard| shard.used_bytes);
    let used = used.fold(0_u64, u64::saturating_add);
    // One that is not well takes its part once it is.
    let shards = input.shards.iter();
    let room = shards
        .filter(|shard| shard.state != ShardState::Leaving)
        .map(|shard| shard.room(&input.limits))
        .fold(0_u64, u64::saturating_add);
    if used <= room {
        return None;
    }
    let names: Vec<String> = leaving().map(|shard| shard.id.to_string()).collect();
    let head = format!(
        "what is in shards that are to leave ({}) finds no room in the others, and nothing moves",
        names.join(", ")
    );
    let percent = input.limits.fill_percent;
    let figures = format!(
        "they use {} MiB, and there is room for {} MiB up to {percent} % of maxmemory: raise masters, or the memory \
         of all",
        used >> 20,
        room >> 20
    );
    Some((head, figures))
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::{Entry, HeavySlot, why_not_served};

    use super::*;

    const MIB: u64 = 1 << 20;
    static WELL: BTreeSet<u32> = BTreeSet::new();

    /// The only pod of a shard.
    fn node(shard: u32, slots: &SlotSet, used: u64) -> Node {
        let id = format!("id-{shard}");
        Node {
            shard,
            server: Some(Server {
                id: id.clone(),
                used_bytes: Some(used * MIB),
                max_bytes: Some(100 * MIB),
                known: vec![Entry {
                    id,
                    slots: slots.clone(),
                    ..Entry::default()
                }],
                ..Server::default()
            }),
            ..Node::default()
        }
    }

    fn seen(used: &[u64], owners: u32) -> Observation {
        let slots = SlotSet::even(owners);
        let none = SlotSet::default();
        let shards = (0_u32..).zip(used);
        Observation {
            nodes: shards
                .map(|(shard, used)| {
                    let own = slots.get(shard as usize).unwrap_or(&none);
                    node(shard, own, *used)
                })
                .collect(),
            formed: true,
            now_ms: 0,
        }
    }

    fn subject(seen: &Observation, keep: u32) -> Subject<'_> {
        Subject {
            seen,
            there: Wanted {
                shards: u32::try_from(seen.nodes.len()).unwrap(),
                replicas: 0,
            },
            keep,
            unwell: &WELL,
            stays: SlotSet::default(),
            history: &[],
            cooldown_seconds: 600,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn states(input: &RebalanceInput) -> Vec<ShardState> {
        input.shards.iter().map(|shard| shard.state).collect()
    }

    #[test]
    fn new_shards_join_and_those_beyond_the_spec_leave() {
        use ShardState::{Joining, Leaving, Serving};
        let seen = seen(&[10, 10, 10, 1], 3);
        let input = subject(&seen, 4).input().unwrap();
        assert_eq!(states(&input), [Serving, Serving, Serving, Joining]);
        assert_eq!(input.limits.slots, u32::from(SLOTS));
        let input = subject(&seen, 3).input().unwrap();
        assert_eq!(states(&input), [Serving, Serving, Serving, Leaving]);
        let rest = self::seen(&[10, 10, 10], 3);
        assert_eq!(
            subject(&rest, 3).input().unwrap().limits.slots,
            SLOTS_AT_REST
        );
    }

    #[test]
    fn nothing_is_asked_before_every_shard_has_its_copies() {
        let mut seen = seen(&[10, 10, 10], 3);
        let mut subject = subject(&seen, 3);
        subject.there.replicas = 1;
        let words = subject.input().unwrap_err();
        assert_eq!(words, "shard 0 has 0 of 1 replicas in sync");
        seen.nodes[1].server = None;
        let words = self::subject(&seen, 3).input().unwrap_err();
        assert_eq!(words, "shard 1 has no primary yet");
    }

    /// It may be for days: the others go on, and it gives and takes nothing.
    #[test]
    fn a_shard_that_lacks_its_replica_for_long_is_told_as_unhealthy() {
        use ShardState::{Joining, Leaving, Serving, Unhealthy};
        let seen = seen(&[10, 10, 10, 1], 3);
        let unwell = BTreeSet::from([1]);
        let with = |keep| Subject {
            unwell: &unwell,
            ..subject(&seen, keep)
        };
        let input = with(4).input().unwrap();
        assert_eq!(states(&input), [Serving, Unhealthy, Serving, Joining]);
        assert!(!input.shards[1].slots.is_empty());
        // What leaves is drained all the same, by who has its keys.
        let input = with(1).input().unwrap();
        assert_eq!(states(&input), [Serving, Leaving, Leaving, Leaving]);
        // It alone waits no longer.
        let mut subject = with(4);
        subject.there.replicas = 1;
        let words = subject.input().unwrap_err();
        assert_eq!(words, "shard 0 has 0 of 1 replicas in sync");
        let one = Wanted {
            replicas: 1,
            ..subject.there
        };
        assert!(lacks_replica(&seen, one, 1).is_some());
        assert_eq!(lacks_replica(&seen, with(4).there, 1), None);
    }

    #[test]
    fn a_replica_that_nobody_waits_for_keeps_no_policy_from_being_asked() {
        let mut seen = seen(&[10, 10, 10], 3);
        for node in &mut seen.nodes {
            let server = node.server.as_mut().unwrap();
            server.serves = true;
            server.known.push(Entry::default());
        }
        seen.nodes.push(Node {
            shard: 1,
            ordinal: 1,
            ..Node::default()
        });
        let wanted = Wanted {
            shards: 3,
            replicas: 1,
        };
        let lacks = |unwell: &[u32]| {
            let unwell = unwell.iter().copied().collect();
            why_not_served(wanted, &without_replicas(&seen, &unwell))
        };
        assert!(lacks(&[]).unwrap().contains("is not heard"));
        assert!(lacks(&[0]).unwrap().contains("is not heard"));
        assert_eq!(lacks(&[1]), None);
    }

    #[test]
    fn heavy_slots_are_those_that_a_server_tells_of_its_own_each_once() {
        let mut seen = seen(&[10, 10, 10], 3);
        let heavy = |slot, load_ppm| HeavySlot {
            slot,
            load_ppm,
            used_bytes: Some(72),
        };
        let told = |seen: &Observation| subject(seen, 3).input().unwrap().shards[0].clone();
        assert!(told(&seen).heaviest.is_empty());
        let all = vec![
            heavy(7, 4_000_000),
            heavy(7, 5),
            heavy(16_000, 9),
            heavy(8, 3),
        ];
        seen.nodes[0].server.as_mut().unwrap().heaviest = all;
        let loads = told(&seen).heaviest;
        let loads: Vec<(u16, u32)> = loads.iter().map(|one| (one.slot, one.load_ppm)).collect();
        assert_eq!(loads, [(7, 1_000_000), (8, 3)]);
        let many = (0..200).map(|slot| heavy(slot, 1));
        seen.nodes[0].server.as_mut().unwrap().heaviest = many.collect();
        assert_eq!(told(&seen).heaviest.len(), MOST_HEAVY);
    }

    #[test]
    fn what_leaves_must_fit_into_what_stays() {
        let room = |used: &[u64]| {
            let seen = seen(used, 4);
            no_room(&subject(&seen, 3).input().unwrap())
        };
        assert_eq!(room(&[60, 60, 60, 80]), None);
        let (head, figures) = room(&[60, 70, 60, 90]).unwrap();
        assert!(head.contains("to leave (3)"), "{head}");
        assert!(
            figures.contains("90 MiB") && figures.contains("80 MiB"),
            "{figures}"
        );
        // What one has room for that is not well now is no reason to ask for more memory.
        let all = seen(&[60, 60, 60, 80], 4);
        let unwell = BTreeSet::from([1]);
        let input = Subject {
            unwell: &unwell,
            ..subject(&all, 3)
        };
        assert_eq!(no_room(&input.input().unwrap()), None);
        // One that has given all away keeps nothing up, whatever it uses.
        assert_eq!(
            no_room(&subject(&seen(&[60, 60, 60, 99], 3), 3).input().unwrap()),
            None
        );
    }
}
