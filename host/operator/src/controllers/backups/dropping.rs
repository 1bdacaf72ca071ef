//! A RedisBackup that somebody wants deleted, with its data.

use std::time::Duration;

use hera_api::conditions::dropped;
use hera_api::meta::ANNOTATION_BACKUP_DROP;
use hera_api::{BackupPhase, RedisBackup};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::memory::{Key, Memory};
use super::pass::{Again, end};
use super::remove::{self, Which};
use super::status::{self, Said};
use super::{known, record};
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// An agent that could not be asked is asked again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// What was written meanwhile is looked at after this, and whether another sweep is over.
const SOON: Duration = Duration::from_secs(1);

/// True if somebody wants it deleted.
pub fn is_asked(backup: &RedisBackup) -> bool {
    backup.annotations().contains_key(ANNOTATION_BACKUP_DROP)
        && backup.metadata.deletion_timestamp.is_none()
}

/// Deletes one that holds nothing, has one swept that does, and refuses one that is made.
///
/// # Errors
/// When the API server does not answer.
pub async fn run(
    shared: &Shared,
    memory: &Memory,
    cached: &RedisBackup,
) -> Result<Again, PassError> {
    let key = Key::of(cached);
    let backups: Api<known::Guarded> = Api::namespaced(shared.client.clone(), &key.namespace);
    let found = backups.get_opt(&key.name).await?;
    let found = found.and_then(|found| found.0.ok());
    let Some(backup) = found.filter(|found| found.uid() == cached.uid() && is_asked(found)) else {
        return Ok(Some(SOON).filter(|_| !cached.is_over()));
    };
    match backup.phase() {
        BackupPhase::Pending | BackupPhase::Failed | BackupPhase::Skipped => {
            remove::object(&shared.client, &backup, Which::AsRead).await?;
            end(shared, &key, memory.forget(&key)).await;
            // Unless somebody wrote into it meanwhile, it is gone.
            Ok(Some(SOON))
        }
        BackupPhase::Running => {
            let words = "it is being made: delete it once it is over";
            refuse(shared, &backup, &Said::new(dropped::RUNNING, words)).await?;
            Ok(Some(SOON))
        }
        BackupPhase::Completed => {
            let object = ObjectKey::instance(&key.namespace, &backup.spec.target.name);
            let uid = record::target_uid(&backup).unwrap_or_default();
            let backup_uid = backup.uid().unwrap_or_default();
            let sweeps = &shared.backups.sweeps;
            Ok(Some(
                match sweeps.drops(&object, uid, &key.name, &backup_uid) {
                    true => AGAIN,
                    false => SOON,
                },
            ))
        }
    }
}

/// Says why it stays, and takes the request away.
///
/// # Errors
/// When the API server does not answer.
pub async fn refuse(shared: &Shared, backup: &RedisBackup, said: &Said) -> kube::Result<()> {
    let written = status::refuse_drop(shared, backup, said).await?;
    let (name, namespace) = (backup.name_any(), backup.namespace().unwrap_or_default());
    let backups: Api<known::Guarded> = Api::namespaced(shared.client.clone(), &namespace);
    let patch = json!({
        "metadata": {
            "resourceVersion": written.resource_version(),
            "annotations": {ANNOTATION_BACKUP_DROP: null},
        }
    });
    let done = backups
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match done {
        // Somebody asks anew, or it is gone.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}
