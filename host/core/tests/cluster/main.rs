//! The decision about a Redis Cluster, as stories and as properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod fences;
mod fixtures;
mod pods;
mod properties;
mod spread;
mod statuses;
mod view;

use hera_core::cluster::{Command, Failover, Held, Server, SlotSet, guard, why_not_whole};

use fixtures::{Cluster, whole};

fn steps(cluster: &Cluster) -> Vec<String> {
    let plan = cluster.plan();
    guard(&plan, &cluster.seen).unwrap();
    plan.steps.iter().map(ToString::to_string).collect()
}

fn waits(cluster: &Cluster) -> String {
    cluster.plan().waiting_for.unwrap_or_default()
}

#[test]
fn nothing_is_done_to_a_cluster_that_is_whole() {
    let cluster = whole();
    assert_eq!(why_not_whole(cluster.wanted, &cluster.seen), None);
    assert_eq!(cluster.plan(), hera_core::cluster::Plan::default());
}

/// P30: each step is taken once, and begun anew from wherever it stopped.
#[test]
fn a_new_cluster_waits_for_all_pods_and_begins_with_epochs_and_slots() {
    let new = fixtures::new();
    assert_eq!(
        steps(&new),
        [
            "pod-0-0: epoch 1",
            "pod-0-0: slots 0-5460",
            "pod-1-0: epoch 2",
            "pod-1-0: slots 5461-10921",
            "pod-2-0: epoch 3",
            "pod-2-0: slots 10922-16383",
        ]
    );
    let one_is_missing = new.unheard(5);
    assert!(steps(&one_is_missing).is_empty());
    assert!(waits(&one_is_missing).contains("pod-2-1 is not"));
    let stopped = fixtures::new().change(|seen| {
        let first = seen.nodes[0].server.as_mut().unwrap();
        (first.current_epoch, first.known[0].config_epoch) = (1, 1);
        first.known[0].slots = SlotSet::even(3)[0].clone();
    });
    let rest = steps(&stopped);
    assert!(
        rest.contains(&"pod-1-0: slots 5461-10921".to_owned())
            && !rest.iter().any(|step| step.starts_with("pod-0-0: slots")),
        "{rest:?}"
    );
}

/// P01, P02: a key forbids it, and so does what the status says.
#[test]
fn nothing_is_formed_of_servers_with_keys_or_anew() {
    let forms = |cluster: &Cluster| {
        let is_formation = |step: &String| step.contains("epoch") || step.contains("slots");
        steps(cluster).iter().any(is_formation)
    };
    assert!(forms(&fixtures::new()));
    let keys = fixtures::new().change(|seen| {
        seen.nodes[4].server.as_mut().unwrap().keys = 1;
    });
    let first = steps(&keys);
    assert!(
        !first.iter().any(|step| step.contains("slots")),
        "{first:?}"
    );
    let one_is_missing = whole().dead(0).change(|seen| {
        for node in &mut seen.nodes {
            if let Some(server) = &mut node.server {
                server.keys = 0;
            }
        }
    });
    assert!(!forms(&one_is_missing));
}

/// Without persistence, and with every pod gone at once, nothing is left that could be lost.
#[test]
fn a_cluster_of_which_nothing_is_left_begins_anew() {
    let formed = |keys: u64| {
        fixtures::new().change(|seen| {
            seen.formed = true;
            seen.nodes[4].server.as_mut().unwrap().keys = keys;
        })
    };
    assert_eq!(steps(&formed(0)), steps(&fixtures::new()));
    let begun = formed(0).change(|seen| {
        let even = SlotSet::even(3);
        for (node, slots) in seen.nodes.iter_mut().step_by(2).zip(even) {
            let server = node.server.as_mut().unwrap();
            server.known[0].slots = slots;
        }
    });
    let met = steps(&begun);
    for pod in ["pod-0-0", "pod-1-0", "pod-2-0"] {
        let introduced = met.iter().any(|step| step.starts_with(pod));
        assert!(introduced, "{met:?} {}", waits(&begun));
    }
    assert!(!steps(&formed(1)).iter().any(|step| step.contains("slots")));
    assert!(
        !steps(&formed(0).unheard(5))
            .iter()
            .any(|step| step.contains("slots"))
    );
}

