//! The data with which an instance is to begin, and why it cannot.

use hera_api::validate::{Origin, Recovery};
use hera_api::{BackupPhase, Engine, RedisBackup, RedisBackupStatus, ServerVersion};
use hera_core::backup::recovery::{Room, Stored, check_room};
use hera_core::backup::{Failure, FailureReason, RecoverFrom, RecoverInstant};
use hera_render::versions::{can_load, loads};
use kube::Client;
use kube::api::Api;

use crate::controllers::backups::SHARD;

/// What a server is to read, and where from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub from: RecoverFrom,
    /// Name of the store.
    pub store: String,
    /// How much the store holds of it, for people; none where only the store knows.
    pub size: Option<String>,
}

/// The server that is to read it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub engine: Engine,
    pub version: ServerVersion,
    pub room: Room,
}

/// The RedisBackup that is named, if one is.
///
/// # Errors
/// When the API server does not answer.
pub async fn read(
    client: &Client,
    namespace: &str,
    recovery: &Recovery,
) -> kube::Result<Option<RedisBackup>> {
    let Origin::Backup(name) = &recovery.origin else {
        return Ok(None);
    };
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    backups.get_opt(name).await
}

/// What people call it, after "the data of": of an instance in this namespace.
pub fn label(recovery: &Recovery, namespace: &str) -> String {
    let at = recovery.at.as_ref().map(|at| at.text.as_str());
    let whose = match &recovery.origin {
        Origin::Backup(name) if at.is_none() => return format!("RedisBackup {name}"),
        Origin::Backup(name) => format!("the object of RedisBackup {name}"),
        Origin::Object(source) => {
            let namespace = source.namespace.as_deref().unwrap_or(namespace);
            format!("RedisInstance {namespace}/{}", source.name)
        }
    };
    match at {
        Some(at) => format!("{whose} at {at}"),
        None => format!("{whose} at the latest instant that is stored"),
    }
}

/// What is taken, if the server can read it and has room as far as that is known here. `namespace` is the instance's;
/// `backup` the one that is named.
///
/// # Errors
/// Why it cannot be taken, for people.
pub fn source(
    recovery: &Recovery,
    namespace: &str,
    backup: Option<&RedisBackup>,
    reader: &Reader,
) -> Result<Source, Failure> {
    match (&recovery.origin, &recovery.at) {
        (Origin::Backup(name), None) => of_backup(name, backup, reader),
        (Origin::Backup(name), Some(_)) => of_its_object(name, backup, recovery, reader),
        (Origin::Object(source), _) => {
            let object = Object {
                namespace: source.namespace.as_deref().unwrap_or(namespace),
                name: &source.name,
                uid: source.uid.as_deref(),
            };
            Ok(Source {
                from: RecoverFrom::Instant(object.instant(recovery, reader)),
                store: source.store_ref.name.clone(),
                size: None,
            })
        }
    }
}

fn of_backup(name: &str, backup: Option<&RedisBackup>, reader: &Reader) -> Result<Source, Failure> {
    let Whole {
        status,
        path,
        store,
    } = whole(name, backup)?;
    let Some(shard) = status.shards.into_iter().next() else {
        return Err(nowhere(name));
    };
    let version = status.version.and_then(|text| text.parse().ok());
    check_version(name, status.engine.zip(version), reader)?;
    let bytes = |known: Option<i64>| known.and_then(|known| u64::try_from(known).ok());
    let stored = Stored {
        raw_bytes: bytes(shard.raw_bytes).unwrap_or(0),
        used_memory: bytes(shard.used_memory).unwrap_or(0),
    };
    check_room(stored, reader.room)?;
    Ok(Source {
        from: RecoverFrom::Backup {
            path,
            shard: shard.shard,
        },
        store,
        size: status.stored_size,
    })
}

/// The object of a backup at an instant: which base is taken only the store knows, and with it whether the server can
/// read it and has room.
fn of_its_object(
    name: &str,
    backup: Option<&RedisBackup>,
    recovery: &Recovery,
    reader: &Reader,
) -> Result<Source, Failure> {
    let Whole { path, store, .. } = whole(name, backup)?;
    let object = Object::of_path(&path).ok_or_else(|| nowhere(name))?;
    Ok(Source {
        from: RecoverFrom::Instant(object.instant(recovery, reader)),
        store,
        size: None,
    })
}

/// A backup of which the store has all.
struct Whole {
    status: RedisBackupStatus,
    path: String,
    store: String,
}

