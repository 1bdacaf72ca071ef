//! What a pass over a Redis Cluster costs the operator: what the agents tell is read, and a plan is made, with
//! every server heard and one primary dead. `cargo bench -p hera-core --bench cluster`

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use hera_core::agent::ClusterState;
use hera_core::cluster::{Entry, Node, Observation, Server, SlotSet, Wanted, decide};
use hera_core::digest::sha256_hex;
use hera_core::shard::Target;

const RUNS: usize = 3;
/// Shards, and the target of a plan.
const SIZES: [(u32, &str); 3] = [(3, "–"), (64, "≤ 5 ms"), (500, "–")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("| shards of two | read | plan | target of the plan |\n| --- | --- | --- | --- |");
    for (shards, target) in SIZES {
        let seen = with_a_dead_primary(shards);
        let wanted = Wanted {
            shards,
            replicas: 1,
        };
        let told: Result<Vec<String>, _> = seen.nodes.iter().map(as_told).collect();
        let told = told?;
        let read = median(|| {
            for text in &told {
                black_box(serde_json::from_str::<ClusterState>(text)).ok();
            }
        });
        let plan = median(|| {
            black_box(decide(wanted, black_box(&seen)));
        });
        println!("| {shards} | {read:?} | {plan:?} | {target} |");
    }
    Ok(())
}

fn as_told(node: &Node) -> Result<String, serde_json::Error> {
    serde_json::to_string(&ClusterState {
        id: node.last_id.clone(),
        server: node.server.clone(),
        ..ClusterState::default()
    })
}

fn median(mut what: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let since = Instant::now();
            what();
            since.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(RUNS / 2).copied().unwrap_or_default()
}

/// As random as those of servers.
fn id(shard: u32, ordinal: u32) -> String {
    let mut id = sha256_hex(format!("{shard} {ordinal}").as_bytes());
    id.truncate(40);
    id
}

fn with_a_dead_primary(shards: u32) -> Observation {
    let places = (0..shards).flat_map(|shard| [(shard, 0), (shard, 1)]);
    let slots = SlotSet::even(shards);
    let known: Vec<Entry> = places
        .clone()
        .map(|(shard, ordinal)| Entry {
            id: id(shard, ordinal),
            ip: format!("10.{}.{}.{ordinal}", shard / 250, shard % 250),
            port: 6379,
            replica_of: (ordinal > 0).then(|| id(shard, 0)),
            connected: true,
            config_epoch: u64::from(shard) + 1,
            slots: match ordinal {
                0 => slots.get(shard as usize).cloned().unwrap_or_default(),
                _ => SlotSet::default(),
            },
            ..Entry::default()
        })
        .collect();
    let node = |((shard, ordinal), entry): ((u32, u32), &Entry)| {
        let is_dead = (shard, ordinal) == (0, 0);
        let server = Server {
            id: entry.id.clone(),
            keys: 1_000_000,
            offset: 1_000,
            connects_to: None,
            link_up: ordinal > 0 && shard > 0,
            link_down_ms: (ordinal > 0 && shard == 0).then_some(0),
            serves: true,
            current_epoch: u64::from(shards),
            known: known.clone(),
            ..Server::default()
        };
        let name = format!("cache-shard-{shard}-{ordinal}");
        Node {
            shard,
            ordinal,
            pod: Target {
                name: name.clone(),
                uid: name,
            },
            ip: entry.ip.clone(),
            port: entry.port,
            last_id: Some(entry.id.clone()),
            server: (!is_dead).then_some(server),
            dead_since_ms: is_dead.then_some(1_000),
            ..Node::default()
        }
    };
    Observation {
        nodes: places.zip(&known).map(node).collect(),
        formed: true,
        now_ms: 1_000,
    }
}
