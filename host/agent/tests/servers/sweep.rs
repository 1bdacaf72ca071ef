//! What nothing needs goes from the store, what is needed stays, and so does all where anything is in doubt.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use hera_core::backup::log::{Evidence, Mark, Parent, PieceHeader, PieceName, encode};
use hera_core::backup::{
    BackupOrder, BaseManifest, FORMAT, Failure, FailureReason, Keep, OwnerFile, Paths, RecoverFrom,
    RecoveryNews, StoreAccess, SweepOrder, SweepState,
};
use hera_core::digest::sha256_hex;
use hera_testbed::gateway::access_at;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::backup::{
    Stored, backup, commits, order, owner, paths, serving, stores, told, until_idle, with_memory,
};
use crate::client::Client as _;
use crate::crash::DURABLE;
use crate::engine::Engine;
use crate::group::Group;
use crate::info::with_looks;
use crate::log::{folder, keeps, now, until_covered, write};
use crate::log_and_back::instant;
use crate::pod::Pod;
use crate::recovery::{due, serves, until_waiting};
use crate::wait::until;

on_both!(what_is_left_of_a_log_goes_on_and_comes_back);
facts_on!(
    once,
    REDIS_7_0,
    what_nothing_needs_goes_and_what_is_needed_is_refused,
    without_a_window_the_log_stays_for_all_backups_that_do,
    what_is_in_doubt_removes_nothing,
    a_sweep_that_is_killed_at_any_point_did_no_harm_and_is_ended_by_the_next,
    what_no_backup_names_goes_a_day_later,
    one_sweep_runs_at_a_time_and_holds_no_pod_up
);

const BUCKET: &str = "backups";
const PREFIX: &str = "redis";
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// Every instant of so long can be recovered.
const WINDOW: u64 = 2 * DAY;
/// Backups: how long ago they were made, and how much they have of the history.
const BACKUPS: [(&str, u64, u64); 4] = [
    ("first", 9 * DAY, 1_000),
    ("second", 6 * DAY, 2_000),
    ("third", 3 * DAY, 3_000),
    ("fourth", 20 * MINUTE, 4_000),
];
/// Pieces of it: of which bytes, and how long ago they were written.
const PIECES: [((u64, u64), (u64, u64)); 7] = [
    ((1_000, 1_500), (9 * DAY, 8 * DAY)),
    ((1_500, 2_000), (8 * DAY, 6 * DAY)),
    ((2_000, 2_500), (6 * DAY, 5 * DAY)),
    ((2_500, 3_000), (5 * DAY, 3 * DAY)),
    ((3_000, 3_500), (3 * DAY, DAY)),
    ((3_500, 4_000), (DAY, 20 * MINUTE)),
    ((4_000, 4_500), (20 * MINUTE, 10 * MINUTE)),
];
/// Of those, what goes: the first ones. No instant of the window needs the next one either; the newest of such stays.
const NOT_NEEDED: usize = 1;
/// Files that go: two backups, what their bases have, and those pieces.
const REMOVED: usize = 2 + 4 + NOT_NEEDED;

fn history() -> String {
    "a".repeat(40)
}

/// A store with what an object left there over days.
struct Old {
    stored: Stored,
    now: u64,
}

impl Old {
    async fn new() -> Self {
        let stored = Stored::start();
        let now = now();
        put(&stored, &paths().owner(), &owner()).await;
        for (id, ago, offset) in BACKUPS {
            let base = put_base(&stored, id, &history(), offset, now - ago).await;
            put_backup(&stored, id, &base).await;
        }
        for (bytes, (begun, ended)) in PIECES {
            put_piece(&stored, &history(), bytes, (now - begun, now - ended)).await;
        }
        Self { stored, now }
    }

    /// What is left of it by the spec, if two backups go.
    fn left(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::from([paths().owner(), swept(&history())]);
        for (id, _, offset) in &BACKUPS[2..] {
            let base = base_path(id, *offset);
            left.extend([
                paths().backup(id),
                Paths::base_manifest(&base),
                Paths::data(&base),
            ]);
        }
        for (bytes, (begun, ended)) in &PIECES[NOT_NEEDED..] {
            let times = (self.now - begun, self.now - ended);
            left.insert(path_of(&piece(&history(), *bytes, times)));
        }
        left
    }

    async fn files(&self) -> BTreeSet<String> {
        let listed = self.stored.store.list("shop.cache").await.unwrap();
        listed.into_iter().map(|entry| entry.path).collect()
    }

