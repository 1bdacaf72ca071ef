//! Replicas with an append-only file, ended on purpose.

use hera_core::agent::Role;
use nix::sys::signal::{Signal, kill};

use crate::client::Client as _;
use crate::engine::Engine;
use crate::group::{Group, is_linked};
use crate::info::{info, with_looks};
use crate::pod::{Pod, server_pid, to_pid};
use crate::wait::until;

on_all!(
    a_replica_with_a_log_goes_on_where_it_left,
    a_former_primary_goes_on_where_it_left,
    a_replica_that_crashes_after_a_planned_restart_reads_all_it_had,
    a_replica_whose_snapshot_fails_reads_its_log,
);

/// How often replicas took in everything, as this primary counts.
async fn full_syncs(pod: &Pod) -> String {
    info(pod, "stats", "sync_full").await
}

/// Until the server writes an append-only file that has all its data.
async fn until_log_is_whole(pod: &Pod) {
    until("the append-only file is whole", async || {
        let text = std::fs::read(pod.path("data/.hera/state")).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        match state["source"] == "aof" && state["onDisk"].is_null() {
            true => Ok(()),
            false => Err(state.to_string()),
        }
    })
    .await;
}

/// Ends a pod as on a rolling update, and starts it again.
async fn replace(group: &mut Group, at: usize) {
    assert!(group[at].terminate().await.success());
    group.start_one(at).await;
}

async fn a_replica_with_a_log_goes_on_where_it_left(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    with_looks(&group[0]).await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    until_log_is_whole(&group[1]).await;
    let before = full_syncs(&group[0]).await;

    assert!(group[1].terminate().await.success());
    group[0].app().await.set("b", "1").await.unwrap();
    group.start_one(1).await;
    group.follow(1, 0, 1).await.unwrap();
    group.until_linked(1).await;
    group.until_has(1, "a", "1").await;
    group.until_has(1, "b", "1").await;
    assert_eq!(full_syncs(&group[0]).await, before);
    until_log_is_whole(&group[1]).await;
    group.until_equal(0, 1).await;
}

async fn a_former_primary_goes_on_where_it_left(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    with_looks(&group[1]).await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_equal(0, 1).await;
    until_log_is_whole(&group[0]).await;
    group.pause(0, 2_000, 2).await.unwrap();
    group.until_equal(0, 1).await;
    group.follow(0, 1, 2).await.unwrap();
    group[1].promote_for(1, 2).await.unwrap();
    group.until_linked(0).await;
    let before = full_syncs(&group[1]).await;

    replace(&mut group, 0).await;
    group[1].app().await.set("b", "1").await.unwrap();
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
    group.until_has(0, "b", "1").await;
    assert_eq!(full_syncs(&group[1]).await, before);
}

async fn a_replica_that_crashes_after_a_planned_restart_reads_all_it_had(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    until_log_is_whole(&group[1]).await;
    replace(&mut group, 1).await;
    group.follow(1, 0, 1).await.unwrap();
    group.until_linked(1).await;
    group[0].app().await.set("b", "1").await.unwrap();
    group.until_has(1, "b", "1").await;
    until_log_is_whole(&group[1]).await;

    // Nobody is left from whom it could take anything in.
    let primary = server_pid(&group[0].status().await.unwrap()).unwrap();
    group[0].kill_agent();
    kill(to_pid(primary), Signal::SIGKILL).unwrap();
    let pid = group[1].kill_server().await;
    group[1]
        .until("another server runs", |status| {
            status.role == Role::Replica && server_pid(status).is_some_and(|now| now != pid)
        })
        .await;
    group[1].promote_for(1, 2).await.unwrap();
    group.until_has(1, "a", "1").await;
    group.until_has(1, "b", "1").await;
}

async fn a_replica_whose_snapshot_fails_reads_its_log(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group[1].more = vec!["--stop-seconds=2".to_owned()];
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    until_log_is_whole(&group[1]).await;
    let status = group[1].until("it follows", is_linked).await;
    // A folder stands where the server writes its snapshot.
    let pid = server_pid(&status).unwrap();
    let blocked = group[1].path(&format!("data/temp-{pid}.rdb"));
    std::fs::create_dir(&blocked).unwrap();
    group[1].terminate().await;
    std::fs::remove_dir(&blocked).unwrap();

    group.start_one(1).await;
    let status = group[1].status().await.unwrap();
    assert_eq!(status.memory.offset, 0, "nobody knows how far it was");
    group[1].promote_for(1, 2).await.unwrap();
    group.until_has(1, "a", "1").await;
}
