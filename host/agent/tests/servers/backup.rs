//! The dataset of a server is read for a backup and stored; the server is as it was.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hera_core::agent::{Members, PATH_BACKUP, PATH_BACKUP_ORDERS, Peer, Role};
use hera_core::backup::{
    BackupManifest, BackupOrder, BackupState, BaseManifest, FORMAT, Failure, FailureReason,
    OwnerFile, Paths, RunState, ShardInBackup, StoreAccess,
};
use hera_core::digest::sha256_hex;
use hera_redis::{Address, Answer as Alive, Server, Timeouts};
use hera_store::Store;
use hera_testbed::gateway::{Gateway, SECRET_KEY};
use rand::distr::{Alphanumeric, SampleString as _};
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::client::{Answer, Client as _, answer, app, login, send, user};
use crate::engine::{Engine, REDIS_8_6, VALKEY_9_1};
use crate::group::{Group, is_linked};
use crate::info::{info, with_looks};
use crate::pod::{Pod, free_port, is_running};
use crate::wait::until;

on_both!(
    what_a_server_has_is_stored_whole_and_is_a_backup_once_that_is_written,
    a_replica_that_is_read_stays_in_sync_and_so_does_its_primary,
    one_snapshot_is_taken_at_a_time_and_the_same_run_once,
    what_is_ended_or_loses_its_agent_is_no_base,
    a_server_is_let_go_when_its_container_fills,
    a_lone_server_gives_back_the_memory_that_it_took_to_be_read,
);
facts_on!(
    redis_7_2,
    REDIS_7_2,
    what_a_server_has_is_stored_whole_and_is_a_backup_once_that_is_written
);
facts_on!(
    redis_8_0,
    REDIS_8_0,
    what_a_server_has_is_stored_whole_and_is_a_backup_once_that_is_written
);
facts_on!(
    once,
    REDIS_7_0,
    what_a_store_refuses_is_told_in_words_without_the_key,
    a_server_that_cannot_be_read_now_is_not,
    how_busy_a_server_is_is_told,
    an_order_of_an_earlier_leader_is_refused,
    a_server_of_several_pods_keeps_its_backlog_for_who_comes_back,
    a_lone_server_keeps_its_backlog_where_the_spec_says_for_how_long
);

#[tokio::test]
async fn what_later_servers_have_is_stored_whole() {
    for engine in [REDIS_8_6, VALKEY_9_1] {
        if engine.can_be_had() {
            what_a_server_has_is_stored_whole_and_is_a_backup_once_that_is_written(engine).await;
        }
    }
}

const BUCKET: &str = "backups";
/// What makes a server begin at once, as the operator's configuration does.
const AT_ONCE: [(&str, &str); 3] = [
    ("appendonly", "no"),
    ("save", "\"\""),
    ("repl-diskless-sync-delay", "0"),
];
/// Keys of a server that takes a second or two for a snapshot of them.
const SLOW_KEYS: usize = 2000;
/// A server that gives its backlog up has done so by then: it does after six or seven seconds.
const GIVEN_UP: Duration = Duration::from_secs(12);

/// A store with a bucket.
pub struct Stored {
    pub gateway: Gateway,
    pub store: Store,
}

impl Stored {
    pub fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = Gateway::start().unwrap();
        gateway.make_bucket(BUCKET).unwrap();
        let store = Store::open(&gateway.access(BUCKET, "redis")).unwrap();
        Self { gateway, store }
    }

    pub fn access(&self) -> StoreAccess {
        self.gateway.access(BUCKET, "redis")
    }

    async fn read(&self, path: &str) -> Vec<u8> {
        let bytes = self.store.size(path).await.unwrap().expect(path);
        self.store.get_range(path, 0..bytes).await.unwrap()
    }

    /// Paths of what is stored of bases.
    async fn bases(&self) -> Vec<String> {
        let folder = format!("{}/base", paths().root());
        let found = self.store.list(&folder).await.unwrap();
        found.into_iter().map(|entry| entry.path).collect()
    }
}