    /// All that is to be there half way as well.
    async fn assert_sound(&self) {
        let files = self.files().await;
        for (id, _, offset) in BACKUPS {
            let base = base_path(id, offset);
            let has = |path: String| files.contains(&path);
            let is_backup = has(paths().backup(id));
            let is_base = has(Paths::base_manifest(&base));
            assert!(!is_backup || is_base, "{id} lost its base: {files:#?}");
            assert!(!is_base || has(Paths::data(&base)), "{id}: {files:#?}");
        }
        let needed = self
            .left()
            .into_iter()
            .filter(|path| *path != swept(&history()));
        for path in needed {
            assert!(files.contains(&path), "{path} is needed: {files:#?}");
        }
    }
}

async fn put(stored: &Stored, path: &str, content: &impl serde::Serialize) {
    let content = serde_json::to_vec(content).unwrap();
    stored.store.put(path, content).await.unwrap();
}

/// Has a file stored at a time.
fn ages(stored: &Stored, path: &str, unix_ms: u64) {
    let root = stored.gateway.root().join(BUCKET).join(PREFIX);
    let file = File::options().write(true).open(root.join(path)).unwrap();
    let at = UNIX_EPOCH + Duration::from_millis(unix_ms);
    file.set_modified(at).unwrap();
}

fn base_path(id: &str, offset: u64) -> String {
    paths().base("0", &format!("r-{id}-1"), offset)
}

fn swept(history: &str) -> String {
    format!("{}/{history}/swept.json", folder())
}

async fn put_base(
    stored: &Stored,
    id: &str,
    history: &str,
    offset: u64,
    taken_unix_ms: u64,
) -> BaseManifest {
    let path = base_path(id, offset);
    let base: BaseManifest = serde_json::from_value(serde_json::json!({
        "v": 1, "uid": owner().uid, "shard": "0", "engine": "redis", "version": "7.0.15",
        "magic": "REDIS0010", "replicationId": history, "offset": offset, "streamDb": 0,
        "takenUnixMs": taken_unix_ms, "pod": "p-0", "role": "primary", "rawBytes": 5,
        "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 1, "path": path,
    }))
    .unwrap();
    let data = Paths::data(&path);
    stored.store.put(&data, b"hello".to_vec()).await.unwrap();
    put(stored, &Paths::base_manifest(&path), &base).await;
    for file in [data, Paths::base_manifest(&path)] {
        ages(stored, &file, taken_unix_ms);
    }
    base
}

async fn put_backup(stored: &Stored, id: &str, base: &BaseManifest) {
    let path = paths().backup(id);
    put(stored, &path, &backup(id, base)).await;
    ages(stored, &path, base.taken_unix_ms);
}

fn piece(history: &str, (from, to): (u64, u64), (t0, t1): (u64, u64)) -> PieceHeader {
    let raw = vec![b'x'; usize::try_from(to - from).unwrap()];
    let mark = |offset, unix_ms| Mark { offset, unix_ms };
    PieceHeader {
        v: FORMAT,
        uid: owner().uid,
        shard: "0".to_owned(),
        engine: "redis".to_owned(),
        version: "7.0.15".to_owned(),
        id: history.to_owned(),
        from,
        to,
        evidence: Evidence {
            marks: vec![mark(from, t0), mark(to, t1)],
            ..Evidence::default()
        },
        raw_bytes: to - from,
        sha256: sha256_hex(&raw),
    }
}

fn path_of(header: &PieceHeader) -> String {
    let name: PieceName = header.name();
    format!("{}/{}/{}", folder(), name.id, name.file_name())
}

async fn put_piece(stored: &Stored, history: &str, bytes: (u64, u64), times: (u64, u64)) {
    let header = piece(history, bytes, times);
    let raw = vec![b'x'; usize::try_from(header.raw_bytes).unwrap()];
    let packed = zstd::encode_all(raw.as_slice(), 1).unwrap();
    let content = encode(&header, &packed);
    let path = path_of(&header);
    stored.store.put(&path, content).await.unwrap();
    ages(stored, &path, times.1);
}

fn sweep(id: &str, drop: &[&str], store: StoreAccess) -> SweepOrder {
    SweepOrder {
        id: id.to_owned(),
        owner: owner(),
        store,
        keep: Keep {
            for_ms: Some(WINDOW),
            last: 1,
        },
        kept: Vec::new(),
        drop: drop.iter().map(|id| (*id).to_owned()).collect(),
        trims: false,
        now_unix_ms: now(),
    }
}

