//! A volume is filled from a backup before its server's first start.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hera_core::agent::{AgentStatus, Order, PATH_BACKUP_ORDERS, Role, ServerState};
use hera_core::backup::{
    BackupManifest, BackupOrder, BackupState, BaseManifest, FORMAT, Failure, FailureReason,
    OwnerFile, Paths, RecoverFrom, RecoveryNews, ShardInBackup, StoreAccess,
};
use hera_core::digest::sha256_hex;
use hera_store::{Created, Store};
use hera_testbed::gateway::{Gateway, access_at};
use rand::distr::{Alphanumeric, SampleString as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::client::{Answer, Client as _, app, send};
use crate::crash::DURABLE;
use crate::engine::Engine;
use crate::pod::{OWNER, Pod, free_port, is_running, server_pid};
use crate::wait::until;

on_both!(
    an_empty_volume_is_filled_before_its_server_starts_and_once,
    data_that_is_there_is_kept_and_its_server_starts_when_somebody_says_so,
    a_flipped_byte_is_named_and_nothing_of_it_is_left,
    an_agent_that_is_killed_begins_anew_and_a_connection_that_is_cut_is_made_again,
    an_object_whose_data_is_elsewhere_starts_without,
    a_server_that_saves_nothing_reads_a_backup_once,
);
facts_on!(
    redis_7_2,
    REDIS_7_2,
    an_empty_volume_is_filled_before_its_server_starts_and_once
);
facts_on!(
    redis_8_0,
    REDIS_8_0,
    an_empty_volume_is_filled_before_its_server_starts_and_once
);
facts_on!(
    redis_7_0_only,
    REDIS_7_0,
    what_cannot_be_had_is_said_and_a_later_order_heals_it
);

pub const BUCKET: &str = "backups";
/// What a server that saves when it ends, and only then, is told.
pub const SAVED: [(&str, &str); 2] = [("appendonly", "no"), ("save", "\"\"")];
/// Bytes that an agent asks a store for at once.
pub const PART: u64 = 8 << 20;

/// A store with one backup.
struct Stored {
    gateway: Gateway,
    base: BaseManifest,
}

impl Stored {
    /// Of this snapshot, whose packed bytes are damaged as `damage` says.
    async fn with(engine: Engine, raw: &[u8], damage: impl Fn(&mut Vec<u8>)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = Gateway::start().unwrap();
        gateway.make_bucket(BUCKET).unwrap();
        let paths = Paths::new("shop", "cache", "old");
        let mut packed = zstd::encode_all(raw, 1).unwrap();
        let base = manifest(engine, raw, &packed, paths.base("0", "run-1", 7));
        damage(&mut packed);
        let owner = OwnerFile {
            v: FORMAT,
            cluster: String::new(),
            kind: "RedisInstance".to_owned(),
            namespace: "shop".to_owned(),
            name: "cache".to_owned(),
            uid: "old".to_owned(),
        };
        let backup = BackupManifest {
            v: FORMAT,
            id: "nightly".to_owned(),
            owner,
            spec: serde_json::json!({}),
            instant_unix_ms: base.taken_unix_ms,
            shards: vec![ShardInBackup {
                shard: "0".to_owned(),
                base: base.path.clone(),
            }],
        };
        let store = Store::open(&access(&gateway.endpoint())).unwrap();
        for (path, content) in [
            (Paths::data(&base.path), packed),
            (
                Paths::base_manifest(&base.path),
                serde_json::to_vec(&base).unwrap(),
            ),
            (
                paths.backup("nightly"),
                serde_json::to_vec(&backup).unwrap(),
            ),
        ] {
            let created = store.create(&path, content).await.unwrap();
            assert_eq!(created, Created::New, "{path}");
        }
        Self { gateway, base }
    }

    /// Of a server with these keys, all of them 1.
    async fn of_keys(engine: Engine, keys: &[&str]) -> Self {
        let raw = snapshot(engine, async |pod| {
            pod.app().await.transaction(keys).await.unwrap();
        })
        .await;
        Self::with(engine, &raw, |_| {}).await
    }

    fn access(&self) -> StoreAccess {
        access(&self.gateway.endpoint())
    }
}

/// What a server writes that ends with the data that `write` gave it.
pub async fn snapshot(engine: Engine, write: impl AsyncFnOnce(&Pod)) -> Vec<u8> {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &SAVED);
    pod.serve().await;
    write(&pod).await;
    assert!(pod.terminate().await.success());
    fs::read(pod.path("data/dump.rdb")).unwrap()
}

