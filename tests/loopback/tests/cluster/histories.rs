//! Random histories: faults between any two steps; from wherever they lead it is whole again, with all keys
//! of which a copy is left.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::client::Client;
use crate::lab::Lab;
use crate::{Engine, on_all};

on_all!(from_whatever_happens_it_is_whole_again_with_all_keys);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn from_whatever_happens_it_is_whole_again_with_all_keys(engine: Engine) {
    let seeds = match number("HERA_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("HERA_FIRST").unwrap_or(1);
            first..first + number("HERA_CLUSTER_HISTORIES").unwrap_or(3)
        }
    };
    for seed in seeds {
        println!("seed {seed}");
        history(engine, seed).await;
    }
}

async fn history(engine: Engine, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let replicas = rng.random_range(1..=2);
    let mut lab = Lab::formed(engine, 3, replicas).await;
    lab.note(&format!("== seed {seed}"));
    let mut client = Client::default();
    for round in 0..4 {
        client.write(&lab, &format!("r{round}"), 40).await;
        for more in 0..rng.random_range(1..=4) {
            fault(&mut lab, &mut client, &mut rng).await;
            if rng.random_bool(0.4) {
                lab.note("== some keys are written");
                let name = format!("r{round}-{more}");
                client.write_some(&lab, &name, 12).await;
            }
            for _ in 0..rng.random_range(0..4) {
                // An operator that is stopped in the middle.
                let steps = rng.random_range(0..4);
                lab.pass(steps).await;
            }
        }
        for node in &mut lab.nodes {
            node.freeze(false);
            node.start();
        }
        lab.until_whole("faults end").await;
        if std::mem::take(&mut lab.chosen) {
            client.forget_what_few_have();
        }
        client.check(&lab).await;
    }
}

/// One fault. A copy goes for good only while another of its shard is whole, and none of that shard is away.
async fn fault(lab: &mut Lab, client: &mut Client, rng: &mut StdRng) {
    let at = rng.random_range(0..lab.nodes.len());
    let name = lab.nodes[at].name();
    match rng.random_range(0..9) {
        0 | 1 => {
            lab.note(&format!("== {name} is killed"));
            lab.nodes[at].kill();
        }
        2 => {
            lab.note(&format!("== {name} starts again"));
            lab.nodes[at].kill();
            lab.nodes[at].start();
        }
        3 => {
            lab.note(&format!("== {name} comes at another address"));
            lab.restart_elsewhere(at);
        }
        4 => {
            lab.note("== all come at other addresses");
            for at in 0..lab.nodes.len() {
                lab.restart_elsewhere(at);
            }
        }
        5 => {
            lab.note(&format!("== {name} freezes"));
            client.forget_what_few_have();
            lab.nodes[at].freeze(true);
        }
        6 if lab.may_lose(at).await => {
            lab.note(&format!("== {name} loses its nodes.conf"));
            lab.nodes[at].kill();
            lab.nodes[at].lose("nodes.conf");
            lab.nodes[at].start();
        }
        7 if lab.may_lose(at).await => {
            lab.note(&format!("== {name} loses its volume"));
            lab.nodes[at].kill();
            lab.nodes[at].lose_volume();
            lab.nodes[at].start();
        }
        8 => {
            let by = rng.random_range(1..lab.nodes.len());
            lab.note(&format!(
                "== each comes at the address of another, {by} further"
            ));
            lab.exchange_addresses(by, |_| {});
        }
        _ => {}
    }
}