pub fn owner() -> OwnerFile {
    OwnerFile {
        v: FORMAT,
        cluster: "k-1".to_owned(),
        kind: "RedisInstance".to_owned(),
        namespace: "shop".to_owned(),
        name: "cache".to_owned(),
        uid: "u-1".to_owned(),
    }
}

pub fn paths() -> Paths {
    Paths::new("shop", "cache", "u-1")
}

fn snapshot(run: &str, store: StoreAccess) -> BackupOrder {
    BackupOrder::Snapshot {
        run: run.to_owned(),
        shard: "0".to_owned(),
        owner: owner(),
        store,
    }
}

fn commit(run: &str, manifest: BackupManifest, stored: &Stored) -> BackupOrder {
    BackupOrder::Commit {
        run: run.to_owned(),
        manifest: Box::new(manifest),
        store: stored.access(),
    }
}

pub fn backup(id: &str, base: &BaseManifest) -> BackupManifest {
    BackupManifest {
        v: FORMAT,
        id: id.to_owned(),
        owner: owner(),
        spec: serde_json::json!({"version": "7.0"}),
        instant_unix_ms: base.taken_unix_ms,
        shards: vec![ShardInBackup {
            shard: "0".to_owned(),
            base: base.path.clone(),
        }],
    }
}

/// A pod that serves and whose container has memory enough.
pub async fn serving(engine: Engine, more: &[(&str, &str)]) -> Pod {
    let mut pod = Pod::new(engine);
    with_memory(&mut pod);
    pod.mount_config(1, &[&AT_ONCE[..], more].concat());
    pod.serve().await;
    pod
}

/// One whose snapshots take a while.
async fn slow(engine: Engine) -> Pod {
    let slow = [("rdb-key-save-delay", "1000"), ("rdbcompression", "no")];
    let pod = serving(engine, &slow).await;
    with_looks(&pod).await;
    let server = pod.app().await;
    let keys: Vec<String> = (0..SLOW_KEYS).map(|key| format!("key:{key}")).collect();
    // The child sends sixteen kB at once.
    let value = "x".repeat(100);
    let words = keys.iter().flat_map(|key| [key.as_str(), value.as_str()]);
    let words: Vec<&str> = ["MSET"].into_iter().chain(words).collect();
    server.say(&words).await.unwrap();
    pod
}

pub fn with_memory(pod: &mut Pod) {
    let cgroup = pod.path("cgroup");
    fs::create_dir(&cgroup).unwrap();
    pod.more = vec!["--cgroup".to_owned(), cgroup.display().to_string()];
}

/// What the kernel tells of the pod's container, a large one, in percent of its limit.
pub fn takes_memory(pod: &Pod, percent: u64) {
    let write = |name: &str, percent: u64| {
        let bytes = percent << 30;
        fs::write(pod.path("cgroup").join(name), bytes.to_string()).unwrap();
    };
    write("memory.max", 100);
    write("memory.current", percent);
}

pub async fn order(pod: &Pod, order: BackupOrder) -> Answer<BackupState> {
    send(pod.http.post(pod.url(PATH_BACKUP_ORDERS)), 1, order).await
}

pub async fn told(pod: &Pod) -> BackupState {
    answer(pod.http.get(pod.url(PATH_BACKUP))).await.unwrap()
}

async fn state(pod: &Pod, run: &str) -> Option<RunState> {
    let told = told(pod).await.runs.into_iter().find(|is| is.run == run);
    told.map(|run| run.state)
}

async fn until_state<T>(pod: &Pod, run: &str, is: impl Fn(&RunState) -> Option<T>) -> T {
    until("how far the run is", async || {
        let state = state(pod, run).await;
        let found = state.as_ref().and_then(&is);
        found.ok_or_else(|| format!("{state:?}"))
    })
    .await
}

/// Awaits that the server is read.
async fn until_read(pod: &Pod, run: &str) {
    until_state(pod, run, |state| match state {
        RunState::Running { read_bytes, .. } => (*read_bytes > 0).then_some(()),
        _ => None,
    })
    .await;
}

