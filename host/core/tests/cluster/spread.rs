//! Where primaries are, and when one is led away.

use hera_core::cluster::{drift, together};
use hera_core::shard::{Member, PodsWanted, Shard};
use proptest::prelude::*;

use crate::pods::{member, out_of_sync, shard, wanted};

/// A copy at a node of a zone, in sync with that of ordinal 0, or leading.
fn at(ordinal: u32, node: &str, zone: &str) -> Member {
    let mut member = member(ordinal, 0, "new");
    let pod = member.pod.as_mut().unwrap();
    pod.name = format!("on-{node}-{ordinal}");
    pod.node = Some(node.to_owned());
    pod.zone = (!zone.is_empty()).then(|| zone.to_owned());
    member
}

/// Each shard's primary and its replica, by node; the zone of `n1` is `z1`.
fn cluster(places: &[(&str, &str)]) -> Vec<Vec<Member>> {
    let zone = |node: &str| node.replace('n', "z");
    let both = |(primary, replica): &(&str, &str)| {
        vec![
            at(0, primary, &zone(primary)),
            at(1, replica, &zone(replica)),
        ]
    };
    places.iter().map(both).collect()
}

fn shards<'a>(wanted: &'a PodsWanted, all: &'a [Vec<Member>]) -> Vec<Shard<'a>> {
    all.iter()
        .map(|members| shard(wanted, members, Some(0)))
        .collect()
}

fn said(wanted: &PodsWanted, all: &[Vec<Member>]) -> Option<String> {
    let drift = drift(&shards(wanted, all))?;
    let (from, to) = (drift.from.name(), drift.to.name());
    Some(format!("{from} to {to}: {}", drift.reason))
}

#[test]
fn a_zone_with_most_of_the_primaries_gives_one_to_a_zone_with_few() {
    let two = wanted(2);
    let even = cluster(&[("n1", "n2"), ("n2", "n3"), ("n3", "n1")]);
    assert_eq!(said(&two, &even), None);
    let crowded = cluster(&[("n1", "n2"), ("n2", "n1"), ("n1", "n3")]);
    assert_eq!(
        said(&two, &crowded).as_deref(),
        Some("on-n1-0 to on-n3-1: zone z1 has 2 of 3 primaries")
    );
}

#[test]
fn without_zones_nodes_count_and_two_of_them_are_too_few() {
    let two = wanted(2);
    let mut crowded = cluster(&[("n1", "n2"), ("n2", "n1"), ("n1", "n3")]);
    for member in crowded.iter_mut().flatten() {
        member.pod.as_mut().unwrap().zone = None;
    }
    assert_eq!(
        said(&two, &crowded).as_deref(),
        Some("on-n1-0 to on-n3-1: node n1 has 2 of 3 primaries")
    );
    let few = cluster(&[("n1", "n2"), ("n2", "n1"), ("n1", "n2")]);
    assert_eq!(said(&two, &few), None);
}

#[test]
fn nobody_is_led_away_to_who_is_not_in_sync_or_while_somebody_is_asked_first() {
    let two = wanted(2);
    let places = [("n1", "n2"), ("n2", "n1"), ("n1", "n3")];
    let mut behind = cluster(&places);
    let replica = behind[2].remove(1);
    behind[2].push(out_of_sync(replica));
    // The other would only make another zone the crowded one.
    assert_eq!(said(&two, &behind), None);
    let mut homeless = cluster(&places);
    homeless[1][1].pod.as_mut().unwrap().node = None;
    homeless[1][1].pod.as_mut().unwrap().zone = None;
    assert_eq!(said(&two, &homeless), None);
    let hold = |change: fn(&mut PodsWanted)| {
        let mut wanted = wanted(2);
        change(&mut wanted);
        said(&wanted, &cluster(&places))
    };
    assert_eq!(hold(|wanted| wanted.supervised = true), None);
    assert_eq!(hold(|wanted| wanted.paused = true), None);
}

/// P26.
#[test]
fn copies_on_one_node_are_told() {
    let two = wanted(2);
    let all = cluster(&[("n1", "n2"), ("n2", "n2"), ("n1", "n3")]);
    assert_eq!(together(&shards(&two, &all)), [1]);
}

proptest! {
    /// Switch after switch it comes to an end, and each leaves fewer primaries where most were.
    #[test]
    fn drift_ends(places in prop::collection::vec((0_usize..5, 0_usize..5), 3..9)) {
        let names = ["n1", "n2", "n3", "n4", "n5"];
        let mut places: Vec<_> = places.iter().map(|(a, b)| (names[*a], names[*b])).collect();
        let two = wanted(2);
        let most = |places: &[(&str, &str)]| {
            let count = |name: &&str| places.iter().filter(|(primary, _)| primary == name).count();
            names.iter().map(count).max().unwrap()
        };
        for _ in 0..places.len() {
            let all = cluster(&places);
            let shards = shards(&two, &all);
            let Some(found) = drift(&shards) else { return Ok(()) };
            let moved = shards
                .iter()
                .position(|shard| shard.primary.is_some_and(|primary| std::ptr::eq(primary, found.from)));
            let before = most(&places);
            let (primary, replica) = places[moved.unwrap()];
            places[moved.unwrap()] = (replica, primary);
            prop_assert!(most(&places) < before);
        }
        prop_assert!(false, "it never ends");
    }
}
