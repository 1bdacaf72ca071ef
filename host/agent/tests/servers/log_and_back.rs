//! The log of a server is kept, and its data comes back as it was at any instant.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hera_core::backup::log::SLACK_MS;
use hera_core::backup::{
    BackupOrder, BaseManifest, CaptureOrder, Loads, RecoverFrom, RecoverInstant, RecoveryNews,
};
use hera_redis::{Server, command};

use crate::backup::{Stored, order, owner, serving, stores, told};
use crate::client::Client as _;
use crate::crash::DURABLE;
use crate::engine::{Engine, REDIS_8_6, VALKEY_9_1};
use crate::pod::Pod;
use crate::recovery::{SAVED, due, serves, until_waiting};
use crate::wait::until;

on_both!(what_was_flushed_comes_back_as_it_was_at_any_instant);
facts_on!(
    redis_7_2,
    REDIS_7_2,
    what_was_flushed_comes_back_as_it_was_at_any_instant
);
facts_on!(
    redis_8_0,
    REDIS_8_0,
    what_was_flushed_comes_back_as_it_was_at_any_instant
);
facts_on!(
    once,
    REDIS_7_0,
    a_server_that_saves_nothing_begins_with_an_instant_once
);

#[tokio::test]
async fn later_servers_come_back_as_they_were() {
    for engine in [REDIS_8_6, VALKEY_9_1] {
        if engine.can_be_had() {
            what_was_flushed_comes_back_as_it_was_at_any_instant(engine).await;
        }
    }
}

/// So much is said before the base is taken, after it is stored, and after the data is flushed.
const BEFORE: usize = 40;
const BETWEEN: usize = 100;
const AFTER: usize = 60;
/// Cuts at random instants, unless `HERA_LOG_CUTS` has another number.
const CUTS: usize = 3;
/// The log is in the store after this at the latest.
const MAX_DELAY_MS: u64 = 1_000;
/// A mark stands at most this long behind what it is of, on a machine that does other things as well.
const MARKED_MS: u64 = 300;

const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]); redis.call('SET', KEYS[2], ARGV[1]); return 'ok'";

/// Keys and what is in them: a database and a slash before those that are not in the first one.
type Content = BTreeMap<String, String>;