/// What came of a sweep.
struct Done {
    /// Backups, and whether they are needed.
    held: Vec<(String, bool)>,
    dropped: Vec<String>,
    refused: Vec<String>,
    pieces: u64,
    first_unix_ms: Option<u64>,
}

async fn until_over(pod: &Pod, id: &str) -> SweepState {
    until("the sweep is over", async || {
        let sweep = told(pod).await.sweep;
        match &sweep {
            Some(SweepState::Done { id: is, .. } | SweepState::Failed { id: is, .. })
                if is == id =>
            {
                Ok(sweep.unwrap())
            }
            _ => Err(format!("{sweep:?}")),
        }
    })
    .await
}

async fn sweeps(pod: &Pod, sweep: SweepOrder) -> Done {
    let id = sweep.id.clone();
    order(pod, BackupOrder::Sweep(Box::new(sweep)))
        .await
        .unwrap();
    match until_over(pod, &id).await {
        SweepState::Done {
            held,
            mut dropped,
            refused,
            pieces,
            has_more,
            first_unix_ms,
            ..
        } => {
            assert!(!has_more);
            dropped.sort();
            let held = held.into_iter().map(|held| (held.id, held.needed));
            Done {
                held: held.collect(),
                dropped,
                refused,
                pieces,
                first_unix_ms,
            }
        }
        other => panic!("{other:?}"),
    }
}

async fn fails(pod: &Pod, sweep: SweepOrder) -> Failure {
    let id = sweep.id.clone();
    order(pod, BackupOrder::Sweep(Box::new(sweep)))
        .await
        .unwrap();
    match until_over(pod, &id).await {
        SweepState::Failed { failure, .. } => failure,
        other => panic!("{other:?}"),
    }
}

fn held(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    let all = all.iter();
    all.map(|(id, needed)| ((*id).to_owned(), *needed))
        .collect()
}

/// An endpoint by which so many files can be removed from a store, and whether another one was to be.
async fn gate(to: SocketAddr, removals: usize) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let is_shut = Arc::<AtomicBool>::default();
    let told = is_shut.clone();
    let left = Arc::new(AtomicUsize::new(removals));
    tokio::spawn(async move {
        while let Ok((agent, _)) = listener.accept().await {
            let store = TcpStream::connect(to).await.unwrap();
            tokio::spawn(pass(agent, store, left.clone(), is_shut.clone()));
        }
    });
    (endpoint, told)
}

