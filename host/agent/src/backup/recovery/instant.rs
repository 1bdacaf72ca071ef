//! What an object held at an instant: a base, and the log behind it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use hera_core::backup::log::{AROUND_MS, Cut, Evidence, Load, NotCovered, PieceName, Wanted, plan};
use hera_core::backup::recovery::{Stored, check_room};
use hera_core::backup::{BaseManifest, Failure, FailureReason, Loads, RecoverInstant};
use hera_store::Store;
use tracing::{info, warn};

use super::files::{self, Filling};
use super::origin::Origin;
use super::words::instant;
use super::{append_only, base, log, pieces};
use crate::backup::failed;
use crate::settings::Settings;

/// Headers that come at once.
const AT_ONCE: usize = 16;
/// Headers that are read of each of [`AROUND_MS`]: those nearest to the instant.
const MOST: usize = 256;
/// Servers before it have no append-only file of this kind.
const OLDEST: (u32, u32) = (7, 0);

/// Brings base and log of an instant, as the files of a server.
///
/// # Errors
/// Why not. What came of it is none to use.
pub async fn fill(
    settings: &Settings,
    store: &Store,
    wanted: &RecoverInstant,
) -> Result<Filling, Failure> {
    let origin = Origin::find(store, wanted).await?;
    let cut = cut(store, &origin, wanted).await?;
    let mut damaged = None;
    for load in &cut.loads {
        // What came of a damaged one takes no room any more.
        append_only::begin(settings).map_err(|error| files::of_volume(&error))?;
        check(settings, load, wanted)?;
        let (path, bytes, log_bytes) = (&load.base.path, load.base.stored_bytes, load.log_bytes());
        info!(base = %path, bytes, log_bytes, "data comes from the store");
        match base::bring(store, &load.base, append_only::base(settings)).await {
            Ok(()) => {}
            Err(failure) if failure.reason == FailureReason::Corrupt => {
                warn!(why = %failure.message, "an older base is taken, and more of the log");
                damaged.get_or_insert(failure);
                continue;
            }
            Err(failure) => return Err(failure),
        }
        Box::pin(log::bring(settings, store, &origin, load, cut.until)).await?;
        append_only::finish(settings).map_err(|error| files::of_volume(&error))?;
        return Ok(Filling {
            base: Box::new(load.base.clone()),
            reached_unix_ms: Some(cut.unix_ms),
        });
    }
    Err(damaged.unwrap_or_else(|| not_covered(wanted, NotCovered::default())))
}

/// What is loaded for the instant.
async fn cut(store: &Store, origin: &Origin, wanted: &RecoverInstant) -> Result<Cut, Failure> {
    let asked = Wanted {
        unix_ms: wanted.unix_ms,
        branch: wanted.branch.clone(),
    };
    let plan = plan(&origin.index, &asked).map_err(|refusal| {
        let words = format!("{}/{}: {refusal}", wanted.namespace, wanted.name);
        without(&origin.unread, failed(FailureReason::TimeNotCovered, words))
    })?;
    let mut headers = Headers::default();
    let mut refused = NotCovered::default();
    for around_ms in AROUND_MS {
        let names = nearest(plan.headers(around_ms), wanted.unix_ms, &headers.tried);
        headers.read(store, origin, names).await?;
        match plan.cut(&headers.known) {
            Ok(cut) => return Ok(cut),
            Err(not_covered) => refused = not_covered,
        }
        if refused.before.is_some() && refused.after.is_some() {
            break;
        }
    }
    headers.damaged.extend_from_slice(&origin.unread);
    Err(without(&headers.damaged, not_covered(wanted, refused)))
}

/// What pieces say of when their bytes were written.
#[derive(Default)]
struct Headers {
    known: BTreeMap<PieceName, Evidence>,
    tried: BTreeSet<PieceName>,
    damaged: Vec<String>,
}