/// When something was said, and when the server had it.
#[derive(Clone, Copy, Debug)]
struct Said {
    flushes: bool,
    sent: u64,
    acknowledged: u64,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Says the one of this number: each changes the data in one step, or not at all.
async fn say(server: &Server, number: usize) {
    let value = number.to_string();
    let value = value.as_str();
    match number % 6 {
        0 => {
            let key = format!("k:{}", number % 5);
            server.set(&key, value).await.unwrap();
        }
        1 => {
            server.say(&["MULTI"]).await.unwrap();
            for key in ["m:1", "m:2"] {
                server.say(&["SET", key, value]).await.unwrap();
            }
            let done: Vec<String> = server.ask("EXEC", &command("EXEC")).await.unwrap();
            assert_eq!(done.len(), 2);
        }
        2 => {
            let eval = ["EVAL", SCRIPT, "2", "s:1", "s:2", value];
            server.say(&eval).await.unwrap();
        }
        3 => {
            let mut push = command("RPUSH");
            push.arg(&["list", value]);
            let _: i64 = server.ask("RPUSH", &push).await.unwrap();
        }
        4 => {
            let set = ["SET", "expires", value, "EX", "10000"];
            server.say(&set).await.unwrap();
        }
        _ => {
            server.say(&["SELECT", "3"]).await.unwrap();
            server.set("x", value).await.unwrap();
            server.say(&["SELECT", "0"]).await.unwrap();
        }
    }
}

/// What a server has that had this before, once it has the one of this number.
fn apply(content: &mut Content, number: usize, flushes: bool) {
    if flushes {
        content.clear();
        return;
    }
    let keys: &[&str] = match number % 6 {
        0 => {
            content.insert(format!("k:{}", number % 5), number.to_string());
            return;
        }
        1 => &["m:1", "m:2"],
        2 => &["s:1", "s:2"],
        3 => {
            let list = content.entry("list".to_owned()).or_default();
            list.push_str(&format!("{number} "));
            return;
        }
        4 => &["expires"],
        _ => &["3/x"],
    };
    for key in keys {
        content.insert((*key).to_owned(), number.to_string());
    }
}

/// Says the next one, and notes when.
async fn write(server: &Server, said: &mut Vec<Said>, flushes: bool) {
    let sent = now();
    match flushes {
        true => drop(server.say(&["FLUSHALL"]).await.unwrap()),
        false => say(server, said.len()).await,
    }
    said.push(Said {
        flushes,
        sent,
        acknowledged: now(),
    });
    let pause = Duration::from_millis(rand::random_range(0..12));
    tokio::time::sleep(pause).await;
}

async fn write_many(server: &Server, said: &mut Vec<Said>, count: usize) {
    for _ in 0..count {
        write(server, said, false).await;
    }
}

/// What a server has.
async fn content(pod: &Pod) -> Content {
    let server = pod.app().await;
    let mut content = Content::new();
    for (database, before) in [("3", "3/"), ("0", "")] {
        server.say(&["SELECT", database]).await.unwrap();
        let mut keys = command("KEYS");
        let keys: Vec<String> = server.ask("KEYS", keys.arg("*")).await.unwrap();
        for key in keys {
            let value: String = match key.as_str() {
                "list" => {
                    let mut range = command("LRANGE");
                    range.arg(&["list", "0", "-1"]);
                    let list: Vec<String> = server.ask("LRANGE", &range).await.unwrap();
                    list.iter().map(|value| format!("{value} ")).collect()
                }
                key => server.get(key).await.unwrap().unwrap(),
            };
            content.insert(format!("{before}{key}"), value);
        }
    }
    content
}

/// Whether this is what was there at an instant: all that had been acknowledged a little before, and nothing that was
/// sent after it. Answers how much of what had been acknowledged is not in it.
fn assert_was(content: &Content, said: &[Said], at: u64) -> usize {
    let least = said.iter().filter(|said| said.acknowledged + SLACK_MS < at);
    let acknowledged = said.iter().filter(|said| said.acknowledged < at).count();
    let most = said.iter().filter(|said| said.sent <= at).count();
    let range = least.count()..=most;
    let mut model = Content::new();
    let mut same = Vec::new();
    for number in 0..=said.len() {
        if model == *content {
            same.push(number);
        }
        if let Some(next) = said.get(number) {
            apply(&mut model, number, next.flushes);
        }
    }
    let found = same.iter().rev().find(|count| range.contains(count));
    let found = found.unwrap_or_else(|| {
        panic!("at {at} after {range:?} of what was said, and it is as after {same:?}: {content:?}")
    });
    acknowledged.saturating_sub(*found)
}

/// The server's data was read into the store, and its log was kept, while somebody wrote.
struct Kept {
    stored: Stored,
    base: BaseManifest,
    said: Vec<Said>,
    /// The data was flushed.
    flushed: Said,
}

impl Kept {
    async fn of(engine: Engine) -> Self {
        let stored = Stored::start();
        let pod = serving(engine, &[]).await;
        let capture = CaptureOrder {
            shard: "0".to_owned(),
            owner: owner(),
            store: stored.access(),
            max_delay_ms: MAX_DELAY_MS,
        };
        let capture = BackupOrder::Capture(Box::new(capture));
        order(&pod, capture).await.unwrap();
        // A base of a lone server is to be of the history that begins with the log, not of the one before.
        until("the log is read", async || {
            let capture = told(&pod).await.capture;
            let reads = capture.as_ref().is_some_and(|state| !state.id.is_empty());
            reads.then_some(()).ok_or_else(|| format!("{capture:?}"))
        })
        .await;

        let server = pod.app().await;
        let mut said = Vec::new();
        write_many(&server, &mut said, BEFORE).await;
        let is_stored = Cell::new(false);
        let storing = async {
            let base = stores(&pod, "b-1-1", &stored).await;
            is_stored.set(true);
            base
        };
        let writing = async {
            while !is_stored.get() {
                write(&server, &mut said, false).await;
            }
        };
        let (base, ()) = tokio::join!(storing, writing);
        write_many(&server, &mut said, BETWEEN).await;
        write(&server, &mut said, true).await;
        let flushed = *said.last().unwrap();
        write_many(&server, &mut said, AFTER).await;
        let last = said.last().unwrap().acknowledged;
        until("the log is in the store", async || {
            let capture = told(&pod).await.capture;
            let covered = capture.as_ref().and_then(|state| state.covered_unix_ms);
            let is = covered.is_some_and(|covered| covered > last + MARKED_MS);
            is.then_some(()).ok_or_else(|| format!("{capture:?}"))
        })
        .await;
        Self {
            stored,
            base,
            said,
            flushed,
        }
    }

