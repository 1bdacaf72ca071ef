//! Primaries and replicas.

use hera_core::agent::{Members, Order, Role};
use reqwest::StatusCode;
use tokio::time::Duration;

use crate::client::{Client as _, app, replication};
use crate::engine::Engine;
use crate::group::{Group, is_linked};
use crate::info::{info, with_looks};
use crate::pod::{Pod, is_running, server_pid};

on_both!(
    replicas_have_what_is_written_to_the_primary,
    a_primary_that_crashed_stays_held_among_several,
    how_far_a_primary_was_is_told_once_it_ended,
    a_replica_that_crashed_follows_again_by_itself,
    a_replica_whose_agent_starts_again_waits_for_the_operator,
    an_epoch_is_noted_once_the_link_is_up,
    the_end_of_a_link_is_told_at_once,
    a_list_of_members_that_was_overtaken_is_refused,
    a_lone_primary_gets_replicas,
    an_only_member_promotes_itself,
    agents_of_pods_in_sync_look_at_their_servers_a_few_times_a_second,
);

async fn replicas_have_what_is_written_to_the_primary(engine: Engine) {
    let mut group = Group::new(engine, 3);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    for at in [1, 2] {
        group.until_has(at, "a", "1").await;
        assert!(group[at].app().await.set("a", "2").await.is_err());
        let status = group[at].status().await.unwrap();
        assert_eq!(
            (status.waiting_for, group[at].probe("/readyz").await),
            (None, 200)
        );
        let memory = status.memory;
        assert_eq!((memory.epoch, memory.primary_uid.as_str()), (1, "uid-0"));
        assert!(!memory.was_primary);
        // Once more changes nothing.
        let before = group[at].status().await.unwrap();
        assert_eq!(group.follow(at, 0, 1).await.unwrap(), before);
    }
    let memory = group[0].status().await.unwrap().memory;
    assert_eq!((memory.epoch, memory.primary_uid.as_str()), (1, "uid-0"));
    assert!(memory.was_primary);
    let place = group.until_equal(0, 2).await;
    assert_eq!(place.keys, 1);
}

async fn a_primary_that_crashed_stays_held_among_several(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    let pid = group[0].kill_server().await;
    let again = |status: &hera_core::agent::AgentStatus| {
        is_running(status) && server_pid(status) != Some(pid)
    };
    let status = group[0].until("it runs again", again).await;
    assert_eq!(status.role, Role::Held);
    assert!(status.memory.was_primary && status.memory.epoch == 1);
    assert!(group[0].app().await.get("a").await.is_err());
    // Its replica kept the data, and takes over.
    let status = group[1].promote_for(1, 2).await.unwrap();
    assert_eq!((status.role, status.memory.epoch), (Role::Primary, 2));
    group[1].app().await.set("b", "1").await.unwrap();
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
    group.until_has(0, "a", "1").await;
    group.until_has(0, "b", "1").await;
    assert!(!group[0].status().await.unwrap().memory.was_primary);
}

async fn how_far_a_primary_was_is_told_once_it_ended(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    let place = group.until_equal(0, 1).await;
    assert_eq!(group[0].status().await.unwrap().led_to, None, "it leads");

    let pid = group[0].kill_server().await;
    let ended = group[0]
        .until("it runs again", |status| {
            is_running(status) && server_pid(status) != Some(pid)
        })
        .await;
    let led = ended.led_to.unwrap();
    assert_eq!(led.replication_id, place.replication_id);
    assert!(led.offset <= place.offset, "of the last look");

    group[1].promote_for(1, 2).await.unwrap();
    let next = group[1]
        .until("it tells its fork", |status| status.forked_at.is_some())
        .await;
    let fork = next.forked_at.unwrap();
    assert_eq!(fork.replication_id, place.replication_id);
    assert!(fork.offset >= place.offset);

    group.follow(0, 1, 2).await.unwrap();
    let status = group.until_linked(0).await;
    assert_eq!(status.led_to, None, "what it had is given up");
}

async fn a_replica_that_crashed_follows_again_by_itself(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let pid = group[1].kill_server().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group[1]
        .until("another server follows", |status| {
            is_linked(status) && server_pid(status).is_some_and(|now| now != pid)
        })
        .await;
    group.until_has(1, "a", "1").await;
}

async fn a_replica_whose_agent_starts_again_waits_for_the_operator(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    assert!(group[1].terminate().await.success());
    group.start_one(1).await;
    let status = group[1].status().await.unwrap();
    assert_eq!(status.role, Role::Held);
    assert_eq!(
        (status.memory.epoch, status.memory.primary_uid.as_str()),
        (1, "uid-0")
    );
    assert!(status.memory.offset > 0, "it stopped clean");
    assert_eq!(status.members, group.members());
    group.follow(1, 0, 1).await.unwrap();
    group.until_linked(1).await;
    // An offset counts once.
    group[1].kill_agent();
    group.start_one(1).await;
    assert_eq!(group[1].status().await.unwrap().memory.offset, 0);
}

