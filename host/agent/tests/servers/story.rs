//! The model of `tests/scenarios` and real servers take the same steps, and must end each alike.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hera_core::agent::{AgentStatus, Order, Role, ServerState};
use hera_tests_scenarios::{
    NEVER_MS, Persistence, Role as Told, SHORT_MS, Seen, Step, Story, TERM,
};
use tokio::time::{Duration, timeout};

use crate::client::{Client as _, app, login, replication, user};
use crate::engine::Engine;
use crate::group::Group;
use crate::pod::{Pod, is_running, server_pid};
use crate::wait::until;

on_all!(
    with_an_append_only_file_the_model_tells_the_truth,
    with_snapshots_the_model_tells_the_truth,
    with_nothing_kept_the_model_tells_the_truth,
);

/// Steps of one story.
const STEPS: usize = 40;
/// A write that is held back is given up after this.
const PATIENCE: Duration = Duration::from_millis(300);
const PODS: u8 = 3;

async fn with_an_append_only_file_the_model_tells_the_truth(engine: Engine) {
    tell(engine, Persistence::Appends, 1).await;
}

async fn with_snapshots_the_model_tells_the_truth(engine: Engine) {
    tell(engine, Persistence::Snapshots, 2).await;
}

async fn with_nothing_kept_the_model_tells_the_truth(engine: Engine) {
    tell(engine, Persistence::None, 3).await;
}

/// The seeds are the same in every run. `HERA_STORIES` tells how many follow one another, and
/// `HERA_STORY` names one.
async fn tell(engine: Engine, kept: Persistence, first: u64) {
    let number = |name: &str| {
        let named = std::env::var(name).ok();
        named.map(|text| text.parse::<u64>().unwrap())
    };
    let version: u64 = engine.version.bytes().map(u64::from).sum();
    let first = number("HERA_STORY").unwrap_or(first * 1_000 + version);
    let mut sum = [0; 2];
    let stories = number("HERA_STORIES").unwrap_or(1);
    for seed in first..first + stories {
        let [done, writes] = tell_one(engine, kept, seed).await;
        sum = [sum[0] + done, sum[1] + writes];
    }
    let (name, version) = (engine.name, engine.version);
    println!(
        "FIGURE {name} {version}: {kept:?}: {stories} stories as in the model, {} of {} steps done, {} \
         writes",
        sum[0],
        STEPS * usize::try_from(stories).unwrap(),
        sum[1]
    );
}

/// How many steps were done, and how many writes acknowledged.
async fn tell_one(engine: Engine, kept: Persistence, seed: u64) -> [usize; 2] {
    let mut story = Story::new(usize::from(PODS), kept, seed);
    let mut group = begin(engine, kept).await;
    let mut told = format!("story {seed}");
    let mut done = 0;
    alike(&group, &story, &told).await;
    for _ in 0..STEPS {
        let step = story.next_step();
        let number = story.writes();
        let expected = story.take(step);
        let _ = write!(told, "\n{step:?}: {expected}");
        let really = take(&mut group, step, number).await;
        assert_eq!(really, expected, "{told}");
        alike(&group, &story, &told).await;
        done += usize::from(expected);
    }
    assert!(done > STEPS / 3 && story.writes() > 2, "{told}");
    [done, story.writes()]
}

async fn begin(engine: Engine, kept: Persistence) -> Group {
    let mut group = Group::new(engine, PODS);
    group.fence_after_ms = NEVER_MS;
    let volatile = kept == Persistence::None;
    let (append, save) = match kept {
        Persistence::Appends => ("yes", "\"\""),
        // Often enough never to be due by itself.
        Persistence::Snapshots => ("no", "3600 1000000"),
        Persistence::None => ("no", "\"\""),
    };
    for at in 0..group.len() {
        let quick = ("repl-diskless-sync-delay", "0");
        // As `hera-render` has it.
        let none = ("rdb-del-sync-files", if volatile { "yes" } else { "no" });
        group[at].mount_config(1, &[("appendonly", append), ("save", save), none, quick]);
        group[at].more = vec![format!("--volatile={volatile}")];
    }
    group.start().await;
    for at in 0..group.len() {
        bring_users(&group[at]).await;
    }
    group
}

async fn bring_users(pod: &Pod) {
    let saves = user("saves", &["+bgsave", "+info"]);
    let users = [app(), replication(), saves];
    pod.push_users(2, &users).await.unwrap();
}