pub fn manifest(engine: Engine, raw: &[u8], packed: &[u8], path: String) -> BaseManifest {
    let trailer: [u8; 8] = raw[raw.len() - 8..].try_into().unwrap();
    BaseManifest {
        v: FORMAT,
        uid: "old".to_owned(),
        shard: "0".to_owned(),
        engine: engine.name.to_owned(),
        version: engine.version.to_owned(),
        magic: String::from_utf8(raw[..9].to_vec()).unwrap(),
        replication_id: "a".repeat(40),
        offset: 7,
        stream_db: 0,
        taken_unix_ms: 1_796_000_000_000,
        pod: "cache-0".to_owned(),
        role: "primary".to_owned(),
        raw_bytes: u64::try_from(raw.len()).unwrap(),
        stored_bytes: u64::try_from(packed.len()).unwrap(),
        sha256: sha256_hex(packed),
        crc64: format!("{:016x}", u64::from_le_bytes(trailer)),
        used_memory: 1 << 20,
        path,
    }
}

pub fn access(endpoint: &str) -> StoreAccess {
    access_at(endpoint, BUCKET, "redis")
}

/// A pod of an object whose data comes from a backup, not started.
pub fn due(engine: Engine, directives: &[(&str, &str)]) -> Pod {
    let pod = Pod::new(engine);
    pod.mount_config(1, directives);
    is_due(&pod);
    pod
}

pub fn is_due(pod: &Pod) {
    let text = serde_json::json!({ "uid": OWNER }).to_string();
    fs::write(pod.path("etc/recovery.json"), text).unwrap();
}

/// What of a recovery may lie on the volume of a pod.
pub fn traces(pod: &Pod) -> Vec<PathBuf> {
    let names = [
        "data/dump.rdb",
        "data/appendonlydir",
        "data/.hera/incoming.rdb",
        "data/.hera/incoming",
        "data/.hera/recovered.json",
    ];
    let paths = names.iter().map(|name| pod.path(name));
    paths.filter(|path| path.exists()).collect()
}

pub async fn order(pod: &Pod, order: BackupOrder) -> Answer<BackupState> {
    send(pod.http.post(pod.url(PATH_BACKUP_ORDERS)), 1, order).await
}

async fn recover(pod: &Pod, store: StoreAccess) -> Answer<BackupState> {
    let backup = Paths::new("shop", "cache", "old").backup("nightly");
    recover_from(pod, &backup, store).await
}

async fn recover_from(pod: &Pod, backup: &str, store: StoreAccess) -> Answer<BackupState> {
    let from = RecoverFrom::Backup {
        path: backup.to_owned(),
        shard: "0".to_owned(),
    };
    order(pod, BackupOrder::Recover { from, store }).await
}

pub async fn until_waiting(pod: &Pod) -> AgentStatus {
    let is_held = |status: &AgentStatus| {
        status.recovery == Some(RecoveryNews::Waiting) && status.server == ServerState::Fenced
    };
    pod.until("the agent waits for a recovery", is_held).await
}

async fn until_done(pod: &Pod, base: &BaseManifest) {
    let done = RecoveryNews::Done {
        taken_unix_ms: base.taken_unix_ms,
        base: base.path.clone(),
    };
    pod.until("the volume is filled", |status| {
        status.recovery.as_ref() == Some(&done)
    })
    .await;
}

/// Awaits that it fails; the server is down then.
pub async fn until_failed(pod: &Pod) -> Failure {
    let failed = |status: &AgentStatus| match &status.recovery {
        Some(RecoveryNews::Failed { failure }) => Some(failure.clone()),
        _ => None,
    };
    let is_held = |status: &AgentStatus| {
        let why = status.waiting_for.as_deref().unwrap_or_default();
        failed(status).is_some_and(|failure| why.contains(&failure.message))
            && status.server == ServerState::Fenced
    };
    let status = pod.until("the recovery fails", is_held).await;
    failed(&status).unwrap()
}

/// Confirms the application's user and awaits that it serves.
pub async fn serves(pod: &Pod) {
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[app()]).await.unwrap();
    pod.until_primary().await;
}

pub async fn assert_has(pod: &Pod, keys: &[&str]) {
    let server = pod.app().await;
    for key in keys {
        let value = server.get(key).await.unwrap();
        assert_eq!(value.as_deref(), Some("1"), "{key}");
    }
}

