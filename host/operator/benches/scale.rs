//! What many instances cost the operator, beside the targets: time until all are at rest, passes, requests
//! and memory on the way, and what it does when nothing happens. Agents follow a script and the API server
//! is in memory, so that neither is the limit. `cargo bench --workspace --bench scale`; with `-- 100` that many
//! alone
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../tests/in_memory/api_server/mod.rs"]
mod api_server;
#[path = "../tests/in_memory/cluster/mod.rs"]
mod cluster;

use api_server::{Operator, Request, SHOP, condition};
use cluster::Cluster;

const COUNTS: [usize; 3] = [1, 100, 500];
/// Longer than an object that is not at rest is left alone, twice.
const IDLE: Duration = Duration::from_secs(35);
/// An operator that asks nothing for as long has seen to all news.
const QUIET: Duration = Duration::from_secs(2);
/// Nobody waits longer for a figure.
const LIMIT: Duration = Duration::from_secs(900);

#[derive(Clone, Copy)]
enum What {
    Serving,
    Hibernated,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Hibernated => "hibernated",
        }
    }

    fn annotations(self) -> Value {
        match self {
            Self::Serving => json!({}),
            Self::Hibernated => json!({"cache.hera.io/hibernate": "true"}),
        }
    }

    fn is_there(self, object: &Value) -> bool {
        let reason = |type_| condition(object, type_).map(|c| c["reason"].clone());
        match self {
            Self::Serving => {
                reason("Ready") == Some(json!("Serving"))
                    && reason("Progressing") == Some(json!("Settled"))
            }
            Self::Hibernated => object["status"]["phase"] == "Hibernated",
        }
    }
}

/// Of the operator's process so far.
struct Usage {
    cpu: Duration,
    resident_mib: u64,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // After the name in brackets; the kernel counts in hundredths of a second.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.unwrap().split_whitespace().next().unwrap();
        Self {
            cpu: Duration::from_millis((ticks(11) + ticks(12)) * 10),
            resident_mib: kib.parse::<u64>().unwrap() / 1024,
        }
    }
}

/// Each pass lists the pods once.
fn is_pass(asked: &Request) -> bool {
    asked.verb == "list" && asked.plural == "pods" && asked.namespace == SHOP
}

/// About instances; the Lease is renewed all the time.
fn is_about(asked: &Request) -> bool {
    asked.namespace == SHOP && asked.verb != "watch"
}

async fn measure(what: What, count: usize, net: u8) {
    let operator = Operator::start().await;
    let store = Arc::clone(&operator.server.store);
    let _cluster = Cluster::start(Arc::clone(&store), net);
    let (began, idle) = (Instant::now(), Usage::of(operator.pid()));
    for number in 0..count {
        store.put(
            "redisinstances",
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
                "metadata": {
                    "namespace": SHOP, "name": format!("cache-{number}"),
                    "annotations": what.annotations(),
                },
                "spec": {"version": "7.2"},
            }),
        );
    }
    loop {
        let objects = store.all("redisinstances");
        let there = objects
            .iter()
            .filter(|object| what.is_there(object))
            .count();
        if there == count {
            break;
        }
        assert!(
            began.elapsed() < LIMIT,
            "{there} of {count} after {LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The status is good before the last news is seen to.
    let (mut requests, mut last) = (store.count(is_about), Instant::now());
    while last.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = store.count(is_about);
        if now != requests {
            (requests, last) = (now, Instant::now());
        }
    }
    let took = last.duration_since(began).as_secs_f64();
    let passes = store.count(is_pass);
    let before = Usage::of(operator.pid());
    tokio::time::sleep(IDLE).await;
    let after = Usage::of(operator.pid());
    let each = |number: usize| number as f64 / count as f64;
    let cpu = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!(
        "| {count} {} | {took:.1} s | {:.1} | {:.1} | {:.1} | {:.0} ms | {} MiB | {} | {} | {cpu:.2} % |",
        what.name(),
        count as f64 / took,
        each(passes),
        each(requests),
        (before.cpu - idle.cpu).as_secs_f64() * 1000.0 / count as f64,
        after.resident_mib,
        store.count(is_pass) - passes,
        store.count(is_about) - requests,
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "| instances | at rest after | a second | passes each | requests each | processor each | memory | \
         idle {} s: passes | requests | processor |",
        IDLE.as_secs()
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    println!("| target | | ≥ 20 | < 10 | | | < 150 MiB | 0 | 0 | < 1 % |");
    // `-- 500` measures that alone; cargo adds flags of its own.
    let asked: Vec<usize> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let counts = if asked.is_empty() {
        COUNTS.to_vec()
    } else {
        asked
    };
    let mut net = 100;
    for what in [What::Serving, What::Hibernated] {
        for count in counts.iter().copied() {
            runtime.block_on(measure(what, count, net));
            net += 1;
        }
    }
}
