//! What the store has of an object beside its log: backups, and bases.

use std::collections::BTreeMap;

use hera_core::backup::retention::HeldBase;
use hera_core::backup::{
    BackupManifest, BaseManifest, Failure, FailureReason, Held, MOST_HELD, OwnerFile, Paths,
};
use hera_store::{Entry, Store};
use tracing::warn;

use super::cache::Cache;
use super::{SHARD, known};
use crate::backup::recovery::patient::patiently;
use crate::backup::{failed, files};

/// What the manifest of a backup says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub id: String,
    /// The instant that it holds, in milliseconds since 1970.
    pub instant_unix_ms: u64,
    /// Folders of its bases.
    pub bases: Vec<String>,
}

/// What the manifest of a base says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The history that it is of.
    pub id: String,
    /// How much it has of that.
    pub offset: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_unix_ms: u64,
    /// Bytes of its data in the store.
    pub stored_bytes: u64,
}

/// The folder of a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its manifest; none if it is not whole.
    pub base: Option<Base>,
    /// Bytes of its data; none if there is none.
    pub data_bytes: Option<u64>,
    /// When the last of it was stored, in milliseconds since 1970.
    pub stored_unix_ms: u64,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The backups, the oldest first.
    pub backups: Vec<Backup>,
    /// The folders of bases, by their paths.
    pub bases: BTreeMap<String, Folder>,
    /// The latest time that any of it has, in milliseconds since 1970.
    pub newest_unix_ms: u64,
}

impl Inventory {
    /// Lists what there is, and reads what is not known.
    ///
    /// # Errors
    /// Something cannot be understood, or the store does not answer.
    pub async fn find(
        store: &Store,
        owner: &OwnerFile,
        cache: &mut Cache,
    ) -> Result<Self, Failure> {
        let paths = files::paths(owner);
        // Before bases: those of a backup are there first.
        let folder = format!("{}/backups", paths.root());
        let mut listed = patiently(|| store.list(&folder)).await?;
        listed.retain(|entry| id_of(&folder, &entry.path).is_some());
        let backups = known::read(
            store,
            &listed,
            &mut cache.backups,
            |path, found: BackupManifest| backup(owner, &folder, path, found),
        );
        let mut inventory = Self::default();
        inventory.takes_times_of(&listed);
        inventory.backups = backups.await?.into_iter().map(|(_, is)| is).collect();
        let by_age = |backup: &Backup| (backup.instant_unix_ms, backup.id.clone());
        inventory.backups.sort_by_key(by_age);

        let folder = format!("{}/base", paths.root());
        let listed = patiently(|| store.list(&folder)).await?;
        inventory.takes_times_of(&listed);
        inventory.bases = folders(&paths.bases(SHARD), &folder, &listed)?;
        let is_manifest = |entry: &&Entry| manifest_of(&entry.path).is_some();
        let manifests: Vec<Entry> = listed.iter().filter(is_manifest).cloned().collect();
        let bases = known::read(
            store,
            &manifests,
            &mut cache.bases,
            |path, found: BaseManifest| base(owner, path, &found),
        );
        for (path, base) in bases.await? {
            let folder = manifest_of(&path).unwrap_or_default();
            if let Some(folder) = inventory.bases.get_mut(folder) {
                folder.base = Some(base);
            }
        }
        inventory.takes_times();
        Ok(inventory)
    }

    /// The bases that can be loaded.
    pub fn held_bases(&self) -> Vec<HeldBase> {
        let held = self.bases.iter().filter_map(|(path, folder)| {
            let base = folder.base.as_ref()?;
            if folder.data_bytes != Some(base.stored_bytes) {
                let is = folder.data_bytes;
                warn!(
                    path,
                    ?is,
                    was = base.stored_bytes,
                    "a base is damaged and counts as none"
                );
                return None;
            }
            let mut backups = self.backups.iter();
            Some(HeldBase {
                path: path.clone(),
                id: base.id.clone(),
                offset: base.offset,
                taken_unix_ms: base.taken_unix_ms,
                backup: backups
                    .find(|backup| backup.bases.contains(path))
                    .map(|backup| backup.id.clone()),
            })
        });
        held.collect()
    }

    /// How much the bases have of each history, at most.
    pub fn offsets(&self) -> BTreeMap<String, u64> {
        let mut offsets: BTreeMap<String, u64> = BTreeMap::new();
        for base in self.bases.values().filter_map(|of| of.base.as_ref()) {
            let known = offsets.entry(base.id.clone()).or_default();
            *known = base.offset.max(*known);
        }
        offsets
    }