async fn an_empty_volume_is_filled_before_its_server_starts_and_once(engine: Engine) {
    let stored = Stored::of_keys(engine, &["a", "b"]).await;
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    let status = until_waiting(&pod).await;
    assert_eq!(status.role, Role::Unknown);
    assert_eq!(pod.probe("/livez").await, 200);
    assert_eq!(pod.probe("/readyz").await, 503);
    let promote = Order::Promote { epoch: 1, token: 1 };
    assert!(pod.order(1, promote).await.is_err());
    let follow = Order::Follow {
        epoch: 2,
        primary_uid: "other".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 1,
        lineage: String::new(),
        password: String::new(),
    };
    assert!(pod.order(1, follow).await.is_err());

    recover(&pod, stored.access()).await.unwrap();
    until_done(&pod, &stored.base).await;
    serves(&pod).await;
    assert_has(&pod, &["a", "b"]).await;
    assert!(recover(&pod, stored.access()).await.is_err(), "once");
    pod.app().await.set("c", "1").await.unwrap();

    // The store is not needed any more.
    let base = stored.base.clone();
    drop(stored);
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
    assert_has(&pod, &["a", "b", "c"]).await;
    until_done(&pod, &base).await;
}

async fn data_that_is_there_is_kept_and_its_server_starts_when_somebody_says_so(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &SAVED);
    pod.serve().await;
    pod.app().await.set("own", "1").await.unwrap();
    assert!(pod.terminate().await.success());
    let before = fs::read(pod.path("data/dump.rdb")).unwrap();

    is_due(&pod);
    pod.start().await;
    let failure = until_failed(&pod).await;
    assert_eq!(failure.reason, FailureReason::DataPresent);
    let nowhere = access(&format!("http://127.0.0.1:{}", free_port()));
    recover(&pod, nowhere).await.unwrap();
    let failure = until_failed(&pod).await;
    assert_eq!(failure.reason, FailureReason::DataPresent);
    assert!(fs::read(pod.path("data/dump.rdb")).unwrap() == before);

    order(&pod, BackupOrder::StartWithout).await.unwrap();
    serves(&pod).await;
    assert_has(&pod, &["own"]).await;
    assert_eq!(pod.status().await.unwrap().recovery, None);
}

async fn a_flipped_byte_is_named_and_nothing_of_it_is_left(engine: Engine) {
    let raw = snapshot(engine, async |pod| {
        pod.app().await.transaction(&["a", "b"]).await.unwrap();
    })
    .await;
    let flip = |packed: &mut Vec<u8>| {
        let at = packed.len() / 2;
        packed[at] ^= 1;
    };
    let stored = Stored::with(engine, &raw, flip).await;
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    recover(&pod, stored.access()).await.unwrap();
    let failure = until_failed(&pod).await;
    assert_eq!(failure.reason, FailureReason::Corrupt);
    let data = Paths::data(&stored.base.path);
    assert!(failure.message.contains(&data), "{failure:?}");
    assert_eq!(traces(&pod), Vec::<PathBuf>::new());
}

async fn what_cannot_be_had_is_said_and_a_later_order_heals_it(engine: Engine) {
    let stored = Stored::of_keys(engine, &["a"]).await;
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    let nowhere = access(&format!("http://127.0.0.1:{}", free_port()));
    let mut refused = stored.access();
    refused.s3.secret_access_key = "another".to_owned();
    for (store, reason) in [
        (nowhere, FailureReason::StoreUnreachable),
        (refused, FailureReason::CredentialsRefused),
    ] {
        recover(&pod, store).await.unwrap();
        assert_eq!(until_failed(&pod).await.reason, reason);
    }
    let backup = Paths::new("shop", "cache", "old").backup("weekly");
    recover_from(&pod, &backup, stored.access()).await.unwrap();
    let failure = until_failed(&pod).await;
    assert_eq!(failure.reason, FailureReason::NoSuchBackup);
    assert!(failure.message.contains(&backup), "{failure:?}");
    assert_eq!(traces(&pod), Vec::<PathBuf>::new());

    recover(&pod, stored.access()).await.unwrap();
    until_done(&pod, &stored.base).await;
    serves(&pod).await;
    assert_has(&pod, &["a"]).await;
}

