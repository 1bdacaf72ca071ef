//! Which object is meant by what is wanted, and what the store has of it.

use std::collections::BTreeMap;

use hera_core::backup::log::{ALIVE, Alive, Index, NotCovered, PARENT, Parent, PieceName};
use hera_core::backup::{BaseManifest, Failure, FailureReason, Paths, RecoverInstant};
use hera_store::Store;
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::names::{self, Names, Span};
use super::patient::patiently;
use super::words::instant;
use crate::backup::failed;
use crate::backup::files::read;

/// Files of a log whose names are all in memory, whatever the instant is.
const FILES: usize = 50_000;
/// Of so many objects that had one name is told.
const TOLD: usize = 6;

/// Of what a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Uid of the object.
    pub uid: String,
    /// The shard.
    pub shard: String,
}

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Why.
    pub words: String,
    /// The instants for which it may matter: the first and the last, in milliseconds since 1970.
    pub may_matter: (u64, u64),
}

impl Unread {
    /// One that may matter for any instant.
    fn for_any(words: String) -> Self {
        Self {
            words,
            may_matter: (0, u64::MAX),
        }
    }

    /// Whether it may be why an instant cannot be had; none is the latest.
    pub fn matters(&self, unix_ms: Option<u64>) -> bool {
        let (first, last) = self.may_matter;
        (first..=last).contains(&unix_ms.unwrap_or(u64::MAX))
    }
}

/// What the store has of a shard of an object.
pub struct Origin {
    /// The shard.
    pub whose: Whose,
    /// What there is.
    pub index: Index,
    /// What is there and cannot be read: it counts as missing.
    pub unread: Vec<Unread>,
    /// Of a long log only those names are in `index` that the instant needs: all are of these instants. None if all
    /// are of any.
    part: Option<Span>,
    paths: Paths,
}

impl Origin {
    /// Finds the object, and lists what there is of it.
    ///
    /// # Errors
    /// There is none, there are several, or the store does not tell.
    pub async fn find(store: &Store, wanted: &RecoverInstant) -> Result<Self, Failure> {
        let uid = match &wanted.uid {
            Some(uid) => uid.clone(),
            None => only(store, wanted).await?,
        };
        let mut origin = Self {
            paths: Paths::new(&wanted.namespace, &wanted.name, &uid),
            whose: Whose {
                uid,
                shard: wanted.shard.clone(),
            },
            index: Index::default(),
            unread: Vec::new(),
            part: None,
        };
        let bases = origin.bases(store).await?;
        origin.index = origin.log(store, bases, wanted.unix_ms, FILES).await?;
        Ok(origin)
    }

    /// With all names of a long log: some hundred bytes of memory for each.
    ///
    /// # Errors
    /// The store does not tell.
    pub async fn whole(mut self, store: &Store) -> Result<Self, Failure> {
        let bases = std::mem::take(&mut self.index).bases;
        self.index = self.log(store, bases, None, usize::MAX).await?;
        Ok(self)
    }

    /// True if not all names are known.
    pub fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// Whether names that are not known can neither cover the instant nor an instant nearer to it.
    pub fn knows(&self, refused: NotCovered) -> bool {
        is_known(self.part, refused)
    }

    /// Where a piece lies.
    pub fn path(&self, name: &PieceName) -> String {
        let folder = self.paths.log(&self.whose.shard);
        format!("{folder}/{}/{}", name.id, name.file_name())
    }