/// Slot 6000 moves from the second shard to the first, which was asked before it had it, and the second after that.
fn taken_in_between(takes: impl FnOnce(&mut Server)) -> Cluster {
    let slot = SlotSet::of([(6_000, 6_000)]);
    whole().change(|seen| {
        let known = |server: &mut Server, id: &str, change: &dyn Fn(&SlotSet) -> SlotSet| {
            let entry = server.known.iter_mut().find(|entry| entry.id == id);
            let slots = &mut entry.unwrap().slots;
            *slots = change(slots);
        };
        // Whom the second shard told so before the first took it: it is nobody's there.
        for node in &mut seen.nodes {
            let server = node.server.as_mut().unwrap();
            if node.shard > 0 {
                known(server, "id-1-0", &|slots| slots.without(&slot));
            }
            if server.id == "id-1-0" {
                known(server, "id-0-0", &|slots| slots.with(&slot));
            }
        }
        takes(seen.nodes[0].server.as_mut().unwrap());
    })
}

#[test]
fn a_slot_whose_taker_was_asked_before_it_had_it_is_given_to_nobody() {
    let knew_the_source = taken_in_between(|_| {});
    assert_eq!(steps(&knew_the_source), [""; 0]);
    let took_it = taken_in_between(|server| {
        let open = "[6000-<-id-1-0]".to_owned();
        for entry in &mut server.known {
            entry.slots = entry.slots.without(&SlotSet::of([(6_000, 6_000)]));
            if entry.id == "id-0-0" {
                entry.open_slots.push(open.clone());
            }
        }
    });
    let given = steps(&took_it);
    assert!(
        !given.iter().any(|step| step.contains("slots")),
        "{given:?}"
    );
}

#[test]
fn a_slot_that_its_owner_gave_up_by_hand_is_given_out_again_whatever_others_remember() {
    let slot = SlotSet::of([(6_000, 6_000)]);
    let given_up = whole().change(|seen| {
        let server = seen.nodes[2].server.as_mut().unwrap();
        let own = server.known.iter_mut().find(|entry| entry.id == "id-1-0");
        let slots = &mut own.unwrap().slots;
        *slots = slots.without(&slot);
    });
    assert_eq!(steps(&given_up), ["pod-1-0: slots 6000"]);
}

#[test]
fn an_owner_of_slots_gets_an_epoch_of_its_own() {
    let without = whole().change(|seen| {
        for server in seen
            .nodes
            .iter_mut()
            .filter_map(|node| node.server.as_mut())
        {
            let entry = server.known.iter_mut().find(|entry| entry.id == "id-1-0");
            entry.unwrap().config_epoch = 0;
        }
    });
    assert_eq!(steps(&without), ["pod-1-0: a later epoch"]);
}

#[test]
fn the_furthest_replica_takes_over_once_all_who_vote_know_it() {
    let dead = whole().dead(0);
    assert_eq!(steps(&dead), ["pod-0-1: take over (Force)"]);
    let unknown = dead.change(|seen| {
        let server = seen.nodes[2].server.as_mut().unwrap();
        let entry = server.known.iter_mut().find(|entry| entry.id == "id-0-1");
        entry.unwrap().replica_of = None;
    });
    assert!(steps(&unknown).is_empty());
    assert!(waits(&unknown).contains("once pod-1-0 knows it as a replica"));
    // A vote that came to nothing is stuck for four node timeouts (redis-facts §0.2).
    let in_vain = whole().dead(0).change(|seen| {
        seen.nodes[1].asked_for_votes_ms = Some(1_000);
        seen.now_ms = 1_301;
    });
    assert_eq!(steps(&in_vain), ["pod-0-1: take over (Takeover)"]);
}

