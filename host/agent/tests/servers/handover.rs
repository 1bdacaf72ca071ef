//! Planned switches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hera_core::agent::{Order, Role};
use reqwest::StatusCode;
use tokio::time::{Duration, Instant};

use crate::client::{Client as _, login};
use crate::engine::Engine;
use crate::group::{Group, is_linked};
use crate::wait::until;

facts_on!(redis_7_2, REDIS_7_2, a_switch_loses_nothing);
facts_on!(redis_8_0, REDIS_8_0, a_switch_loses_nothing);
on_both!(
    a_switch_loses_nothing,
    a_pause_ends_and_is_for_primaries_only,
    a_release_closes_clients_of_a_replica_only,
    a_primary_that_leaves_waits_for_a_handover,
    a_replica_that_is_to_end_is_still_promoted_where_that_was_under_way,
    a_primary_that_is_left_alone_stops_at_once_and_has_every_write,
    an_order_to_follow_that_comes_after_the_pause_is_refused_and_the_primary_goes_on,
    a_primary_follows_only_in_the_pause_for_that_handover,
);
facts_on!(
    once,
    REDIS_7_0,
    a_primary_that_leaves_waits_no_longer_than_told
);

/// Longer than a former primary sends its clients away.
const DISMISSING: Duration = Duration::from_millis(3_500);

/// Writes numbered keys to whoever takes them, and says which were acknowledged.
struct Writer {
    acknowledged: AtomicU32,
    longest_gap: AtomicU32,
    done: AtomicBool,
}

impl Writer {
    async fn run(self: Arc<Self>, ports: [u16; 2]) {
        let mut at = 0;
        let mut last = Instant::now();
        while !self.done.load(Ordering::SeqCst) {
            let Ok(server) = login(ports[at % 2], "app").await else {
                at += 1;
                continue;
            };
            loop {
                let next = self.acknowledged.load(Ordering::SeqCst);
                if self.done.load(Ordering::SeqCst)
                    || server.set(&format!("key:{next}"), "x").await.is_err()
                {
                    break;
                }
                self.acknowledged.store(next + 1, Ordering::SeqCst);
                let gap = u32::try_from(last.elapsed().as_millis()).unwrap();
                self.longest_gap.fetch_max(gap, Ordering::SeqCst);
                last = Instant::now();
            }
            at += 1;
        }
    }
}

/// Redis-facts §2.4, A2, from the first pod to the second.
async fn switch(group: &Group, epoch: u64) {
    group.pause(0, 2_000, epoch).await.unwrap();
    let place = group.until_equal(0, 1).await;
    group.follow(0, 1, epoch).await.unwrap();
    let promote = Order::Promote {
        epoch,
        token: place.token,
    };
    group[1].order(1, promote).await.unwrap();
    for at in 2..group.len() {
        group.follow(at, 1, epoch).await.unwrap();
    }
    group[0].order(1, Order::Release).await.unwrap();
}

async fn a_switch_loses_nothing(engine: Engine) {
    let mut group = Group::new(engine, 3);
    group.lead().await;
    let writer = Arc::new(Writer {
        acknowledged: 0.into(),
        longest_gap: 0.into(),
        done: false.into(),
    });
    let writing = tokio::spawn(writer.clone().run([group[0].port, group[1].port]));
    let count = || writer.acknowledged.load(Ordering::SeqCst);
    let more = async |than: u32| {
        until("the writer writes", async || match count() {
            now if now > than => Ok(()),
            now => Err(now.to_string()),
        })
        .await;
    };
    more(100).await;
    let since = Instant::now();
    switch(&group, 2).await;
    let took = since.elapsed().as_millis();
    more(count() + 100).await;
    writer.done.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    let (name, version) = (engine.name, engine.version);
    let gap = writer.longest_gap.load(Ordering::SeqCst);
    println!(
        "FIGURE {name} {version}: planned switch: {took} ms, longest gap of a writer: {gap} ms"
    );

    for at in [0, 2] {
        let status = group.until_linked(at).await;
        assert_eq!((status.memory.epoch, status.memory.was_primary), (2, false));
        group
            .until_has(at, &format!("key:{}", count() - 1), "x")
            .await;
    }
    tokio::time::sleep(DISMISSING).await;
    for at in 0..3 {
        let server = group[at].app().await;
        for number in 0..count() {
            let value = server.get(&format!("key:{number}")).await.unwrap();
            assert_eq!(value.as_deref(), Some("x"), "key:{number} of {}", count());
        }
    }
}

