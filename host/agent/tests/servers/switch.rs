//! The append-only file, switched on and off under a server with data.

use std::time::Duration;

use hera_core::acl::AclUser;
use hera_redis::Server;
use tokio::time::Instant;

use crate::client::{Client as _, app, login, user};
use crate::engine::Engine;
use crate::pod::Pod;

on_all!(
    it_goes_on_and_off_with_the_data_kept_over_restarts,
    it_is_switched_at_the_next_start_when_the_server_was_down,
    a_pod_that_ends_in_the_middle_loses_nothing,
);
facts_on!(
    once,
    REDIS_7_0,
    a_slow_switch_stands_in_nobodys_way_and_goes_on_by_itself
);

const ON: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("save", "\"\""),
];
const OFF: [(&str, &str); 3] = [
    ("appendonly", "no"),
    ("appendfsync", "always"),
    ("save", "\"\""),
];

async fn assert_there(pod: &Pod, keys: &[&str]) {
    pod.until_primary().await;
    let server = pod.app().await;
    for key in keys {
        let value = server.get(key).await.unwrap();
        assert_eq!(value.as_deref(), Some("1"), "{key}");
    }
}

async fn write(pod: &Pod, key: &str) {
    pod.app().await.set(key, "1").await.unwrap();
}

async fn crash(pod: &Pod) {
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
}

async fn restart(pod: &mut Pod) {
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
}

async fn push(pod: &Pod, revision: u64, directives: &[(&str, &str)]) {
    let state = pod.push_config(revision, directives).await.unwrap();
    assert!(state.rejected.is_empty(), "{state:?}");
    assert!(state.pending_restart.is_empty(), "{state:?}");
}

async fn it_goes_on_and_off_with_the_data_kept_over_restarts(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &OFF);
    pod.serve().await;
    write(&pod, "a").await;
    push(&pod, 2, &ON).await;
    write(&pod, "b").await;
    crash(&pod).await;
    assert_there(&pod, &["a", "b"]).await;
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b"]).await;

    write(&pod, "c").await;
    push(&pod, 3, &OFF).await;
    crash(&pod).await;
    assert_there(&pod, &["a", "b", "c"]).await;
    write(&pod, "d").await;
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b", "c", "d"]).await;

    push(&pod, 4, &ON).await;
    write(&pod, "e").await;
    crash(&pod).await;
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b", "c", "d", "e"]).await;
}

async fn it_is_switched_at_the_next_start_when_the_server_was_down(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &OFF);
    pod.serve().await;
    write(&pod, "a").await;
    for (revision, directives, source) in [(2, &ON, "aof"), (3, &OFF, "rdb")] {
        assert!(pod.terminate().await.success());
        pod.mount_config(revision, directives);
        pod.confirm_seconds = 0;
        pod.start().await;
        assert_there(&pod, &["a"]).await;
        crate::wait::until("it is switched", async || {
            let state = std::fs::read_to_string(pod.path("data/.hera/state")).unwrap();
            if state.contains(&format!("\"source\": \"{source}\"")) {
                Ok(())
            } else {
                Err(state)
            }
        })
        .await;
        crash(&pod).await;
        assert_there(&pod, &["a"]).await;
    }
}

fn users() -> [AclUser; 2] {
    [app(), user("root", &["+@all", "~*"])]
}

/// Makes the next snapshots and rewrites take a while: 100 ms for each key. The connection can end
/// that.
async fn slow_down(pod: &Pod, keys: u32) -> Server {
    pod.push_users(2, &users()).await.unwrap();
    let root = login(pod.port, "root").await.unwrap();
    for key in 0..keys {
        root.set(&key.to_string(), "1").await.unwrap();
    }
    root.say(&["CONFIG", "SET", "rdb-key-save-delay", "100000"])
        .await
        .unwrap();
    root
}

async fn a_pod_that_ends_in_the_middle_loses_nothing(engine: Engine) {
    for (from, to) in [(&OFF, &ON), (&ON, &OFF)] {
        let mut pod = Pod::new(engine);
        pod.mount_config(1, from);
        pod.serve().await;
        write(&pod, "a").await;
        slow_down(&pod, 10).await;
        let pushed = pod.push_config(2, to);
        let ends = async {
            pod.until("it is held", |status| status.config.revision == 1)
                .await;
            let info = pod.app().await;
            crate::wait::until("it saves", async || {
                let info = info.say(&["INFO", "persistence"]).await.unwrap();
                let saves = ["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1"];
                if saves.iter().any(|line| info.contains(line)) {
                    Ok(())
                } else {
                    Err(info)
                }
            })
            .await;
            write(&pod, "b").await;
        };
        tokio::select! {
            state = pushed => panic!("too fast: {state:?}"),
            () = ends => {}
        }
        restart(&mut pod).await;
        assert_there(&pod, &["a", "b", "9"]).await;
    }
}

async fn a_slow_switch_stands_in_nobodys_way_and_goes_on_by_itself(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &ON);
    pod.serve().await;
    write(&pod, "a").await;
    let root = slow_down(&pod, 170).await;
    let began = Instant::now();
    let others = async {
        for revision in 3..30 {
            let asked = Instant::now();
            pod.push_users(revision, &users()).await.unwrap();
            pod.promote(1).await.unwrap();
            assert!(asked.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (state, ()) = tokio::join!(pod.push_config(2, &OFF), others);
    let words = &state.unwrap().rejected["appendonly"];
    assert!(words.contains("still saves"), "{words}");
    let limit = began.elapsed();
    assert!(limit < Duration::from_secs(18), "{limit:?}");
    let status = pod
        .until("it is done", |status| status.config.rejected.is_empty())
        .await;
    assert_eq!(status.config.revision, 2);
    root.say(&["CONFIG", "SET", "rdb-key-save-delay", "0"])
        .await
        .unwrap();
    write(&pod, "b").await;
    restart(&mut pod).await;
    assert_there(&pod, &["a", "b", "169"]).await;
}
