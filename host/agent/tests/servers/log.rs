//! The log of a server is kept: what it writes is in the store, in the order in which it was written, and nobody waits
//! for that.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hera_core::agent::{AgentStatus, Look, Order, PATH_LOOK};
use hera_core::backup::log::{Kind, Listed, Parent, PieceHeader, Unit, Walker, decode};
use hera_core::backup::{
    BackupOrder, CaptureNews, CaptureOrder, CaptureState, FailureReason, Paths, StoreAccess,
    Unbroken,
};
use hera_redis::Server;
use hera_store::Store;
use hera_testbed::gateway::Gateway;
use nix::sys::signal::{Signal, kill};
use reqwest::StatusCode;

use crate::backup::{Stored, order, owner, serving, told};
use crate::client::{
    Answer, Client as _, OBJECT_NAMES, answer, app, http, login, replication, user,
};
use crate::engine::{Engine, REDIS_8_6, VALKEY_9_1};
use crate::group::Group;
use crate::info::{info, with_looks};
use crate::pod::{Pod, to_pid};
use crate::wait::until;

on_both!(
    what_a_lone_server_writes_is_in_the_store_as_it_was_written,
    a_replica_is_read_and_claims_nothing_while_its_primary_does_not_tell,
    a_promotion_does_not_wait_for_the_log_which_goes_on_without_a_gap,
    a_pod_that_ends_stores_its_log_to_the_end_and_is_not_held_up,
);
facts_on!(
    redis_7_2,
    REDIS_7_2,
    what_a_lone_server_writes_is_in_the_store_as_it_was_written
);
facts_on!(
    redis_8_0,
    REDIS_8_0,
    what_a_lone_server_writes_is_in_the_store_as_it_was_written
);
facts_on!(
    once,
    REDIS_7_0,
    another_agent_goes_on_where_the_one_before_ended,
    a_lone_server_that_starts_anew_begins_another_log,
    what_is_written_while_the_store_is_down_is_stored_later,
    another_key_is_taken_without_a_gap,
    a_lone_server_gives_its_backlog_up_once_no_log_is_kept,
    a_primary_whose_writes_need_replicas_is_not_read,
    what_somebody_made_a_primary_is_no_part_of_the_log,
    a_primary_that_serves_without_a_doubt_says_how_much_it_has_written
);

#[tokio::test]
async fn what_later_servers_write_is_in_the_store() {
    for engine in [REDIS_8_6, VALKEY_9_1] {
        if engine.can_be_had() {
            what_a_lone_server_writes_is_in_the_store_as_it_was_written(engine).await;
        }
    }
}

const MAX_DELAY_MS: u64 = 1_000;
const BUCKET: &str = "backups";

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn capture(store: StoreAccess) -> BackupOrder {
    BackupOrder::Capture(Box::new(CaptureOrder {
        shard: "0".to_owned(),
        owner: owner(),
        store,
        max_delay_ms: MAX_DELAY_MS,
    }))
}

pub fn folder() -> String {
    let owner = owner();
    Paths::new(&owner.namespace, &owner.name, &owner.uid).log("0")
}

/// Has the log of a pod's server kept, and awaits that it is read.
pub async fn keeps(pod: &Pod, stored: &Stored) -> CaptureState {
    order(pod, capture(stored.access())).await.unwrap();
    until_reads(pod, |state| !state.id.is_empty()).await
}

async fn until_reads(pod: &Pod, is: impl Fn(&CaptureState) -> bool) -> CaptureState {
    until("how far the log is", async || {
        let state = told(pod).await.capture;
        let found = state.clone().filter(&is);
        found.ok_or_else(|| format!("{state:?}"))
    })
    .await
}

/// Awaits that everything that was acknowledged until now is in the store.
pub async fn until_covered(pod: &Pod) -> CaptureState {
    let now = now();
    let covers = |state: &CaptureState| state.covered_unix_ms.is_some_and(|until| until >= now);
    until_reads(pod, covers).await
}

async fn until_news(pod: &Pod, is: impl Fn(&CaptureNews) -> bool) -> CaptureNews {
    let is_so = |status: &AgentStatus| status.capture.as_ref().is_some_and(&is);
    let status = pod.until("news of the log", is_so).await;
    status.capture.unwrap()
}

