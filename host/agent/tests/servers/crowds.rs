//! Clients that take all connections of a server (issue 19, M8).

use tokio::net::TcpStream;
use tokio::time::Duration;

use crate::client::{Client as _, app, login, user};
use crate::engine::Engine;
use crate::pod::Pod;

on_both!(connections_near_the_limit_are_told_until_there_are_enough);
facts_on!(
    once,
    REDIS_7_0,
    a_server_whose_connections_are_all_taken_is_no_server_that_hangs
);

const LIMIT: usize = 20;

async fn pod(engine: Engine) -> Pod {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &[("maxclients", "20")]);
    pod.more = vec!["--hang-seconds".to_owned(), "1".to_owned()];
    pod.serve().await;
    pod
}

/// Clients that say nothing.
async fn idle(pod: &Pod, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(TcpStream::connect(("127.0.0.1", pod.port)).await.unwrap());
    }
    open
}

async fn connections_near_the_limit_are_told_until_there_are_enough(engine: Engine) {
    let pod = pod(engine).await;
    let idle = idle(&pod, LIMIT - 2).await;
    let status = pod
        .until("it is told", |status| status.connections.is_some())
        .await;
    let few = status.connections.unwrap();
    assert!(few.open.is_some_and(|open| open >= 18), "{few:?}");
    assert_eq!((few.limit, few.all_taken), (Some(20), false));
    drop(idle);
    pod.until("there are enough", |status| status.connections.is_none())
        .await;
}

async fn a_server_whose_connections_are_all_taken_is_no_server_that_hangs(engine: Engine) {
    let pod = pod(engine).await;
    let users = [app(), user("admin", &["+@all", "~*", "&*"])];
    pod.push_users(2, &users).await.unwrap();
    let admin = login(pod.port, "admin").await.unwrap();
    let mut taken = idle(&pod, LIMIT).await;
    // The agent looks again a second later, when others have its place.
    let ended = admin.say(&["CLIENT", "KILL", "USER", "hera-agent"]).await;
    ended.unwrap();
    taken.extend(idle(&pod, 5).await);
    pod.until("the agent is not let in", |status| {
        let few = status.connections.as_ref();
        few.is_some_and(|few| few.all_taken)
    })
    .await;
    // Three times as long as a server at work may be silent.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = pod.status().await.unwrap();
    assert!(!status.hangs && status.restarts == 0, "{status:?}");
    assert_eq!(pod.probe("/livez").await, 200);
    drop(taken);
    pod.until("there are enough", |status| status.connections.is_none())
        .await;
    admin.set("a", "1").await.unwrap();
}
