//! A volume is filled with what a base and a log say of an instant.

use std::fs;
use std::path::PathBuf;

use hera_core::agent::AgentStatus;
use hera_core::backup::log::{Evidence, Mark, PieceHeader, encode};
use hera_core::backup::{
    BackupOrder, BaseManifest, FORMAT, Failure, FailureReason, Loads, Paths, RecoverFrom,
    RecoverInstant, RecoveryNews, StoreAccess,
};
use hera_core::digest::sha256_hex;
use hera_store::{Created, Store};
use hera_testbed::gateway::Gateway;
use rand::distr::{Alphanumeric, SampleString as _};

use crate::client::Client as _;
use crate::crash::DURABLE;
use crate::engine::Engine;
use crate::pod::{Pod, end, is_running, lives, server_pid};
use crate::recovery::{
    BUCKET, SAVED, Then, access, assert_has, due, manifest, narrow, order, serves, snapshot,
    traces, until_failed, until_waiting,
};
use crate::wait::until;

on_both!(
    what_was_written_before_an_instant_is_there_and_what_came_after_is_not,
    an_agent_that_is_killed_at_any_step_begins_anew_or_goes_on,
);
facts_on!(
    once,
    REDIS_7_0,
    what_is_not_stored_is_refused_in_words,
    a_damaged_piece_is_named_with_what_is_lost_unless_another_has_its_bytes,
    an_older_base_does_where_the_last_is_damaged,
    a_log_that_lost_its_end_is_not_loaded_in_part
);

/// When the base was taken.
const TAKEN: u64 = 1_796_000_000_000;
/// A key is written each second: `k:1` one second after the base.
const SECOND: u64 = 1_000;
const KEYS: u64 = 10;

/// A base, and a log in which each key is written once.
struct Stored {
    gateway: Gateway,
    store: Store,
    paths: Paths,
    base: BaseManifest,
    log: Log,
}

/// Commands behind the base.
struct Log {
    stream: Vec<u8>,
    /// Where each command ends, and when it came.
    ends: Vec<Mark>,
}

impl Log {
    fn behind(base: &BaseManifest, values: impl Fn(u64) -> String) -> Self {
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for number in 1..=KEYS {
            let (key, value) = (format!("k:{number}"), values(number));
            let command = format!(
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
                key.len(),
                value.len()
            );
            stream.extend(command.into_bytes());
            ends.push(Mark {
                offset: base.offset + u64::try_from(stream.len()).unwrap(),
                unix_ms: TAKEN + number * SECOND,
            });
        }
        Self { stream, ends }
    }

    /// Offset behind so many keys.
    fn offset(&self, base: &BaseManifest, keys: usize) -> u64 {
        match keys {
            0 => base.offset,
            keys => self.ends[keys - 1].offset,
        }
    }
}

impl Stored {
    async fn of(engine: Engine) -> Self {
        Self::with(engine, |_| "1".to_owned()).await
    }

    /// With these values in the log.
    async fn with(engine: Engine, values: impl Fn(u64) -> String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let raw = snapshot(engine, async |pod| {
            pod.app().await.set("base", "1").await.unwrap();
        })
        .await;
        let gateway = Gateway::start().unwrap();
        gateway.make_bucket(BUCKET).unwrap();
        let store = Store::open(&access(&gateway.endpoint())).unwrap();
        let paths = Paths::new("shop", "cache", "old");
        let packed = zstd::encode_all(raw.as_slice(), 1).unwrap();
        let base = manifest(engine, &raw, &packed, paths.base("0", "run-1", 7));
        assert_eq!(base.taken_unix_ms, TAKEN);
        let stored = Self {
            log: Log::behind(&base, values),
            gateway,
            store,
            paths,
            base,
        };
        stored.put_base(&stored.base, packed).await;
        stored
    }

    /// With the log in three pieces.
    async fn in_pieces(engine: Engine) -> Self {
        let stored = Self::of(engine).await;
        for keys in [0..3, 3..6, 6..10] {
            stored.put_piece(keys).await;
        }
        stored
    }

    async fn put(&self, path: &str, content: Vec<u8>) {
        let created = self.store.create(path, content).await.unwrap();
        assert_eq!(created, Created::New, "{path}");
    }

    async fn put_base(&self, base: &BaseManifest, packed: Vec<u8>) {
        self.put(&Paths::data(&base.path), packed).await;
        let manifest = serde_json::to_vec(base).unwrap();
        self.put(&Paths::base_manifest(&base.path), manifest).await;
    }