fn whole(name: &str, backup: Option<&RedisBackup>) -> Result<Whole, Failure> {
    let Some(backup) = backup else {
        return Err(missing(&format!("there is no RedisBackup {name}")));
    };
    let mut status = backup.status.clone().unwrap_or_default();
    match status.phase {
        Some(BackupPhase::Completed) => {}
        Some(BackupPhase::Failed) => {
            return Err(missing(&format!("nothing came of the RedisBackup {name}")));
        }
        Some(BackupPhase::Skipped) => {
            return Err(missing(&format!(
                "a policy left the RedisBackup {name} out"
            )));
        }
        Some(BackupPhase::Pending | BackupPhase::Running) | None => {
            return Err(missing(&format!("the RedisBackup {name} is not whole yet")));
        }
    }
    match (status.path.take(), status.store.take()) {
        (Some(path), Some(store)) => Ok(Whole {
            status,
            path,
            store,
        }),
        _ => Err(nowhere(name)),
    }
}

fn nowhere(name: &str) -> Failure {
    missing(&format!(
        "the status of the RedisBackup {name} does not say where its data is"
    ))
}

fn missing(words: &str) -> Failure {
    let message = format!("{words}; bootstrap.recovery names it, and it is looked at again");
    Failure::new(FailureReason::NoSuchBackup, message)
}

/// An object as a store knows it.
struct Object<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
}

impl<'a> Object<'a> {
    /// Whose path it is: `<namespace>.<name>/<uid>/…`.
    fn of_path(path: &'a str) -> Option<Self> {
        let mut folders = path.split('/');
        let (namespace, name) = folders.next()?.split_once('.')?;
        let uid = folders.next()?;
        let known = [namespace, name, uid].iter().all(|part| !part.is_empty());
        known.then_some(Self {
            namespace,
            name,
            uid: Some(uid),
        })
    }

    fn instant(&self, recovery: &Recovery, reader: &Reader) -> RecoverInstant {
        RecoverInstant {
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            uid: self.uid.map(str::to_owned),
            shard: SHARD.to_owned(),
            unix_ms: recovery.at.as_ref().map(|at| at.unix_ms),
            branch: recovery.branch.clone(),
            loads: loads((reader.engine, reader.version)),
            room: reader.room,
        }
    }
}

fn check_version(
    name: &str,
    wrote: Option<(Engine, ServerVersion)>,
    reader: &Reader,
) -> Result<(), Failure> {
    let refuse = |message| Err(Failure::new(FailureReason::VersionIncompatible, message));
    let Some((engine, version)) = wrote else {
        return refuse(format!(
            "the status of the RedisBackup {name} does not say which server wrote its data"
        ));
    };
    if can_load((engine, version), (reader.engine, reader.version)) {
        return Ok(());
    }
    refuse(format!(
        "{} {} cannot read what {engine} {version} wrote: set engine and version to {engine} {version} or newer",
        reader.engine, reader.version
    ))
}

#[cfg(test)]
mod tests {
    use hera_api::validate::At;
    use hera_api::{RecoverySource, StoreRef, TargetKind};
    use serde_json::{Value, json};

    use super::*;

    fn backup(change: impl FnOnce(&mut Value)) -> RedisBackup {
        let mut object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"namespace": "shop", "name": "nightly"},
            "spec": {"target": {"name": "cart"}},
            "status": {
                "phase": "Completed", "store": "s3", "path": "shop.cart/u-1/backups/nightly.json",
                "engine": "redis", "version": "7.2.4", "storedSize": "3Mi",
                "shards": [{
                    "shard": "0", "pod": "cart-1", "podUid": "p-1",
                    "rawBytes": 10 << 20, "usedMemory": 20 << 20,
                }],
            },
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    fn reader() -> Reader {
        Reader {
            engine: Engine::Redis,
            version: "7.2".parse().unwrap(),
            room: Room::default(),
        }
    }

    fn nightly() -> Recovery {
        Recovery {
            origin: Origin::Backup("nightly".to_owned()),
            at: None,
            branch: None,
        }
    }

    fn at(recovery: Recovery) -> Recovery {
        let at = At {
            text: "2027-01-15T08:00:00.5Z".to_owned(),
            unix_ms: 1_800_000_000_500,
        };
        Recovery {
            at: Some(at),
            ..recovery
        }
    }

    fn taken(recovery: &Recovery, backup: Option<&RedisBackup>) -> Result<Source, Failure> {
        source(recovery, "shop", backup, &reader())
    }

    fn why(backup: &RedisBackup, reader: &Reader) -> (FailureReason, String) {
        let failure = source(&nightly(), "shop", Some(backup), reader).unwrap_err();
        (failure.reason, failure.message)
    }

    #[test]
    fn what_is_whole_and_can_be_read_is_taken() {
        let expected = Source {
            from: RecoverFrom::Backup {
                path: "shop.cart/u-1/backups/nightly.json".to_owned(),
                shard: "0".to_owned(),
            },
            store: "s3".to_owned(),
            size: Some("3Mi".to_owned()),
        };
        assert_eq!(taken(&nightly(), Some(&backup(|_| {}))), Ok(expected));
        assert_eq!(label(&nightly(), "shop"), "RedisBackup nightly");
    }