#[test]
fn without_proof_the_cluster_votes_and_nobody_orders() {
    let silent = whole().unheard(0);
    assert!(steps(&silent).is_empty());
    assert!(waits(&silent).contains("nothing proves that it is dead"));
}

/// P22.
#[test]
fn where_most_primaries_are_dead_replicas_take_over_by_themselves() {
    let dead = whole().dead(0).dead(2);
    let how = Failover::Takeover;
    let took = dead
        .plan()
        .steps
        .iter()
        .filter(
            |step| matches!(&step.command, Command::Failover { how: found, .. } if *found == how),
        )
        .count();
    assert_eq!(took, 2);
    let one_may_live = whole().dead(0).unheard(2);
    assert!(steps(&one_may_live).is_empty());
    assert!(
        waits(&one_may_live).contains("not all of them are known to be dead")
            || waits(&one_may_live).contains("nothing proves")
    );
}

#[test]
fn who_has_another_address_is_met_there_and_nobody_else() {
    let moved = whole().change(|seen| seen.nodes[3].ip = "10.0.9.9".to_owned());
    let met = steps(&moved);
    assert_eq!(met.len(), 5);
    assert!(
        met.iter().all(|step| step.ends_with("meet 10.0.9.9:6379")),
        "{met:?}"
    );
}

/// P24: who leads is what servers say; the first pod of a shard is none's master by its name.
#[test]
fn p24_a_shard_that_its_second_pod_leads_is_as_good_as_any() {
    let turned = whole().change(|seen| {
        let slots = SlotSet::even(3)[0].clone();
        for server in seen.nodes.iter_mut().filter_map(|n| n.server.as_mut()) {
            for entry in &mut server.known {
                match entry.id.as_str() {
                    "id-0-0" => {
                        entry.replica_of = Some("id-0-1".to_owned());
                        entry.slots = SlotSet::default();
                    }
                    "id-0-1" => {
                        entry.replica_of = None;
                        entry.slots = slots.clone();
                        entry.config_epoch = 9;
                    }
                    _ => {}
                }
            }
        }
        seen.nodes[0].server.as_mut().unwrap().link_up = true;
        seen.nodes[1].server.as_mut().unwrap().link_up = false;
    });
    assert_eq!(steps(&turned), Vec::<String>::new(), "{}", waits(&turned));
    assert_eq!(why_not_whole(turned.wanted, &turned.seen), None);
}

/// P23: by its id it is a stranger, and it joins as a replica. P25: its old id is forgotten only then, and by
/// all.
#[test]
fn a_pod_that_lost_its_volume_joins_as_a_replica_and_its_old_id_is_forgotten() {
    let empty = whole().stranger(1, 0, SlotSet::default());
    assert!(
        steps(&empty)
            .iter()
            .any(|step| step.starts_with("pod-0-1: meet"))
    );
    let met = empty.acquainted(1);
    assert_eq!(steps(&met), ["pod-0-1: replicate id-0-0"]);
    let follows = met.follows(1, "id-0-0");
    let forgets = steps(&follows);
    assert!(
        !forgets.is_empty() && forgets.iter().all(|step| step.ends_with("forget id-0-1")),
        "{forgets:?}"
    );
}

/// An earlier epoch would have its keys deleted by who knows the old owner.
#[test]
fn the_only_copy_that_lost_its_nodes_conf_gets_its_slots_under_a_later_epoch_before_it_is_met() {
    let own = SlotSet::of([(1, 1), (7, 7)]);
    let silent = whole().stranger(0, 2, own).dead(1);
    assert!(steps(&silent).is_empty());
    assert!(
        waits(&silent).contains("pod-0-1, which may have a later copy than pod-0-0"),
        "{}",
        waits(&silent)
    );
    let only = silent.change(|seen| seen.nodes[1].held = Some(Held::default()));
    let taken = steps(&only);
    assert_eq!(taken[0], "pod-0-0: epoch 4");
    assert!(taken[1].starts_with("pod-0-0: slots 0 2-6 8-"), "{taken:?}");
    assert_eq!(taken.len(), 2);
}