    /// What is told of the backups, the latest first: of very many half are the latest, and the others the oldest that
    /// nothing needs as far as there are any. They would never go else.
    pub fn told(&self, is_needed: impl Fn(&Backup) -> bool) -> Vec<Held> {
        let mut told: Vec<&Backup> = self.backups.iter().collect();
        if told.len() > MOST_HELD {
            let latest = told.split_off(told.len() - MOST_HELD / 2);
            let (needed, mut may_go): (Vec<&Backup>, Vec<&Backup>) =
                told.into_iter().partition(|&backup| is_needed(backup));
            may_go.extend(needed.into_iter().rev());
            may_go.truncate(MOST_HELD - latest.len());
            may_go.sort_by_key(|&backup| (backup.instant_unix_ms, &backup.id));
            told = may_go;
            told.extend(latest);
        }
        let held = told.into_iter().rev().map(|backup| {
            let folders = backup.bases.iter().filter_map(|path| self.bases.get(path));
            let bases = folders.filter_map(|folder| folder.base.as_ref());
            Held {
                id: backup.id.clone(),
                instant_unix_ms: backup.instant_unix_ms,
                stored_bytes: bases.map(|base| base.stored_bytes).sum(),
                needed: is_needed(backup),
            }
        });
        held.collect()
    }

    fn takes_times_of(&mut self, listed: &[Entry]) {
        let stored = listed.iter().map(|entry| entry.modified_unix_ms);
        self.newest_unix_ms = stored.fold(self.newest_unix_ms, u64::max);
    }

    fn takes_times(&mut self) {
        let instants = self.backups.iter().map(|backup| backup.instant_unix_ms);
        let bases = self.bases.values().filter_map(|of| of.base.as_ref());
        let taken = bases.map(|base| base.taken_unix_ms);
        self.newest_unix_ms = instants.chain(taken).fold(self.newest_unix_ms, u64::max);
    }
}

/// The name of the backup whose manifest this is; none of another file.
fn id_of<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    let file = path.strip_prefix(folder)?.strip_prefix('/')?;
    file.strip_suffix(".json").filter(|id| !id.contains('/'))
}

fn backup(
    owner: &OwnerFile,
    folder: &str,
    path: &str,
    found: BackupManifest,
) -> Result<Backup, Failure> {
    let is_named = id_of(folder, path) == Some(found.id.as_str());
    let is_of_shard = found.shards.iter().all(|shard| shard.shard == SHARD);
    if !is_named || found.owner.uid != owner.uid || !is_of_shard {
        return Err(odd(path));
    }
    Ok(Backup {
        id: found.id,
        instant_unix_ms: found.instant_unix_ms,
        bases: found.shards.into_iter().map(|shard| shard.base).collect(),
    })
}

/// The folder of a base whose manifest this is; none of another file.
fn manifest_of(path: &str) -> Option<&str> {
    let (folder, _) = path.rsplit_once('/')?;
    (path == Paths::base_manifest(folder)).then_some(folder)
}

fn base(owner: &OwnerFile, path: &str, found: &BaseManifest) -> Result<Base, Failure> {
    let is_of = (found.uid.as_str(), found.shard.as_str()) == (owner.uid.as_str(), SHARD);
    let is_named = manifest_of(path) == Some(found.path.as_str());
    let is_there = found.path.ends_with(&format!("-{:016x}", found.offset));
    if !is_of || !is_named || !is_there {
        return Err(odd(path));
    }
    Ok(Base {
        id: found.replication_id.clone(),
        offset: found.offset,
        taken_unix_ms: found.taken_unix_ms,
        stored_bytes: found.stored_bytes,
    })
}

/// Folders of bases, by the files in them. `of_shard` is where they are.
fn folders(
    of_shard: &str,
    folder: &str,
    listed: &[Entry],
) -> Result<BTreeMap<String, Folder>, Failure> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for entry in listed {
        let Some((path, _)) = entry.path.rsplit_once('/') else {
            continue;
        };
        if path.rsplit_once('/').map(|(of, _)| of) != Some(of_shard) {
            let words = format!(
                "{} is no base of shard {SHARD}: a later release wrote below {folder}, or somebody else, and nothing is \
                 removed before it is gone or the operator knows of it",
                entry.path
            );
            return Err(failed(FailureReason::VersionIncompatible, words));
        }
        let found = folders.entry(path.to_owned()).or_default();
        found.stored_unix_ms = found.stored_unix_ms.max(entry.modified_unix_ms);
        if entry.path == Paths::data(path) {
            found.data_bytes = Some(entry.bytes);
        }
    }
    Ok(folders)
}