    /// Stores the part of the log with these keys; answers its path. The primary was asked a moment before each key.
    async fn put_piece(&self, keys: std::ops::Range<usize>) -> String {
        let [from, to] = [keys.start, keys.end].map(|keys| self.log.offset(&self.base, keys));
        let place = |offset: u64| usize::try_from(offset - self.base.offset).unwrap();
        let raw = &self.log.stream[place(from)..place(to)];
        let marks = self.log.ends[keys].to_vec();
        let look = |mark: &Mark| Mark {
            offset: mark.offset,
            unix_ms: mark.unix_ms + SECOND - 100,
        };
        let looks = marks.iter().map(look).collect();
        let header = PieceHeader {
            v: FORMAT,
            uid: "old".to_owned(),
            shard: "0".to_owned(),
            engine: self.base.engine.clone(),
            version: self.base.version.clone(),
            id: self.base.replication_id.clone(),
            from,
            to,
            evidence: Evidence {
                marks,
                looks,
                quiet: Vec::new(),
            },
            raw_bytes: to - from,
            sha256: sha256_hex(raw),
        };
        let packed = zstd::encode_all(raw, 3).unwrap();
        let file = header.name().file_name();
        let path = format!("{}/{}/{file}", self.paths.log("0"), header.id);
        self.put(&path, encode(&header, &packed)).await;
        path
    }

    /// Flips a bit at the end of a file.
    fn damage(&self, path: &str) {
        let root = self.gateway.root().join(BUCKET).join("redis");
        let file = root.join(path);
        let mut content = fs::read(&file).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(&file, content).unwrap();
    }

    fn access(&self) -> StoreAccess {
        access(&self.gateway.endpoint())
    }

    async fn recover(&self, pod: &Pod, wanted: RecoverInstant) {
        recover(pod, wanted, self.access()).await;
    }

    /// A pod to which an instant comes.
    async fn comes(&self, engine: Engine, wanted: RecoverInstant) -> Pod {
        let mut pod = due(engine, &DURABLE);
        pod.start().await;
        until_waiting(&pod).await;
        self.recover(&pod, wanted).await;
        pod
    }
}

async fn recover(pod: &Pod, wanted: RecoverInstant, store: StoreAccess) {
    let from = RecoverFrom::Instant(wanted);
    let recover = BackupOrder::Recover { from, store };
    order(pod, recover).await.unwrap();
}

/// So many milliseconds after the base.
fn after(engine: Engine, millis: u64) -> RecoverInstant {
    let mut version = engine.version.split('.').map(|part| part.parse().unwrap());
    RecoverInstant {
        namespace: "shop".to_owned(),
        name: "cache".to_owned(),
        uid: None,
        shard: "0".to_owned(),
        unix_ms: Some(TAKEN + millis),
        branch: None,
        loads: vec![Loads {
            engine: engine.name.to_owned(),
            up_to: (version.next().unwrap(), version.next().unwrap()),
        }],
        room: Default::default(),
    }
}

/// Awaits that the volume is filled; answers from which base, and with what is of which instant.
async fn until_filled(pod: &Pod) -> (String, u64) {
    let done = |status: &AgentStatus| match &status.recovery {
        Some(RecoveryNews::Failed { failure }) => panic!("{failure:?}"),
        Some(RecoveryNews::Done {
            taken_unix_ms,
            base,
        }) => Some((base.clone(), *taken_unix_ms)),
        _ => None,
    };
    let status = pod
        .until("the volume is filled", |status| done(status).is_some())
        .await;
    done(&status).unwrap()
}

/// The first so many keys of the log are there, and no other.
async fn assert_has_first(pod: &Pod, keys: u64) {
    let first: Vec<String> = (1..=keys).map(|number| format!("k:{number}")).collect();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    assert_has(pod, &["base"]).await;
    assert_has(pod, &first).await;
    let server = pod.app().await;
    for number in keys + 1..=KEYS {
        let value = server.get(&format!("k:{number}")).await.unwrap();
        assert_eq!(value, None, "k:{number}");
    }
}

async fn fails(pod: &Pod, stored: &Stored, wanted: RecoverInstant) -> Failure {
    stored.recover(pod, wanted).await;
    let failure = until_failed(pod).await;
    assert_eq!(traces(pod), Vec::<PathBuf>::new(), "{failure:?}");
    failure
}

fn log_file(pod: &Pod) -> PathBuf {
    pod.path("data/appendonlydir/appendonly.aof.1.incr.aof")
}