async fn until_trouble(pod: &Pod, reason: FailureReason) -> String {
    let is = |news: &CaptureNews| {
        let trouble = news.trouble.as_ref();
        trouble.is_some_and(|trouble| trouble.reason == reason)
    };
    until_news(pod, is).await.trouble.unwrap().message
}

/// Writes keys of these numbers.
pub async fn write(server: &Server, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let value = number.to_string();
        server.set(&format!("k:{number}"), &value).await.unwrap();
    }
}

fn sets(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers
        .map(|number| format!("SET k:{number} {number}"))
        .collect()
}

/// What the store has of a log.
struct Kept {
    pieces: Vec<(PieceHeader, Vec<u8>)>,
    parents: BTreeMap<String, Parent>,
}

impl Kept {
    async fn of(stored: &Stored) -> Self {
        let (mut pieces, mut parents) = (Vec::new(), BTreeMap::new());
        for entry in stored.store.list(&folder()).await.unwrap() {
            let read = async || {
                let range = 0..entry.bytes;
                stored.store.get_range(&entry.path, range).await.unwrap()
            };
            let below = entry.path.strip_prefix(&folder()).unwrap();
            match Listed::parse(below.trim_start_matches('/')) {
                Some(Listed::Piece(name)) => {
                    let bytes = read().await;
                    let (header, packed) = decode(&bytes).unwrap();
                    header.check_name(&name, "u-1", "0").unwrap();
                    let raw = zstd::decode_all(packed).unwrap();
                    header.check(&raw).unwrap();
                    pieces.push((header, raw));
                }
                Some(Listed::Parent(id)) => {
                    let parent = serde_json::from_slice(&read().await).unwrap();
                    parents.insert(id, parent);
                }
                Some(Listed::Alive) | None => {}
            }
        }
        pieces.sort_by_key(|(header, _)| (header.from, header.to));
        Self { pieces, parents }
    }

    /// Where the log of a history begins, and all that follows without a gap: of what it goes on from first.
    fn stream(&self, id: &str) -> (u64, Vec<u8>) {
        let own: Vec<_> = self
            .pieces
            .iter()
            .filter(|(piece, _)| piece.id == id)
            .collect();
        let first = own.first().expect("a history has pieces").0.from;
        let (begin, mut stream) = match self.parents.get(id) {
            Some(parent) => self.stream(&parent.id),
            None => (first, Vec::new()),
        };
        let size = usize::try_from(first - begin).unwrap();
        assert!(size <= stream.len(), "there is a gap before {first}");
        stream.truncate(size);
        for (piece, raw) in own {
            let end = begin + u64::try_from(stream.len()).unwrap();
            assert!(
                piece.from <= end,
                "there is a gap from {end} to {}",
                piece.from
            );
            let had = usize::try_from(end - piece.from).unwrap();
            stream.extend(raw.get(had..).unwrap_or_default());
        }
        (begin, stream)
    }

    /// What was written in a history, and in those that it goes on from.
    fn commands(&self, id: &str) -> Vec<String> {
        let (begin, stream) = self.stream(id);
        let mut units: Vec<Unit> = Vec::new();
        let mut walker = Walker::new(begin);
        walker.feed(&stream, |unit| units.push(unit)).unwrap();
        assert_eq!(
            walker.boundary(),
            walker.at(),
            "a piece ends with a command"
        );
        let loaded = units.iter().filter(|unit| unit.kind != Kind::Noise);
        let words = loaded.map(|unit| {
            let at = |offset: u64| usize::try_from(offset - begin).unwrap();
            let text = std::str::from_utf8(&stream[at(unit.from)..at(unit.to)]).unwrap();
            let words = text.split("\r\n").skip(2).step_by(2);
            words.collect::<Vec<_>>().join(" ")
        });
        words.collect()
    }

    /// The same without what chooses a database.
    fn writes(&self, id: &str) -> Vec<String> {
        let all = self.commands(id).into_iter();
        all.filter(|words| !words.starts_with("SELECT")).collect()
    }
}