/// Takes a step. True if the order was carried out, or the write acknowledged.
async fn take(group: &mut Group, step: Step, number: usize) -> bool {
    match step {
        Step::Promote(pod, epoch) => {
            let place = group[pod].position().await;
            let token = place.map_or(0, |place| place.token);
            order(&group[pod], TERM, Order::Promote { epoch, token }).await
        }
        Step::Follow(pod, whom, epoch) => {
            let following = group.following(whom, epoch);
            order(&group[pod], TERM, following).await
        }
        Step::Pause(pod, epoch) => pause(&group[pod], NEVER_MS, epoch).await,
        Step::ShortPause(pod, epoch) => {
            let paused = pause(&group[pod], SHORT_MS, epoch).await;
            // It is over by then, which nobody but the clock tells.
            tokio::time::sleep(Duration::from_millis(SHORT_MS + 50)).await;
            paused
        }
        Step::Release(pod) => order(&group[pod], TERM, Order::Release).await,
        Step::Fence(pod, epoch) => order(&group[pod], TERM, Order::Fence { epoch }).await,
        Step::Start(pod) => order(&group[pod], TERM, Order::Start).await,
        Step::Promise(pod, epoch) => order(&group[pod], TERM, Order::Promise { epoch }).await,
        Step::PromiseTooLate(pod, epoch) => {
            order(&group[pod], TERM - 1, Order::Promise { epoch }).await
        }
        Step::Write(pod) => acknowledges(&group[pod], number).await,
        Step::Save(pod) => saves(&group[pod]).await,
        Step::CrashServer(pod) => crashes(&group[pod]).await,
        Step::Restart(pod) => {
            let server = server_pid(&group[pod].status().await.unwrap());
            group[pod].kill_agent();
            if let Some(server) = server {
                crate::pod::end(server);
            }
            group[pod].start().await;
            let up = |status: &AgentStatus| is_running(status) || is_down(status);
            group[pod].until("the server answers", up).await;
            bring_users(&group[pod]).await;
            true
        }
    }
}

async fn order(pod: &Pod, term: u64, order: Order) -> bool {
    pod.order(term, order).await.is_ok()
}

async fn pause(pod: &Pod, millis: u64, epoch: u64) -> bool {
    order(pod, TERM, Order::Pause { millis, epoch }).await
}

async fn acknowledges(pod: &Pod, number: usize) -> bool {
    let Ok(client) = login(pod.port, "app").await else {
        return false;
    };
    let key = number.to_string();
    let written = timeout(PATIENCE, client.set(&key, "x")).await;
    written.is_ok_and(|written| written.is_ok())
}

async fn saves(pod: &Pod) -> bool {
    let Ok(client) = login(pod.port, "saves").await else {
        return false;
    };
    let idle = async || {
        let info = client.say(&["INFO", "persistence"]).await.unwrap();
        match info.contains("rdb_bgsave_in_progress:0") {
            true => Ok(()),
            false => Err(info),
        }
    };
    // A replica's copy may just have been made.
    until("no snapshot is written", idle).await;
    let begins = client.say(&["BGSAVE"]).await.is_ok();
    until("the snapshot is written", idle).await;
    begins
}

/// Kills the server and awaits the next.
async fn crashes(pod: &Pod) -> bool {
    if !is_running(&pod.status().await.unwrap()) {
        return false;
    }
    let pid = pod.kill_server().await;
    pod.until("another runs", |status| {
        is_running(status) && server_pid(status) != Some(pid)
    })
    .await;
    true
}

fn is_down(status: &AgentStatus) -> bool {
    status.server == ServerState::Fenced
}

/// Awaits that the servers are as the model says.
async fn alike(group: &Group, story: &Story, told: &str) {
    let expected = story.seen();
    until(told, async || {
        for (at, expected) in expected.iter().enumerate() {
            let seen = see(group, at).await;
            if seen.as_ref() != Some(expected) {
                return Err(format!(
                    "pod {at}\n   model {expected:?}\n  server {seen:?}"
                ));
            }
        }
        Ok(())
    })
    .await;
}

async fn see(group: &Group, at: usize) -> Option<Seen> {
    let status = group[at].status().await.unwrap();
    let running = is_running(&status);
    let role = match status.role {
        _ if !running => None,
        Role::Held => Some(Told::Held),
        Role::Replica => Some(Told::Replica),
        Role::Primary => Some(Told::Primary),
        Role::Unknown => None,
    };
    let link = status.link.filter(|_| role == Some(Told::Replica));
    let linked = link.as_ref().is_some_and(|link| link.up);
    let memory = status.memory;
    // The model knows of no volume that lacks what the server has for a while.
    if memory.unsaved {
        return None;
    }
    let by_uid = |uid: &str| group.iter().position(|pod| pod.uid == uid);
    let reads = linked || role == Some(Told::Primary);
    Some(Seen {
        running,
        fenced: status.server == ServerState::Fenced,
        role,
        epoch: by_uid(&memory.primary_uid).map(|whom| (memory.epoch, whom)),
        was_primary: memory.was_primary,
        promised_epoch: memory.promised_epoch,
        follows: link.and_then(|link| group.iter().position(|pod| pod.port == link.port)),
        linked,
        keys: match running {
            true => group[at].position().await.map_or(0, |place| place.keys),
            false => 0,
        },
        content: match reads {
            true => content(&group[at]).await,
            false => None,
        },
    })
}

/// The writes that a client finds there.
async fn content(pod: &Pod) -> Option<BTreeSet<usize>> {
    let client = login(pod.port, "app").await.ok()?;
    let keys = client
        .ask("KEYS", hera_redis::command("KEYS").arg("*"))
        .await;
    let keys: Vec<String> = keys.ok()?;
    Some(keys.iter().map(|key| key.parse().unwrap()).collect())
}
