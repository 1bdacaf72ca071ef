//! What `INFO` tells.

use hera_redis::{Probe, Server, ServerInfo, ServerRole};

use crate::on_all;
use crate::process::{Program, say, until};

on_all!(
    a_server_tells_what_it_is,
    a_held_server_is_a_replica_without_a_link,
    files_are_told,
    the_table_of_commands_is_read,
);

async fn info(server: &Server) -> ServerInfo {
    match server.probe().await.unwrap() {
        Probe::Info(info) => *info,
        Probe::Refused(answer) => panic!("{answer:?}"),
    }
}

async fn a_server_tells_what_it_is(program: Program) {
    let process = program.start(&["--maxmemory", "64mb"]).await;
    let server = process.connect().await;
    let info = info(&server).await;
    assert_eq!(info.engine.as_str(), program.0);
    assert!(info.version.starts_with(program.1), "{}", info.version);
    assert_eq!(info.run_id.len(), 40);
    assert_eq!(info.process_id, process.pid());
    assert_eq!(info.max_memory, 64 << 20);
    assert!(info.used_memory > 0 && !info.loading && !info.cluster);
    assert_eq!(info.replication.role, ServerRole::Primary);
    assert_eq!(info.replication.master_link, None);
    assert_eq!(info.replication.replid2, None);
}

async fn a_held_server_is_a_replica_without_a_link(program: Program) {
    let process = program.start(&["--replicaof", "127.0.0.1 1"]).await;
    let server = process.connect().await;
    let held = info(&server).await.replication;
    assert_eq!(held.role, ServerRole::Replica);
    let link = held.master_link.unwrap();
    assert_eq!((link.host.as_str(), link.port), ("127.0.0.1", 1));
    assert!(!link.up && !link.syncing);
    server.promote().await.unwrap();
    let promoted = info(&server).await.replication;
    assert_eq!(promoted.role, ServerRole::Primary);
    // Again is no error.
    server.promote().await.unwrap();
}

async fn files_are_told(program: Program) {
    let process = program.start(&["--save", ""]).await;
    let server = process.connect().await;
    say(&server, &["SET", "a", "1"]).await;
    let before = info(&server).await;
    assert!(!before.append.enabled && before.snapshot.last_ok);
    assert_eq!(before.snapshot.changes_since, 1);
    server.save_in_background().await.unwrap();
    let saved = until("it has saved", async || {
        let info = info(&server).await;
        (!info.snapshot.saving).then_some(info)
    })
    .await;
    assert!(saved.snapshot.last_ok && saved.snapshot.changes_since == 0);

    server.config_set("appendonly", "yes").await.unwrap();
    assert!(info(&server).await.append.enabled);
    let written = until("it is written", async || {
        let info = info(&server).await;
        (!info.append.rewriting).then_some(info)
    })
    .await;
    assert!(written.append.enabled && written.append.last_write_ok);
    assert!(process.data("appendonlydir").exists());
}

async fn the_table_of_commands_is_read(program: Program) {
    let process = program.start(&[]).await;
    let categories = process.connect().await.categories().await.unwrap();
    assert!(categories["read"].contains("get"));
    assert!(categories["write"].contains("set"));
    assert!(categories["admin"].contains("config|set"));
    assert!(categories["dangerous"].contains("flushall"));
}