    async fn bases(&mut self, store: &Store) -> Result<Vec<BaseManifest>, Failure> {
        let folder = self.paths.bases(&self.whose.shard);
        let mut bases = Vec::new();
        let mut unread = Vec::new();
        for entry in patiently(|| store.list(&folder)).await? {
            let Some(base) = folder_of_base(&entry.path) else {
                continue;
            };
            let found = match or_unread::<BaseManifest>(store, &entry.path).await? {
                Ok(found) => found,
                Err(words) => {
                    unread.push((entry.modified_unix_ms, words));
                    continue;
                }
            };
            let Some(found) = found else { continue };
            let named = (base, self.whose.uid.as_str(), self.whose.shard.as_str());
            let is = (
                found.path.as_str(),
                found.uid.as_str(),
                found.shard.as_str(),
            );
            // The operator's status has room for no longer path.
            match is == named && base.len() <= 1024 {
                true => bases.push(found),
                false => unread.push((
                    entry.modified_unix_ms,
                    format!("{} is of another base", entry.path),
                )),
            }
        }
        for (stored_unix_ms, words) in unread {
            self.is_unread(Unread {
                words,
                may_matter: (0, last_of_base(stored_unix_ms, &bases)),
            });
        }
        Ok(bases)
    }

    /// `most`: of a log with more files than about so many those are listed that the instant needs.
    async fn log(
        &mut self,
        store: &Store,
        bases: Vec<BaseManifest>,
        unix_ms: Option<u64>,
        most: usize,
    ) -> Result<Index, Failure> {
        let folder = self.paths.log(&self.whose.shard);
        let (names, part) = match names::all(store, &folder, most).await? {
            Some(all) => (all, None),
            None => {
                let (some, span) = names::around(store, &folder, &bases, unix_ms).await?;
                (some, Some(span))
            }
        };
        self.part = part;
        let Names {
            pieces,
            children,
            is_alive,
        } = names;
        let mut parents = BTreeMap::new();
        for id in children {
            let path = format!("{folder}/{id}/{PARENT}");
            if let Some(parent) = self.read::<Parent>(store, &path).await? {
                parents.insert(id, parent);
            }
        }
        let path = format!("{folder}/{ALIVE}");
        let alive = match is_alive {
            true => self.read::<Alive>(store, &path).await?,
            false => None,
        };
        Ok(Index::new(bases, pieces, parents, alive))
    }

    /// Reads a file that says what others are; none if it is damaged, or of a later release: something else may do.
    async fn read<T: DeserializeOwned>(
        &mut self,
        store: &Store,
        path: &str,
    ) -> Result<Option<T>, Failure> {
        match or_unread(store, path).await? {
            Ok(read) => Ok(read),
            Err(words) => {
                self.is_unread(Unread::for_any(words));
                Ok(None)
            }
        }
    }

    fn is_unread(&mut self, unread: Unread) {
        warn!(words = %unread.words, "what cannot be read counts as missing");
        self.unread.push(unread);
    }
}

/// Reads a file; why not, in words, if it is damaged or of a later release.
async fn or_unread<T: DeserializeOwned>(
    store: &Store,
    path: &str,
) -> Result<Result<Option<T>, String>, Failure> {
    use FailureReason::{Corrupt, VersionIncompatible};
    match read(store, path).await {
        Ok(read) => Ok(Ok(read)),
        Err(failure) if matches!(failure.reason, Corrupt | VersionIncompatible) => {
            Ok(Err(failure.message))
        }
        Err(failure) => Err(failure),
    }
}

fn is_known(part: Option<Span>, NotCovered { before, after }: NotCovered) -> bool {
    let Some((first, last)) = part else {
        return true;
    };
    let is_last = last == u64::MAX;
    before.is_some_and(|before| before >= first)
        && after.map_or(is_last, |after| is_last || after < last)
}

/// The last instant for which a base may matter that was stored by then: one that was taken since leads to later ones.
fn last_of_base(stored_unix_ms: u64, bases: &[BaseManifest]) -> u64 {
    let taken = bases.iter().map(|base| base.taken_unix_ms);
    let next = taken.filter(|taken| *taken > stored_unix_ms).min();
    next.map_or(u64::MAX, |next| next.saturating_sub(1))
}

