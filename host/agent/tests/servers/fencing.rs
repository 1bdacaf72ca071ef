//! A primary that nobody confirms.

use std::time::SystemTime;

use hera_core::agent::{AgentStatus, FenceState, Order, PATH_FENCE, Role, ServerState};
use nix::sys::signal::{Signal, kill};
use reqwest::StatusCode;
use tokio::time::{Duration, Instant};

use crate::client::{Client as _, OBJECT_NAMES, answer};
use crate::engine::Engine;
use crate::group::Group;
use crate::news::News;
use crate::pod::{is_running, lives, server_pid, to_pid};
use crate::wait::until;

on_both!(
    a_primary_that_nobody_confirms_is_killed_and_stays_down,
    a_primary_that_one_of_two_peers_vouches_for_lives_on,
    a_fenced_server_starts_for_a_promotion,
    a_fenced_server_starts_held_to_be_looked_at,
    an_order_to_fence_kills_the_server,
);
facts_on!(
    once,
    REDIS_7_0,
    a_primary_that_the_operator_confirms_lives_on,
    an_order_to_fence_that_comes_late_kills_no_later_primary,
    who_promised_an_epoch_away_does_not_vouch_for_it,
    who_follows_another_does_not_vouch,
    peers_whose_certificates_have_expired_vouch,
    a_stopped_server_is_killed_in_time,
    a_primary_frozen_past_its_fence_is_killed_as_it_wakes,
    a_server_that_stands_still_hangs_and_one_that_answers_again_does_not,
    what_is_left_of_a_fence_is_told_on_request
);

fn is_fenced(status: &AgentStatus) -> bool {
    status.server == ServerState::Fenced
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

async fn group(engine: Engine, count: u8, fence_after_ms: u64) -> Group {
    let mut group = Group::new(engine, count);
    group.fence_after_ms = fence_after_ms;
    group
}

async fn a_primary_that_nobody_confirms_is_killed_and_stays_down(engine: Engine) {
    let mut group = group(engine, 2, 2_000).await;
    group.lead().await;
    let confirmer = group.confirm(0).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let pid = server_pid(&group[0].status().await.unwrap()).expect("it is confirmed");
    group[1].kill_agent();
    drop(confirmer);
    let since = unix_ms();
    let status = group[0].until("it is fenced", is_fenced).await;
    let exit = status.last_exit.unwrap();
    let took = exit.at_unix_ms.saturating_sub(since);
    let (name, version) = (engine.name, engine.version);
    println!(
        "FIGURE {name} {version}: last confirmation to the end of the server: {took} ms of 2000"
    );
    assert!(!lives(pid));
    assert_eq!(status.role, Role::Unknown);
    let why = status.waiting_for.unwrap();
    assert_eq!(why, "no majority confirmed this primary for 2 s");
    assert_eq!(exit.signal, Some(9));
    assert_eq!(group[0].probe("/livez").await, 200);
    assert_eq!(group[0].probe("/readyz").await, 503);

    group[0].kill_agent();
    group.start_one(0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = group[0].status().await.unwrap();
    assert!(is_fenced(&status) && status.memory.was_primary);
    assert!(status.waiting_for.is_some());
    // Until there is whom to follow.
    group.start_one(1).await;
    group[1].promote_for(1, 2).await.unwrap();
    group[1].app().await.set("a", "1").await.unwrap();
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
    group.until_has(0, "a", "1").await;
}

async fn a_primary_that_one_of_two_peers_vouches_for_lives_on(engine: Engine) {
    let mut group = group(engine, 3, 2_000).await;
    group.lead().await;
    group[2].kill_agent();
    tokio::time::sleep(Duration::from_millis(5_000)).await;
    let status = group[0].status().await.unwrap();
    assert_eq!(status.role, Role::Primary);
    assert_eq!(status.restarts, 0);
    group[1].kill_agent();
    group[0].until("it is fenced", is_fenced).await;
}

async fn a_fenced_server_starts_for_a_promotion(engine: Engine) {
    let mut group = group(engine, 2, 600_000).await;
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group[0].order(1, Order::Fence { epoch: 1 }).await.unwrap();
    let promote = Order::Promote { epoch: 2, token: 0 };
    let (status, refusal) = group[0].order(1, promote).await.unwrap_err();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refusal.message.contains("try again"), "{}", refusal.message);
    let status = group[0].until("it runs", is_running).await;
    assert_eq!(status.role, Role::Held);
    group[0].promote_for(1, 2).await.unwrap();
    let value = group[0].app().await.get("a").await.unwrap();
    assert_eq!(value.as_deref(), Some("1"));
}

async fn a_fenced_server_starts_held_to_be_looked_at(engine: Engine) {
    let mut group = group(engine, 2, 600_000).await;
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group[0].order(1, Order::Fence { epoch: 1 }).await.unwrap();
    group[0].order(1, Order::Start).await.unwrap();
    let status = group[0].until("it runs", is_running).await;
    assert_eq!(status.role, Role::Held);
    assert!(status.memory.was_primary && status.memory.epoch == 1);
    assert_eq!(group[0].position().await.unwrap().keys, 1);
    assert!(group[0].app().await.get("a").await.is_err());
    // One that runs goes on.
    let pid = server_pid(&status);
    let status = group[0].order(1, Order::Start).await.unwrap();
    assert_eq!(server_pid(&status), pid);
}

async fn an_order_to_fence_kills_the_server(engine: Engine) {
    let mut group = group(engine, 2, 600_000).await;
    group.lead().await;
    for at in [0, 1] {
        let pid = server_pid(&group[at].status().await.unwrap()).unwrap();
        let status = group[at].order(1, Order::Fence { epoch: 1 }).await.unwrap();
        assert!(is_fenced(&status), "{status:?}");
        assert!(!lives(pid));
        assert_eq!((status.role, status.link), (Role::Unknown, None));
        // Twice is as good as once.
        assert!(is_fenced(
            &group[at].order(1, Order::Fence { epoch: 1 }).await.unwrap()
        ));
    }
    assert!(group[0].terminate().await.success());
}

async fn an_order_to_fence_that_comes_late_kills_no_later_primary(engine: Engine) {
    let mut group = group(engine, 2, 600_000).await;
    group.lead().await;
    let late = Order::Fence { epoch: 0 };
    let (status, refusal) = group[0].order(1, late).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refusal.message.contains("later"), "{}", refusal.message);
    group[0].app().await.set("a", "1").await.unwrap();
}

