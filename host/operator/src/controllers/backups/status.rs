//! What a RedisBackup and its store say of themselves: written only where it says something new.

use hera_api::conditions::{available, completed, condition, dropped};
use hera_api::{
    BackupPhase, BackupShard, RedisBackup, RedisBackupStatus, RedisBackupStore,
    RedisBackupStoreStatus,
};
use hera_core::backup::{BaseManifest, FailureReason};
use hera_kube::{STATUS_MANAGER, Severity, merge_conditions};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::{debug, warn};

use crate::controllers::pods::status::{engine, shorten};
use crate::shared::Shared;

/// At what several passes may note at the same time.
const ATTEMPTS: usize = 3;
/// The kind of all stores that there are.
const BACKEND: &str = "s3";

/// What the condition Completed says: reason and words.
#[derive(Clone, Debug)]
pub struct Said {
    pub reason: &'static str,
    pub words: String,
}

impl Said {
    /// This.
    pub fn new(reason: &'static str, words: impl Into<String>) -> Self {
        Self {
            reason,
            words: words.into(),
        }
    }
}

/// A status with another phase and another word.
pub fn with(backup: &RedisBackup, phase: BackupPhase, said: &Said) -> RedisBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    let now = condition(
        completed::TYPE,
        phase == BackupPhase::Completed,
        said.reason,
        shorten(&said.words),
        backup.metadata.generation,
        Timestamp::now(),
    );
    status.conditions = beside(&status.conditions, now);
    status.phase = Some(phase);
    status
}

/// A status that says as well why it is not deleted.
pub fn not_dropped(backup: &RedisBackup, said: &Said) -> RedisBackupStatus {
    let mut status = backup.status.clone().unwrap_or_default();
    let now = condition(
        dropped::TYPE,
        false,
        said.reason,
        shorten(&said.words),
        backup.metadata.generation,
        Timestamp::now(),
    );
    status.conditions = beside(&status.conditions, now);
    status
}

/// A condition in place of one of its type, beside the others.
fn beside(last: &[Condition], now: Condition) -> Vec<Condition> {
    let others = last.iter().filter(|known| known.type_ != now.type_);
    let mut all: Vec<Condition> = others.cloned().collect();
    all.extend(merge_conditions(last, vec![now]));
    all
}

/// Adds what is known of the data once a base of it is stored.
pub fn note_base(status: &mut RedisBackupStatus, base: &BaseManifest) {
    let number = |number: u64| i64::try_from(number).ok();
    let taken = number(base.taken_unix_ms).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let known = status.shards.first().cloned().unwrap_or_default();
    status.shards = vec![BackupShard {
        shard: base.shard.clone(),
        role: Some(base.role.clone()),
        replication_id: Some(base.replication_id.clone()),
        offset: number(base.offset),
        instant: taken.map(MicroTime),
        raw_bytes: number(base.raw_bytes),
        stored_bytes: number(base.stored_bytes),
        used_memory: number(base.used_memory),
        ..known
    }];
    // As the API server gives it back.
    let second = taken.and_then(|taken| Timestamp::from_second(taken.as_second()).ok());
    status.instant = second.map(Time);
    status.stored_size = Some(size(base.stored_bytes));
    status.engine = engine(&base.engine);
    status.version = Some(base.version.clone());
}

/// Takes away what was noted of a base: of one that became no backup nothing is left.
pub fn forget_base(status: &mut RedisBackupStatus) {
    status.instant = None;
    status.stored_size = None;
    status.engine = None;
    status.version = None;
    for shard in &mut status.shards {
        *shard = BackupShard {
            shard: std::mem::take(&mut shard.shard),
            pod: std::mem::take(&mut shard.pod),
            pod_uid: std::mem::take(&mut shard.pod_uid),
            ..BackupShard::default()
        };
    }
}

/// Notes since when something has been in the way, while it `waits`: whoever leads next waits on. One that is over
/// waits for nothing.
pub fn note_waiting(status: &mut RedisBackupStatus, waits: bool, now: Timestamp) {
    let since = status.waits_since.take();
    let is_over = matches!(
        status.phase,
        Some(BackupPhase::Completed | BackupPhase::Failed | BackupPhase::Skipped)
    );
    if waits && !is_over {
        status.waits_since = since.or(Some(Time(now)));
    }
}

/// True if it is this base of which the status tells.
pub fn is_noted(backup: &RedisBackup, base: &BaseManifest) -> bool {
    let status = backup.status.clone().unwrap_or_default();
    let mut told = status.clone();
    note_base(&mut told, base);
    told == status
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    let mut units = ["Ki", "Mi", "Gi", "Ti"].into_iter();
    let (mut number, mut unit) = (bytes, "");
    while number >= 1024
        && let Some(next) = units.next()
    {
        number = number.div_ceil(1024);
        unit = next;
    }
    format!("{number}{unit}")
}

