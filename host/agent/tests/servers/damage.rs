//! Files that are damaged, or left over.

use std::fs;

use hera_core::agent::ServerState;

use crate::client::{Client as _, app};
use crate::crash::DURABLE;
use crate::engine::Engine;
use crate::pod::Pod;

on_both!(
    damaged_files_of_the_agents_own_cost_no_data,
    without_its_memory_the_newer_file_is_read,
    what_killed_processes_left_does_not_matter,
    a_damaged_append_only_file_is_told_and_left_alone,
    a_damaged_snapshot_is_told_and_left_alone,
);

const SNAPSHOTS: [(&str, &str); 2] = [("appendonly", "no"), ("save", "\"\"")];

async fn with_data(engine: Engine, directives: &[(&str, &str)]) -> Pod {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, directives);
    pod.mount_users(1, &[app()]);
    pod.serve().await;
    pod.app().await.transaction(&["a", "b"]).await.unwrap();
    pod.confirm_seconds = 0;
    pod
}

async fn assert_data(pod: &Pod) {
    pod.until_primary().await;
    let server = pod.app().await;
    for key in ["a", "b"] {
        assert_eq!(server.get(key).await.unwrap().as_deref(), Some("1"));
    }
}

async fn damaged_files_of_the_agents_own_cost_no_data(engine: Engine) {
    for directives in [&DURABLE[..], &SNAPSHOTS] {
        let mut pod = with_data(engine, directives).await;
        pod.push_config(2, directives).await.unwrap();
        pod.push_users(2, &[app()]).await.unwrap();
        for damage in ["", "{\"te", "\0\0\0\0", "[1]"] {
            assert!(pod.terminate().await.success());
            for name in ["data/.hera/state", "data/.hera/config.json", "run/acl.json"] {
                fs::write(pod.path(name), damage).unwrap();
            }
            pod.start().await;
            assert_data(&pod).await;
        }
        assert_eq!(pod.status().await.unwrap().config.revision, 1);
    }
}

/// An append-only file from before it was switched off is older than the snapshot.
async fn without_its_memory_the_newer_file_is_read(engine: Engine) {
    let mut pod = with_data(engine, &DURABLE).await;
    pod.push_config(2, &SNAPSHOTS).await.unwrap();
    pod.app().await.set("late", "1").await.unwrap();
    assert!(pod.terminate().await.success());
    assert!(pod.path("data/appendonlydir").exists());
    pod.mount_config(3, &SNAPSHOTS);
    fs::remove_file(pod.path("data/.hera/state")).unwrap();
    pod.start().await;
    assert_data(&pod).await;
    let late = pod.app().await.get("late").await.unwrap();
    assert_eq!(late.as_deref(), Some("1"));
}

async fn what_killed_processes_left_does_not_matter(engine: Engine) {
    let mut pod = with_data(engine, &DURABLE).await;
    pod.kill_server().await;
    pod.kill_agent();
    let left = [
        "data/temp-17.rdb",
        "data/appendonlydir/temp-rewriteaof-bg-17.aof",
        "data/.hera/state.new",
        "data/.hera/config.new",
        "run/server.new",
        "run/acl.new",
        "run/server.sock",
    ];
    for name in left {
        let _ = fs::remove_file(pod.path(name));
        fs::write(pod.path(name), "half").unwrap();
    }
    fs::create_dir(pod.path("scratch/hera-trial-pod-1")).unwrap();
    pod.start().await;
    assert_data(&pod).await;
    assert!(!pod.path("data/temp-17.rdb").exists());
    assert!(!pod.path("scratch/hera-trial-pod-1").exists());
}

async fn assert_told(pod: &mut Pod, path: &str) {
    let content = fs::read(pod.path(path)).unwrap();
    pod.start().await;
    let status = pod
        .until("it backs off", |status| {
            matches!(status.server, ServerState::BackOff { .. }) && status.restarts > 1
        })
        .await;
    let exit = status.last_exit.unwrap();
    assert_eq!((exit.code, exit.signal), (Some(1), None));
    assert!(!exit.message.is_empty() && exit.message.len() <= 512);
    println!("it says: {}", exit.message);
    assert_eq!(pod.probe("/livez").await, 200);
    assert_eq!(pod.probe("/readyz").await, 503);
    assert_eq!(fs::read(pod.path(path)).unwrap(), content);
}

async fn a_damaged_append_only_file_is_told_and_left_alone(engine: Engine) {
    let mut pod = with_data(engine, &DURABLE).await;
    assert!(pod.terminate().await.success());
    let path = "data/appendonlydir/appendonly.aof.1.incr.aof";
    let mut content = fs::read(pod.path(path)).unwrap();
    let middle = content.len() / 2;
    content[middle..middle + 8].copy_from_slice(b"nonsense");
    fs::write(pod.path(path), content).unwrap();
    assert_told(&mut pod, path).await;
}

async fn a_damaged_snapshot_is_told_and_left_alone(engine: Engine) {
    let mut pod = with_data(engine, &SNAPSHOTS).await;
    assert!(pod.terminate().await.success());
    fs::write(pod.path("data/dump.rdb"), "REDIS0011\u{1}nonsense").unwrap();
    assert_told(&mut pod, "data/dump.rdb").await;
}