async fn a_primary_that_the_operator_confirms_lives_on(engine: Engine) {
    let mut group = group(engine, 2, 2_000).await;
    group.lead().await;
    group[1].kill_agent();
    let _confirmer = group.confirm(0).await;
    tokio::time::sleep(Duration::from_millis(5_000)).await;
    assert_eq!(group[0].status().await.unwrap().role, Role::Primary);
}

async fn who_promised_an_epoch_away_does_not_vouch_for_it(engine: Engine) {
    let mut group = group(engine, 3, 2_000).await;
    group.lead().await;
    let promise = Order::Promise { epoch: 1 };
    group[1].order(1, promise.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(group[0].status().await.unwrap().role, Role::Primary);
    group[2].order(1, promise).await.unwrap();
    group[0].until("it is fenced", is_fenced).await;
}

async fn who_follows_another_does_not_vouch(engine: Engine) {
    let mut group = group(engine, 2, 2_000).await;
    group.lead().await;
    // The primary of another epoch, which nobody has to be able to reach.
    let other = Order::Follow {
        epoch: 2,
        primary_uid: "another".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 2,
        lineage: String::new(),
        password: String::new(),
    };
    group[1].order(1, other).await.unwrap();
    group[0].until("it is fenced", is_fenced).await;
}

async fn peers_whose_certificates_have_expired_vouch(engine: Engine) {
    let mut group = group(engine, 3, 2_000).await;
    group.lead().await;
    for pod in &group.pods {
        let expired = pod.authority.expired_agent(OBJECT_NAMES);
        pod.authority.write(&pod.path("tls"), &expired);
    }
    for pod in &group.pods {
        until("the certificate is used", async || {
            let log = pod.log();
            match log.contains("certificates replaced") {
                true => Ok(()),
                false => Err(log),
            }
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(4_000)).await;
    // This connection is from before.
    assert_eq!(group[0].status().await.unwrap().role, Role::Primary);
}

async fn a_stopped_server_is_killed_in_time(engine: Engine) {
    let mut group = group(engine, 2, 2_000).await;
    group.lead().await;
    let pid = server_pid(&group[0].status().await.unwrap()).unwrap();
    kill(to_pid(pid), Signal::SIGSTOP).unwrap();
    group[1].kill_agent();
    group[0].until("it is fenced", is_fenced).await;
    assert!(!lives(pid));
}

/// As a frozen pod: all its processes stand still, and wake together.
async fn a_primary_frozen_past_its_fence_is_killed_as_it_wakes(engine: Engine) {
    let mut group = group(engine, 2, 2_000).await;
    group.lead().await;
    let (agent, server) = (
        to_pid(group[0].agent_pid()),
        to_pid(server_pid(&group[0].status().await.unwrap()).unwrap()),
    );
    let app = group[0].app().await;
    for pid in [agent, server] {
        kill(pid, Signal::SIGSTOP).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let writing = tokio::spawn(async move { app.set("late", "1").await });
    kill(agent, Signal::SIGCONT).unwrap();
    // A peer would vouch; it is not asked any more.
    let status = group[0].until("it is fenced", is_fenced).await;
    assert!(status.waiting_for.unwrap().contains("no majority"));
    assert!(writing.await.unwrap().is_err());
}

async fn a_server_that_stands_still_hangs_and_one_that_answers_again_does_not(engine: Engine) {
    let mut group = group(engine, 2, 600_000).await;
    group[0].more = vec!["--hang-seconds".to_owned(), "2".to_owned()];
    group.lead().await;
    let mut news = News::open(&group[0]).await;
    let pid = to_pid(server_pid(&group[0].status().await.unwrap()).unwrap());
    let since = Instant::now();
    kill(pid, Signal::SIGSTOP).unwrap();
    news.until(|status| status.hangs).await;
    assert!(since.elapsed() >= Duration::from_secs(2));
    kill(pid, Signal::SIGCONT).unwrap();
    let status = news.until(|status| !status.hangs).await;
    assert_eq!(status.role, Role::Primary);
    until("it answers", async || {
        let position = group[0].position().await;
        position.map_err(|error| format!("{error:?}"))
    })
    .await;
}

async fn what_is_left_of_a_fence_is_told_on_request(engine: Engine) {
    let mut group = group(engine, 2, 60_000).await;
    group.lead().await;
    let left = async |at: usize| {
        let url = group[at].url(PATH_FENCE);
        let state: FenceState = answer(group[at].http.get(url)).await.unwrap();
        state.left_ms
    };
    let primary = left(0).await.expect("it is armed");
    assert!(primary > 30_000 && primary <= 60_000, "{primary}");
    assert_eq!(left(1).await, None, "a replica has none");
}
