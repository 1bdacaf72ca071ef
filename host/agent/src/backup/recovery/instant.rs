//! What an object held at an instant: a base, and the log behind it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use hera_core::backup::log::{
    AROUND_MS, Cut, Evidence, Load, NotCovered, PieceName, SLACK_MS, Stretch, Wanted, plan,
};
use hera_core::backup::recovery::{check_room, with_log};
use hera_core::backup::{Failure, FailureReason, RecoverInstant, check_base, check_piece};
use hera_store::Store;
use tracing::{info, warn};

use super::files::{self, Filling};
use super::origin::{Origin, Unread};
use super::words::instant;
use super::{append_only, base, log, pieces};
use crate::backup::failed;
use crate::settings::Settings;

/// Headers that come at once.
const AT_ONCE: usize = 16;
/// Headers that are read of each of [`AROUND_MS`]: those nearest to the instant.
const MOST: usize = 256;

/// Brings base and log of an instant, as the files of a server.
///
/// # Errors
/// Why not. What came of it is none to use.
pub async fn fill(
    settings: &Settings,
    store: &Store,
    wanted: &RecoverInstant,
) -> Result<Filling, Failure> {
    let mut origin = Origin::find(store, wanted).await?;
    let mut damaged = Vec::new();
    loop {
        let Refused { failure, is_final } = match cut(store, &origin, wanted).await {
            Ok(found) => {
                let came = load(settings, store, &origin, wanted, &found, &mut damaged);
                let came = Box::pin(came).await?;
                if let Some(filling) = came {
                    return Ok(filling);
                }
                Refused {
                    failure: no_base(wanted, &damaged),
                    is_final: !origin.is_part(),
                }
            }
            Err(refused) => refused,
        };
        if is_final {
            return Err(failure);
        }
        info!(why = %failure.message, "all of a long log is listed");
        origin = origin.whole(store).await?;
    }
}

/// Why an instant is not loaded.
struct Refused {
    failure: Failure,
    /// The whole of a long log says the same.
    is_final: bool,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            is_final: true,
        }
    }
}

/// A base that is damaged, and why.
type Damaged = (String, Failure);

/// Brings the newest base that is not damaged, with the log behind it; none if all are.
async fn load(
    settings: &Settings,
    store: &Store,
    origin: &Origin,
    wanted: &RecoverInstant,
    (cut, unfit): &Found,
    damaged: &mut Vec<Damaged>,
) -> Result<Option<Filling>, Failure> {
    for load in &cut.loads {
        if damaged.iter().any(|(path, _)| *path == load.base.path) {
            continue;
        }
        // What came of a damaged one takes no room any more.
        append_only::begin(settings).map_err(|error| files::of_volume(&error))?;
        check(settings, load, wanted)?;
        check_log(load, unfit)?;
        let (path, bytes, log_bytes) = (&load.base.path, load.base.stored_bytes, load.log_bytes());
        info!(base = %path, bytes, log_bytes, "data comes from the store");
        match base::bring(store, &load.base, append_only::base(settings)).await {
            Ok(()) => {}
            Err(failure) if failure.reason == FailureReason::Corrupt => {
                warn!(why = %failure.message, "an older base is taken, and more of the log");
                damaged.push((path.clone(), failure));
                continue;
            }
            Err(failure) => return Err(failure),
        }
        Box::pin(log::bring(
            settings,
            store,
            origin,
            load,
            cut.until,
            &wanted.loads,
        ))
        .await?;
        append_only::finish(settings).map_err(|error| files::of_volume(&error))?;
        return Ok(Some(Filling {
            base: Box::new(load.base.clone()),
            reached_unix_ms: Some(cut.unix_ms),
        }));
    }
    Ok(None)
}

fn no_base(wanted: &RecoverInstant, damaged: &[Damaged]) -> Failure {
    let first = damaged.first().map(|(_, failure)| failure.clone());
    first.unwrap_or_else(|| not_covered(wanted, NotCovered::default()))
}

/// What is loaded, and which pieces near the instant the new server cannot follow.
type Found = (Cut, BTreeMap<PieceName, Failure>);

/// What is loaded for the instant.
async fn cut(store: &Store, origin: &Origin, wanted: &RecoverInstant) -> Result<Found, Refused> {
    let asked = Wanted {
        unix_ms: wanted.unix_ms,
        branch: wanted.branch.clone(),
    };
    let plan = plan(&origin.index, &asked).map_err(|refusal| {
        let words = format!("{}/{}: {refusal}", wanted.namespace, wanted.name);
        let failure = failed(FailureReason::TimeNotCovered, words);
        without(&origin.unread, wanted.unix_ms, failure)
    })?;
    let mut headers = Headers::default();
    let mut refused = NotCovered::default();
    for around_ms in AROUND_MS {
        let names = nearest(plan.headers(around_ms), wanted.unix_ms, &headers.tried);
        headers.read(store, origin, names, wanted).await?;
        match plan.cut(&headers.known) {
            Ok(cut) => return Ok((cut, headers.unfit)),
            Err(not_covered) => refused = not_covered,
        }
        if refused.before.is_some() && refused.after.is_some() {
            break;
        }
    }
    headers.damaged.extend_from_slice(&origin.unread);
    let failure = not_covered(wanted, refused);
    Err(Refused {
        failure: without(&headers.damaged, wanted.unix_ms, failure),
        is_final: origin.knows(refused),
    })
}

