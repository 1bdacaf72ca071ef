//! The RedisBackups that there are, as the watch of their controller tells: who goes by them asks nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hera_api::{BackupPhase, RedisBackup};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource as _, ResourceExt as _};

use super::memory::Key;
use crate::object::ObjectKey;

/// One that cannot be read does not stop the others.
pub type Guarded = DeserializeGuard<RedisBackup>;

/// All of them.
#[derive(Default)]
pub struct Known {
    scopes: RwLock<Vec<Scope>>,
    told: Mutex<HashMap<Key, Told>>,
}

/// Those of one namespace, or of all.
struct Scope {
    namespace: Option<String>,
    store: Store<Guarded>,
    is_listed: bool,
}

/// What objects are woken for.
#[derive(Clone, PartialEq, Eq)]
struct Told {
    uid: Option<String>,
    target: ObjectKey,
    phase: BackupPhase,
    goes: bool,
}

/// What is new of backups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Objects of whose backups something is new.
    pub objects: Vec<ObjectKey>,
    /// They are known from now on.
    pub are_known: bool,
}

impl Known {
    /// Has these as well from now on: those of a namespace, or of all.
    pub fn watch(&self, namespace: Option<String>, store: Store<Guarded>) {
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        scopes.push(Scope {
            namespace,
            store,
            is_listed: false,
        });
    }

    /// Takes in what the watch of a scope tells, whose store has it by now.
    pub fn note(&self, namespace: Option<&str>, event: &Event<Guarded>) -> News {
        let mut news = News::default();
        match event {
            Event::Init => {}
            Event::Apply(backup) | Event::InitApply(backup) => {
                if let Some((key, now)) = told(backup) {
                    let before = self.told().insert(key, now.clone());
                    if before.as_ref() != Some(&now) {
                        news.objects.push(now.target);
                    }
                }
            }
            Event::Delete(backup) => {
                let gone = self.told().remove(&key(backup));
                news.objects.extend(gone.map(|gone| gone.target));
            }
            Event::InitDone => {
                news.are_known = self.is_listed(namespace);
                news.objects = self.drop_gone(namespace);
            }
        }
        news
    }

    /// The backups of an object, those that cannot be read left out; none before all are known.
    pub fn of(&self, object: &ObjectKey) -> Option<Vec<Arc<Guarded>>> {
        let scopes = self.scopes.read().unwrap_or_else(PoisonError::into_inner);
        let mut scopes = scopes.iter().filter(|scope| scope.is_listed);
        let scope = scopes.find(|scope| scope.has(&object.namespace))?;
        let is_of = |backup: &Guarded| {
            let read = backup.0.as_ref();
            read.is_ok_and(|backup| is_of(backup, object))
        };
        Some(scope.store.state_filter(is_of))
    }

    /// All of a scope are known. True if they were not before.
    fn is_listed(&self, namespace: Option<&str>) -> bool {
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        let mut scopes = scopes.iter_mut();
        let scope = scopes.find(|scope| scope.namespace.as_deref() == namespace);
        scope.is_some_and(|scope| !std::mem::replace(&mut scope.is_listed, true))
    }

    /// Forgets those that went while nothing was told; of which objects they were.
    fn drop_gone(&self, namespace: Option<&str>) -> Vec<ObjectKey> {
        let scopes = self.scopes.read().unwrap_or_else(PoisonError::into_inner);
        let mut scopes = scopes.iter();
        let Some(scope) = scopes.find(|scope| scope.namespace.as_deref() == namespace) else {
            return Vec::new();
        };
        let mut of = Vec::new();
        self.told().retain(|key, told| {
            let there = || {
                let named = ObjectRef::new(&key.name).within(&key.namespace);
                scope.store.get(&named).is_some()
            };
            let stays = !scope.has(&key.namespace) || there();
            if !stays {
                of.push(told.target.clone());
            }
            stays
        });
        of
    }