fn odd(path: &str) -> Failure {
    let words = format!(
        "{path} is not what its path says: nothing is removed before somebody has looked at it"
    );
    failed(FailureReason::Corrupt, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::new("shop", "cache", "u")
    }

    fn entry(path: String, bytes: u64, modified_unix_ms: u64) -> Entry {
        Entry {
            path,
            bytes,
            modified_unix_ms,
        }
    }

    fn owner() -> OwnerFile {
        OwnerFile {
            v: 1,
            cluster: "k".to_owned(),
            kind: "RedisInstance".to_owned(),
            namespace: "shop".to_owned(),
            name: "cache".to_owned(),
            uid: "u".to_owned(),
        }
    }

    fn base_manifest(path: &str, offset: u64) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "a", "offset": offset, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5,
            "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 1, "path": path
        }))
        .unwrap()
    }

    #[test]
    fn a_manifest_that_is_not_what_its_path_says_is_in_doubt() {
        let path = paths().base("0", "r-1", 7);
        let file = Paths::base_manifest(&path);
        let is = base(&owner(), &file, &base_manifest(&path, 7)).unwrap();
        assert_eq!((is.id.as_str(), is.offset), ("a", 7));
        let other_uid = OwnerFile {
            uid: "v".to_owned(),
            ..owner()
        };
        let other = paths().base("0", "r-2", 7);
        for doubt in [
            base(&owner(), &file, &base_manifest(&path, 8)),
            base(&owner(), &file, &base_manifest(&other, 7)),
            base(&other_uid, &file, &base_manifest(&path, 7)),
        ] {
            let failure = doubt.unwrap_err();
            assert_eq!(failure.reason, FailureReason::Corrupt);
            assert!(failure.message.contains(&file), "{failure:?}");
        }

        let manifest = |id: &str| BackupManifest {
            v: 1,
            id: id.to_owned(),
            owner: owner(),
            spec: serde_json::Value::Null,
            instant_unix_ms: 3,
            shards: Vec::new(),
        };
        let folder = format!("{}/backups", paths().root());
        let file = paths().backup("nightly");
        let is = backup(&owner(), &folder, &file, manifest("nightly")).unwrap();
        assert_eq!(is.id, "nightly");
        assert!(backup(&owner(), &folder, &file, manifest("weekly")).is_err());
        assert!(backup(&other_uid, &folder, &file, manifest("nightly")).is_err());
    }

    #[test]
    fn a_base_that_is_not_whole_is_a_folder_and_no_base() {
        let [one, two] = [1, 2].map(|offset| paths().base("0", "r-1", offset));
        let listed = [
            entry(Paths::base_manifest(&one), 9, 5),
            entry(Paths::data(&one), 40, 4),
            entry(Paths::data(&two), 50, 8),
        ];
        let of_shard = paths().bases(SHARD);
        let found = folders(&of_shard, "base", &listed).unwrap();
        let told = found.values().map(|of| (of.data_bytes, of.stored_unix_ms));
        assert_eq!(told.collect::<Vec<_>>(), [(Some(40), 5), (Some(50), 8)]);
        let elsewhere = paths().base("1", "r-1", 7);
        let listed = [entry(Paths::data(&elsewhere), 40, 4)];
        let failure = folders(&of_shard, "base", &listed).unwrap_err();
        assert_eq!(failure.reason, FailureReason::VersionIncompatible);

        let mut inventory = Inventory {
            backups: vec![Backup {
                id: "nightly".to_owned(),
                instant_unix_ms: 3,
                bases: vec![one.clone()],
            }],
            bases: found,
            newest_unix_ms: 8,
        };
        let is = base(
            &owner(),
            &Paths::base_manifest(&one),
            &base_manifest(&one, 1),
        )
        .unwrap();
        inventory.bases.get_mut(&one).unwrap().base = Some(is);
        assert_eq!(inventory.held_bases().len(), 0, "its data has another size");
        inventory.bases.get_mut(&one).unwrap().data_bytes = Some(5);
        let held = inventory.held_bases();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].backup.as_deref(), Some("nightly"));
        let told = inventory.told(|_| true);
        assert_eq!((told[0].stored_bytes, told[0].needed), (5, true));
    }

    #[test]
    fn of_very_many_backups_those_are_told_that_may_go_and_the_latest() {
        let backup = |number: u64| Backup {
            id: format!("b-{number:05}"),
            instant_unix_ms: number,
            bases: Vec::new(),
        };
        let told = |count: u64, needed_from: u64| {
            let inventory = Inventory {
                backups: (0..count).map(backup).collect(),
                ..Inventory::default()
            };
            inventory.told(|backup| backup.instant_unix_ms >= needed_from)
        };
        let most = u64::try_from(MOST_HELD).unwrap();
        assert_eq!(told(most, 5).len(), MOST_HELD);
        for needed_from in [0, 7, 5_000] {
            let told = told(5_000, needed_from);
            assert_eq!(told.len(), MOST_HELD);
            assert!(told.is_sorted_by(|one, next| one.instant_unix_ms > next.instant_unix_ms));
            assert_eq!(told[0].instant_unix_ms, 4_999);
            let may_go = told.iter().filter(|held| !held.needed).count();
            let all = usize::try_from(needed_from).unwrap();
            assert!(may_go >= all.min(MOST_HELD / 2), "{may_go}");
        }
        // Where all are needed they are the latest.
        let oldest = told(5_000, 0).last().map(|held| held.instant_unix_ms);
        assert_eq!(oldest, Some(5_000 - most));
    }

    #[test]
    fn only_a_manifest_names_a_backup() {
        let folder = format!("{}/backups", paths().root());
        assert_eq!(id_of(&folder, &paths().backup("a.b")), Some("a.b"));
        for other in [
            format!("{folder}/a"),
            format!("{folder}/a/b.json"),
            paths().owner(),
        ] {
            assert_eq!(id_of(&folder, &other), None, "{other}");
        }
    }
}