async fn what_was_written_before_an_instant_is_there_and_what_came_after_is_not(engine: Engine) {
    let stored = Stored::in_pieces(engine).await;
    for (millis, keys) in [(1_500, 1), (3_500, 3), (4_000, 4), (9_999, 9)] {
        let mut pod = due(engine, &SAVED);
        pod.start().await;
        until_waiting(&pod).await;
        stored.recover(&pod, after(engine, millis)).await;
        let filled = until_filled(&pod).await;
        assert_eq!(filled, (stored.base.path.clone(), TAKEN + millis));
        serves(&pod).await;
        assert_has_first(&pod, keys).await;
    }
    let latest = RecoverInstant {
        unix_ms: None,
        ..after(engine, 0)
    };
    let pod = stored.comes(engine, latest).await;
    let (_, reached) = until_filled(&pod).await;
    assert!(reached >= TAKEN + KEYS * SECOND, "{reached}");
    serves(&pod).await;
    assert_has_first(&pod, KEYS).await;
}

async fn what_is_not_stored_is_refused_in_words(engine: Engine) {
    let stored = Stored::in_pieces(engine).await;
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    let wanted = || after(engine, 3_500);

    let late = fails(&pod, &stored, after(engine, 600_000)).await;
    assert_eq!(late.reason, FailureReason::TimeNotCovered);
    assert!(
        late.message.contains("the last that can be had"),
        "{late:?}"
    );
    let mut early = wanted();
    early.unix_ms = Some(TAKEN - 600_000);
    let early = fails(&pod, &stored, early).await;
    assert_eq!(early.reason, FailureReason::TimeNotCovered);
    assert!(early.message.contains("the first that can"), "{early:?}");

    let mut unknown = wanted();
    unknown.name = "none".to_owned();
    let unknown = fails(&pod, &stored, unknown).await;
    assert_eq!(unknown.reason, FailureReason::NoSuchBackup);
    let mut branch = wanted();
    branch.branch = Some("b".repeat(40));
    let branch = fails(&pod, &stored, branch).await;
    assert_eq!(branch.reason, FailureReason::TimeNotCovered);
    assert!(branch.message.contains(&stored.base.replication_id));
    let mut other = wanted();
    other.loads[0].engine = "other".to_owned();
    let other = fails(&pod, &stored, other).await;
    assert_eq!(other.reason, FailureReason::VersionIncompatible);
    let mut narrow = wanted();
    narrow.room.maxmemory = Some(1 << 20);
    let narrow = fails(&pod, &stored, narrow).await;
    assert_eq!(narrow.reason, FailureReason::TooSmall);

    let another = Paths::new("shop", "cache", "new");
    stored.put(&another.owner(), b"{}".to_vec()).await;
    let several = fails(&pod, &stored, wanted()).await;
    assert_eq!(several.reason, FailureReason::SeveralSources);
    let words = &several.message;
    assert!(
        words.contains("old (last base of 20") && words.contains("new (no base)"),
        "{words}"
    );
    let mut named = wanted();
    named.uid = Some("old".to_owned());
    stored.recover(&pod, named).await;
    until_filled(&pod).await;
    serves(&pod).await;
    assert_has_first(&pod, 3).await;
}

async fn a_damaged_piece_is_named_with_what_is_lost_unless_another_has_its_bytes(engine: Engine) {
    let stored = Stored::of(engine).await;
    stored.put_piece(0..3).await;
    let damaged = stored.put_piece(3..6).await;
    stored.put_piece(6..10).await;
    stored.damage(&damaged);
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    let lost = fails(&pod, &stored, after(engine, 8_500)).await;
    assert_eq!(lost.reason, FailureReason::Corrupt);
    for word in [damaged.as_str(), "00:53:24Z", "lost"] {
        assert!(lost.message.contains(word), "{lost:?}");
    }

    // Before it, nothing of it is needed.
    let early = stored.comes(engine, after(engine, 3_500)).await;
    until_filled(&early).await;
    serves(&early).await;
    assert_has_first(&early, 3).await;

    stored.put_piece(2..8).await;
    stored.recover(&pod, after(engine, 8_500)).await;
    until_filled(&pod).await;
    serves(&pod).await;
    assert_has_first(&pod, 8).await;
}