    /// A new pod that has what was there at an instant, and that instant.
    async fn back_at(
        &self,
        engine: Engine,
        unix_ms: Option<u64>,
        directives: &[(&str, &str)],
        more: &[&str],
    ) -> (Pod, u64) {
        let mut pod = due(engine, directives);
        pod.more = more.iter().map(|word| (*word).to_owned()).collect();
        pod.start().await;
        until_waiting(&pod).await;
        let from = RecoverFrom::Instant(instant(engine, unix_ms));
        let store = self.stored.access();
        let recover = BackupOrder::Recover { from, store };
        order(&pod, recover).await.unwrap();
        let status = pod
            .until("the recovery ends", |status| match &status.recovery {
                Some(RecoveryNews::Failed { failure }) => panic!("{unix_ms:?}: {failure:?}"),
                Some(RecoveryNews::Done { .. }) => true,
                _ => false,
            })
            .await;
        let Some(RecoveryNews::Done {
            taken_unix_ms,
            base,
        }) = status.recovery
        else {
            panic!("{status:?}");
        };
        assert_eq!(base, self.base.path);
        serves(&pod).await;
        (pod, taken_unix_ms)
    }
}

/// An instant of the object whose log is kept.
pub fn instant(engine: Engine, unix_ms: Option<u64>) -> RecoverInstant {
    let owner = owner();
    let mut version = engine.version.split('.').map(|part| part.parse().unwrap());
    RecoverInstant {
        namespace: owner.namespace,
        name: owner.name,
        uid: None,
        shard: "0".to_owned(),
        unix_ms,
        branch: None,
        loads: vec![Loads {
            engine: engine.name.to_owned(),
            up_to: (version.next().unwrap(), version.next().unwrap()),
        }],
        room: Default::default(),
    }
}

async fn what_was_flushed_comes_back_as_it_was_at_any_instant(engine: Engine) {
    let kept = Kept::of(engine).await;
    let said = &kept.said;
    let first = kept.base.taken_unix_ms + MARKED_MS;
    let last = said.last().unwrap().acknowledged;
    let mut instants = vec![kept.flushed.sent - 1, kept.flushed.acknowledged + 20];
    let cuts = std::env::var("HERA_LOG_CUTS").ok();
    let cuts = cuts.map_or(CUTS, |cuts| cuts.parse().unwrap());
    instants.extend((0..cuts).map(|_| rand::random_range(first..last)));
    let count = instants.len();
    let mut missing = Vec::new();
    for (number, at) in instants.into_iter().enumerate() {
        let directives = match number % 2 {
            0 => DURABLE,
            _ => in_a_snapshot(),
        };
        let (pod, reached) = kept.back_at(engine, Some(at), &directives, &[]).await;
        assert_eq!(reached, at);
        let has = content(&pod).await;
        missing.push(assert_was(&has, said, at));
        goes_on(pod, has).await;
    }
    println!(
        "FIGURE {} {}: {count} cuts right by content; acknowledged before the instant and not in: {} at most",
        engine.name,
        engine.version,
        missing.iter().max().unwrap()
    );

    let (pod, reached) = kept.back_at(engine, None, &DURABLE, &[]).await;
    assert!(reached > kept.flushed.sent, "{reached}: {:?}", kept.flushed);
    assert_was(&content(&pod).await, said, reached);
}

/// [`SAVED`], and as many directives as [`DURABLE`].
fn in_a_snapshot() -> [(&'static str, &'static str); 3] {
    let [first, second] = SAVED;
    [first, second, ("appendfsync", "always")]
}

/// What came back stays, whichever file is to hold it.
async fn goes_on(mut pod: Pod, mut has: Content) {
    let conf = |pod: &Pod| fs::read_to_string(pod.path("run/server.conf")).unwrap();
    let at_first = conf(&pod);
    assert!(at_first.contains("\nappendonly yes\n"), "{at_first}");
    assert!(at_first.contains("\naof-load-truncated no\n"), "{at_first}");
    let config = fs::read_to_string(pod.path("etc/server.json")).unwrap();
    let source = match config.contains(r#""appendonly":"yes""#) {
        true => "aof",
        false => "rdb",
    };
    until("the data is where it is to be", async || {
        let state = fs::read_to_string(pod.path("data/.hera/state")).unwrap();
        let is = state.contains(&format!("\"source\": \"{source}\""));
        is.then_some(()).ok_or(state)
    })
    .await;
    pod.app().await.set("after", "1").await.unwrap();
    has.insert("after".to_owned(), "1".to_owned());
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
    assert_eq!(content(&pod).await, has);
    let later = conf(&pod);
    assert!(!later.contains("aof-load-truncated"), "{later}");
}

async fn a_server_that_saves_nothing_begins_with_an_instant_once(engine: Engine) {
    let kept = Kept::of(engine).await;
    let at = kept.flushed.sent - 1;
    let volatile = ["--volatile=true"];
    let (pod, _) = kept.back_at(engine, Some(at), &SAVED, &volatile).await;
    assert_was(&content(&pod).await, &kept.said, at);
    until("no append-only file is written", async || {
        let state = fs::read_to_string(pod.path("data/.hera/state")).unwrap();
        let is = state.contains("\"source\": \"rdb\"");
        is.then_some(()).ok_or(state)
    })
    .await;
    assert!(!pod.path("data/dump.rdb").exists());

    // An old part of the data would pass for all of it.
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    assert_eq!(content(&pod).await, Content::new());
    assert!(!pod.path("data/appendonlydir").exists());
}
