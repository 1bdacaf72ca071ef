//! What servers count of their slots, and how they are told to.

use std::net::{Ipv4Addr, TcpListener};

use hera_core::cluster::SLOT_STATS;
use hera_redis::{ConfigSet, Error};

use crate::process::{Program, say, until};

crate::facts_on!(
    valkey_8_1,
    "valkey",
    "8.1",
    a_server_that_is_told_to_counts_the_time_of_each_slot
);
crate::facts_on!(
    valkey_9_1,
    "valkey",
    "9.1",
    a_server_that_is_told_to_counts_the_time_of_each_slot
);
crate::facts_on!(
    redis_8_6,
    "redis",
    "8.6",
    a_server_that_is_told_to_counts_the_time_of_each_slot
);

/// As servers are told where a policy may go by it (`host/render/src/server_config.rs`).
async fn a_server_that_is_told_to_counts_the_time_of_each_slot(program: Program) {
    if cannot_be_had(program) {
        return;
    }
    let bus = free_port();
    let cluster = ["--cluster-enabled", "yes", "--bind", "127.0.0.1"];
    let process = program
        .start(&[&cluster[..], &["--cluster-port", bus.as_str()]].concat())
        .await;
    let server = process.connect().await;
    say(&server, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let told = server.slot_stats(3).await;
    assert!(matches!(told, Err(Error::Refused { .. })), "{told:?}");
    let counts = match program.0 {
        "redis" => "cpu",
        _ => "yes",
    };
    let set = server.config_set(SLOT_STATS, counts).await.unwrap();
    assert_eq!(set, ConfigSet::Applied);
    let mut write = hera_redis::command("SET");
    write.arg("hot").arg("x");
    until("it serves", async || {
        server.ask::<()>("SET", &write).await.ok()
    })
    .await;
    for _ in 0..100 {
        say(&server, &["SET", "hot", "x"]).await;
    }
    let hot = server.slots_of(&[b"hot".to_vec()]).await.unwrap()[0];
    let told = server.slot_stats(3).await.unwrap();
    let slots: Vec<u16> = told.slots.iter().map(|stat| stat.slot).collect();
    assert_eq!(slots, [hot, 0, 1], "of those that took as much the first");
    let micros = told.slots[0].micros;
    assert!((1..=told.micros).contains(&micros), "{told:?}");
    assert_eq!(told.slots[1].micros, 0);
}

/// Of a suite that moves on there may be none any more: that is said.
fn cannot_be_had(program: Program) -> bool {
    let Program(engine, version) = program;
    let found = hera_testbed::servers::if_any(engine, version);
    found.unwrap().is_none()
}

fn free_port() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port().to_string()
}
