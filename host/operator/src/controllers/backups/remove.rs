//! RedisBackups that are deleted.

use hera_api::RedisBackup;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use tracing::info;

/// Of which one it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// This, unless somebody wrote into it since it was read.
    AsRead,
    /// This, whatever was written into it.
    Itself,
}

/// Deletes a RedisBackup; none of the same name that came after it. One that is gone is.
///
/// # Errors
/// When the API server refuses it.
pub async fn object(client: &Client, backup: &RedisBackup, which: Which) -> kube::Result<()> {
    let (name, namespace) = (backup.name_any(), backup.namespace().unwrap_or_default());
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), &namespace);
    let only_this = DeleteParams {
        preconditions: Some(Preconditions {
            uid: backup.uid(),
            resource_version: backup.resource_version().filter(|_| which == Which::AsRead),
        }),
        ..DeleteParams::default()
    };
    match backups.delete(&name, &only_this).await {
        Ok(_) => {
            info!(namespace, name, "deleted: nothing needs the RedisBackup");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}
