//! What files say that were read at an earlier sweep. They are never changed: one that was made anew under the same
//! name was stored at another time.

use std::collections::BTreeMap;

use hera_core::backup::StoreAccess;
use hera_store::Entry;

use super::inventory::{Backup, Base};

/// Files of a kind that are known: some hundred bytes each. Others are read again each time.
const MOST: usize = 4_096;

/// Of one object in one store.
#[derive(Default)]
pub struct Cache {
    place: Option<Place>,
    /// Manifests of backups.
    pub backups: Known<Backup>,
    /// Manifests of bases.
    pub bases: Known<Base>,
}

#[derive(PartialEq, Eq)]
struct Place {
    endpoint: Option<String>,
    bucket: String,
    prefix: String,
    root: String,
}

/// What files of a kind say, by their paths.
pub struct Known<T>(BTreeMap<String, (u64, u64, T)>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl Cache {
    /// Forgets what is of another object or of another store.
    pub fn is_of(&mut self, store: &StoreAccess, root: &str) {
        let s3 = &store.s3;
        let place = Some(Place {
            endpoint: s3.endpoint.clone(),
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            root: root.to_owned(),
        });
        if self.place != place {
            *self = Self {
                place,
                ..Self::default()
            };
        }
    }
}

impl<T: Clone> Known<T> {
    /// Forgets what is not in this list.
    pub fn keep(&mut self, listed: &[Entry]) {
        let mut before = std::mem::take(&mut self.0);
        for entry in listed.iter().take(MOST) {
            if let Some(known) = before.remove(&entry.path) {
                self.0.insert(entry.path.clone(), known);
            }
        }
    }

    /// What this file says, if it was read before.
    pub fn get(&self, entry: &Entry) -> Option<T> {
        let (modified, bytes, says) = self.0.get(&entry.path)?;
        let is_same = (*modified, *bytes) == (entry.modified_unix_ms, entry.bytes);
        is_same.then(|| says.clone())
    }

    /// Remembers what a file says, if there is room.
    pub fn put(&mut self, entry: &Entry, says: T) {
        if self.0.len() < MOST || self.0.contains_key(&entry.path) {
            let known = (entry.modified_unix_ms, entry.bytes, says);
            self.0.insert(entry.path.clone(), known);
        }
    }
}

#[cfg(test)]
mod tests {
    use hera_core::backup::S3Access;

    use super::*;

    fn entry(path: &str, modified_unix_ms: u64) -> Entry {
        Entry {
            path: path.to_owned(),
            bytes: 5,
            modified_unix_ms,
        }
    }

    #[test]
    fn a_file_that_was_made_anew_is_not_known() {
        let mut known = Known::default();
        known.put(&entry("a", 1), 7);
        assert_eq!(known.get(&entry("a", 1)), Some(7));
        assert_eq!(known.get(&entry("a", 2)), None);
        assert_eq!(known.get(&entry("b", 1)), None);
        known.keep(&[entry("b", 1)]);
        assert_eq!(known.get(&entry("a", 1)), None);
    }

    #[test]
    fn no_more_is_remembered_than_has_room() {
        let mut known = Known::default();
        let entries: Vec<Entry> = (0..MOST + 10)
            .map(|at| entry(&format!("{at:05}"), 1))
            .collect();
        for entry in &entries {
            known.put(entry, 1);
        }
        assert_eq!(known.0.len(), MOST);
        known.keep(&entries);
        assert_eq!(known.0.len(), MOST);
    }

    #[test]
    fn what_is_of_another_store_is_forgotten() {
        let access = |bucket: &str| StoreAccess {
            name: "s3".to_owned(),
            s3: S3Access {
                bucket: bucket.to_owned(),
                prefix: String::new(),
                region: "r".to_owned(),
                endpoint: None,
                force_path_style: false,
                ca: None,
                access_key_id: "k".to_owned(),
                secret_access_key: "s".to_owned(),
            },
        };
        let backup = Backup {
            id: "nightly".to_owned(),
            instant_unix_ms: 1,
            bases: Vec::new(),
        };
        let mut cache = Cache::default();
        cache.is_of(&access("one"), "shop.cache/u");
        cache.backups.put(&entry("a", 1), backup.clone());
        cache.is_of(&access("one"), "shop.cache/u");
        assert_eq!(cache.backups.get(&entry("a", 1)), Some(backup));
        cache.is_of(&access("two"), "shop.cache/u");
        assert_eq!(cache.backups.get(&entry("a", 1)), None);
    }
}