/// Writes a status, unless the backup has it, and tells people what is new in it; the backup as it is then.
///
/// # Errors
/// What the API server answers.
pub async fn write(
    shared: &Shared,
    backup: &RedisBackup,
    wanted: &RedisBackupStatus,
) -> kube::Result<RedisBackup> {
    if backup.status.as_ref() == Some(wanted) {
        return Ok(backup.clone());
    }
    let written = apply(&shared.client, backup, wanted).await?;
    let before = of(backup.status.iter().flat_map(|status| &status.conditions));
    let now = of(&wanted.conditions);
    let known = before.map(|before| (&before.reason, &before.message));
    if let Some(now) = now.filter(|now| known != Some((&now.reason, &now.message)))
        && let Some(severity) = severity(&now.reason)
    {
        let about = backup.object_ref(&());
        shared
            .events
            .publish_state(&about, severity, &now.reason, &now.message)
            .await;
    }
    Ok(written)
}

fn of<'a>(conditions: impl IntoIterator<Item = &'a Condition>) -> Option<&'a Condition> {
    let mut conditions = conditions.into_iter();
    conditions.find(|condition| condition.type_ == completed::TYPE)
}

/// None for what people would call noise.
fn severity(reason: &str) -> Option<Severity> {
    match reason {
        completed::PENDING | completed::POLICY_WAITS => None,
        completed::RUNNING | completed::STORED | completed::POLICY_SKIPPED => {
            Some(Severity::Normal)
        }
        _ => Some(Severity::Warning),
    }
}

/// Writes why it is not deleted, and tells people; the backup as it is then.
///
/// # Errors
/// What the API server answers.
pub async fn refuse_drop(
    shared: &Shared,
    backup: &RedisBackup,
    said: &Said,
) -> kube::Result<RedisBackup> {
    let wanted = not_dropped(backup, said);
    let is_news = backup.status.as_ref() != Some(&wanted);
    let written = write(shared, backup, &wanted).await?;
    if is_news {
        let about = backup.object_ref(&());
        let events = &shared.events;
        events
            .publish_state(&about, Severity::Warning, said.reason, &said.words)
            .await;
    }
    Ok(written)
}

/// The reason that stands in the status of a backup.
fn reason(backup: &RedisBackup) -> Option<&str> {
    let conditions = backup.status.iter().flat_map(|status| &status.conditions);
    of(conditions).map(|condition| condition.reason.as_str())
}

/// True if the store foiled the last attempt, as its status says.
pub fn is_foiled_by_store(backup: &RedisBackup) -> bool {
    matches!(
        reason(backup),
        Some(completed::STORE_UNREACHABLE | completed::CREDENTIALS_REFUSED)
    )
}

/// Why nothing came of a run, as a reason of the condition.
pub fn reason_of(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::StoreUnreachable => completed::STORE_UNREACHABLE,
        FailureReason::CredentialsRefused => completed::CREDENTIALS_REFUSED,
        FailureReason::PathOwned => completed::PATH_OWNED,
        FailureReason::Corrupt => completed::CORRUPT,
        FailureReason::NoCopyFits => completed::NO_COPY_FITS,
        FailureReason::NoHeadroom => completed::NO_HEADROOM,
        FailureReason::SnapshotTooSlow => completed::SNAPSHOT_TOO_SLOW,
        FailureReason::LostItsPod => completed::LOST_ITS_POD,
        FailureReason::Cancelled => completed::CANCELLED,
        // The others are about logs and recoveries.
        FailureReason::ServerRefused
        | FailureReason::LogBehind
        | FailureReason::NoSuchBackup
        | FailureReason::TimeNotCovered
        | FailureReason::SeveralSources
        | FailureReason::TooSmall
        | FailureReason::DataPresent
        | FailureReason::VersionIncompatible => completed::SERVER_REFUSED,
    }
}

/// What a store's condition says of what agents could do with it.
pub fn available_of(reason: FailureReason) -> Option<&'static str> {
    match reason {
        FailureReason::StoreUnreachable => Some(available::STORE_UNREACHABLE),
        FailureReason::CredentialsRefused => Some(available::CREDENTIALS_REFUSED),
        _ => None,
    }
}

/// Notes in a store's status whether it could be used, if that is news. No backup fails because it cannot be noted.
pub async fn tell_store(
    client: &Client,
    namespace: &str,
    store: &str,
    reason: &'static str,
    words: &str,
) {
    for _ in 0..ATTEMPTS {
        match note_available(client, namespace, store, reason, words).await {
            Ok(()) => return,
            // What somebody else wrote meanwhile is looked at first.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => {
                warn!(namespace, store, %error, "whether the store can be used is not noted");
                return;
            }
        }
    }
    debug!(
        namespace,
        store, "others note whether the store can be used"
    );
}

