//! Data comes from a store.

use hera_core::backup::{
    BackupManifest, BaseManifest, Failure, FailureReason, Paths, RecoverFrom, StoreAccess,
};
use hera_store::Store;
use tracing::info;

use super::files::{self, Filling};
use super::{base, instant};
use crate::agent::Agent;
use crate::backup::failed;
use crate::backup::files::read;
use crate::settings::Settings;

/// Fills the volume. It begins anew each time.
///
/// # Errors
/// The volume is as before.
pub async fn fill(
    agent: &Agent,
    from: &RecoverFrom,
    access: &StoreAccess,
) -> Result<Filling, Failure> {
    let settings = &agent.settings;
    files::discard(settings);
    if let Some(file) = files::data(&settings.data) {
        return Err(files::present(&file));
    }
    let store = Store::open(access)?;
    let came = match from {
        RecoverFrom::Backup { path, shard } => of_backup(settings, &store, path, shard).await,
        RecoverFrom::Instant(wanted) => Box::pin(instant::fill(settings, &store, wanted)).await,
    };
    let filled = came.and_then(|filling| {
        let remember = |source| agent.note(|state| state.is_recovered(source));
        files::put_in_place(settings, &filling, remember).map(|()| filling)
    });
    if filled.is_err() {
        files::discard(settings);
    }
    filled
}

/// Brings the base that a backup has of a shard.
async fn of_backup(
    settings: &Settings,
    store: &Store,
    backup: &str,
    shard: &str,
) -> Result<Filling, Failure> {
    let base = find(store, backup, shard).await?;
    files::has_room(&settings.data, base.raw_bytes)?;
    info!(base = %base.path, bytes = base.stored_bytes, "data comes from the store");
    base::bring(store, &base, files::incoming(settings)).await?;
    Ok(Filling {
        base: Box::new(base),
        reached_unix_ms: None,
    })
}

/// Reads which base the backup has of this shard, and what that is.
async fn find(store: &Store, from: &str, shard: &str) -> Result<BaseManifest, Failure> {
    let Some(backup) = read::<BackupManifest>(store, from).await? else {
        let words = format!("there is no {from} in the store");
        return Err(failed(FailureReason::NoSuchBackup, words));
    };
    let mut shards = backup.shards.into_iter();
    let Some(found) = shards.find(|found| found.shard == shard) else {
        let words = format!("{from} has no shard {shard}");
        return Err(failed(FailureReason::NoSuchBackup, words));
    };
    let path = Paths::base_manifest(&found.base);
    let Some(base) = read::<BaseManifest>(store, &path).await? else {
        let words = format!("{path} is missing, and {from} needs it");
        return Err(failed(FailureReason::Corrupt, words));
    };
    let named = (found.base.as_str(), shard, backup.owner.uid.as_str());
    let is = (base.path.as_str(), base.shard.as_str(), base.uid.as_str());
    // The operator's status has room for no longer path.
    if is != named || base.path.len() > 1024 {
        let words = format!("{path} is of another base than {from} says");
        return Err(failed(FailureReason::Corrupt, words));
    }
    Ok(base)
}