async fn a_pause_ends_and_is_for_primaries_only(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let (status, _) = group.pause(1, 100, 2).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let server = group[0].app().await;
    group.pause(0, 60_000, 2).await.unwrap();
    let held = tokio::time::timeout(Duration::from_millis(300), server.set("a", "1")).await;
    assert!(held.is_err());
    let other = group[0].app().await;
    assert_eq!(other.get("a").await.unwrap(), None);
    group[0].order(1, Order::Release).await.unwrap();
    server.set("a", "2").await.unwrap();
    let since = Instant::now();
    group.pause(0, 300, 3).await.unwrap();
    server.set("a", "3").await.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(200));
}

async fn a_release_closes_clients_of_a_replica_only(engine: Engine) {
    let mut group = Group::new(engine, 3);
    group.lead().await;
    let server = group[0].app().await;
    group[0].order(1, Order::Release).await.unwrap();
    server.set("a", "1").await.unwrap();
    group.pause(0, 5_000, 2).await.unwrap();
    group.until_equal(0, 1).await;
    group.follow(0, 1, 2).await.unwrap();
    assert!(server.set("a", "2").await.is_err());
    group[1].promote_for(1, 2).await.unwrap();
    // It may have had a link to the other before that was promoted, which the promotion ended.
    group.until_equal(1, 0).await;
    group.until_linked(0).await;
    // Whoever comes late is sent away as well, but nobody from another replica.
    let other = group[2].app().await;
    let since = Instant::now();
    while since.elapsed() < DISMISSING {
        // Its own primary has just changed whose data it has.
        assert!(!other.get("a").await.is_err_and(|error| error.is_broken()));
        let late = login(group[0].port, "app").await;
        if since.elapsed() < Duration::from_millis(1_000)
            && let Ok(late) = late
        {
            until("it is sent away", async || match late.get("a").await {
                Err(_) => Ok(()),
                Ok(value) => Err(format!("{value:?}")),
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let reader = group[0].app().await;
    assert_eq!(reader.get("a").await.unwrap().as_deref(), Some("1"));
    group[0].order(1, Order::Release).await.unwrap();
    assert!(reader.get("a").await.unwrap_err().is_broken());
    // What replicates lives, and so does what the agent asks with.
    assert!(is_linked(&group[0].status().await.unwrap()));
    group[0].position().await.unwrap();
    group.until_has(0, "a", "1").await;
}

async fn a_primary_that_leaves_waits_for_a_handover(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group[0].ask_to_end();
    let status = group[0].until("it leaves", |status| status.leaving).await;
    assert_eq!(status.role, Role::Primary);
    group[0].app().await.set("b", "1").await.unwrap();
    assert_eq!(
        group[0].promote_for(1, 2).await.unwrap_err().0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    group.pause(0, 5_000, 2).await.unwrap();
    group.until_equal(0, 1).await;
    group.follow(0, 1, 2).await.unwrap();
    group[1].promote_for(1, 2).await.unwrap();
    assert!(group[0].ended().await.success());
    group.until_has(1, "b", "1").await;
    // A replica does not wait.
    group.start_one(0).await;
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
    let since = Instant::now();
    assert!(group[0].terminate().await.success());
    assert!(since.elapsed() < Duration::from_secs(5));
}

/// All pods are deleted at once: whom a handover has chosen is asked to end as well, when the old primary
/// may follow it already.
async fn a_replica_that_is_to_end_is_still_promoted_where_that_was_under_way(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    group[0].app().await.set("a", "1").await.unwrap();
    group.pause(0, 5_000, 2).await.unwrap();
    group.until_equal(0, 1).await;
    let token = group[1].position().await.unwrap().token;
    group[1].ask_to_end();
    let refused = async || match group[1].position().await {
        Err(_) => Ok(()),
        Ok(position) => Err(format!("{position:?}")),
    };
    until("it tells no position any more", refused).await;
    group.follow(0, 1, 2).await.unwrap();
    let order = Order::Promote { epoch: 2, token };
    let promoted = group[1].order(1, order).await.unwrap();
    assert_eq!(promoted.role, Role::Primary);
    group[1].until("it leaves", |status| status.leaving).await;
    group[1].app().await.set("b", "1").await.unwrap();
    // Without a promotion it does not wait long.
    group.until_linked(0).await;
    group[0].position().await.unwrap();
    let since = Instant::now();
    assert!(group[0].terminate().await.success());
    assert!(since.elapsed() < Duration::from_secs(10));
}

async fn a_primary_that_leaves_waits_no_longer_than_told(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group[0].more = vec!["--handover-seconds".to_owned(), "2".to_owned()];
    group.lead().await;
    let since = Instant::now();
    assert!(group[0].terminate().await.success());
    assert!(since.elapsed() >= Duration::from_secs(2));
}

/// All pods end, as when an instance hibernates: replicas stop before the primary, which goes on
/// taking writes until it is told that nobody is left.
async fn a_primary_that_is_left_alone_stops_at_once_and_has_every_write(engine: Engine) {
    let mut group = Group::new(engine, 3);
    group.lead().await;
    let early = group[0].order(1, Order::Leave).await.unwrap_err();
    assert_eq!(
        early.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "it is not to end"
    );
    group[0].app().await.set("a", "1").await.unwrap();
    for at in [1, 2] {
        group.until_has(at, "a", "1").await;
        assert!(group[at].terminate().await.success());
    }
    group[0].ask_to_end();
    group[0].until("it leaves", |status| status.leaving).await;
    group[0].app().await.set("b", "1").await.unwrap();
    let since = Instant::now();
    group[0].order(1, Order::Leave).await.unwrap();
    assert!(group[0].ended().await.success());
    let took = since.elapsed();
    let (name, version) = (engine.name, engine.version);
    println!(
        "FIGURE {name} {version}: left alone, to its end: {} ms",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(5), "{took:?}");

    for at in 0..3 {
        group.start_one(at).await;
    }
    let memory = |at: usize| {
        let pod = &group[at];
        async move { pod.status().await.unwrap().memory }
    };
    let (first, second) = (memory(0).await, memory(1).await);
    assert!(first.was_primary && first.offset > 0, "{first:?}");
    assert!(
        !second.was_primary && second.epoch == first.epoch,
        "{second:?}"
    );
    assert_eq!(
        group[0].status().await.unwrap().role,
        Role::Held,
        "nobody promotes itself"
    );
    group[0].promote_for(1, 2).await.unwrap();
    let server = group[0].app().await;
    for key in ["a", "b"] {
        assert_eq!(
            server.get(key).await.unwrap().as_deref(),
            Some("1"),
            "{key}"
        );
    }
}

/// The words of an order to follow that is refused.
async fn refused_to_follow(group: &Group, epoch: u64) -> String {
    let (status, refusal) = group.follow(0, 1, epoch).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let status = group[0].status().await.unwrap();
    assert_eq!((status.role, status.memory.epoch), (Role::Primary, 1));
    assert!(status.memory.was_primary);
    refusal.message
}

async fn an_order_to_follow_that_comes_after_the_pause_is_refused_and_the_primary_goes_on(
    engine: Engine,
) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let server = group[0].app().await;
    group.pause(0, 400, 2).await.unwrap();
    group.until_equal(0, 1).await;
    // The first write that is taken in again: the pause has ended by itself.
    server.set("a", "1").await.unwrap();
    let why = refused_to_follow(&group, 2).await;
    assert!(why.contains("has ended"), "{why}");
    server.set("a", "2").await.unwrap();
    // Nor does the same pause come twice, for the order that is on its way.
    let (status, refusal) = group.pause(0, 60_000, 2).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refusal.message.contains("is over"), "{}", refusal.message);
    server.set("a", "3").await.unwrap();
    group.until_has(1, "a", "3").await;
    // The next handover begins anew, and loses nothing.
    switch(&group, 3).await;
    group.until_has(0, "a", "3").await;
    group[1].app().await.set("b", "1").await.unwrap();
    group.until_has(0, "b", "1").await;
}

async fn a_primary_follows_only_in_the_pause_for_that_handover(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let why = refused_to_follow(&group, 2).await;
    assert!(why.contains("not paused"), "{why}");
    group.pause(0, 60_000, 3).await.unwrap();
    let why = refused_to_follow(&group, 2).await;
    assert!(why.contains("epoch 3, not to 2"), "{why}");
    let why = refused_to_follow(&group, 4).await;
    assert!(why.contains("epoch 3, not to 4"), "{why}");
    group[0].order(1, Order::Release).await.unwrap();
    let why = refused_to_follow(&group, 3).await;
    assert!(why.contains("has ended"), "{why}");
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    // An operator that does not say for what it pauses begins no handover.
    let (status, _) = group.pause(0, 100, 0).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}
