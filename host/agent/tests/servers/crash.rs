//! Servers and agents that are killed.

use std::time::Duration;

use hera_core::agent::ServerState;
use tokio::time::Instant;

use crate::client::{Client as _, app, login};
use crate::engine::Engine;
use crate::pod::{Pod, lives, server_pid};
use crate::wait::until;

on_both!(
    a_killed_server_comes_back_in_place_with_all_that_it_acknowledged,
    repeated_crashes_back_off,
    a_server_left_by_a_killed_agent_does_not_meet_the_next,
);

pub const DURABLE: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("save", "\"\""),
];

/// Writes numbered keys until something breaks; answers the number of the first that was not
/// acknowledged.
async fn write_on(port: u16) -> u32 {
    let server = login(port, "app").await.unwrap();
    let mut next = 0;
    while server.set(&format!("key:{next}"), "x").await.is_ok() {
        next += 1;
    }
    next
}

async fn a_killed_server_comes_back_in_place_with_all_that_it_acknowledged(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &DURABLE);
    pod.serve().await;
    let writing = tokio::spawn(write_on(pod.port));
    let reader = pod.app().await;
    until("the writer writes", async || {
        let seen = reader.get("key:50").await.unwrap();
        seen.ok_or_else(|| "not yet".to_owned())
    })
    .await;
    pod.kill_server().await;
    let killed = Instant::now();
    let count = writing.await.unwrap();
    assert!(count > 50);
    until("a write is accepted", async || {
        let server = login(pod.port, "app").await.map_err(|e| e.to_string())?;
        server.set("after", "x").await.map_err(|e| e.to_string())
    })
    .await;
    let gap = killed.elapsed().as_millis();
    let (name, version) = (engine.name, engine.version);
    println!("FIGURE {name} {version}: server killed to next accepted write: {gap} ms");

    let server = pod.app().await;
    for number in 0..count {
        let value = server.get(&format!("key:{number}")).await.unwrap();
        assert_eq!(value.as_deref(), Some("x"), "key:{number} of {count}");
    }
    let status = pod.until_primary().await;
    assert_eq!(status.restarts, 1);
    assert_eq!(status.last_exit.unwrap().signal, Some(9));
    // No word of the operator was needed.
    assert!(status.acl.confirmed);
}

async fn repeated_crashes_back_off(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let pid = pod.kill_server().await;
        let killed = Instant::now();
        let status = pod
            .until("it starts again", |status| {
                let backs_off = matches!(status.server, ServerState::BackOff { .. });
                backs_off || server_pid(status).is_some_and(|now| now != pid)
            })
            .await;
        if let ServerState::BackOff { .. } = status.server {
            assert!(status.waiting_for.is_some());
        }
        pod.until_primary_again(pid).await;
        waits.push(killed.elapsed());
    }
    assert!(waits[3] >= Duration::from_millis(800), "{waits:?}");
    assert!(waits[0] < waits[3], "{waits:?}");
    assert_eq!(pod.status().await.unwrap().restarts, 4);
}

async fn a_server_left_by_a_killed_agent_does_not_meet_the_next(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &DURABLE);
    pod.serve().await;
    let left = server_pid(&pod.status().await.unwrap()).unwrap();
    let server = pod.app().await;
    pod.kill_agent();
    // It still serves, and is a danger to the next.
    server.set("late", "1").await.unwrap();
    assert!(lives(left));

    pod.start().await;
    assert!(!lives(left));
    pod.push_users(1, &[app()]).await.unwrap();
    pod.until_primary().await;
    let late = pod.app().await.get("late").await.unwrap();
    assert_eq!(late.as_deref(), Some("1"));
}
