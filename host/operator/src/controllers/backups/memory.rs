//! What is remembered of backups that are not over: whose turn it is, and what came of attempts. Who forgets it goes by
//! what is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hera_api::{BackupPhase, RedisBackup};
use hera_core::backup::{BackupManifest, RunState, Tries};
use hera_policy::{FairQueue, Places};
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

/// Passes side by side: one of a namespace whose agents say nothing keeps no other waiting.
const PASSES: Places = Places {
    all: 8,
    of_owner: 2,
    waiting_of_owner: usize::MAX,
};

/// Names a RedisBackup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// This one.
    pub fn of(backup: &RedisBackup) -> Self {
        Self {
            namespace: backup.namespace().unwrap_or_default(),
            name: backup.name_any(),
        }
    }
}

/// A run that an agent was ordered, and that is not known to be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Name of the object that is read.
    pub target: String,
    /// Uid of the pod whose server is read.
    pub pod_uid: String,
    /// Its name.
    pub run: String,
}

/// What is remembered of one backup. Times are of a clock that nobody sets, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub uid: String,
    /// When this process first looked at it.
    pub since_ms: u64,
    pub tries: Tries,
    /// When the next attempt is due.
    pub due_ms: u64,
    pub reading: Option<Reading>,
    /// Since when the agent has not answered.
    pub silent_since_ms: Option<u64>,
    /// Since when the policy that is to be asked is loaded.
    pub loading_since_ms: Option<u64>,
    /// What the agent last said of the run, and since when.
    pub told: Option<(RunState, u64)>,
    /// What is to be written of that base: the same, however often it is ordered.
    pub manifest: Option<Box<BackupManifest>>,
}

/// What is remembered of all of them.
pub struct Memory {
    /// Whose pass it is.
    pub places: FairQueue,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: HashMap<Key, Kept>,
    /// By namespace and name of the object: the backup whose turn it is.
    turns: HashMap<(String, String), Key>,
    /// Those that could not begin, or came to nothing, and until when others of their object come first.
    aside: HashMap<Key, u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            places: FairQueue::new(PASSES),
            inner: Mutex::default(),
        }
    }
}

impl Memory {
    /// What is known of a backup; none before anything was kept of it, and of another of its name.
    pub fn kept(&self, key: &Key, uid: &str) -> Option<Kept> {
        let inner = self.lock();
        inner.kept.get(key).filter(|kept| kept.uid == uid).cloned()
    }

    /// Keeps what is known of it.
    pub fn keep(&self, key: &Key, kept: Kept) {
        self.lock().kept.insert(key.clone(), kept);
    }

    /// Drops what is known of it, and lets the next one have its turn. What it last had an agent do.
    pub fn forget(&self, key: &Key) -> Option<Reading> {
        let mut inner = self.lock();
        inner.turns.retain(|_, holder| holder != key);
        inner.aside.remove(key);
        inner.kept.remove(key)?.reading
    }

    /// Lets others of its object have their turn until then, if there are any.
    pub fn stand_aside(&self, key: &Key, until_ms: u64) {
        let mut inner = self.lock();
        inner.turns.retain(|_, holder| holder != key);
        inner.aside.insert(key.clone(), until_ms);
    }

    /// True of one that let others have its turn, and has not had it since.
    pub fn stands_aside(&self, key: &Key) -> bool {
        self.lock().aside.contains_key(key)
    }

