//! What people are shown of a cluster.

use hera_core::agent::{AgentStatus, Link, Role};
use hera_core::cluster::{
    ClusterView, Direction, Entry, Node, Observation, OpenSlot, Server, SlotSet, Wanted,
};
use hera_core::shard::{AgentView, Member, PodView, Target};

use crate::statuses::status;

fn member(ordinal: u32, follows: Option<&str>) -> Member {
    let told = AgentStatus {
        role: if follows.is_some() {
            Role::Replica
        } else {
            Role::Primary
        },
        link: follows.map(|host| Link {
            host: host.to_owned(),
            port: 6379,
            up: true,
            syncing: false,
            quiet: false,
        }),
        ..status("")
    };
    Member {
        ordinal,
        pod: Some(PodView {
            name: format!("cart-shard-0-{ordinal}"),
            ip: Some(format!("10.0.0.{ordinal}")),
            ..PodView::default()
        }),
        agent: AgentView::Connected(Box::new(told)),
        ..Member::default()
    }
}

fn node(ordinal: u32, own: Entry, offset: u64) -> Node {
    Node {
        ordinal,
        pod: Target {
            name: format!("cart-shard-0-{ordinal}"),
            ..Target::default()
        },
        server: Some(Server {
            id: own.id.clone(),
            keys: 5,
            offset,
            serves: true,
            known: vec![own],
            ..Server::default()
        }),
        ..Node::default()
    }
}

fn seen() -> Observation {
    let primary = Entry {
        id: "aa".to_owned(),
        slots: SlotSet::of([(0, 99)]),
        open_slots: ["[7->-bb]", "[8-<-cc]", "?"].map(str::to_owned).to_vec(),
        ..Entry::default()
    };
    let replica = Entry {
        id: "bb".to_owned(),
        replica_of: Some("aa".to_owned()),
        ..Entry::default()
    };
    Observation {
        nodes: vec![node(0, primary, 90), node(1, replica, 70)],
        ..Observation::default()
    }
}

const WANTED: Wanted = Wanted {
    shards: 1,
    replicas: 1,
};

#[test]
fn a_replica_is_as_far_behind_as_the_offsets_of_the_two_say() {
    let shards = [vec![member(0, None), member(1, Some("10.0.0.0"))]];
    let view = ClusterView::of(WANTED, &shards, &[], &seen());
    let link = view.shards[0].pods[1].link.clone().unwrap();
    assert_eq!(
        (link.follows.as_str(), link.lag_bytes),
        ("cart-shard-0-0", Some(20))
    );
    assert_eq!(view.shards[0].pods[1].keys, Some(5));
}

#[test]
fn slots_that_move_name_the_pod_of_the_other_where_it_is_heard() {
    let view = ClusterView::of(WANTED, &[vec![member(0, None)]], &[], &seen());
    let server = &view.shards[0].servers[0];
    assert_eq!(server.slots, "0-99");
    let open = |slot, moves, peer: &str| OpenSlot {
        slot,
        moves,
        peer: peer.to_owned(),
    };
    let expected = [
        open(7, Direction::Out, "cart-shard-0-1"),
        open(8, Direction::In, "cc"),
    ];
    assert_eq!(server.open_slots, expected);
    assert!(view.lacks.is_some(), "it has a hundred slots");
}

#[test]
fn a_cluster_without_pods_lacks_nothing() {
    let view = ClusterView::of(WANTED, &[Vec::new()], &[], &Observation::default());
    assert_eq!(view, ClusterView::default());
}