async fn pass(
    agent: TcpStream,
    store: TcpStream,
    left: Arc<AtomicUsize>,
    is_shut: Arc<AtomicBool>,
) {
    let (mut asked, mut answered) = agent.into_split();
    let (mut answers, mut asks) = store.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = asked.read(&mut bytes).await {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        // The next request comes once this one is answered.
        if bytes.starts_with(b"DELETE ") && left.fetch_update(order, order, less).is_err() {
            is_shut.store(true, order);
            return std::future::pending().await;
        }
        if asks.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn until_shut(is_shut: &AtomicBool) {
    until("the next file is to be removed", async || {
        let is = is_shut.load(Ordering::SeqCst);
        is.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
}

async fn what_nothing_needs_goes_and_what_is_needed_is_refused(engine: Engine) {
    let old = Old::new().await;
    let access = old.stored.access();
    // Of another object of this name.
    let other = Paths::new("shop", "cache", "u-2").backup("first");
    put(&old.stored, &other, &"hers").await;
    let pod = serving(engine, &[]).await;
    let before = old.files().await;

    let looked = sweeps(&pod, sweep("s-1", &[], access.clone())).await;
    let all = [
        ("fourth", true),
        ("third", true),
        ("second", false),
        ("first", false),
    ];
    assert_eq!(looked.held, held(&all));
    assert_eq!(looked.first_unix_ms, Some(old.now - 3 * DAY));
    assert_eq!(old.files().await, before, "it was only looked at");

    let mut trims = sweep("s-1-log", &[], access.clone());
    trims.trims = true;
    let trimmed = sweeps(&pod, trims).await;
    assert_eq!(trimmed.held, held(&all), "no backup went");
    let files = old.files().await;
    let gone: Vec<_> = before.difference(&files).collect();
    assert_eq!(
        gone.len(),
        NOT_NEEDED,
        "the log goes by its window: {gone:?}"
    );
    assert!(gone[0].contains("/log/"));

    let named = ["third", "second", "first", "nobodys"];
    let mut kept = sweep("s-2", &named, access.clone());
    kept.kept = vec!["second".to_owned(), "first".to_owned()];
    let refused = sweeps(&pod, kept).await.refused;
    assert_eq!(refused, ["first", "second", "third"]);
    let files = old.files().await;
    assert!(
        before
            .iter()
            .filter(|path| path.contains("first"))
            .all(|path| files.contains(path))
    );

    let swept = sweeps(&pod, sweep("s-3", &named, access.clone())).await;
    assert_eq!(swept.dropped, ["first", "nobodys", "second"]);
    assert_eq!(swept.refused, ["third"]);
    assert_eq!(swept.held, held(&all[..2]));
    let mut left = old.left();
    left.insert(other);
    assert_eq!(old.files().await, left);

    // The same again is known; another finds nothing to do.
    let known = sweeps(&pod, sweep("s-3", &[], access.clone())).await;
    assert_eq!(known.dropped, swept.dropped);
    let again = sweeps(&pod, sweep("s-4", &named, access)).await;
    assert_eq!((again.dropped, again.pieces), (swept.dropped, 0));
    assert_eq!(old.files().await, left);
}

async fn without_a_window_the_log_stays_for_all_backups_that_do(engine: Engine) {
    let old = Old::new().await;
    let pod = serving(engine, &[]).await;
    let mut left = old.files().await;
    for (id, _, offset) in [BACKUPS[0], BACKUPS[2]] {
        let mut wanted = sweep(id, &[id], old.stored.access());
        wanted.keep.for_ms = None;
        let swept = sweeps(&pod, wanted).await;
        assert_eq!((swept.dropped, swept.pieces), (vec![id.to_owned()], 0));
        let base = base_path(id, offset);
        for path in [
            paths().backup(id),
            Paths::base_manifest(&base),
            Paths::data(&base),
        ] {
            assert!(left.remove(&path), "{path}");
        }
        assert_eq!(old.files().await, left);
    }
}

async fn what_is_in_doubt_removes_nothing(engine: Engine) {
    use FailureReason::{Corrupt, PathOwned, StoreUnreachable, VersionIncompatible};
    let old = Old::new().await;
    let (store, access) = (&old.stored.store, old.stored.access());
    let pod = serving(engine, &[]).await;
    let mut count = 0;
    let mut next = || {
        count += 1;
        sweep(&format!("s-{count}"), &["first"], access.clone())
    };
    sweeps(
        &pod,
        SweepOrder {
            drop: vec![],
            ..next()
        },
    )
    .await;

    let manifest = paths().backup("second");
    let base = Paths::base_manifest(&base_path("fourth", 4_000));
    let parent = format!("{}/{}/parent.json", folder(), history());
    let alive = format!("{}/alive.json", folder());
    let shard = Paths::base_manifest(&paths().base("1", "r-1-1", 7));
    let later = br#"{"v": 2}"#.as_slice();
    for (path, content, reason) in [
        (&manifest, b"{".as_slice(), Corrupt),
        (&manifest, later, VersionIncompatible),
        (&base, b"".as_slice(), Corrupt),
        (&base, later, VersionIncompatible),
        (&parent, b"x".as_slice(), Corrupt),
        (&alive, b"x".as_slice(), Corrupt),
        (&shard, b"x".as_slice(), VersionIncompatible),
        (&paths().owner(), b"x".as_slice(), Corrupt),
    ] {
        let was = store.get(path).await.unwrap();
        store.put(path, content.to_vec()).await.unwrap();
        let before = old.files().await;
        let failure = fails(&pod, next()).await;
        assert_eq!(failure.reason, reason, "{failure:?}");
        assert!(
            failure.message.contains(path.as_str()),
            "{path}: {failure:?}"
        );
        assert_eq!(old.files().await, before, "{path}");
        match was {
            Some(was) => store.put(path, was).await.unwrap(),
            None => store.delete(path).await.unwrap(),
        }
    }

    let before = old.files().await;
    for cluster in ["k-2", ""] {
        let mut other = next();
        other.owner = OwnerFile {
            cluster: cluster.to_owned(),
            ..owner()
        };
        let failure = fails(&pod, other).await;
        assert_eq!(failure.reason, PathOwned, "{failure:?}");
    }
    let mut late = next();
    late.now_unix_ms -= 30 * MINUTE;
    let failure = fails(&pod, late).await;
    assert_eq!(failure.reason, StoreUnreachable, "{failure:?}");
    assert!(failure.message.contains("operator"), "{failure:?}");
    assert_eq!(old.files().await, before);

    store.delete(&paths().owner()).await.unwrap();
    let failure = fails(&pod, next()).await;
    assert_eq!(failure.reason, PathOwned, "{failure:?}");
    put(&old.stored, &paths().owner(), &owner()).await;
    assert_eq!(old.files().await, before);
    assert_eq!(sweeps(&pod, next()).await.dropped, ["first"]);
}

async fn a_sweep_that_is_killed_at_any_point_did_no_harm_and_is_ended_by_the_next(engine: Engine) {
    let mut pod = serving(engine, &[]).await;
    for removals in 0..REMOVED {
        let old = Old::new().await;
        let (endpoint, is_shut) = gate(old.stored.gateway.address(), removals).await;
        let narrow = access_at(&endpoint, BUCKET, PREFIX);
        let named = ["first", "second"];
        let first = BackupOrder::Sweep(Box::new(sweep("s-1", &named, narrow)));
        order(&pod, first).await.unwrap();
        until_shut(&is_shut).await;
        pod.kill_agent();
        old.assert_sound().await;
        pod.start().await;
        let ended = sweeps(&pod, sweep("s-2", &named, old.stored.access())).await;
        assert_eq!(ended.dropped, named, "after {removals} files");
        assert_eq!(old.files().await, old.left(), "after {removals} files");
    }
}

async fn what_no_backup_names_goes_a_day_later(engine: Engine) {
    let old = Old::new().await;
    let stored = &old.stored;
    let pod = serving(engine, &[]).await;
    let mut stay = BTreeSet::new();
    for (id, offset, ago, is_whole) in [
        ("whole", 1_200, 5 * DAY, true),
        ("half", 1_300, 5 * DAY, false),
        ("made", 9_000, DAY - MINUTE, true),
        ("uploaded", 9_000, DAY - MINUTE, false),
    ] {
        let base = put_base(stored, id, &history(), offset, old.now - ago).await;
        let (manifest, data) = (Paths::base_manifest(&base.path), Paths::data(&base.path));
        let is_young = ago < DAY;
        if !is_whole {
            stored.store.delete(&manifest).await.unwrap();
        } else if is_young {
            stay.insert(manifest);
        }
        if is_young {
            stay.insert(data);
        }
    }
    let swept = sweeps(&pod, sweep("s-1", &["first", "second"], stored.access())).await;
    assert_eq!(swept.dropped, ["first", "second"]);
    stay.extend(old.left());
    assert_eq!(old.files().await, stay);
}

async fn one_sweep_runs_at_a_time_and_holds_no_pod_up(engine: Engine) {
    let old = Old::new().await;
    let mut pod = serving(engine, &[]).await;
    let (endpoint, is_shut) = gate(old.stored.gateway.address(), 0).await;
    let narrow = access_at(&endpoint, BUCKET, PREFIX);
    let first = BackupOrder::Sweep(Box::new(sweep("s-1", &["first"], narrow)));
    order(&pod, first.clone()).await.unwrap();
    until_shut(&is_shut).await;
    let state = order(&pod, first).await.unwrap();
    let running = SweepState::Running {
        id: "s-1".to_owned(),
    };
    assert_eq!(state.sweep, Some(running));
    let other = BackupOrder::Sweep(Box::new(sweep("s-2", &[], old.stored.access())));
    let (status, _) = order(&pod, other).await.unwrap_err();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let since = Instant::now();
    assert!(pod.terminate().await.success());
    let took = since.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    old.assert_sound().await;
}

/// Has it look as if the log of a history had begun days before, with another history that this one goes on from at
/// `begun`. Answers what of it no instant of the window needs.
async fn has_a_past(stored: &Stored, history: &str, begun: u64) -> BTreeSet<String> {
    let (now, before) = (now(), "b".repeat(40));
    let at = |back: u64| begun - back;
    let (fork, forked) = (at(15_000), now - 5 * DAY);
    for (id, of, back, ago) in [
        ("first", before.as_str(), 30_000, 9 * DAY),
        ("second", before.as_str(), 20_000, 6 * DAY),
        ("third", history, 10_000, 3 * DAY),
    ] {
        let base = put_base(stored, id, of, at(back), now - ago).await;
        put_backup(stored, id, &base).await;
    }
    let pieces = [
        (before.as_str(), (30_000, 25_000), (9 * DAY, 8 * DAY)),
        (before.as_str(), (25_000, 20_000), (8 * DAY, 6 * DAY)),
        (before.as_str(), (20_000, 15_000), (6 * DAY, 5 * DAY)),
        (history, (15_000, 10_000), (5 * DAY, 3 * DAY)),
        (history, (10_000, 0), (3 * DAY, MINUTE)),
    ];
    let mut gone = BTreeSet::new();
    for (of, (from, to), (t0, t1)) in pieces {
        let (bytes, times) = ((at(from), at(to)), (now - t0, now - t1));
        put_piece(stored, of, bytes, times).await;
        if of == before {
            gone.insert(path_of(&piece(of, bytes, times)));
        }
    }
    let parent = Parent {
        v: FORMAT,
        id: before.clone(),
        at: fork,
        unix_ms: forked,
    };
    let path = format!("{}/{history}/parent.json", folder());
    put(stored, &path, &parent).await;
    let since = serde_json::json!({
        "v": 1, "id": before, "at": at(30_000), "unixMs": now - 9 * DAY, "afterGap": false,
    });
    put(stored, &format!("{}/since.json", folder()), &since).await;
    gone
}

async fn what_is_left_of_a_log_goes_on_and_comes_back(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.pods.iter_mut().for_each(with_memory);
    group.lead().await;
    for pod in &group.pods {
        with_looks(pod).await;
    }
    let server = group[0].app().await;
    write(&server, 0..2_000).await;
    let place = group.until_equal(0, 1).await;
    assert!(place.offset > 40_000, "{place:?}");
    let begun = keeps(&group[1], &stored).await;
    write(&server, 2_000..2_050).await;
    until_covered(&group[1]).await;
    let listed = stored.store.list(&folder()).await.unwrap();
    let names = listed.iter().filter_map(|entry| {
        let (_, file) = entry.path.rsplit_once('/')?;
        PieceName::parse(&begun.id, file)
    });
    let first = names.map(|name| name.from).min().unwrap();
    let gone = has_a_past(&stored, &begun.id, first).await;

    for pod in &group.pods {
        until_idle(pod).await;
    }
    let base = stores(&group[1], "b-4-1", &stored).await;
    commits(&group[1], "b-4-1", backup("fourth", &base), &stored).await;
    write(&server, 2_050..2_100).await;
    // All of it is in, and nothing of what comes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let at = now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    write(&server, 2_100..2_150).await;
    let named = ["first", "second", "third"];
    let swept = sweeps(&group[1], sweep("s-1", &named, stored.access())).await;
    assert_eq!(swept.dropped, ["first", "second"]);
    assert_eq!(swept.refused, ["third"]);
    assert_eq!(swept.pieces, 3);
    let files = stored.store.list("shop.cache").await.unwrap();
    assert!(files.iter().all(|entry| !gone.contains(&entry.path)));

    // The log is kept all the while, and by another agent by the store alone.
    write(&server, 2_150..2_160).await;
    let state = until_covered(&group[1]).await;
    assert_eq!((state.id.as_str(), state.gaps), (begun.id.as_str(), 0));
    order(&group[1], BackupOrder::StopCapture).await.unwrap();
    let other = keeps(&group[0], &stored).await;
    assert_eq!((other.id.as_str(), other.gaps), (begun.id.as_str(), 0));
    write(&server, 2_160..2_170).await;
    until_covered(&group[0]).await;

    let pod = due_at(engine, at, &stored).await;
    let has = pod.app().await;
    for (number, is) in [
        (0, true),
        (2_049, true),
        (2_099, true),
        (2_100, false),
        (2_169, false),
    ] {
        let value = has.get(&format!("k:{number}")).await.unwrap();
        assert_eq!(value, is.then(|| number.to_string()), "{number}");
    }
}

/// A pod that has what was there at an instant.
async fn due_at(engine: Engine, unix_ms: u64, stored: &Stored) -> Pod {
    let mut pod = due(engine, &DURABLE);
    pod.start().await;
    until_waiting(&pod).await;
    let recover = BackupOrder::Recover {
        from: RecoverFrom::Instant(instant(engine, Some(unix_ms))),
        store: stored.access(),
    };
    order(&pod, recover).await.unwrap();
    pod.until("the recovery ends", |status| match &status.recovery {
        Some(RecoveryNews::Failed { failure }) => panic!("{failure:?}"),
        Some(RecoveryNews::Done { .. }) => true,
        _ => false,
    })
    .await;
    serves(&pod).await;
    pod
}