#[test]
fn of_two_copies_that_know_nothing_of_the_cluster_none_is_given_up() {
    let own = || SlotSet::of([(1, 1)]);
    let both = whole().stranger(0, 2, own()).stranger(1, 2, own());
    assert!(steps(&both).is_empty(), "{:?}", steps(&both));
    assert!(waits(&both).contains("before somebody says which is right"));
}

/// Of two with one epoch, one takes a later one than all others, and so wins the slots of which it has an old
/// copy: their owner deletes the keys (seeds 31, 46 and 49 on real servers).
#[test]
fn old_copies_of_what_another_serves_join_one_after_the_other() {
    let copy = |slot| SlotSet::of([(slot, slot)]);
    let both = whole().stranger(1, 9, copy(3)).stranger(3, 9, copy(6_000));
    let about = |steps: &[String], name: &str| steps.iter().any(|step| step.contains(name));
    let first = steps(&both);
    assert!(about(&first, "pod-0-1: meet"), "{first:?}");
    assert!(!about(&first, "pod-1-1"), "{first:?}");
    let met = both.acquainted(1);
    let second = steps(&met);
    assert!(!about(&second, "pod-1-1"), "{second:?}");
    assert!(waits(&met).contains("pod-1-1 joins once pod-0-1 has"));
    let joined = met.follows(1, "id-0-0");
    assert!(about(&steps(&joined), "pod-1-1: meet"));
}

/// The operator stopped after the first introduction, or the one that joins starts again: both would know the
/// others at once (seed 1 of the histories in which addresses are exchanged, on real servers).
#[test]
fn who_is_met_already_joins_before_any_other() {
    let copy = |slot| SlotSet::of([(slot, slot)]);
    let both = || whole().stranger(1, 9, copy(3)).stranger(3, 9, copy(6_000));
    let about = |steps: &[String], name: &str| steps.iter().any(|step| step.contains(name));
    let second = both().change(|seen| {
        let (ip, port) = (seen.nodes[3].ip.clone(), seen.nodes[3].port);
        let greeted = hera_core::cluster::Entry {
            id: "made-up".to_owned(),
            handshake: true,
            ip,
            port,
            ..Default::default()
        };
        seen.nodes[0].server.as_mut().unwrap().known.push(greeted);
    });
    assert!(
        about(&steps(&second), "pod-1-1: meet"),
        "{:?}",
        steps(&second)
    );
    assert!(!about(&steps(&second), "pod-0-1: meet"));
    assert!(waits(&second).contains("pod-0-1 joins once pod-1-1 has"));
    let first = both().acquainted(1).change(|seen| {
        let node = &mut seen.nodes[1];
        node.last_id = node.server.take().map(|server| server.id);
    });
    assert!(
        !about(&steps(&first), "pod-1-1: meet"),
        "{:?}",
        steps(&first)
    );
    let gone = first.change(|seen| {
        let id = seen.nodes[1].last_id.clone().unwrap();
        for server in seen.nodes.iter_mut().filter_map(|n| n.server.as_mut()) {
            for entry in server.known.iter_mut().filter(|entry| entry.id == id) {
                entry.failed = true;
            }
        }
    });
    assert!(
        about(&steps(&gone), "pod-1-1: meet"),
        "{:?} {}",
        steps(&gone),
        waits(&gone)
    );
}