    fn told(&self) -> MutexGuard<'_, HashMap<Key, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scope {
    fn has(&self, namespace: &str) -> bool {
        let only = self.namespace.as_deref();
        only.is_none_or(|only| only == namespace)
    }
}

/// Those that can be read.
pub fn read(backups: &[Arc<Guarded>]) -> Vec<&RedisBackup> {
    let read = backups.iter().filter_map(|backup| backup.0.as_ref().ok());
    read.collect()
}

/// True of a backup of this object, or of one that had its name.
pub fn is_of(backup: &RedisBackup, object: &ObjectKey) -> bool {
    backup.metadata.namespace.as_deref() == Some(object.namespace.as_str())
        && backup.spec.target.name == object.name
}

fn key(backup: &Guarded) -> Key {
    Key {
        namespace: backup.namespace().unwrap_or_default(),
        name: backup.name_any(),
    }
}

fn told(guarded: &Guarded) -> Option<(Key, Told)> {
    let backup = guarded.0.as_ref().ok()?;
    let key = key(guarded);
    let told = Told {
        uid: backup.uid(),
        target: ObjectKey::instance(&key.namespace, &backup.spec.target.name),
        phase: backup.phase(),
        goes: backup.meta().deletion_timestamp.is_some(),
    };
    Some((key, told))
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::{self, store::Writer};
    use serde_json::json;

    use super::*;

    struct Watched {
        known: Known,
        writer: Writer<Guarded>,
    }

    impl Watched {
        fn new() -> Self {
            let (reader, writer) = reflector::store();
            let known = Known::default();
            known.watch(None, reader);
            Self { known, writer }
        }

        fn tell(&mut self, event: &Event<Guarded>) -> News {
            self.writer.apply_watcher_event(event);
            self.known.note(None, event)
        }
    }

    fn backup(name: &str, phase: &str, attempts: i32) -> Guarded {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"target": {"name": "cache"}},
            "status": {"phase": phase, "attempts": attempts},
        });
        DeserializeGuard(Ok(serde_json::from_value(object).unwrap()))
    }

    fn cache() -> ObjectKey {
        ObjectKey::instance("shop", "cache")
    }

    #[test]
    fn none_are_known_before_all_are_listed() {
        let mut watched = Watched::new();
        assert!(watched.known.of(&cache()).is_none());
        watched.tell(&Event::Init);
        watched.tell(&Event::InitApply(backup("a", "Pending", 0)));
        assert!(watched.known.of(&cache()).is_none());
        assert!(watched.tell(&Event::InitDone).are_known);
        assert_eq!(watched.known.of(&cache()).unwrap().len(), 1);
        let other = ObjectKey::instance("shop", "other");
        assert!(watched.known.of(&other).unwrap().is_empty());
        watched.tell(&Event::Init);
        assert!(!watched.tell(&Event::InitDone).are_known, "they were known");
    }

    #[test]
    fn an_object_is_woken_when_the_phase_of_its_backup_is_another_and_when_it_goes() {
        let mut watched = Watched::new();
        let mut wakes = |event: Event<Guarded>| !watched.tell(&event).objects.is_empty();
        assert!(wakes(Event::Apply(backup("a", "Pending", 0))));
        assert!(!wakes(Event::Apply(backup("a", "Pending", 1))));
        assert!(wakes(Event::Apply(backup("a", "Running", 1))));
        assert!(wakes(Event::Delete(backup("a", "Running", 1))));
        assert!(!wakes(Event::Delete(backup("a", "Running", 1))));
    }

    #[test]
    fn one_that_went_while_nothing_was_told_wakes_its_object_once_all_are_listed_again() {
        let mut watched = Watched::new();
        watched.tell(&Event::Apply(backup("a", "Completed", 1)));
        watched.tell(&Event::Init);
        let news = watched.tell(&Event::InitDone);
        assert_eq!(news.objects, [cache()]);
    }
}
