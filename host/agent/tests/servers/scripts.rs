//! Scripts and functions that do not end (issue 19, M4).

use hera_core::agent::{AgentStatus, Order, ServerState};
use hera_redis::Server;
use reqwest::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::client::Client as _;
use crate::engine::Engine;
use crate::group::Group;
use crate::pod::{Pod, lives, server_pid};
use crate::wait::LIMIT;

on_both!(
    a_script_that_has_not_written_is_ended,
    a_function_is_ended,
    a_script_that_has_written_is_left_and_told,
    a_server_that_a_script_keeps_busy_is_ended_on_order,
);
facts_on!(
    once,
    REDIS_7_0,
    a_script_runs_for_as_long_as_it_likes_where_that_is_wanted,
    a_server_that_no_script_keeps_busy_is_not_ended
);

const LOOPS: &str = "while true do end";
const WRITES: &str = "redis.call('SET', 'script', '1') while true do end";
const LIBRARY: &str =
    "#!lua name=lib\nredis.register_function('loops', function() while true do end end)";
/// Other commands are answered BUSY after so many milliseconds.
const SOON: (&str, &str) = ("lua-time-limit", "100");

fn is_busy(status: &AgentStatus) -> bool {
    status.script.is_some()
}

fn after(seconds: u64) -> Vec<String> {
    vec!["--script-seconds".to_owned(), seconds.to_string()]
}

async fn pod(engine: Engine, seconds: u64) -> Pod {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &[SOON]);
    pod.more = after(seconds);
    pod.serve().await;
    pod
}

/// A client that waits for the answer.
async fn run(pod: &Pod, words: [&'static str; 3]) -> JoinHandle<Result<String, hera_redis::Error>> {
    let app: Server = pod.app().await.with_response_timeout(LIMIT * 2);
    tokio::spawn(async move { app.say(&words).await })
}

async fn a_script_that_has_not_written_is_ended(engine: Engine) {
    let pod = pod(engine, 2).await;
    let before = pod.status().await.unwrap();
    let script = run(&pod, ["EVAL", LOOPS, "0"]).await;
    let status = pod.until("it is told", is_busy).await;
    let told = status.script.unwrap();
    assert!(!told.has_written && told.since_unix_ms > 0, "{told:?}");
    assert_eq!(pod.probe("/livez").await, 200);
    pod.until("it is ended", |status| !is_busy(status)).await;
    assert!(script.await.unwrap().is_err());
    pod.app().await.set("a", "1").await.unwrap();
    let now = pod.status().await.unwrap();
    assert_eq!(server_pid(&now), server_pid(&before));
}

async fn a_function_is_ended(engine: Engine) {
    let pod = pod(engine, 2).await;
    let app = pod.app().await;
    app.say(&["FUNCTION", "LOAD", LIBRARY]).await.unwrap();
    let function = run(&pod, ["FCALL", "loops", "0"]).await;
    pod.until("it is told", is_busy).await;
    pod.until("it is ended", |status| !is_busy(status)).await;
    assert!(function.await.unwrap().is_err());
}

async fn a_script_that_has_written_is_left_and_told(engine: Engine) {
    let pod = pod(engine, 2).await;
    let before = pod.status().await.unwrap();
    let _script = run(&pod, ["EVAL", WRITES, "0"]).await;
    let has_written = |status: &AgentStatus| status.script.is_some_and(|script| script.has_written);
    pod.until("it has written", has_written).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = pod.status().await.unwrap();
    assert!(has_written(&now) && !now.hangs, "{now:?}");
    assert_eq!(server_pid(&now), server_pid(&before));
}

async fn a_script_runs_for_as_long_as_it_likes_where_that_is_wanted(engine: Engine) {
    let pod = pod(engine, 0).await;
    let script = run(&pod, ["EVAL", LOOPS, "0"]).await;
    pod.until("it is told", is_busy).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(is_busy(&pod.status().await.unwrap()) && !script.is_finished());
}

async fn a_server_that_a_script_keeps_busy_is_ended_on_order(engine: Engine) {
    let mut group = Group::new(engine, 2);
    let persists = [
        ("appendonly", "yes"),
        ("repl-diskless-sync-delay", "0"),
        SOON,
    ];
    group[0].mount_config(1, &persists);
    group[0].more = after(1);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    // The agent looks once a second how far its server is, and tells nobody.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let script = run(&group[0], ["EVAL", WRITES, "0"]).await;
    let status = group[0].until("it is told", is_busy).await;
    let pid = server_pid(&status).unwrap();
    let order = |since: u64, offset| Order::FenceBusy {
        epoch: 1,
        script_since_unix_ms: since,
        offset,
    };
    let since = status.script.unwrap().since_unix_ms;
    // Another script, and a replica that lags.
    for (wrong, words) in [
        (order(since - 1, u64::MAX), "that script"),
        (order(since, 0), "no replica has all"),
    ] {
        let refused = group[0].order(1, wrong).await;
        let (status, refusal) = refused.expect_err(words);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refusal.message.contains(words), "{refusal:?}");
    }
    let order = order(since, group[1].position().await.unwrap().offset);
    let status = group[0].order(1, order.clone()).await.unwrap();
    assert_eq!((status.server, status.script), (ServerState::Fenced, None));
    assert!(!lives(pid) && script.await.unwrap().is_err());
    // Twice is as good as once.
    group[0].order(1, order).await.unwrap();

    group[1].promote_for(1, 2).await.unwrap();
    let value = group[1].app().await.get("a").await.unwrap();
    assert_eq!(value.as_deref(), Some("1"));
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
}

async fn a_server_that_no_script_keeps_busy_is_not_ended(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let (status, refusal) = group[0]
        .order(
            1,
            Order::FenceBusy {
                epoch: 1,
                script_since_unix_ms: 0,
                offset: u64::MAX,
            },
        )
        .await
        .unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refusal.message.contains("no more"), "{refusal:?}");
    group[0].app().await.set("a", "1").await.unwrap();
}