    /// Whose turn it is among the backups of the object of this one: none if it is its own, which it keeps until it is
    /// forgotten, or stands aside.
    pub fn comes_first(
        &self,
        backup: &RedisBackup,
        all: &[Arc<DeserializeGuard<RedisBackup>>],
        now_ms: u64,
    ) -> Option<String> {
        let key = Key::of(backup);
        let object = (key.namespace.clone(), backup.spec.target.name.clone());
        let others = all.iter().filter_map(|other| other.0.as_ref().ok());
        let others: Vec<&RedisBackup> = others
            .filter(|other| {
                other.metadata.namespace == backup.metadata.namespace
                    && other.spec.target == backup.spec.target
                    && other.metadata.deletion_timestamp.is_none()
                    && !other.is_over()
            })
            .collect();
        let mut inner = self.lock();
        if let Some(holder) = inner.turns.get(&object) {
            if *holder == key {
                return None;
            }
            if others.iter().any(|other| Key::of(other) == *holder) {
                return Some(holder.name.clone());
            }
        }
        let waits = |other: &&RedisBackup| {
            let until = inner.aside.get(&Key::of(other));
            until.is_none_or(|until| *until <= now_ms)
        };
        // A cache may not know it yet; and one that is not due comes last.
        let itself = waits(&backup).then_some(backup);
        let first = others.into_iter().filter(waits).chain(itself);
        let first = first.min_by_key(|backup| place(backup)).map(Key::of);
        if let Some(first) = first.filter(|first| *first != key) {
            // A cache may be late: it takes its turn by itself, or is over.
            return Some(first.name);
        }
        inner.aside.remove(&key);
        inner.turns.insert(object, key);
        None
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that runs comes first, then the oldest.
fn place(backup: &RedisBackup) -> (bool, Option<i64>, String) {
    let made = backup.metadata.creation_timestamp.as_ref();
    (
        backup.phase() != BackupPhase::Running,
        made.map(|made| made.0.as_second()),
        backup.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup(name: &str, target: &str, second: u32, phase: &str) -> RedisBackup {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {
                "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": {"target": {"name": target}}, "status": {"phase": phase},
        });
        serde_json::from_value(object).unwrap()
    }

    fn all(backups: &[&RedisBackup]) -> Vec<Arc<DeserializeGuard<RedisBackup>>> {
        let guarded = backups
            .iter()
            .map(|backup| DeserializeGuard(Ok((*backup).clone())));
        guarded.map(Arc::new).collect()
    }

    #[test]
    fn of_one_object_the_oldest_comes_first_and_the_next_once_it_is_over() {
        let memory = Memory::default();
        let (old, new) = (
            backup("z", "cache", 1, "Pending"),
            backup("a", "cache", 2, "Pending"),
        );
        let other = backup("b", "other", 3, "Pending");
        let known = all(&[&old, &new, &other]);
        assert_eq!(memory.comes_first(&new, &known, 0).as_deref(), Some("z"));
        assert_eq!(memory.comes_first(&old, &known, 0), None);
        assert_eq!(memory.comes_first(&other, &known, 0), None);
        memory.forget(&Key::of(&old));
        let known = all(&[&backup("z", "cache", 1, "Completed"), &new]);
        assert_eq!(memory.comes_first(&new, &known, 0), None);
    }

    #[test]
    fn one_that_runs_comes_first_however_young_it_is() {
        let memory = Memory::default();
        let (old, new) = (
            backup("a", "cache", 1, "Pending"),
            backup("z", "cache", 2, "Running"),
        );
        let known = all(&[&old, &new]);
        assert_eq!(memory.comes_first(&old, &known, 0).as_deref(), Some("z"));
    }

    #[test]
    fn whose_turn_it_is_keeps_it_whatever_a_cache_tells_later() {
        let memory = Memory::default();
        let (first, older) = (
            backup("b", "cache", 2, "Pending"),
            backup("a", "cache", 1, "Pending"),
        );
        assert_eq!(memory.comes_first(&first, &[], 0), None);
        let known = all(&[&first, &older]);
        assert_eq!(memory.comes_first(&older, &known, 0).as_deref(), Some("b"));
        assert_eq!(memory.comes_first(&first, &known, 0), None);
    }

    #[test]
    fn one_that_cannot_begin_lets_the_next_one_begin_and_comes_again() {
        let memory = Memory::default();
        let (old, new) = (
            backup("a", "cache", 1, "Pending"),
            backup("b", "cache", 2, "Pending"),
        );
        let known = all(&[&old, &new]);
        assert_eq!(memory.comes_first(&old, &known, 0), None);
        memory.stand_aside(&Key::of(&old), 5_000);
        assert!(memory.stands_aside(&Key::of(&old)));
        assert_eq!(memory.comes_first(&new, &known, 1_000), None);
        assert_eq!(
            memory.comes_first(&old, &known, 9_000).as_deref(),
            Some("b")
        );
        assert!(memory.stands_aside(&Key::of(&old)), "it still waits");
        memory.stand_aside(&Key::of(&new), 14_000);
        assert_eq!(memory.comes_first(&old, &known, 9_000), None);
        assert!(!memory.stands_aside(&Key::of(&old)));
        // Once it may come again, the oldest is first.
        memory.stand_aside(&Key::of(&old), 10_000);
        memory.stand_aside(&Key::of(&new), 10_000);
        assert_eq!(
            memory.comes_first(&new, &known, 10_000).as_deref(),
            Some("a")
        );
        // Alone, nobody comes before it.
        memory.stand_aside(&Key::of(&old), 90_000);
        assert_eq!(memory.comes_first(&old, &all(&[&old]), 11_000), None);
    }

    #[test]
    fn one_that_is_looked_at_before_it_is_due_takes_nobodys_turn() {
        let memory = Memory::default();
        let (old, new) = (
            backup("a", "cache", 1, "Pending"),
            backup("b", "cache", 2, "Pending"),
        );
        let known = all(&[&old, &new]);
        memory.stand_aside(&Key::of(&old), 60_000);
        assert_eq!(
            memory.comes_first(&old, &known, 1_000).as_deref(),
            Some("b")
        );
        assert!(memory.stands_aside(&Key::of(&old)), "it still waits");
        assert_eq!(memory.comes_first(&new, &known, 1_000), None);
    }

    #[test]
    fn one_that_is_deleted_holds_up_no_other() {
        let memory = Memory::default();
        let (gone, next) = (
            backup("a", "cache", 1, "Pending"),
            backup("b", "cache", 2, "Pending"),
        );
        assert_eq!(memory.comes_first(&gone, &all(&[&gone, &next]), 0), None);
        assert_eq!(memory.comes_first(&next, &all(&[&next]), 0), None);
        let known = all(&[&gone, &next]);
        assert_eq!(memory.comes_first(&gone, &known, 0).as_deref(), Some("b"));
    }

    #[test]
    fn another_backup_of_the_name_begins_anew() {
        let memory = Memory::default();
        let one = backup("a", "cache", 1, "Running");
        let kept = Kept {
            uid: one.uid().unwrap(),
            ..Kept::default()
        };
        memory.keep(&Key::of(&one), kept);
        assert!(memory.kept(&Key::of(&one), "uid-of-a").is_some());
        assert!(memory.kept(&Key::of(&one), "uid-of-another").is_none());
    }
}