async fn an_agent_that_is_killed_begins_anew_and_a_connection_that_is_cut_is_made_again(
    engine: Engine,
) {
    // More than one part, however well it is packed.
    let value = || Alphanumeric.sample_string(&mut rand::rng(), 1 << 20);
    let values: Vec<String> = (0..16).map(|_| value()).collect();
    let raw = snapshot(engine, async |pod| {
        let server = pod.app().await;
        for (at, value) in values.iter().enumerate() {
            server.set(&format!("key:{at}"), value).await.unwrap();
        }
    })
    .await;
    let stored = Stored::with(engine, &raw, |_| {}).await;
    assert!(stored.base.stored_bytes > PART + (2 << 20));
    let store = stored.gateway.address();
    let silent = narrow(store, PART + (1 << 20), Then::Silent).await;

    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    recover(&pod, access(&silent)).await.unwrap();
    until("a part of the data is there", async || {
        let bytes = fs::metadata(pod.path("data/.hera/incoming.rdb")).map(|file| file.len());
        let has = bytes.as_ref().is_ok_and(|bytes| *bytes > PART / 2);
        has.then_some(()).ok_or_else(|| format!("{bytes:?}"))
    })
    .await;
    let status = pod.status().await.unwrap();
    assert_eq!(status.recovery, Some(RecoveryNews::Running));
    assert_eq!(status.server, ServerState::Fenced);
    // The same order changes nothing; another one waits for its end.
    recover(&pod, access(&silent)).await.unwrap();
    let other = recover_from(&pod, "other.json", stored.access()).await;
    assert!(other.is_err() && order(&pod, BackupOrder::StartWithout).await.is_err());
    assert_eq!(traces(&pod), [pod.path("data/.hera/incoming.rdb")]);

    pod.kill_agent();
    pod.start().await;
    until_waiting(&pod).await;
    assert_eq!(traces(&pod), Vec::<PathBuf>::new());
    let cuts = narrow(store, PART + (1 << 20), Then::Cut).await;
    recover(&pod, access(&cuts)).await.unwrap();
    until_done(&pod, &stored.base).await;
    serves(&pod).await;
    let server = pod.app().await;
    for (at, value) in values.iter().enumerate() {
        let has = server.get(&format!("key:{at}")).await.unwrap();
        assert!(has.as_ref() == Some(value), "key:{at}");
    }
}

async fn an_object_whose_data_is_elsewhere_starts_without(engine: Engine) {
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    order(&pod, BackupOrder::StartWithout).await.unwrap();
    serves(&pod).await;
    assert!(order(&pod, BackupOrder::StartWithout).await.is_err());
    pod.app().await.set("a", "1").await.unwrap();

    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await;
    assert_has(&pod, &["a"]).await;
}

async fn a_server_that_saves_nothing_reads_a_backup_once(engine: Engine) {
    let stored = Stored::of_keys(engine, &["a"]).await;
    let mut pod = due(engine, &SAVED);
    pod.more = vec!["--volatile=true".to_owned()];
    pod.start().await;
    until_waiting(&pod).await;
    recover(&pod, stored.access()).await.unwrap();
    until_done(&pod, &stored.base).await;
    // One that ends before it led has shown the data to nobody.
    pod.until("the server answers", is_running).await;
    let held = pod.kill_server().await;
    pod.until("another server answers", |status| {
        is_running(status) && server_pid(status).is_some_and(|now| now != held)
    })
    .await;
    serves(&pod).await;
    assert_has(&pod, &["a"]).await;
    pod.app().await.set("b", "1").await.unwrap();

    // The next one has neither the backup nor what came later: an old part of it would pass for all of it.
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    let server = pod.app().await;
    for key in ["a", "b"] {
        assert_eq!(server.get(key).await.unwrap(), None, "{key}");
    }
    assert!(!pod.path("data/dump.rdb").exists());
}

/// What follows once so many bytes have passed.
#[derive(Clone, Copy)]
pub enum Then {
    /// No more, on no connection.
    Silent,
    /// One connection ends; others pass all.
    Cut,
}

/// Between an agent and a store: passes so many bytes of answers. Answers its own address.
pub async fn narrow(to: SocketAddr, bytes: u64, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let left = Arc::new(Mutex::new(usize::try_from(bytes).unwrap()));
    tokio::spawn(async move {
        while let Ok((agent, _)) = listener.accept().await {
            let store = TcpStream::connect(to).await.unwrap();
            tokio::spawn(pass(agent, store, left.clone(), then));
        }
    });
    own
}

async fn pass(agent: TcpStream, store: TcpStream, left: Arc<Mutex<usize>>, then: Then) {
    let (mut asked, mut answered) = agent.into_split();
    let (mut answers, mut asks) = store.into_split();
    let asking = async { tokio::io::copy(&mut asked, &mut asks).await.map(drop) };
    let answering = async {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let read = answers.read(&mut bytes).await?;
            if read == 0 {
                return Ok::<(), io::Error>(());
            }
            let mut left = left.lock().await;
            match (*left < read, then) {
                (false, _) => *left -= read,
                // Whoever else answers waits behind this.
                (true, Then::Silent) => std::future::pending().await,
                (true, Then::Cut) => {
                    *left = usize::MAX;
                    return Err(io::Error::other("cut"));
                }
            }
            drop(left);
            answered.write_all(&bytes[..read]).await?;
        }
    };
    let _: io::Result<((), ())> = tokio::try_join!(asking, answering);
}
