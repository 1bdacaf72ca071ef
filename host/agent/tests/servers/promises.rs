//! Epochs, tokens and promises.

use hera_core::agent::{Order, Role};
use reqwest::StatusCode;
use tokio::time::Duration;

use crate::client::{Client as _, app};
use crate::engine::Engine;
use crate::group::Group;
use crate::pod::{Pod, is_running, server_pid};

facts_on!(
    once,
    REDIS_7_0,
    a_promotion_needs_a_fresh_token,
    a_token_ends_with_its_server,
    an_epoch_that_was_promised_or_is_anothers_is_refused,
    a_promise_is_kept_over_restarts,
    an_old_state_is_understood
);
on_both!(a_position_is_read_from_the_server);

const REFUSED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

async fn held(engine: Engine) -> Pod {
    let mut pod = Pod::new(engine);
    pod.lone = false;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[app()]).await.unwrap();
    pod
}

async fn a_promotion_needs_a_fresh_token(engine: Engine) {
    let pod = held(engine).await;
    let token = pod.position().await.unwrap().token;
    let wrong = Order::Promote {
        epoch: 1,
        token: token.wrapping_add(1),
    };
    assert_eq!(pod.order(1, wrong).await.unwrap_err().0, REFUSED);
    tokio::time::sleep(Duration::from_millis(5_050)).await;
    let late = Order::Promote { epoch: 1, token };
    let (status, refusal) = pod.order(1, late.clone()).await.unwrap_err();
    assert_eq!(status, REFUSED);
    assert!(refusal.message.contains("token"), "{}", refusal.message);
    let status = pod.status().await.unwrap();
    assert_eq!((status.role, status.memory.epoch), (Role::Held, 0));
    pod.promote_for(1, 1).await.unwrap();
    // It is the primary of that epoch already.
    pod.order(1, late).await.unwrap();
}

/// The next server may have less than this one said that it had.
async fn a_token_ends_with_its_server(engine: Engine) {
    let pod = held(engine).await;
    let token = pod.position().await.unwrap().token;
    let pid = pod.kill_server().await;
    pod.until("another runs", |status| {
        is_running(status) && server_pid(status) != Some(pid)
    })
    .await;
    let (status, refusal) = pod
        .order(1, Order::Promote { epoch: 1, token })
        .await
        .unwrap_err();
    assert_eq!(status, REFUSED);
    assert!(refusal.message.contains("token"), "{}", refusal.message);
}

async fn an_epoch_that_was_promised_or_is_anothers_is_refused(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    assert_eq!(group[1].promote_for(1, 1).await.unwrap_err().0, REFUSED);
    let order = Order::Promise { epoch: 4 };
    assert_eq!(
        group[1]
            .order(1, order)
            .await
            .unwrap()
            .memory
            .promised_epoch,
        4
    );
    let earlier = Order::Promise { epoch: 2 };
    assert_eq!(
        group[1]
            .order(1, earlier)
            .await
            .unwrap()
            .memory
            .promised_epoch,
        4
    );
    for epoch in 2..=4 {
        assert_eq!(group[1].promote_for(1, epoch).await.unwrap_err().0, REFUSED);
    }
    group[1].promote_for(1, 5).await.unwrap();
    for epoch in 0..5 {
        assert_eq!(group.follow(1, 0, epoch).await.unwrap_err().0, REFUSED);
    }
    assert_eq!(group[1].status().await.unwrap().role, Role::Primary);
    assert_eq!(group.follow(1, 1, 6).await.unwrap_err().0, REFUSED);
}

async fn a_promise_is_kept_over_restarts(engine: Engine) {
    let mut pod = held(engine).await;
    pod.order(3, Order::Promise { epoch: 7 }).await.unwrap();
    pod.kill_agent();
    pod.start().await;
    let status = pod.until("the server answers", is_running).await;
    assert_eq!((status.memory.promised_epoch, status.term), (7, 3));
    assert_eq!(pod.promote_for(3, 7).await.unwrap_err().0, REFUSED);
    pod.promote_for(3, 8).await.unwrap();
}

async fn an_old_state_is_understood(engine: Engine) {
    let mut pod = Pod::new(engine);
    std::fs::create_dir(pod.path("data/.hera")).unwrap();
    let state = r#"{"term": 4, "promotedTerm": 4, "primary": true, "replicationId": "x",
        "offset": 12, "clean": true, "owner": "object", "source": "aof"}"#;
    std::fs::write(pod.path("data/.hera/state"), state).unwrap();
    pod.start().await;
    let status = pod.until("the server answers", is_running).await;
    let memory = status.memory;
    assert_eq!(
        (status.term, memory.offset, memory.was_primary),
        (4, 12, true)
    );
    let users: crate::client::Answer<hera_core::agent::AclState> = pod
        .put(hera_core::agent::PATH_ACL, 4, crate::pod::set(1, &[app()]))
        .await;
    users.unwrap();
    assert_eq!(pod.until_primary().await.memory.epoch, 1);
}

async fn a_position_is_read_from_the_server(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    pod.until("the server answers", is_running).await;
    let empty = pod.position().await.unwrap();
    assert_eq!(empty.keys, 0);
    pod.push_users(1, &[app()]).await.unwrap();
    pod.until_primary().await;
    let server = pod.app().await;
    server.set("a", "1").await.unwrap();
    server.set("b", "1").await.unwrap();
    let first = pod.position().await.unwrap();
    assert_eq!(first.keys, 2);
    assert_eq!(first.replication_id.len(), 40);
    assert_ne!(first.token, empty.token);
    assert_eq!(
        pod.position().await.unwrap().replication_id,
        first.replication_id
    );
}