async fn an_epoch_is_noted_once_the_link_is_up(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.start().await;
    // The other is no primary yet, and this one's user is not known there.
    let mut order = group.following(0, 5);
    if let Order::Follow { password, .. } = &mut order {
        "wrong".clone_into(password);
    }
    let status = group[1].order(1, order).await.unwrap();
    assert_eq!(status.role, Role::Replica);
    assert!(!is_linked(&status));
    let waits = group[1]
        .until("it says for what it waits", |status| {
            status.waiting_for.is_some()
        })
        .await;
    assert_eq!(waits.memory.epoch, 0);
    assert_eq!(group[1].probe("/readyz").await, 503);
    let (status, _) = group.follow(1, 0, 4).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    group[0].promote_for(1, 5).await.unwrap();
    group.follow(1, 0, 5).await.unwrap();
    let memory = group.until_linked(1).await.memory;
    assert_eq!((memory.epoch, memory.primary_uid.as_str()), (5, "uid-0"));
}

async fn the_end_of_a_link_is_told_at_once(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let mut news = crate::news::News::open(&group[1]).await;
    news.until(is_linked).await;
    group[0].kill_server().await;
    let killed = tokio::time::Instant::now();
    news.until(|status| !is_linked(status)).await;
    let gap = killed.elapsed().as_millis();
    let (name, version) = (engine.name, engine.version);
    println!(
        "FIGURE {name} {version}: primary killed to news of a replica's broken link: {gap} ms"
    );
}

async fn a_lone_primary_gets_replicas(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group[0].lone = true;
    group[0].serve().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.start_one(1).await;
    group[0]
        .push_users(2, &[app(), replication()])
        .await
        .unwrap();
    group.tell_members().await;
    let memory = group[0].status().await.unwrap().memory;
    assert_eq!((memory.epoch, memory.was_primary), (1, true));
    group.follow(1, 0, 1).await.unwrap();
    group.until_has(1, "a", "1").await;
    // It is not alone any more, whatever it was started with.
    let pid = group[0].kill_server().await;
    let again = |status: &hera_core::agent::AgentStatus| {
        is_running(status) && server_pid(status) != Some(pid)
    };
    assert_eq!(
        group[0].until("it runs again", again).await.role,
        Role::Held
    );
}

async fn an_only_member_promotes_itself(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.lone = false;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[app()]).await.unwrap();
    let others = Members {
        pods: vec![],
        fence_after_ms: 1_000,
        revision: 1,
    };
    let (status, refusal) = pod.push_members(1, &others).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refusal.message.contains("not among"));
    let alone = Members {
        pods: vec![pod.peer()],
        fence_after_ms: 1_000,
        revision: 1,
    };
    pod.order(1, Order::Promise { epoch: 3 }).await.unwrap();
    pod.push_members(1, &alone).await.unwrap();
    assert_eq!(pod.until_primary().await.memory.epoch, 4);
    // It is never fenced.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(pod.status().await.unwrap().role, Role::Primary);
}

async fn a_list_of_members_that_was_overtaken_is_refused(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.start().await;
    let of = |revision, fence_after_ms| Members {
        revision,
        fence_after_ms,
        ..group.members()
    };
    group[0].push_members(1, &of(5, 4_000)).await.unwrap();
    let late = group[0].push_members(1, &of(4, 3_000)).await;
    let (status, refusal) = late.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refusal.message.contains("list 5"), "{}", refusal.message);
    let held = group[0].status().await.unwrap().members;
    assert_eq!((held.revision, held.fence_after_ms), (5, 4_000));
    // An address may change within one list.
    let mut moved = of(5, 4_000);
    moved.pods[1].ip = Some("127.0.0.9".to_owned());
    assert_eq!(
        group[0].push_members(1, &moved).await.unwrap().members,
        moved
    );
}

/// They once asked without a pause as long as they followed, which took half a core for each.
async fn agents_of_pods_in_sync_look_at_their_servers_a_few_times_a_second(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    for pod in &group.pods {
        with_looks(pod).await;
    }
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    let asked = async |at: usize| -> u32 {
        let calls = info(&group[at], "commandstats", "cmdstat_info").await;
        let calls = calls.strip_prefix("calls=").unwrap();
        calls.split(',').next().unwrap().parse().unwrap()
    };
    let before = [asked(0).await, asked(1).await];
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = [asked(0).await, asked(1).await];
    let [primary, replica] = [after[0] - before[0], after[1] - before[1]];
    assert!(
        (2..10).contains(&primary),
        "the primary: {primary} times in 2 s"
    );
    assert!(
        (5..50).contains(&replica),
        "the replica: {replica} times in 2 s"
    );
}