async fn what_a_lone_server_writes_is_in_the_store_as_it_was_written(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    let begun = now();
    let state = keeps(&pod, &stored).await;
    let server = pod.app().await;
    write(&server, 0..200).await;
    server.transaction(&["a", "b"]).await.unwrap();
    write(&server, 200..210).await;
    // Nobody counts the log as a copy of the data.
    assert_eq!(server.say(&["WAIT", "1", "300"]).await.unwrap(), "0");
    until_covered(&pod).await;
    let kept = Kept::of(&stored).await;
    let mut expected = sets(0..200);
    expected.extend(["MULTI", "SET a 1", "SET b 1", "EXEC"].map(str::to_owned));
    expected.extend(sets(200..210));
    assert_eq!(kept.writes(&state.id), expected);
    let evidence = kept.pieces.iter().map(|(piece, _)| &piece.evidence);
    assert!(evidence.clone().all(|evidence| !evidence.marks.is_empty()));
    assert!(evidence.clone().any(|evidence| !evidence.looks.is_empty()));

    let news = until_news(&pod, |_| true).await;
    assert_eq!((news.shard.as_str(), news.uid.as_str()), ("0", "u-1"));
    assert!(
        news.unbroken_since_unix_ms
            .is_some_and(|since| since >= begun)
    );
    assert!(!news.after_gap && news.trouble.is_none(), "{news:?}");
    let metrics = pod.scrape().await;
    assert!(
        metrics.contains("hera_backup_covered_timestamp_seconds 1"),
        "{metrics}"
    );
    assert!(metrics.contains("hera_backup_gaps_total 0"), "{metrics}");
    // The same order is none.
    order(&pod, capture(stored.access())).await.unwrap();
    assert_eq!(told(&pod).await.capture.unwrap().id, state.id);

    write(&server, 210..220).await;
    order(&pod, BackupOrder::StopCapture).await.unwrap();
    pod.until("no log is kept", |status| status.capture.is_none())
        .await;
    expected.extend(sets(210..220));
    write(&server, 220..230).await;
    let kept = Kept::of(&stored).await;
    assert_eq!(kept.writes(&state.id), expected);
    assert!(!pod.scrape().await.contains("hera_backup"));
}

async fn a_replica_is_read_and_claims_nothing_while_its_primary_does_not_tell(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let place = group.until_equal(0, 1).await;
    let state = keeps(&group[1], &stored).await;
    assert_eq!(state.id, place.replication_id);
    let server = group[0].app().await;
    write(&server, 0..50).await;
    until_covered(&group[1]).await;
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..50));

    // Its agent does not answer, and the server writes on. What comes is stored, and that it is all is not said.
    let agent = to_pid(group[0].agent_pid());
    kill(agent, Signal::SIGSTOP).unwrap();
    let cut_off = now();
    let before = told(&group[1]).await.capture.unwrap().stored_offset;
    write(&server, 50..60).await;
    until_reads(&group[1], |state| state.stored_offset > before).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let state = told(&group[1]).await.capture.unwrap();
    assert!(
        state.covered_unix_ms.is_some_and(|until| until <= cut_off),
        "{state:?}"
    );
    let kept = Kept::of(&stored).await;
    assert_eq!(kept.writes(&state.id), sets(0..60));
    let mut looks = kept
        .pieces
        .iter()
        .flat_map(|(piece, _)| &piece.evidence.looks);
    assert!(looks.all(|look| look.unix_ms <= cut_off));
    kill(agent, Signal::SIGCONT).unwrap();
    until_covered(&group[1]).await;
}

async fn a_promotion_does_not_wait_for_the_log_which_goes_on_without_a_gap(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let before = keeps(&group[1], &stored).await;
    write(&group[0].app().await, 0..50).await;
    until_covered(&group[1]).await;
    let news = until_news(&group[1], |_| true).await;
    write(&group[0].app().await, 50..60).await;
    group.until_equal(0, 1).await;
    group[0].order(1, Order::Fence { epoch: 1 }).await.unwrap();
    let since = Instant::now();
    group[1].promote_for(1, 2).await.unwrap();
    let took = since.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let promoted = now();
    write(&group[1].app().await, 60..100).await;
    let state = until_reads(&group[1], |state| state.id != before.id).await;
    until_covered(&group[1]).await;
    let kept = Kept::of(&stored).await;
    let parent = &kept.parents[&state.id];
    assert_eq!(parent.id, before.id);
    assert!(parent.unix_ms <= promoted, "{parent:?} {promoted}");
    assert_eq!(kept.writes(&state.id), sets(0..100));
    let next = until_news(&group[1], |news| news.unbroken.len() == 2).await;
    let unbroken = Unbroken::then(news.unbroken.clone(), &state.id, parent.at);
    assert_eq!((state.gaps, &next), (0, &CaptureNews { unbroken, ..news }));

    // The new replica goes on as well, by the store alone.
    group.follow(0, 1, 2).await.unwrap();
    group.until_linked(0).await;
    order(&group[1], BackupOrder::StopCapture).await.unwrap();
    let other = keeps(&group[0], &stored).await;
    write(&group[1].app().await, 100..110).await;
    until_covered(&group[0]).await;
    assert_eq!((other.id.as_str(), other.gaps), (state.id.as_str(), 0));
    assert_eq!(until_news(&group[0], |_| true).await, next);
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..110));
}