/// The uid of the only object that had the name.
async fn only(store: &Store, wanted: &RecoverInstant) -> Result<String, Failure> {
    let (namespace, name) = (&wanted.namespace, &wanted.name);
    let folder = format!("{namespace}.{name}");
    let uids = patiently(|| store.folders(&folder)).await?;
    match uids.as_slice() {
        [] => {
            let words = format!("there is nothing of {namespace}/{name} in the store");
            Err(failed(FailureReason::NoSuchBackup, words))
        }
        [uid] => {
            info!(%uid, "the only object of that name");
            Ok(uid.clone())
        }
        several => {
            let mut told = Vec::new();
            for uid in several.iter().take(TOLD) {
                let of_base = newest(store, wanted, uid).await?;
                let of_base = of_base.map_or("no base".to_owned(), |at| {
                    format!("last base of {}", instant(at))
                });
                told.push(format!("{uid} ({of_base})"));
            }
            let words = format!(
                "{} objects were called {namespace}/{name}: {}: name one of them by its uid",
                several.len(),
                told.join(", ")
            );
            Err(failed(FailureReason::SeveralSources, words))
        }
    }
}

/// When the last base of an object was stored.
async fn newest(store: &Store, wanted: &RecoverInstant, uid: &str) -> Result<Option<u64>, Failure> {
    let folder = Paths::new(&wanted.namespace, &wanted.name, uid).bases(&wanted.shard);
    let entries = patiently(|| store.list(&folder)).await?;
    let bases = entries
        .iter()
        .filter(|entry| folder_of_base(&entry.path).is_some());
    Ok(bases.map(|entry| entry.modified_unix_ms).max())
}

/// The folder of the base whose manifest this is; none if it is none.
fn folder_of_base(path: &str) -> Option<&str> {
    let (folder, _) = path.rsplit_once('/')?;
    (path == Paths::base_manifest(folder)).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manifest_names_a_base() {
        let folder = Paths::new("shop", "cache", "u").base("0", "r-1", 7);
        let manifest = Paths::base_manifest(&folder);
        assert_eq!(folder_of_base(&manifest), Some(folder.as_str()));
        for other in [Paths::data(&folder), folder.clone(), "base.json".to_owned()] {
            assert_eq!(folder_of_base(&other), None, "{other}");
        }
    }

    #[test]
    fn names_that_are_not_known_do_not_matter_where_all_between_the_nearest_instants_are() {
        let refused = |before, after| NotCovered { before, after };
        let open = Some((50, u64::MAX));
        assert!(is_known(open, refused(Some(50), None)), "it is too late");
        assert!(!is_known(open, refused(Some(49), None)));
        assert!(!is_known(open, refused(None, Some(90))));
        let closed = Some((50, 100));
        assert!(is_known(closed, refused(Some(60), Some(90))));
        assert!(!is_known(closed, refused(Some(60), Some(100))));
        assert!(!is_known(closed, refused(Some(60), None)));
        assert!(is_known(None, refused(None, None)));
    }

    #[test]
    fn a_base_that_cannot_be_read_matters_until_the_next_one() {
        let base = |taken_unix_ms: u64| {
            let base = serde_json::json!({
                "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15",
                "magic": "REDIS0010", "replicationId": "a", "offset": 7, "streamDb": 0,
                "takenUnixMs": taken_unix_ms, "pod": "p-0", "role": "primary", "rawBytes": 5,
                "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 1, "path": "p"
            });
            serde_json::from_value::<BaseManifest>(base).unwrap()
        };
        let bases = [base(900), base(100), base(500)];
        let unread = |stored_unix_ms| Unread {
            words: String::new(),
            may_matter: (0, last_of_base(stored_unix_ms, &bases)),
        };
        let matters = |at| [Some(499), Some(500), None].map(|to| unread(at).matters(to));
        assert_eq!(matters(300), [true, false, false]);
        assert_eq!(matters(700), [true, true, false]);
        assert_eq!(matters(1_000), [true, true, true]);
    }
}
