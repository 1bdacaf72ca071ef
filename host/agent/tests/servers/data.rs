//! What is on disk is there after a restart.

use crate::client::{Client as _, app, login, login_with, user};
use crate::crash::DURABLE;
use crate::engine::Engine;
use crate::pod::Pod;

on_all!(
    transactions_survive_restarts_with_a_closed_default_user,
    transactions_survive_restarts_with_an_open_default_user_and_after_it_is_closed,
    a_pod_that_ends_saves_everything_also_without_an_append_only_file,
    a_snapshot_put_beside_an_append_only_file_is_kept_and_told_of,
);

const SCRIPT: &str =
    "redis.call('SET', KEYS[1], '1'); redis.call('SET', KEYS[2], '1'); return 'ok'";

/// All keys have the value 1.
async fn assert_there(pod: &Pod, keys: &[&str]) {
    let server = pod.app().await;
    for key in keys {
        let value = server.get(key).await.unwrap();
        assert_eq!(value.as_deref(), Some("1"), "{key}");
    }
}

/// Ends the pod, starts it again and lets it serve with the users that it knows.
async fn restart(pod: &mut Pod) {
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
}

/// Redis-facts §4.1: such writes are lost at a restart where the default user has no rights.
async fn transactions_survive_restarts_with_a_closed_default_user(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &DURABLE);
    pod.serve().await;
    let server = pod.app().await;
    server.transaction(&["a", "b"]).await.unwrap();
    server.say(&["EVAL", SCRIPT, "2", "c", "d"]).await.unwrap();
    assert!(login_with(pod.port, "default", "").await.is_err());

    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    assert_there(&pod, &["a", "b", "c", "d"]).await;
    pod.app().await.transaction(&["e", "f"]).await.unwrap();
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b", "c", "d", "e", "f"]).await;
}

async fn transactions_survive_restarts_with_an_open_default_user_and_after_it_is_closed(
    engine: Engine,
) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &DURABLE);
    pod.serve().await;
    let narrow = user("default", &["+set", "+get", "+multi", "+exec", "~d:*"]);
    pod.push_users(2, &[app(), narrow]).await.unwrap();
    let server = login(pod.port, "default").await.unwrap();
    server.transaction(&["d:1", "d:2"]).await.unwrap();
    assert!(server.set("other", "1").await.is_err());
    // Not by its rights but by another user's, in the same file.
    pod.app().await.transaction(&["a", "b"]).await.unwrap();
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    assert_there(&pod, &["d:1", "d:2", "a", "b"]).await;

    let server = login(pod.port, "default").await.unwrap();
    let state = pod.push_users(3, &[app()]).await.unwrap();
    assert!(state.rejected.is_empty());
    assert!(server.get("d:1").await.unwrap_err().is_broken());
    assert!(login(pod.port, "default").await.is_err());
    pod.app().await.transaction(&["e", "f"]).await.unwrap();
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    restart(&mut pod).await;
    assert!(login(pod.port, "default").await.is_err());
    assert_there(&pod, &["d:1", "d:2", "a", "b", "e", "f"]).await;
}

async fn a_pod_that_ends_saves_everything_also_without_an_append_only_file(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &[("appendonly", "no"), ("save", "\"\"")]);
    pod.serve().await;
    pod.app().await.transaction(&["a", "b"]).await.unwrap();
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b"]).await;
    assert!(!pod.path("data/appendonlydir").join("x").exists());
}

async fn a_snapshot_put_beside_an_append_only_file_is_kept_and_told_of(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &DURABLE);
    pod.serve().await;
    pod.app().await.set("a", "1").await.unwrap();
    assert!(!pod.status().await.unwrap().volume.dump_not_read);
    restart(&mut pod).await;
    let saves = user("saves", &["+save"]);
    pod.push_users(2, &[app(), saves]).await.unwrap();
    let server = login(pod.port, "saves").await.unwrap();
    server.say(&["SAVE"]).await.unwrap();
    restart(&mut pod).await;
    let own = pod.status().await.unwrap().volume.dump_not_read;
    assert!(
        !own && pod.path("data/dump.rdb").exists(),
        "it is the server's"
    );

    assert!(pod.terminate().await.success());
    std::fs::write(pod.path("data/dump.rdb"), b"REDIS0011 of somebody").unwrap();
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
    pod.until("it is told", |status| status.volume.dump_not_read)
        .await;
    assert_there(&pod, &["a"]).await;
    let kept = std::fs::read(pod.path("data/dump.rdb.not-read")).unwrap();
    assert!(kept.ends_with(b"of somebody"));
    std::fs::remove_file(pod.path("data/dump.rdb.not-read")).unwrap();
    pod.until("it is told no more", |status| !status.volume.dump_not_read)
        .await;
}
