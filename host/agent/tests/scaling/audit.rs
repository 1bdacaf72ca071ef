//! What a cluster at rest has: each slot once, each key once and with its owner, and all agree.

use std::process::Command;

use futures::StreamExt as _;
use futures::stream;
use hera_core::cluster::{SLOTS, Server, SlotSet};
use hera_redis::Probe;

use crate::fleet::{Fleet, ROOT};
use crate::sender::connect;
use crate::slots::each;
use crate::wait::until;

/// Commands that are under way at once.
const UNDER_WAY: usize = 256;

/// Waits until the servers have deleted what they gave away, which some do later, and holds what is there
/// against so many keys.
pub async fn audit(fleet: &mut Fleet, keys: u64) {
    slots_are_owned_once(fleet).await;
    let mut all = 0;
    for shard in shards(fleet) {
        all += keys_of(fleet, shard).await;
    }
    assert_eq!(all, keys, "keys in all\n{}", fleet.journal());
    clean(fleet).unwrap();
}

fn shards(fleet: &Fleet) -> Vec<u32> {
    let mut shards: Vec<u32> = fleet.pods.iter().map(|placed| placed.shard).collect();
    shards.dedup();
    shards
}

/// By every server's word, and none is half moved.
async fn slots_are_owned_once(fleet: &mut Fleet) {
    let seen = fleet.observe(true).await;
    for node in &seen.nodes {
        let server: &Server = node.server.as_ref().unwrap();
        let mut owned = SlotSet::default();
        for entry in &server.known {
            assert!(entry.slots.shared(&owned).is_empty(), "{server:#?}");
            assert!(entry.open_slots.is_empty(), "{server:#?}");
            owned = owned.with(&entry.slots);
        }
        assert_eq!(owned.len(), usize::from(SLOTS), "{server:#?}");
        assert_eq!(server.known.len(), seen.nodes.len(), "{server:#?}");
    }
}

/// How many keys a shard has: the same at each of its servers, and all of slots that are its own.
async fn keys_of(fleet: &mut Fleet, shard: u32) -> u64 {
    let primary = fleet.primary(shard).await;
    let of_shard = fleet.pods.iter().enumerate();
    let of_shard = of_shard.filter(|(_, placed)| placed.shard == shard);
    let own = &fleet.pods[primary];
    let server = connect(&own.address(), ROOT).await.unwrap();
    let Probe::Info(info) = server.probe().await.unwrap() else {
        panic!("the server is busy");
    };
    let slots = server.cluster(&info).await.unwrap().slots();
    let (mut others, name) = (Vec::new(), own.name());
    for (at, placed) in of_shard {
        if at != primary {
            others.push(connect(&placed.address(), ROOT).await.unwrap());
        }
    }
    until(&format!("the keys of {name} are its own"), async || {
        let counts = stream::iter(each(&slots)).map(|slot| count(&server, slot));
        let counts: Vec<u64> = counts.buffer_unordered(UNDER_WAY).collect().await;
        let counted: u64 = counts.iter().sum();
        let mut has = vec![keys(&server).await];
        for other in &others {
            has.push(keys(other).await);
        }
        match has.iter().all(|keys| *keys == counted) {
            true => Ok(counted),
            false => Err(format!(
                "{counted} of its slots; it and its replicas have {has:?}"
            )),
        }
    })
    .await
}

async fn count(server: &hera_redis::Server, slot: u16) -> u64 {
    let mut command = hera_redis::command("CLUSTER");
    command.arg("COUNTKEYSINSLOT").arg(slot);
    server.ask("COUNTKEYSINSLOT", &command).await.unwrap()
}

/// All keys, also of slots that are another's.
async fn keys(server: &hera_redis::Server) -> u64 {
    match server.probe().await.unwrap() {
        Probe::Info(info) => info.keys,
        Probe::Refused(answer) => panic!("{answer:?}"),
    }
}

/// What the server's own tool says, if it finds nothing wrong.
///
/// # Errors
/// What it says, if it does.
pub fn clean(fleet: &Fleet) -> Result<String, String> {
    let said = tool(fleet, "check", &[]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let good = ["All nodes agree about slots", "All 16384 slots covered"];
    let is_good = good.iter().all(|words| text.contains(words)) && !text.contains("[WARNING]");
    match said.status.success() && is_good {
        true => Ok(text.into_owned()),
        false => Err(text.into_owned()),
    }
}

/// The server's own tool, asked about the cluster.
pub fn tool(fleet: &Fleet, verb: &str, more: &[&str]) -> Command {
    let engine = fleet.case.engine;
    let program = engine
        .program()
        .with_file_name(format!("{}-cli", engine.name));
    let (ip, port) = fleet.pods[0].address();
    let mut command = Command::new(program);
    command
        .args(["--user", ROOT, "--pass", ROOT, "--no-auth-warning"])
        .args(["--cluster", verb, &format!("{ip}:{port}")])
        .args(more);
    command
}