async fn until_stored(pod: &Pod, run: &str) -> BaseManifest {
    until_state(pod, run, |state| match state {
        RunState::Stored { base } => Some(base.as_ref().clone()),
        RunState::Failed { failure } => panic!("{failure:?}"),
        _ => None,
    })
    .await
}

async fn until_failed(pod: &Pod, run: &str) -> Failure {
    until_state(pod, run, |state| match state {
        RunState::Failed { failure } => Some(failure.clone()),
        _ => None,
    })
    .await
}

/// Has a snapshot taken, and awaits that it is stored.
pub async fn stores(pod: &Pod, run: &str, stored: &Stored) -> BaseManifest {
    order(pod, snapshot(run, stored.access())).await.unwrap();
    until_stored(pod, run).await
}

/// Has a snapshot taken, and awaits that the server is read.
async fn reads(pod: &Pod, run: &str, stored: &Stored) {
    order(pod, snapshot(run, stored.access())).await.unwrap();
    until_read(pod, run).await;
}

/// Has a backup written, and awaits that it is.
pub async fn commits(pod: &Pod, run: &str, manifest: BackupManifest, stored: &Stored) {
    order(pod, commit(run, manifest, stored)).await.unwrap();
    let is_written = |state: &RunState| matches!(state, RunState::Committed { .. }).then_some(());
    until_state(pod, run, is_written).await;
}

async fn fails(pod: &Pod, run: &str, store: StoreAccess) -> Failure {
    order(pod, snapshot(run, store)).await.unwrap();
    until_failed(pod, run).await
}

/// Awaits that the server has no child, and is to have none.
pub async fn until_idle(pod: &Pod) {
    for field in [
        "rdb_bgsave_in_progress",
        "aof_rewrite_scheduled",
        "aof_rewrite_in_progress",
    ] {
        until(field, async || {
            let is = info(pod, "persistence", field).await;
            (is == "0").then_some(()).ok_or(is)
        })
        .await;
    }
}