    #[test]
    fn what_is_not_there_or_not_whole_is_refused_in_words() {
        let none = taken(&nightly(), None).unwrap_err();
        assert_eq!(none.reason, FailureReason::NoSuchBackup);
        assert!(none.message.starts_with("there is no RedisBackup nightly"));
        for (phase, words) in [
            (json!("Running"), "not whole yet"),
            (json!("Pending"), "not whole yet"),
            (json!(null), "not whole yet"),
            (json!("Failed"), "nothing came"),
        ] {
            let backup = backup(|object| object["status"]["phase"] = phase);
            let (reason, message) = why(&backup, &reader());
            assert_eq!(reason, FailureReason::NoSuchBackup);
            assert!(message.contains(words), "{message}");
        }
        for field in ["path", "store", "shards"] {
            let backup = backup(|object| {
                object["status"].as_object_mut().unwrap().remove(field);
            });
            let (_, message) = why(&backup, &reader());
            assert!(message.contains("does not say where"), "{message}");
        }
    }

    #[test]
    fn at_an_instant_the_object_of_a_backup_is_taken_whichever_base_that_needs() {
        let too_new = backup(|object| object["status"]["version"] = json!("8.6.3"));
        let source = taken(&at(nightly()), Some(&too_new)).unwrap();
        let RecoverFrom::Instant(instant) = &source.from else {
            panic!("it is {:?}", source.from);
        };
        assert_eq!((source.store.as_str(), &source.size), ("s3", &None));
        let expected = RecoverInstant {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            uid: Some("u-1".to_owned()),
            shard: "0".to_owned(),
            unix_ms: Some(1_800_000_000_500),
            branch: None,
            loads: loads((Engine::Redis, "7.2".parse().unwrap())),
            room: Room::default(),
        };
        assert_eq!(*instant, expected);
        assert_eq!(
            label(&at(nightly()), "shop"),
            "the object of RedisBackup nightly at 2027-01-15T08:00:00.5Z"
        );
    }

    #[test]
    fn whose_path_does_not_say_whose_it_is_is_refused() {
        for path in [
            "cart/u-1/x",
            "shop.cart",
            "shop./u-1/x",
            ".cart/u-1/x",
            "shop.cart//x",
            "",
        ] {
            let backup = backup(|object| object["status"]["path"] = json!(path));
            let failure = taken(&at(nightly()), Some(&backup)).unwrap_err();
            assert_eq!(failure.reason, FailureReason::NoSuchBackup, "{path}");
        }
        let runs = backup(|object| object["status"]["phase"] = json!("Running"));
        let failure = taken(&at(nightly()), Some(&runs)).unwrap_err();
        assert!(
            failure.message.contains("not whole yet"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_object_is_taken_by_its_name_in_the_store_and_by_its_uid_if_that_is_named() {
        let mut named = RecoverySource {
            store_ref: StoreRef {
                name: "s3".to_owned(),
            },
            kind: TargetKind::RedisInstance,
            namespace: None,
            name: "cart".to_owned(),
            uid: None,
        };
        let of = |named: &RecoverySource| Recovery {
            origin: Origin::Object(named.clone()),
            branch: Some("b".repeat(40)),
            ..nightly()
        };
        let latest = of(&named);
        let instant = |recovery: &Recovery| match taken(recovery, None).unwrap().from {
            RecoverFrom::Instant(instant) => instant,
            from => panic!("it is {from:?}"),
        };
        let found = instant(&latest);
        assert_eq!((found.namespace.as_str(), found.uid), ("shop", None));
        assert_eq!((found.unix_ms, found.branch), (None, latest.branch.clone()));
        assert_eq!(
            label(&latest, "shop"),
            "RedisInstance shop/cart at the latest instant that is stored"
        );
        named.namespace = Some("bank".to_owned());
        named.uid = Some("u-2".to_owned());
        let found = instant(&at(of(&named)));
        assert_eq!(
            (found.namespace.as_str(), found.uid.as_deref()),
            ("bank", Some("u-2"))
        );
        assert_eq!(found.unix_ms, Some(1_800_000_000_500));
    }

    #[test]
    fn what_another_engine_or_a_later_version_wrote_is_refused_as_a_change_of_version_is() {
        let older = Reader {
            version: "7.0".parse().unwrap(),
            ..reader()
        };
        let (reason, message) = why(&backup(|_| {}), &older);
        assert_eq!(reason, FailureReason::VersionIncompatible);
        assert!(message.contains("redis 7.2.4"), "{message}");
        let unknown = backup(|object| object["status"]["version"] = json!(null));
        assert_eq!(
            why(&unknown, &reader()).0,
            FailureReason::VersionIncompatible
        );
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let small = Reader {
            room: Room {
                maxmemory: Some(23 << 20),
                volume: None,
            },
            ..reader()
        };
        assert_eq!(why(&backup(|_| {}), &small).0, FailureReason::TooSmall);
    }
}