/// What pieces say of when their bytes were written.
#[derive(Default)]
struct Headers {
    known: BTreeMap<PieceName, Evidence>,
    tried: BTreeSet<PieceName>,
    /// Those that the new server cannot follow.
    unfit: BTreeMap<PieceName, Failure>,
    damaged: Vec<Unread>,
}

impl Headers {
    /// One that is damaged counts as missing: that makes no wrong answer.
    async fn read(
        &mut self,
        store: &Store,
        origin: &Origin,
        names: Vec<PieceName>,
        wanted: &RecoverInstant,
    ) -> Result<(), Failure> {
        for lot in names.chunks(AT_ONCE) {
            let came = join_all(lot.iter().map(|name| pieces::header(store, origin, name))).await;
            for (name, header) in lot.iter().zip(came) {
                self.tried.insert(name.clone());
                match header {
                    Ok(header) => {
                        let path = origin.path(name);
                        if let Err(failure) = check_piece(&path, &header, &wanted.loads) {
                            self.unfit.insert(name.clone(), failure);
                        }
                        self.known.insert(name.clone(), header.evidence);
                    }
                    Err(failure) if failure.reason == FailureReason::Corrupt => {
                        warn!(why = %failure.message, "a piece of the log says nothing");
                        self.damaged.push(of_piece(name, failure.message, wanted));
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
    check_base(&load.base, &wanted.loads)?;
    let stored = with_log(&load.base, load.log_bytes());
    check_room(stored, wanted.room)?;
    files::has_room(&settings.data, stored.raw_bytes)
}

/// Whether it can follow what was written up to the instant, as far as the headers around that tell: before anything
/// large comes.
fn check_log(load: &Load, unfit: &BTreeMap<PieceName, Failure>) -> Result<(), Failure> {
    if unfit.is_empty() {
        return Ok(());
    }
    let mut used = load.stretches.iter().flat_map(used);
    let failure = used.find_map(|name| unfit.get(name));
    failure.map_or(Ok(()), |failure| Err(failure.clone()))
}

/// The pieces whose bytes are taken, if none is damaged.
fn used(stretch: &Stretch) -> impl Iterator<Item = &PieceName> {
    let (mut at, none) = (stretch.from, BTreeSet::new());
    std::iter::from_fn(move || {
        let next = stretch.next(at, &none).filter(|_| at < stretch.to)?;
        at = next.to;
        Some(next)
    })
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

/// A piece may matter for the instants that it tells of, and for the latest.
fn of_piece(name: &PieceName, words: String, wanted: &RecoverInstant) -> Unread {
    let last = wanted.unix_ms.map(|_| name.t1.saturating_add(SLACK_MS));
    Unread {
        words,
        may_matter: (name.t0, last.unwrap_or(u64::MAX)),
    }
}

/// Files that could not be read are told; they are the reason only where they may matter.
fn without(unread: &[Unread], unix_ms: Option<u64>, failure: Failure) -> Failure {
    let why = unread.iter().find(|unread| unread.matters(unix_ms));
    let Some(told) = why.or(unread.first()) else {
        return failure;
    };
    let reason = match why {
        Some(_) => FailureReason::Corrupt,
        None => failure.reason,
    };
    failed(reason, format!("{}; {}", failure.message, told.words))
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
    fn only_a_piece_that_is_used_is_to_be_one_that_the_server_can_follow() {
        let base = serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "a", "offset": 10, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5, "storedBytes": 5,
            "sha256": "", "crc64": "0", "usedMemory": 1, "path": "shop.cache/old/base/0/r-7"
        });
        let load = Load {
            base: serde_json::from_value(base).unwrap(),
            stretches: vec![Stretch {
                id: "a".repeat(40),
                from: 10,
                to: 35,
                pieces: vec![name(10, 20), name(15, 18), name(20, 40)],
            }],
        };
        let unfit = |name: PieceName| {
            let failure = failed(FailureReason::VersionIncompatible, "newer");
            check_log(&load, &BTreeMap::from([(name, failure)])).is_err()
        };
        assert_eq!(check_log(&load, &BTreeMap::new()), Ok(()));
        assert!(unfit(name(10, 20)) && unfit(name(20, 40)));
        assert!(!unfit(name(15, 18)) && !unfit(name(40, 50)));
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
        assert_eq!(without(&[], Some(70), failure.clone()), failure);
        let words = "log/x is damaged".to_owned();
        let unread = [of_piece(&name(50, 60), words, &wanted(Some(70)))];
        let reasons = [
            (Some(70), FailureReason::Corrupt),
            (Some(40), failure.reason),
        ];
        for (at, reason) in reasons {
            let damaged = without(&unread, at, failure.clone());
            assert_eq!(damaged.reason, reason);
            assert!(damaged.message.contains("log/x"), "{damaged:?}");
        }
        let latest = of_piece(&name(50, 60), String::new(), &wanted(None));
        assert!(latest.matters(None));
    }
}