async fn a_pod_that_ends_stores_its_log_to_the_end_and_is_not_held_up(engine: Engine) {
    let stored = Stored::start();
    let mut pod = serving(engine, &[]).await;
    let state = keeps(&pod, &stored).await;
    write(&pod.app().await, 0..50).await;
    let since = Instant::now();
    assert!(pod.terminate().await.success());
    let took = since.elapsed();
    // A server waits ten seconds for a replica that is behind.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..50));
}

async fn another_agent_goes_on_where_the_one_before_ended(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let server = group[0].app().await;
    let state = keeps(&group[1], &stored).await;
    write(&server, 0..50).await;
    until_covered(&group[1]).await;
    let news = until_news(&group[1], |_| true).await;
    group[1].kill_agent();
    write(&server, 50..60).await;
    let other = keeps(&group[0], &stored).await;
    assert_eq!((other.id.as_str(), other.gaps), (state.id.as_str(), 0));
    write(&server, 60..70).await;
    until_covered(&group[0]).await;
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..70));
    assert_eq!(until_news(&group[0], |_| true).await, news);
}

async fn a_lone_server_that_starts_anew_begins_another_log(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    let before = keeps(&pod, &stored).await;
    write(&pod.app().await, 0..50).await;
    until_covered(&pod).await;
    let killed = now();
    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    let state = until_reads(&pod, |state| state.id != before.id).await;
    assert_eq!(state.gaps, 1);
    let news = until_news(&pod, |news| news.after_gap).await;
    assert!(
        news.unbroken_since_unix_ms
            .is_some_and(|since| since >= killed)
    );
    write(&pod.app().await, 50..60).await;
    until_covered(&pod).await;
    let kept = Kept::of(&stored).await;
    assert!(kept.parents.is_empty());
    assert_eq!(kept.writes(&before.id), sets(0..50));
    assert_eq!(kept.writes(&state.id), sets(50..60));
}

/// A store whose buckets outlive it.
fn store_in(root: &Path) -> Stored {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = Gateway::start_in(root).unwrap();
    gateway.make_bucket(BUCKET).unwrap();
    let store = Store::open(&gateway.access(BUCKET, "redis")).unwrap();
    Stored { gateway, store }
}

async fn what_is_written_while_the_store_is_down_is_stored_later(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let stored = store_in(&root);
    let address = stored.gateway.address();
    let pod = serving(engine, &[]).await;
    let state = keeps(&pod, &stored).await;
    let server = pod.app().await;
    write(&server, 0..50).await;
    until_covered(&pod).await;
    let Stored { gateway, store } = stored;
    drop(gateway);
    write(&server, 50..100).await;
    let words = until_trouble(&pod, FailureReason::StoreUnreachable).await;
    assert!(words.contains("Store gateway"), "{words}");
    let gateway = Gateway::start_at(address, &root).unwrap();
    write(&server, 100..110).await;
    until_covered(&pod).await;
    let stored = Stored { gateway, store };
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..110));
    let news = until_news(&pod, |news| news.trouble.is_none()).await;
    assert!(!news.after_gap, "{news:?}");
}