/// P20, P29: whichever of two clusters has the later epoch takes the other's slots (redis-facts §0.9).
#[test]
fn servers_of_another_cluster_are_not_introduced() {
    let other = |seen: &mut hera_core::cluster::Observation| {
        for at in [4, 5] {
            let server = seen.nodes[at].server.as_mut().unwrap();
            let neighbour = hera_core::cluster::Entry {
                id: "elsewhere".to_owned(),
                ip: "10.7.7.7".to_owned(),
                port: 6379,
                ..Default::default()
            };
            server.known.push(neighbour);
        }
    };
    let slots = || SlotSet::even(3)[2].clone();
    let foreign = whole()
        .stranger(4, 9, slots())
        .stranger(5, 9, slots())
        .change(other);
    assert!(steps(&foreign).is_empty(), "{:?}", steps(&foreign));
    assert!(waits(&foreign).contains("of another cluster"));
}

/// Addresses go round: a link that stands while the primary is dead is to somebody else, whose keys the replica
/// has taken in.
#[test]
fn a_replica_that_is_fed_by_who_has_its_primarys_address_takes_over_nothing() {
    let dead = whole().dead(0).change(|seen| {
        seen.nodes[0].held = Some(Held {
            has_data: true,
            ..Held::default()
        });
        let replica = seen.nodes[1].server.as_mut().unwrap();
        (replica.link_up, replica.link_down_ms) = (true, None);
    });
    assert_eq!(steps(&dead), ["pod-0-0: start"]);
}

#[test]
fn nobody_starts_at_an_address_that_the_last_copy_of_another_shard_follows() {
    let held = || {
        Some(Held {
            has_data: true,
            ..Held::default()
        })
    };
    let moved = whole().dead(0).dead(2).change(|seen| {
        seen.nodes[2].held = held();
        seen.nodes[2].ip = "10.0.0.0".to_owned();
        let replica = seen.nodes[1].server.as_mut().unwrap();
        replica.connects_to = Some(("10.0.0.0".to_owned(), 6379));
        // It was away, and heard nothing to the end.
        replica.link_down_ms = Some(900_000);
        seen.nodes[3].server.as_mut().unwrap().link_down_ms = Some(900_000);
    });
    let starts = |cluster: &Cluster| steps(cluster).contains(&"pod-1-0: start".to_owned());
    assert!(!starts(&moved), "{:?}", steps(&moved));
    assert!(waits(&moved).contains("last copy"), "{}", waits(&moved));
    let there = moved.change(|seen| seen.nodes[0].held = held());
    assert!(starts(&there), "{:?} {}", steps(&there), waits(&there));
}

/// Valkey 8.1: an update about itself comes late, and a replica takes itself for a primary from then on. Redis: a
/// copy died while it joined. Either has keys, so that it can be told to follow nobody.
#[test]
fn a_replica_that_takes_itself_for_a_primary_joins_as_another() {
    let left = whole().change(|seen| {
        for node in &mut seen.nodes {
            let known = node.server.iter_mut().flat_map(|server| &mut server.known);
            for entry in known.filter(|entry| entry.id == "id-1-1") {
                entry.replica_of = None;
            }
        }
    });
    assert_eq!(steps(&left), ["pod-1-1: join as another"]);
    let died = left.clone().change(|seen| {
        let server = seen.nodes[3].server.as_mut().unwrap();
        server.link_up = false;
        let mut known = server.known.iter_mut();
        let own = known.find(|entry| entry.id == "id-1-1").unwrap();
        own.open_slots = vec!["[52-<-id-1-0]".to_owned()];
    });
    assert_eq!(steps(&died), ["pod-1-1: join as another"]);
    let emptied = left.clone().change(|seen| {
        let server = seen.nodes[2].server.as_mut().unwrap();
        server.keys = 0;
    });
    assert!(steps(&emptied).is_empty(), "{:?}", steps(&emptied));
    assert!(waits(&emptied).contains("its copy is left alone"));
    // Its shard is led by nobody who is heard: what it has may be all that is left.
    let alone = left.unheard(2);
    let joins = |cluster: &Cluster| steps(cluster).iter().any(|step| step.contains("join"));
    assert!(!joins(&alone), "{:?}", steps(&alone));
}