impl Headers {
    /// One that is damaged counts as missing: that makes no wrong answer.
    async fn read(
        &mut self,
        store: &Store,
        origin: &Origin,
        names: Vec<PieceName>,
    ) -> Result<(), Failure> {
        for lot in names.chunks(AT_ONCE) {
            let came = join_all(lot.iter().map(|name| pieces::header(store, origin, name))).await;
            for (name, header) in lot.iter().zip(came) {
                self.tried.insert(name.clone());
                match header {
                    Ok(header) => {
                        self.known.insert(name.clone(), header.evidence);
                    }
                    Err(failure) if failure.reason == FailureReason::Corrupt => {
                        warn!(why = %failure.message, "a piece of the log says nothing");
                        self.damaged.push(failure.message);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }
}

/// Those of them that are next to the instant, or the latest, and were not read yet.
fn nearest(
    mut names: Vec<PieceName>,
    unix_ms: Option<u64>,
    read: &BTreeSet<PieceName>,
) -> Vec<PieceName> {
    names.retain(|name| !read.contains(name));
    match unix_ms {
        Some(at) => names.sort_by_key(|name| {
            let after = name.t0.saturating_sub(at);
            after.max(at.saturating_sub(name.t1))
        }),
        None => names.sort_by_key(|name| Reverse(name.t1)),
    }
    names.truncate(MOST);
    names
}

/// Whether the new server can have that.
fn check(settings: &Settings, load: &Load, wanted: &RecoverInstant) -> Result<(), Failure> {
    check_version(&load.base, &wanted.loads)?;
    let raw_bytes = load.base.raw_bytes.saturating_add(load.log_bytes());
    let stored = Stored {
        raw_bytes,
        used_memory: load.base.used_memory,
    };
    check_room(stored, wanted.room)?;
    files::has_room(&settings.data, raw_bytes)
}

fn check_version(base: &BaseManifest, loads: &[Loads]) -> Result<(), Failure> {
    let refuse = |words| Err(failed(FailureReason::VersionIncompatible, words));
    if loads.iter().all(|loads| loads.up_to < OLDEST) {
        let words = "servers before 7.0 load no log: set version to 7.0 or newer, or recover a backup without an \
                     instant";
        return refuse(words.to_owned());
    }
    let wrote = branch(&base.version);
    let can_load = |loads: &Loads| {
        loads.engine == base.engine && wrote.is_some_and(|wrote| wrote <= loads.up_to)
    };
    match loads.iter().any(can_load) {
        true => Ok(()),
        false => refuse(format!(
            "{} was written by {engine} {version}, which this server cannot read: set engine and version to {engine} \
             {version} or newer",
            base.path,
            engine = base.engine,
            version = base.version
        )),
    }
}

/// Major and minor of a version.
fn branch(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn not_covered(wanted: &RecoverInstant, refused: NotCovered) -> Failure {
    let (namespace, name) = (&wanted.namespace, &wanted.name);
    let said = match wanted.unix_ms {
        Some(at) => format!(
            "what is stored does not say what {namespace}/{name} held at {}",
            instant(at)
        ),
        None if refused.before.is_some() => format!(
            "what is stored does not say what {namespace}/{name} held last, as a rule as the log has a gap and no \
             backup was made since: ask for an instant by its time"
        ),
        None => format!("what is stored says of no instant all that {namespace}/{name} held"),
    };
    let nearest = match (refused.before, refused.after) {
        (Some(before), Some(after)) => format!(
            "the nearest instants that can be had are {} and {}",
            instant(before),
            instant(after)
        ),
        (Some(before), None) => format!("the last that can be had is {}", instant(before)),
        (None, Some(after)) => format!("the first that can be had is {}", instant(after)),
        (None, None) => "none near it can be had: name a backup, without an instant".to_owned(),
    };
    failed(FailureReason::TimeNotCovered, format!("{said}; {nearest}"))
}

/// Files that could not be read may be why.
fn without(unread: &[String], failure: Failure) -> Failure {
    match unread.first() {
        Some(words) => failed(
            FailureReason::Corrupt,
            format!("{}; {words}", failure.message),
        ),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(t0: u64, t1: u64) -> PieceName {
        PieceName {
            id: "a".repeat(40),
            from: t0,
            to: t1,
            t0,
            t1,
        }
    }

    fn base(engine: &str, version: &str) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": engine, "version": version,
            "magic": "REDIS0010", "replicationId": "a", "offset": 7, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5, "storedBytes": 5,
            "sha256": "", "crc64": "0", "usedMemory": 1, "path": "shop.cache/old/base/0/r-7"
        }))
        .unwrap()
    }

    fn wanted(unix_ms: Option<u64>) -> RecoverInstant {
        RecoverInstant {
            namespace: "shop".to_owned(),
            name: "cache".to_owned(),
            uid: None,
            shard: "0".to_owned(),
            unix_ms,
            branch: None,
            loads: Vec::new(),
            room: Default::default(),
        }
    }

    #[test]
    fn the_headers_next_to_the_instant_are_read_first_and_none_twice() {
        let all = vec![name(10, 20), name(20, 30), name(30, 40), name(90, 99)];
        let read = BTreeSet::from([name(20, 30)]);
        let by_time = |at| nearest(all.clone(), at, &read);
        assert_eq!(
            by_time(Some(25)),
            [name(10, 20), name(30, 40), name(90, 99)]
        );
        assert_eq!(by_time(Some(80))[0], name(90, 99));
        assert_eq!(by_time(None)[0], name(90, 99));
        let many = (0..1_000).map(|at| name(at, at + 1)).collect();
        assert_eq!(nearest(many, Some(5_000), &read).len(), MOST);
    }

    #[test]
    fn a_server_that_cannot_read_the_base_or_any_log_is_refused_with_what_to_set() {
        let loads = |engine: &str, up_to| Loads {
            engine: engine.to_owned(),
            up_to,
        };
        let valkey_8 = [loads("redis", (7, 2)), loads("valkey", (8, u32::MAX))];
        for (engine, version) in [("redis", "7.0.15"), ("redis", "7.2.4"), ("valkey", "8.1.1")] {
            assert_eq!(check_version(&base(engine, version), &valkey_8), Ok(()));
        }
        for (engine, version) in [("redis", "7.4.0"), ("valkey", "9.1.2"), ("valkey", "x")] {
            let refused = check_version(&base(engine, version), &valkey_8).unwrap_err();
            assert_eq!(refused.reason, FailureReason::VersionIncompatible);
            assert!(refused.message.contains(version), "{refused:?}");
        }
        let redis_6 = [loads("redis", (6, u32::MAX))];
        let refused = check_version(&base("redis", "6.2.14"), &redis_6).unwrap_err();
        assert!(refused.message.contains("7.0 or newer"), "{refused:?}");
    }

    #[test]
    fn a_refusal_names_the_nearest_instants_and_what_could_not_be_read() {
        let (before, after) = (1_796_000_000_000, 1_796_000_060_000);
        let refused = NotCovered {
            before: Some(before),
            after: Some(after),
        };
        let failure = not_covered(&wanted(Some(before + 9_000)), refused);
        assert_eq!(failure.reason, FailureReason::TimeNotCovered);
        for at in [
            "2026-11-30T00:53:29Z",
            "2026-11-30T00:53:20Z",
            "2026-11-30T00:54:20Z",
        ] {
            assert!(failure.message.contains(at), "{failure:?}");
        }
        let latest = not_covered(&wanted(None), NotCovered::default());
        assert!(latest.message.contains("shop/cache"), "{latest:?}");
        let (before, after) = (Some(before), None);
        let gap = not_covered(&wanted(None), NotCovered { before, after });
        assert_eq!(gap.reason, FailureReason::TimeNotCovered);
        assert!(gap.message.contains("2026-11-30T00:53:20Z"), "{gap:?}");
        assert_eq!(without(&[], failure.clone()), failure);
        let damaged = without(&["log/x is damaged".to_owned()], failure);
        assert_eq!(damaged.reason, FailureReason::Corrupt);
        assert!(damaged.message.contains("log/x"), "{damaged:?}");
    }
}