async fn note_available(
    client: &Client,
    namespace: &str,
    store: &str,
    reason: &'static str,
    words: &str,
) -> kube::Result<()> {
    let stores: Api<RedisBackupStore> = Api::namespaced(client.clone(), namespace);
    let Some(store) = stores.get_opt(store).await? else {
        return Ok(());
    };
    let last = store.status.clone().unwrap_or_default();
    let now = condition(
        available::TYPE,
        reason == available::REACHED,
        reason,
        shorten(words),
        store.metadata.generation,
        Timestamp::now(),
    );
    let wanted = RedisBackupStoreStatus {
        backend: Some(BACKEND.to_owned()),
        conditions: merge_conditions(&last.conditions, vec![now]),
    };
    if store.status.as_ref() == Some(&wanted) {
        return Ok(());
    }
    apply(client, &store, &wanted).await.map(drop)
}

/// Applies the whole status of this very object, if nobody has written it since it was read.
async fn apply<K, S>(client: &Client, object: &K, status: &S) -> kube::Result<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
    S: Serialize,
{
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let patch = patch(object, status);
    api.patch_status(&name, &params, &Patch::Apply(&patch))
        .await
}

fn patch<K: Resource<DynamicType = ()>>(object: &K, status: &impl Serialize) -> Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": object.name_any(), "namespace": object.namespace(),
            "uid": object.uid(), "resourceVersion": object.resource_version(),
        },
        "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_agent_says_is_a_reason_of_the_condition() {
        let known = hera_api::conditions::ALL.iter();
        let reasons: Vec<&str> = known
            .filter(|(type_, _)| *type_ == completed::TYPE)
            .flat_map(|(_, reasons)| reasons.iter().copied())
            .collect();
        for reason in FailureReason::ALL {
            let told = reason_of(reason);
            assert!(reasons.contains(&told), "{reason:?}");
            // The others are about logs and recoveries.
            assert!([reason.as_str(), completed::SERVER_REFUSED].contains(&told));
        }
    }

    #[test]
    fn a_base_is_known_again_in_the_status_that_the_api_server_gives_back() {
        let base = json!({
            "v": 1, "uid": "u-1", "shard": "0", "engine": "redis", "version": "7.2.4", "magic": "REDIS0011",
            "replicationId": "a", "offset": 7, "streamDb": 0, "takenUnixMs": 1_800_000_000_999_u64, "pod": "cache-1",
            "role": "replica", "rawBytes": 1, "storedBytes": 1, "sha256": "b", "crc64": "c", "usedMemory": 1,
            "path": "shop.cache/u-1/base/0/r",
        });
        let base: BaseManifest = serde_json::from_value(base).unwrap();
        let mut status = RedisBackupStatus::default();
        note_base(&mut status, &base);
        let shard = &status.shards[0];
        assert_eq!(
            shard.instant.clone().unwrap().0.as_millisecond(),
            1_800_000_000_999
        );
        let given_back = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": "nightly"}, "spec": {"target": {"name": "cache"}},
            "status": serde_json::to_value(&status).unwrap(),
        });
        let backup = serde_json::from_value(given_back).unwrap();
        assert!(is_noted(&backup, &base));
    }

    #[test]
    fn a_status_is_written_over_what_was_read_and_over_nothing_later() {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": "nightly", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
            "spec": {"target": {"name": "cache"}},
        });
        let backup: RedisBackup = serde_json::from_value(object).unwrap();
        let said = Said::new(completed::STORED, "there it is");
        let patch = patch(&backup, &with(&backup, BackupPhase::Completed, &said));
        let metadata = &patch["metadata"];
        assert_eq!(
            (&metadata["uid"], &metadata["resourceVersion"]),
            (&json!("u-1"), &json!("7"))
        );
        assert_eq!(patch["status"]["phase"], "Completed");
    }

    #[test]
    fn since_when_one_waits_is_told_until_it_goes_on_or_is_over() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let of = |phase| RedisBackupStatus {
            phase: Some(phase),
            waits_since: Some(Time(at(1))),
            ..RedisBackupStatus::default()
        };
        let mut waits = of(BackupPhase::Pending);
        note_waiting(&mut waits, true, at(2));
        assert_eq!(waits.waits_since, Some(Time(at(1))));
        note_waiting(&mut waits, false, at(3));
        assert_eq!(waits.waits_since, None);
        note_waiting(&mut waits, true, at(4));
        assert_eq!(waits.waits_since, Some(Time(at(4))));
        for phase in [BackupPhase::Completed, BackupPhase::Failed] {
            let mut over = of(phase);
            note_waiting(&mut over, true, at(2));
            assert_eq!(over.waits_since, None, "{phase:?}");
        }
    }

    #[test]
    fn sizes_are_rounded_up_to_a_number_that_people_read() {
        let sizes = [0, 1_023, 1_024, 1_025, 12 << 20, 5 << 40];
        let sizes = sizes.map(size);
        assert_eq!(sizes, ["0", "1023", "1Ki", "2Ki", "12Mi", "5Ti"]);
    }
}