/// A server without an agent that has read a snapshot.
struct Loaded {
    server: Server,
    _process: Process,
    _folder: TempDir,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Loaded {
    async fn of(engine: Engine, snapshot: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dump.rdb"), snapshot).unwrap();
        let port = free_port();
        let process = Command::new(engine.program())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let process = Process(process.unwrap());
        let address = Address::tcp("127.0.0.1", port);
        let server = until("the server has read the snapshot", async || {
            let server = Server::connect(&address, None, Timeouts::default()).await;
            let server = server.map_err(|error| error.to_string())?;
            match server.ping().await {
                Ok(Alive::Pong) => Ok(server),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        Self {
            server,
            _process: process,
            _folder: folder,
        }
    }
}

/// More than a part of what cannot be packed, and something of each kind; answers the strings.
async fn fill(server: &Server, engine: Engine) -> BTreeMap<String, String> {
    let mut strings = BTreeMap::new();
    for number in 0..12 {
        let value = Alphanumeric.sample_string(&mut rand::rng(), 1 << 20);
        strings.insert(format!("large:{number}"), value);
        strings.insert(format!("small:{number}"), number.to_string());
    }
    for (key, value) in &strings {
        server.set(key, value).await.unwrap();
    }
    let others: [&[&str]; 4] = [
        &["HSET", "hash", "a", "1", "b", "2"],
        &["RPUSH", "list", "1", "2", "3"],
        &["ZADD", "sorted", "1", "a", "2", "b"],
        &["XADD", "stream", "1-1", "a", "1"],
    ];
    for words in others {
        let mut said = hera_redis::command(words[0]);
        said.arg(&words[1..]);
        let _: hera_redis::Value = server.ask(words[0], &said).await.unwrap();
    }
    // A Valkey that is not told which version reads it fails at these.
    if (engine.name, engine.version) == ("valkey", "9.1") {
        let mut expires = hera_redis::command("HEXPIRE");
        expires.arg(&["hash", "1000", "FIELDS", "1", "a"][..]);
        let set: Vec<i64> = server.ask("HEXPIRE", &expires).await.unwrap();
        assert_eq!(set, [1]);
    }
    strings
}

async fn what_a_server_has_is_stored_whole_and_is_a_backup_once_that_is_written(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    let strings = fill(&pod.app().await, engine).await;
    let status = order(&pod, snapshot("b-1-1", stored.access()))
        .await
        .unwrap();
    assert_eq!(
        status.runs.last().map(|run| run.run.as_str()),
        Some("b-1-1")
    );
    let base = until_stored(&pod, "b-1-1").await;

    // What is said of it is so.
    let place = pod.position().await.unwrap();
    assert_eq!(base.replication_id, place.replication_id);
    assert!(base.offset <= place.offset);
    assert_eq!(base.path, paths().base("0", "b-1-1", base.offset));
    let about = (base.uid.as_str(), base.shard.as_str(), base.role.as_str());
    assert_eq!(about, ("u-1", "0", "primary"));
    assert_eq!(base.engine, engine.name);
    let status = pod.status().await.unwrap();
    assert_eq!(
        (Some(&base.version), status.role),
        (status.version.as_ref(), Role::Primary)
    );
    let packed = stored.read(&Paths::data(&base.path)).await;
    assert_eq!(base.stored_bytes, u64::try_from(packed.len()).unwrap());
    assert!(base.stored_bytes > 8 << 20, "more than one part");
    assert_eq!(base.sha256, sha256_hex(&packed));
    let raw = zstd::decode_all(packed.as_slice()).unwrap();
    assert_eq!(base.raw_bytes, u64::try_from(raw.len()).unwrap());
    assert_eq!(base.magic.as_bytes(), &raw[..9]);
    let trailer: [u8; 8] = raw[raw.len() - 8..].try_into().unwrap();
    assert_eq!(base.crc64, format!("{:016x}", u64::from_le_bytes(trailer)));
    let written = stored.read(&Paths::base_manifest(&base.path)).await;
    assert_eq!(
        serde_json::from_slice::<BaseManifest>(&written).unwrap(),
        base
    );
    let written = stored.read(&paths().owner()).await;
    assert_eq!(
        serde_json::from_slice::<OwnerFile>(&written).unwrap(),
        owner()
    );

    // So is what it holds.
    let loaded = Loaded::of(engine, &raw).await;
    for (key, value) in &strings {
        assert!(
            loaded.server.get(key).await.unwrap().as_ref() == Some(value),
            "{key}"
        );
    }
    let keys: u64 = loaded
        .server
        .ask("DBSIZE", &hera_redis::command("DBSIZE"))
        .await
        .unwrap();
    assert_eq!(keys, place.keys);
    let field = loaded.server.say(&["HGET", "hash", "a"]).await.unwrap();
    assert_eq!(field, "1");

    // It is a backup once that is written, whoever writes it and however often.
    let backup = backup("nightly", &base);
    for run in ["b-1-1", "b-1-1", "b-1-2"] {
        commits(&pod, run, backup.clone(), &stored).await;
    }
    let written = async || {
        let written = stored.read(&paths().backup("nightly")).await;
        serde_json::from_slice::<BackupManifest>(&written).unwrap()
    };
    assert_eq!(written().await, backup);

    // What an earlier attempt wrote is the backup, whatever a later one has stored; and who asks is told what it holds.
    let later = stores(&pod, "b-1-3", &stored).await;
    assert_ne!(later.path, base.path);
    let mut another = backup.clone();
    another.instant_unix_ms = later.taken_unix_ms;
    another.shards[0].base.clone_from(&later.path);
    let written_already = commit("b-1-3", another, &stored);
    order(&pod, written_already).await.unwrap();
    let held = until_state(&pod, "b-1-3", |state| match state {
        RunState::Committed { base } => Some(base.clone()),
        _ => None,
    })
    .await;
    assert_eq!(held.as_deref(), Some(&base));
    assert_eq!(written().await, backup);
}

async fn a_replica_that_is_read_stays_in_sync_and_so_does_its_primary(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.pods.iter_mut().for_each(with_memory);
    group.lead().await;
    for pod in &group.pods {
        with_looks(pod).await;
    }
    let server = group[0].app().await;
    server.set("a", "1").await.unwrap();
    server.say(&["SELECT", "3"]).await.unwrap();
    server.set("b", "1").await.unwrap();
    let place = group.until_equal(0, 1).await;
    let syncs = async || {
        let pod = &group[0];
        let [full, partial] =
            ["sync_full", "sync_partial_ok"].map(|field| info(pod, "stats", field));
        let (full, partial): (u32, u32) =
            (full.await.parse().unwrap(), partial.await.parse().unwrap());
        (full, partial)
    };
    let (full, partial) = syncs().await;
    // An append-only file is written anew after a dataset was taken in.
    for pod in &group.pods {
        until_idle(pod).await;
    }

    let base = stores(&group[1], "b-1-1", &stored).await;
    assert_eq!((base.role.as_str(), base.stream_db), ("replica", 3));
    assert_eq!(base.replication_id, place.replication_id);
    assert!(base.offset >= place.offset);
    assert!(is_linked(&group[1].status().await.unwrap()));
    assert_eq!(
        syncs().await,
        (full, partial),
        "the primary saw nothing of it"
    );

    let base = stores(&group[0], "b-2-1", &stored).await;
    assert_eq!(base.role, "primary");
    assert_eq!(base.replication_id, place.replication_id);
    assert!(is_linked(&group[1].status().await.unwrap()));
    assert_eq!(
        syncs().await,
        (full + 1, partial),
        "one more, and that is ours"
    );
    group[0].app().await.set("c", "1").await.unwrap();
    group.until_has(1, "c", "1").await;
}

async fn one_snapshot_is_taken_at_a_time_and_the_same_run_once(engine: Engine) {
    let stored = Stored::start();
    let pod = slow(engine).await;
    let first = || snapshot("b-1-1", stored.access());
    order(&pod, first()).await.unwrap();
    until_read(&pod, "b-1-1").await;
    let again = order(&pod, first()).await.unwrap();
    assert_eq!(again.runs.len(), 1, "{again:?}");
    let other = order(&pod, snapshot("b-2-1", stored.access())).await;
    let (status, refusal) = other.unwrap_err();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refusal.message.contains("another snapshot"), "{refusal:?}");
    let empty = BackupManifest {
        shards: Vec::new(),
        ..backup("nightly", &no_base())
    };
    let early = commit("b-1-1", empty, &stored);
    let (status, _) = order(&pod, early).await.unwrap_err();
    assert_eq!(
        status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "nothing is stored yet"
    );

    let base = until_stored(&pod, "b-1-1").await;
    order(&pod, first()).await.unwrap();
    assert_eq!(until_stored(&pod, "b-1-1").await, base);
    let expected = [Paths::base_manifest(&base.path), Paths::data(&base.path)];
    assert_eq!(stored.bases().await, expected);
    until_idle(&pod).await;
    stores(&pod, "b-2-1", &stored).await;
    assert_eq!(stored.bases().await.len(), 4);
}

fn no_base() -> BaseManifest {
    serde_json::from_value(serde_json::json!({
        "v": 1, "uid": "u-1", "shard": "0", "engine": "redis", "version": "7.0.15", "magic": "REDIS0010",
        "replicationId": "", "offset": 0, "streamDb": 0, "takenUnixMs": 0, "pod": "", "role": "primary",
        "rawBytes": 0, "storedBytes": 0, "sha256": "", "crc64": "0", "usedMemory": 0, "path": "none",
    }))
    .unwrap()
}

async fn what_is_ended_or_loses_its_agent_is_no_base(engine: Engine) {
    let stored = Stored::start();
    let mut pod = slow(engine).await;
    reads(&pod, "b-1-1", &stored).await;
    let cancel = BackupOrder::Cancel {
        run: "b-1-1".to_owned(),
    };
    order(&pod, cancel).await.unwrap();
    let failure = until_failed(&pod, "b-1-1").await;
    assert_eq!(failure.reason, FailureReason::Cancelled);
    until_idle(&pod).await;
    assert!(stored.bases().await.is_empty());

    reads(&pod, "b-1-2", &stored).await;
    pod.kill_agent();
    pod.start().await;
    pod.until("the server answers", is_running).await;
    assert_eq!(told(&pod).await.runs, Vec::new(), "it knows of none");
    assert!(stored.bases().await.is_empty());
}

async fn a_server_is_let_go_when_its_container_fills(engine: Engine) {
    let stored = Stored::start();
    let pod = slow(engine).await;
    takes_memory(&pod, 50);
    reads(&pod, "b-1-1", &stored).await;
    takes_memory(&pod, 95);
    let failure = until_failed(&pod, "b-1-1").await;
    assert_eq!(failure.reason, FailureReason::NoHeadroom, "{failure:?}");
    assert!(failure.message.contains("95 %"), "{failure:?}");
    until_idle(&pod).await;
    assert!(stored.bases().await.is_empty());
}

async fn a_lone_server_gives_back_the_memory_that_it_took_to_be_read(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[("repl-backlog-size", "64mb")]).await;
    let users = [
        app(),
        user("looks", &["+info"]),
        user("reads", &["+config|get"]),
    ];
    pod.push_users(2, &users).await.unwrap();
    stores(&pod, "b-1-1", &stored).await;
    let server = pod.app().await;
    let value = "x".repeat(1 << 20);
    for _ in 0..16 {
        server.set("key", &value).await.unwrap();
    }
    let taken = async || {
        let bytes = info(&pod, "memory", "used_memory").await;
        bytes.parse::<u64>().unwrap()
    };
    assert!(taken().await > 16 << 20, "what was written is kept");
    until("the backlog is given up", async || {
        let is = info(&pod, "replication", "repl_backlog_active").await;
        (is == "0").then_some(()).ok_or(is)
    })
    .await;
    until("its memory is free", async || {
        let bytes = taken().await;
        (bytes < 8 << 20).then_some(()).ok_or(bytes.to_string())
    })
    .await;
    // The next replica's restart fits again.
    let asks = login(pod.port, "reads").await.unwrap();
    until("the directive is as before", async || {
        let mut asked = hera_redis::command("CONFIG");
        asked.arg(&["GET", "repl-backlog-ttl"][..]);
        let said: BTreeMap<String, String> = asks.ask("CONFIG GET", &asked).await.unwrap();
        let is = said["repl-backlog-ttl"].clone();
        (is == "3600").then_some(()).ok_or(is)
    })
    .await;
}

async fn a_server_of_several_pods_keeps_its_backlog_for_who_comes_back(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    with_looks(&pod).await;
    let other = Peer {
        pod_uid: "another".to_owned(),
        server_name: "pod-1.agents.test".to_owned(),
        ip: None,
    };
    let members = Members {
        pods: vec![pod.peer(), other],
        fence_after_ms: 0,
        revision: 1,
    };
    pod.push_members(1, &members).await.unwrap();
    stores(&pod, "b-1-1", &stored).await;
    tokio::time::sleep(GIVEN_UP).await;
    assert_eq!(info(&pod, "replication", "repl_backlog_active").await, "1");
}

async fn a_lone_server_keeps_its_backlog_where_the_spec_says_for_how_long(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[("repl-backlog-ttl", "7200")]).await;
    with_looks(&pod).await;
    stores(&pod, "b-1-1", &stored).await;
    tokio::time::sleep(GIVEN_UP).await;
    assert_eq!(info(&pod, "replication", "repl_backlog_active").await, "1");
}

async fn what_a_store_refuses_is_told_in_words_without_the_key(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    let mut wrong = stored.access();
    wrong.s3.secret_access_key = format!("{SECRET_KEY}-of-before");
    let failure = fails(&pod, "b-1-1", wrong).await;
    assert_eq!(
        failure.reason,
        FailureReason::CredentialsRefused,
        "{failure:?}"
    );
    let mut none = stored.access();
    none.s3.bucket = "nobodys".to_owned();
    let failure = fails(&pod, "b-1-2", none).await;
    assert_eq!(
        failure.reason,
        FailureReason::StoreUnreachable,
        "{failure:?}"
    );
    assert!(failure.message.contains("nobodys"), "{failure:?}");
    let mut dead = stored.access();
    dead.s3.endpoint = Some(format!("http://127.0.0.1:{}", free_port()));
    let failure = fails(&pod, "b-1-3", dead).await;
    assert_eq!(
        failure.reason,
        FailureReason::StoreUnreachable,
        "{failure:?}"
    );

    // The path is of an object of the same uid: its cluster was copied.
    let base = stores(&pod, "b-1-4", &stored).await;
    let copied = BackupOrder::Snapshot {
        run: "b-2-1".to_owned(),
        shard: "0".to_owned(),
        owner: OwnerFile {
            cluster: "k-2".to_owned(),
            ..owner()
        },
        store: stored.access(),
    };
    order(&pod, copied).await.unwrap();
    let failure = until_failed(&pod, "b-2-1").await;
    assert_eq!(failure.reason, FailureReason::PathOwned, "{failure:?}");
    assert!(failure.message.contains("shop/cache"), "{failure:?}");

    // A backup of this name is another's, and a base that is gone makes none.
    commits(&pod, "b-1-4", backup("nightly", &base), &stored).await;
    let other = BackupManifest {
        instant_unix_ms: 1,
        ..backup("nightly", &base)
    };
    order(&pod, commit("b-3-1", other, &stored)).await.unwrap();
    let failure = until_failed(&pod, "b-3-1").await;
    assert_eq!(failure.reason, FailureReason::PathOwned, "{failure:?}");
    let baseless = commit("b-4-1", backup("other", &no_base()), &stored);
    order(&pod, baseless).await.unwrap();
    let failure = until_failed(&pod, "b-4-1").await;
    assert_eq!(failure.reason, FailureReason::Corrupt, "{failure:?}");
    let kept = stored.store.size(&paths().backup("other")).await.unwrap();
    assert_eq!(kept, None);

    assert!(!pod.log().contains(SECRET_KEY));
    let told = serde_json::to_string(&told(&pod).await).unwrap();
    assert!(!told.contains(SECRET_KEY), "{told}");
}

async fn a_server_that_cannot_be_read_now_is_not(engine: Engine) {
    let stored = Stored::start();
    let mut pod = Pod::new(engine);
    with_memory(&mut pod);
    takes_memory(&pod, 85);
    pod.mount_config(1, &AT_ONCE);
    pod.lone = false;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    let failure = fails(&pod, "b-1-1", stored.access()).await;
    assert_eq!(failure.reason, FailureReason::NoCopyFits, "{failure:?}");
    pod.push_users(1, &[app()]).await.unwrap();
    pod.promote(1).await.unwrap();
    let failure = fails(&pod, "b-1-2", stored.access()).await;
    assert_eq!(failure.reason, FailureReason::NoHeadroom, "{failure:?}");
    takes_memory(&pod, 50);
    stores(&pod, "b-1-3", &stored).await;
}

async fn how_busy_a_server_is_is_told(engine: Engine) {
    let pod = serving(engine, &[]).await;
    takes_memory(&pod, 40);
    let load = until("it is looked at", async || {
        let state = told(&pod).await;
        state.load.ok_or_else(|| format!("{state:?}"))
    })
    .await;
    assert_eq!(load.free_bytes, Some(60 << 30));
    assert!(load.used_bytes.is_some_and(|used| used > 100_000));
    // It was not looked at for a minute.
    assert_eq!(
        (load.ops_per_second, load.usual_ops_per_second),
        (None, None)
    );
}

async fn an_order_of_an_earlier_leader_is_refused(engine: Engine) {
    let stored = Stored::start();
    let mut pod = Pod::new(engine);
    pod.lone = false;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[app()]).await.unwrap();
    pod.promote(7).await.unwrap();
    let late = snapshot("b-1-1", stored.access());
    let (status, refusal) = order(&pod, late).await.unwrap_err();
    assert_eq!((status, refusal.term), (StatusCode::CONFLICT, Some(7)));
    assert_eq!(told(&pod).await.runs, Vec::new());
}