async fn an_older_base_does_where_the_last_is_damaged(engine: Engine) {
    let stored = Stored::in_pieces(engine).await;
    let keys = ["base", "k:1", "k:2", "k:3", "k:4", "k:5"];
    let raw = snapshot(engine, async |pod| {
        pod.app().await.transaction(&keys).await.unwrap();
    })
    .await;
    let packed = zstd::encode_all(raw.as_slice(), 1).unwrap();
    let offset = stored.log.offset(&stored.base, 5);
    let path = stored.paths.base("0", "run-2", offset);
    let last = BaseManifest {
        offset,
        taken_unix_ms: TAKEN + 5_500,
        ..manifest(engine, &raw, &packed, path)
    };
    stored.put_base(&last, packed).await;
    for (base, is_damaged) in [(&last, false), (&stored.base, true)] {
        if is_damaged {
            stored.damage(&Paths::data(&last.path));
        }
        let pod = stored.comes(engine, after(engine, 8_500)).await;
        let filled = until_filled(&pod).await;
        assert_eq!(filled, (base.path.clone(), TAKEN + 8_500));
        serves(&pod).await;
        assert_has_first(&pod, 8).await;
    }
}

async fn an_agent_that_is_killed_at_any_step_begins_anew_or_goes_on(engine: Engine) {
    let large = Alphanumeric.sample_string(&mut rand::rng(), 1 << 20);
    let values = |number| match number {
        2 => large.clone(),
        _ => "1".to_owned(),
    };
    let stored = Stored::with(engine, values).await;
    stored.put_piece(0..1).await;
    stored.put_piece(1..10).await;
    let silent = narrow(stored.gateway.address(), 600 << 10, Then::Silent).await;
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    recover(&pod, after(engine, 3_500), access(&silent)).await;
    let coming = pod.path("data/.hera/incoming");
    until("the log comes", async || {
        let there = coming.join("appendonly.aof.1.incr.aof").exists();
        there.then_some(()).ok_or_else(|| pod.log())
    })
    .await;
    assert!(coming.join("appendonly.aof.1.base.rdb").exists());
    assert!(!coming.join("appendonly.aof.manifest").exists());
    pod.kill_agent();
    pod.start().await;
    until_waiting(&pod).await;
    assert_eq!(traces(&pod), Vec::<PathBuf>::new());

    stored.recover(&pod, after(engine, 3_500)).await;
    until_filled(&pod).await;
    kill(&mut pod).await;
    // As if the agent had ended before what came took its place.
    fs::rename(pod.path("data/appendonlydir"), &coming).unwrap();
    for _ in 0..2 {
        pod.start().await;
        let filled = until_filled(&pod).await;
        assert_eq!(filled, (stored.base.path.clone(), TAKEN + 3_500));
        assert!(!coming.exists());
        kill(&mut pod).await;
        // Nobody has led yet.
        let conf = fs::read_to_string(pod.path("run/server.conf")).unwrap();
        assert!(conf.contains("\naof-load-truncated no\n"), "{conf}");
    }
    pod.start().await;
    serves(&pod).await;
    let server = pod.app().await;
    assert_has(&pod, &["base", "k:1", "k:3"]).await;
    let value = server.get("k:2").await.unwrap();
    assert!(value.as_ref() == Some(&large), "k:2");
    assert_eq!(server.get("k:4").await.unwrap(), None);
}

/// Kills the agent, and the server that it leaves: nothing of the pod runs any more.
async fn kill(pod: &mut Pod) {
    let status = pod.until("the server answers", is_running).await;
    let left = server_pid(&status).unwrap();
    pod.kill_agent();
    end(left);
    until("the server has ended", async || match lives(left) {
        true => Err("it lives".to_owned()),
        false => Ok(()),
    })
    .await;
}

async fn a_log_that_lost_its_end_is_not_loaded_in_part(engine: Engine) {
    let stored = Stored::in_pieces(engine).await;
    let mut pod = stored.comes(engine, after(engine, 3_500)).await;
    until_filled(&pod).await;
    kill(&mut pod).await;
    let whole = fs::read(log_file(&pod)).unwrap();
    fs::write(log_file(&pod), &whole[..whole.len() - 3]).unwrap();
    pod.start().await;
    let ends = |status: &AgentStatus| status.last_exit.is_some();
    pod.until("the server refuses to start", ends).await;
    let left = fs::read(log_file(&pod)).unwrap();
    assert_eq!(left.len(), whole.len() - 3);

    fs::write(log_file(&pod), &whole).unwrap();
    serves(&pod).await;
    assert_has_first(&pod, 3).await;
}
