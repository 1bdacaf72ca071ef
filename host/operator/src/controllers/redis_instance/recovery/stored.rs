//! The backup with which an instance is to begin, and why it cannot.

use hera_api::{BackupPhase, Engine, RedisBackup, ServerVersion};
use hera_core::backup::recovery::{Room, Stored, check_room};
use hera_core::backup::{Failure, FailureReason, RecoverFrom};
use hera_render::versions::can_load;
use kube::Client;
use kube::api::Api;

/// What a server is to read, and where from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub from: RecoverFrom,
    /// Name of the store.
    pub store: String,
    /// How much the store holds of it, for people.
    pub size: Option<String>,
}

/// The server that is to read it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub engine: Engine,
    pub version: ServerVersion,
    pub room: Room,
}

/// The RedisBackup of this name.
///
/// # Errors
/// When the API server does not answer.
pub async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<RedisBackup>> {
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    backups.get_opt(name).await
}

/// What is taken of the backup of this name, if the server can read it and has room.
///
/// # Errors
/// Why it cannot be taken, for people.
pub fn source(
    name: &str,
    backup: Option<&RedisBackup>,
    reader: &Reader,
) -> Result<Source, Failure> {
    let missing = |words: &str| {
        let message = format!("{words}; bootstrap.recovery names it, and it is looked at again");
        Err(Failure::new(FailureReason::NoSuchBackup, message))
    };
    let Some(backup) = backup else {
        return missing(&format!("there is no RedisBackup {name}"));
    };
    let status = backup.status.clone().unwrap_or_default();
    match status.phase {
        Some(BackupPhase::Completed) => {}
        Some(BackupPhase::Failed) => {
            return missing(&format!("nothing came of the RedisBackup {name}"));
        }
        Some(BackupPhase::Pending | BackupPhase::Running) | None => {
            return missing(&format!("the RedisBackup {name} is not whole yet"));
        }
    }
    let shard = status.shards.into_iter().next();
    let (Some(path), Some(store), Some(shard)) = (status.path, status.store, shard) else {
        return missing(&format!(
            "the status of the RedisBackup {name} does not say where its data is"
        ));
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
        from: RecoverFrom {
            backup: path,
            shard: shard.shard,
        },
        store,
        size: status.stored_size,
    })
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

    fn why(backup: &RedisBackup, reader: &Reader) -> (FailureReason, String) {
        let failure = source("nightly", Some(backup), reader).unwrap_err();
        (failure.reason, failure.message)
    }

    #[test]
    fn what_is_whole_and_can_be_read_is_taken() {
        let expected = Source {
            from: RecoverFrom {
                backup: "shop.cart/u-1/backups/nightly.json".to_owned(),
                shard: "0".to_owned(),
            },
            store: "s3".to_owned(),
            size: Some("3Mi".to_owned()),
        };
        assert_eq!(
            source("nightly", Some(&backup(|_| {})), &reader()),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_not_there_or_not_whole_is_refused_in_words() {
        let none = source("nightly", None, &reader()).unwrap_err();
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
