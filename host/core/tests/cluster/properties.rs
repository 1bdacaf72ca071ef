//! What holds of any cluster, whatever is seen of it.

use hera_core::cluster::{Entry, Held, SlotSet, decide, guard, why_not_whole};
use proptest::prelude::*;

use crate::fixtures::{Cluster, whole};

/// What has happened to one pod, and what its server knows.
#[derive(Clone, Debug)]
struct Look {
    heard: bool,
    dead: bool,
    held: bool,
    linked: Option<u64>,
    stranger: bool,
    keys: u64,
    moved: bool,
    offset: u64,
    slots: u8,
    replica_of: Option<u8>,
    forgets: Option<u8>,
    takes_for_failed: Option<u8>,
    greets: bool,
    asked: bool,
}

fn any_look() -> impl Strategy<Value = Look> {
    let state = (
        prop::bool::weighted(0.8),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    let data = (0_u64..3, 0_u64..4, 0_u8..4);
    let other = || prop::option::weighted(0.3, 0_u8..6);
    let rest = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (state, data, other(), other(), other(), rest).prop_map(
        |(state, data, replica_of, forgets, takes_for_failed, rest)| Look {
            heard: state.0,
            dead: state.1,
            held: rest.0 != rest.1,
            linked: rest.1.then_some(data.1 * 5_000),
            stranger: state.2,
            keys: data.0,
            offset: data.1,
            slots: data.2,
            replica_of,
            forgets,
            takes_for_failed,
            moved: rest.0,
            greets: rest.1,
            asked: rest.2,
        },
    )
}

fn id(at: u8) -> String {
    format!("id-{}-{}", at / 2, at % 2)
}

fn looks_so(cluster: Cluster, at: usize, look: &Look) -> Cluster {
    let slots = match look.slots {
        0 => SlotSet::default(),
        1 => SlotSet::of([(1, 1), (9_000, 9_000)]),
        _ => SlotSet::even(3)[at / 2].clone(),
    };
    let mut cluster = match look.stranger {
        true => cluster.stranger(at, look.keys, slots.clone()),
        false => cluster,
    };
    let node = &mut cluster.seen.nodes[at];
    node.dead_since_ms = (look.dead && !look.heard).then_some(500);
    node.held = (look.held && look.dead && !look.heard).then_some(Held {
        has_data: look.keys > 0,
        snapshot_ms: look.linked,
        epoch: look.offset,
    });
    node.asked_for_votes_ms = look.asked.then_some(100);
    if look.moved {
        node.ip = format!("10.9.9.{at}");
    }
    let server = node.server.as_mut().unwrap();
    (server.keys, server.offset) = (look.keys, look.offset);
    (server.link_up, server.link_down_ms) = (look.dead, look.linked.filter(|_| !look.dead));
    let own = server.id.clone();
    for entry in &mut server.known {
        if entry.id == own && !look.stranger {
            entry.replica_of = look.replica_of.map(id).filter(|id| *id != own);
            entry.slots = match entry.replica_of {
                Some(_) => SlotSet::default(),
                None => slots.clone(),
            };
        }
        if look.takes_for_failed.map(id).as_ref() == Some(&entry.id) && entry.id != own {
            (entry.failed, entry.connected) = (true, false);
        }
    }
    server
        .known
        .retain(|entry| entry.id == own || look.forgets.map(id).as_ref() != Some(&entry.id));
    if look.greets {
        server.known.push(Entry {
            id: "made-up".to_owned(),
            ip: "10.0.1.0".to_owned(),
            port: 6379,
            handshake: true,
            ..Entry::default()
        });
    }
    if !look.heard {
        node.server = None;
    }
    cluster
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let looks = prop::collection::vec(prop::option::weighted(0.6, any_look()), 6);
    (looks, any::<bool>()).prop_map(|(looks, formed)| {
        let mut cluster = whole();
        for (at, look) in looks.iter().enumerate() {
            if let Some(look) = look {
                cluster = looks_so(cluster, at, look);
            }
        }
        cluster.seen.formed = formed;
        cluster
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_is_seen_it_is_whole_or_something_is_done_or_waited_for(cluster in any_cluster()) {
        let plan = decide(cluster.wanted, &cluster.seen);
        let whole = why_not_whole(cluster.wanted, &cluster.seen).is_none();
        prop_assert!(whole || !plan.steps.is_empty() || plan.waiting_for.is_some());
    }

    #[test]
    fn no_plan_breaks_a_rule(cluster in any_cluster()) {
        let plan = decide(cluster.wanted, &cluster.seen);
        prop_assert_eq!(guard(&plan, &cluster.seen), Ok(()), "{:#?}", plan);
    }
}