async fn another_key_is_taken_without_a_gap(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    let mut wrong = stored.access();
    wrong.s3.secret_access_key = "of-before".to_owned();
    order(&pod, capture(wrong.clone())).await.unwrap();
    until_trouble(&pod, FailureReason::CredentialsRefused).await;
    let state = keeps(&pod, &stored).await;
    let server = pod.app().await;
    write(&server, 0..50).await;
    until_covered(&pod).await;
    order(&pod, capture(wrong)).await.unwrap();
    write(&server, 50..60).await;
    let words = until_trouble(&pod, FailureReason::CredentialsRefused).await;
    assert!(!words.contains("of-before"), "{words}");
    order(&pod, capture(stored.access())).await.unwrap();
    write(&server, 60..70).await;
    let later = until_covered(&pod).await;
    assert_eq!((later.id.as_str(), later.gaps), (state.id.as_str(), 0));
    assert_eq!(Kept::of(&stored).await.writes(&state.id), sets(0..70));
}

async fn a_lone_server_gives_its_backlog_up_once_no_log_is_kept(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[]).await;
    with_looks(&pod).await;
    let has_backlog = async || info(&pod, "replication", "repl_backlog_active").await;
    assert_eq!(has_backlog().await, "0");
    keeps(&pod, &stored).await;
    until(
        "the child that gave nobody a dataset has ended",
        async || {
            let is = info(&pod, "persistence", "rdb_bgsave_in_progress").await;
            (is == "0").then_some(()).ok_or(is)
        },
    )
    .await;
    // A snapshot for a backup gives nothing up meanwhile.
    crate::backup::stores(&pod, "b-1-1", &stored).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(has_backlog().await, "1");
    order(&pod, BackupOrder::StopCapture).await.unwrap();
    until("it is given up", async || {
        let is = has_backlog().await;
        (is == "0").then_some(()).ok_or(is)
    })
    .await;
}

async fn a_primary_whose_writes_need_replicas_is_not_read(engine: Engine) {
    let stored = Stored::start();
    let pod = serving(engine, &[("min-replicas-to-write", "1")]).await;
    order(&pod, capture(stored.access())).await.unwrap();
    let words = until_trouble(&pod, FailureReason::NoCopyFits).await;
    assert!(words.contains("minReplicasToWrite"), "{words}");
    let refused = pod.app().await.set("a", "1").await.unwrap_err();
    assert!(refused.to_string().contains("NOREPLICAS"), "{refused}");
}

async fn what_somebody_made_a_primary_is_no_part_of_the_log(engine: Engine) {
    let stored = Stored::start();
    let mut group = Group::new(engine, 2);
    group.lead().await;
    keeps(&group[1], &stored).await;
    write(&group[0].app().await, 0..10).await;
    until_covered(&group[1]).await;
    let person = user("person", &["+@all", "~*", "&*"]);
    let users = [app(), replication(), person];
    group[1].push_users(2, &users).await.unwrap();
    for _ in 0..10 {
        let server = login(group[1].port, "person").await.unwrap();
        server.promote().await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    group.until_linked(1).await;
    let kept = Kept::of(&stored).await;
    assert!(kept.parents.is_empty(), "{:?}", kept.parents);
}

async fn a_primary_that_serves_without_a_doubt_says_how_much_it_has_written(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let peer = group[0].authority.agent(OBJECT_NAMES);
    let look = async |pod: &Pod, meant: &str| -> Answer<Look> {
        let tls = pod.authority.client(Some(&peer));
        let client = http(tls, pod.name(), pod.control());
        answer(client.post(pod.url(PATH_LOOK)).header("hera-pod", meant)).await
    };
    write(&group[0].app().await, 0..10).await;
    let place = group[0].position().await.unwrap();
    let told = look(&group[0], &group[0].uid).await.unwrap();
    assert_eq!(told.id, place.replication_id);
    assert!(told.offset >= place.offset);
    let refused = |answer: Answer<Look>| answer.unwrap_err().0;
    let other = look(&group[0], "another").await;
    assert_eq!(refused(other), StatusCode::UNPROCESSABLE_ENTITY);
    let replica = look(&group[1], &group[1].uid).await;
    assert_eq!(refused(replica), StatusCode::SERVICE_UNAVAILABLE);
    let operator = group[0].http.post(group[0].url(PATH_LOOK));
    let operator = answer(operator.header("hera-pod", &group[0].uid)).await;
    assert_eq!(refused(operator), StatusCode::FORBIDDEN);
    group[0].order(1, Order::Fence { epoch: 1 }).await.unwrap();
    let fenced = look(&group[0], &group[0].uid).await;
    assert_eq!(refused(fenced), StatusCode::SERVICE_UNAVAILABLE);
}
