//! Files of a store that say what the others are: each is written once.

use hera_core::backup::{
    BackupManifest, BaseManifest, FORMAT, Failure, FailureReason, OwnerFile, Paths, ShardInBackup,
};
use hera_store::{Created, Store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failed;
use crate::fence::clock;

/// A base gets its backup within this, in milliseconds: a day after it was stored a sweep takes one without a backup
/// for left over, and clocks differ.
const MADE_MS: u64 = 23 * 60 * 60 * 1_000;

/// Notes whose path it is, or finds that it is this object's.
///
/// # Errors
/// It is another's, or the store does not answer.
pub async fn claim(store: &Store, owner: &OwnerFile) -> Result<(), Failure> {
    let path = paths(owner).owner();
    let there = write_once(store, &path, owner).await?;
    let Some(other) = there.filter(|there| !is_same(there, owner)) else {
        return Ok(());
    };
    let words = format!(
        "{path} says that this path is of {} {}/{}, uid {}, of another Kubernetes cluster: give the store a prefix of its own",
        other.kind, other.namespace, other.name, other.uid
    );
    Err(failed(FailureReason::PathOwned, words))
}

/// Whether a path is this object's, for who removes files: beyond doubt. False if nothing is there.
///
/// # Errors
/// It is another's, it may be, or the store does not answer.
pub async fn is_own(store: &Store, owner: &OwnerFile) -> Result<bool, Failure> {
    let folder = paths(owner);
    let (root, path) = (folder.root(), folder.owner());
    let Some(there) = read::<OwnerFile>(store, &path).await? else {
        if store.list_after(root, root, 1).await?.is_empty() {
            return Ok(false);
        }
        let words = format!(
            "{path} is missing, which says whose the files beside it are: nothing is removed before a backup has written it"
        );
        return Err(failed(FailureReason::PathOwned, words));
    };
    if (&there.uid, &there.cluster) == (&owner.uid, &owner.cluster) {
        return Ok(true);
    }
    let words = format!(
        "{path} names uid {} of Kubernetes cluster {:?}, and this is uid {} of {:?}: nothing is removed; if it is of this \
         object all the same, remove that file, and the next backup writes it anew",
        there.uid, there.cluster, owner.uid, owner.cluster
    );
    Err(failed(FailureReason::PathOwned, words))
}

/// Where files of an object lie.
pub fn paths(owner: &OwnerFile) -> Paths {
    Paths::new(&owner.namespace, &owner.name, &owner.uid)
}

/// A cluster whose name cannot be read may be this one.
fn is_same(there: &OwnerFile, owner: &OwnerFile) -> bool {
    let is_unknown = there.cluster.is_empty() || owner.cluster.is_empty();
    there.v <= FORMAT && there.uid == owner.uid && (is_unknown || there.cluster == owner.cluster)
}

/// Writes that a base is whole.
///
/// # Errors
/// Another is there, or the store does not answer.
pub async fn write_base(store: &Store, base: &BaseManifest) -> Result<(), Failure> {
    let path = Paths::base_manifest(&base.path);
    match write_once(store, &path, base).await? {
        Some(there) if there != *base => Err(owned(&path)),
        _ => Ok(()),
    }
}

/// Writes the backup of a run, if its bases are there. What it holds, where an earlier attempt at the same
/// `RedisBackup` had written it and nobody heard of that: that is the backup then.
///
/// # Errors
/// They are not, another backup of that name is there, or the store does not answer.
pub async fn write_backup(
    store: &Store,
    run: &str,
    backup: &BackupManifest,
) -> Result<Option<Box<BaseManifest>>, Failure> {
    for shard in &backup.shards {
        let base = Paths::base_manifest(&shard.base);
        if store.size(&base).await?.is_none() {
            return Err(gone(&base));
        }
    }
    let path = paths(&backup.owner).backup(&backup.id);
    if is_late(backup, clock::unix_ms()) && store.size(&path).await?.is_none() {
        let words = format!(
            "what {path} is to hold was read a day ago, and may be removed as nobody's: it is read anew"
        );
        return Err(failed(FailureReason::LostItsPod, words));
    }
    let there = write_once(store, &path, backup).await?;
    let Some(there) = there.filter(|there| there != backup) else {
        return Ok(None);
    };
    match there.shards.first() {
        Some(shard) if is_earlier_attempt(&there, run) => {
            base_of(store, shard).await.map(Box::new).map(Some)
        }
        _ => Err(owned(&path)),
    }
}

/// The base that a shard of a backup has.
async fn base_of(store: &Store, shard: &ShardInBackup) -> Result<BaseManifest, Failure> {
    let path = Paths::base_manifest(&shard.base);
    let base = read(store, &path).await?;
    base.ok_or_else(|| gone(&path))
}

fn is_late(backup: &BackupManifest, now_unix_ms: u64) -> bool {
    backup.instant_unix_ms.saturating_add(MADE_MS) < now_unix_ms
}

fn gone(path: &str) -> Failure {
    let words = format!("{path} is not in the store any more");
    failed(FailureReason::Corrupt, words)
}

/// True for what an earlier attempt at the same `RedisBackup` wrote.
fn is_earlier_attempt(there: &BackupManifest, run: &str) -> bool {
    let (backup, _) = run.rsplit_once('-').unwrap_or((run, ""));
    let folder = format!("{backup}-");
    let is_of_it = |base: &str| {
        let last = base.rsplit_once('/').map_or(base, |(_, last)| last);
        last.starts_with(&folder)
    };
    !there.shards.is_empty() && there.shards.iter().all(|shard| is_of_it(&shard.base))
}

fn owned(path: &str) -> Failure {
    let words =
        format!("{path} is there already and is not of this backup: make it under another name");
    failed(FailureReason::PathOwned, words)
}

/// Writes a file, or answers what is there.
///
/// # Errors
/// What is there is not understood, or the store does not answer.
pub async fn write_once<T: Serialize + DeserializeOwned>(
    store: &Store,
    path: &str,
    file: &T,
) -> Result<Option<T>, Failure> {
    let odd = |error: &serde_json::Error| {
        let words = format!("{path} is there already and is not understood: {error}");
        failed(FailureReason::PathOwned, words)
    };
    let content = serde_json::to_vec(file).map_err(|error| odd(&error))?;
    if store.create(path, content).await? == Created::New {
        return Ok(None);
    }
    let Some(there) = store.get(path).await? else {
        let words = format!("{path} cannot be written, and is not there: somebody removes it");
        return Err(failed(FailureReason::StoreUnreachable, words));
    };
    let there = serde_json::from_slice(&there).map_err(|error| odd(&error))?;
    Ok(Some(there))
}

/// What every file of a store has.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Reads a file that says what others are; none if there is none.
///
/// # Errors
/// It is damaged, of a later release, or the store does not answer.
pub async fn read<T: DeserializeOwned>(store: &Store, path: &str) -> Result<Option<T>, Failure> {
    let text = store.get(path).await?;
    text.map(|text| parse(path, &text)).transpose()
}

fn parse<T: DeserializeOwned>(path: &str, text: &[u8]) -> Result<T, Failure> {
    let unreadable = |error: serde_json::Error| {
        let words = format!("{path} cannot be read: {error}");
        failed(FailureReason::Corrupt, words)
    };
    let Versioned { v } = serde_json::from_slice::<Versioned>(text).map_err(unreadable)?;
    if v > FORMAT {
        let words = format!(
            "{path} is of format {v}, and this release of the operator knows those up to {FORMAT}: upgrade it"
        );
        return Err(failed(FailureReason::VersionIncompatible, words));
    }
    serde_json::from_slice(text).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(cluster: &str, uid: &str) -> OwnerFile {
        OwnerFile {
            v: FORMAT,
            cluster: cluster.to_owned(),
            kind: "RedisInstance".to_owned(),
            namespace: "shop".to_owned(),
            name: "cache".to_owned(),
            uid: uid.to_owned(),
        }
    }

    #[test]
    fn a_base_gets_its_backup_before_a_sweep_may_take_it_for_left_over() {
        let backup = BackupManifest {
            v: FORMAT,
            id: "nightly".to_owned(),
            owner: owner("k-1", "u-1"),
            spec: serde_json::Value::Null,
            instant_unix_ms: 1_000,
            shards: Vec::new(),
        };
        assert!(!is_late(&backup, 1_000 + MADE_MS));
        assert!(is_late(&backup, 1_001 + MADE_MS));
    }

    #[test]
    fn what_an_earlier_attempt_wrote_is_the_backup_and_what_another_wrote_is_not() {
        let there = |run: &str| BackupManifest {
            v: FORMAT,
            id: "nightly".to_owned(),
            owner: owner("k-1", "u-1"),
            spec: serde_json::Value::Null,
            instant_unix_ms: 1,
            shards: vec![ShardInBackup {
                shard: "0".to_owned(),
                base: Paths::new("shop", "cache", "u-1").base("0", run, 7),
            }],
        };
        assert!(is_earlier_attempt(&there("b-1-1"), "b-1-2"));
        for other in ["b-2-1", "b-11-1", "x-b-1-1"] {
            assert!(!is_earlier_attempt(&there(other), "b-1-2"), "{other}");
        }
    }

    #[test]
    fn a_path_is_an_objects_in_one_cluster_as_far_as_that_is_known() {
        let own = owner("k-1", "u-1");
        for same in [owner("k-1", "u-1"), owner("", "u-1")] {
            assert!(is_same(&same, &own) && is_same(&own, &same));
        }
        for other in [owner("k-2", "u-1"), owner("k-1", "u-2"), owner("", "u-2")] {
            assert!(!is_same(&other, &own) && !is_same(&own, &other));
        }
        let later = OwnerFile {
            v: FORMAT + 1,
            ..own.clone()
        };
        assert!(!is_same(&later, &own));
    }

    #[test]
    fn a_file_of_a_later_release_is_not_guessed_at_and_a_damaged_one_is_named() {
        let later = parse::<BaseManifest>("b/base.json", br#"{"v": 2}"#).unwrap_err();
        assert_eq!(later.reason, FailureReason::VersionIncompatible);
        assert!(later.message.contains("b/base.json"), "{later:?}");
        for text in ["", "{}", r#"{"v": 1}"#] {
            let damaged = parse::<BaseManifest>("b/base.json", text.as_bytes()).unwrap_err();
            assert_eq!(damaged.reason, FailureReason::Corrupt, "{text:?}");
        }
        let base = serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15", "magic": "REDIS0010",
            "replicationId": "r", "offset": 7, "streamDb": 0, "takenUnixMs": 9, "pod": "p-0", "role": "primary",
            "rawBytes": 50, "storedBytes": 40, "sha256": "aa", "crc64": "0a", "usedMemory": 1,
            "path": "shop.cache/u/base/0/r-7",
        });
        let base: BaseManifest = serde_json::from_value(base).unwrap();
        let text = serde_json::to_vec(&base).unwrap();
        assert_eq!(parse("b/base.json", &text), Ok(base));
    }
}
