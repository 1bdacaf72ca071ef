//! What a RedisBackup says of itself: why it is wanted, until when, and what it holds.

use hera_api::meta::{
    ANNOTATION_BACKUP_DUE, ANNOTATION_BACKUP_KEEP, ANNOTATION_BACKUP_LATEST, LABEL_BACKUP_CAUSE,
    LABEL_BACKUP_SCHEDULE,
};
use hera_api::{BackupPhase, RedisBackup};
use hera_core::backup::decision::{Cause, Demand, latest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::SHARD;
use crate::controllers::pods::observe::millis;

/// Why it is wanted.
pub fn cause(backup: &RedisBackup) -> Cause {
    match backup.labels().get(LABEL_BACKUP_CAUSE).map(String::as_str) {
        Some("schedule") => Cause::Schedule,
        Some("age") => Cause::Age,
        Some("replay") => Cause::Replay,
        Some("gap") => Cause::Gap,
        _ => Cause::Person,
    }
}

/// The label of a cause; none of what a person wants.
pub fn label(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Schedule => Some("schedule"),
        Cause::Age => Some("age"),
        Cause::Replay => Some("replay"),
        Cause::Gap => Some("gap"),
        Cause::Person => None,
    }
}

/// True if nobody asked for it.
pub fn is_automatic(backup: &RedisBackup) -> bool {
    cause(backup) != Cause::Person
}

/// True if somebody has it stay, whatever its age.
pub fn is_kept(object: &impl kube::ResourceExt) -> bool {
    let asked = object.annotations().get(ANNOTATION_BACKUP_KEEP);
    asked.map(String::as_str) == Some("true")
}

/// It, as what is wanted.
pub fn demand(backup: &RedisBackup) -> Demand {
    let cause = cause(backup);
    let made = backup.metadata.creation_timestamp.as_ref();
    let at = |annotation: &str| {
        let text = backup.annotations().get(annotation)?;
        text.parse().ok().map(millis)
    };
    let since_unix_ms = at(ANNOTATION_BACKUP_DUE)
        .or(made.map(|made| millis(made.0)))
        .unwrap_or(0);
    let schedule = backup.labels().get(LABEL_BACKUP_SCHEDULE);
    Demand {
        name: backup.name_any(),
        cause,
        schedule: schedule.cloned().unwrap_or_default(),
        since_unix_ms,
        latest_unix_ms: at(ANNOTATION_BACKUP_LATEST)
            .unwrap_or_else(|| latest(cause, since_unix_ms, 0, None, None)),
    }
}

/// True if the store has it of the object with this uid.
pub fn is_stored(backup: &RedisBackup, uid: &str, store: &str) -> bool {
    is_completed(backup, uid)
        && backup
            .status
            .as_ref()
            .is_some_and(|status| status.store.as_deref() == Some(store))
}

/// True if some store has it of the object with this uid.
pub fn is_completed(backup: &RedisBackup, uid: &str) -> bool {
    backup.phase() == BackupPhase::Completed && target_uid(backup) == Some(uid)
}

/// Uid of the object that was read, once one was.
pub fn target_uid(backup: &RedisBackup) -> Option<&str> {
    backup.status.as_ref()?.target_uid.as_deref()
}

/// The instant that it holds, in milliseconds since 1970, once it holds one.
pub fn taken_unix_ms(backup: &RedisBackup) -> Option<u64> {
    let status = backup.status.as_ref()?;
    let shard = status.shards.iter().find(|shard| shard.shard == SHARD);
    let exact = shard.and_then(|shard| shard.instant.as_ref());
    let exact = exact.map(|at| at.0.as_millisecond());
    // Without what is less than a second: no later than it was.
    let rounded = status.instant.as_ref().map(|at| at.0.as_millisecond());
    u64::try_from(exact.or(rounded)?).ok()
}

/// When it was over, in milliseconds since 1970.
pub fn over_unix_ms(backup: &RedisBackup) -> Option<u64> {
    let status = backup.status.as_ref()?;
    status.completed_at.as_ref().map(|at| millis(at.0))
}

/// Bytes of it in the store.
pub fn stored_bytes(backup: &RedisBackup) -> u64 {
    let shards = backup.status.iter().flat_map(|status| &status.shards);
    let bytes = shards.filter_map(|shard| shard.stored_bytes);
    bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum()
}

/// A time, for people and for annotations.
pub fn time(unix_ms: u64) -> Timestamp {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// As the API server gives a time back: without what is less than a second.
pub fn second(unix_ms: u64) -> Time {
    Time(time(unix_ms - unix_ms % 1_000))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backup(metadata: Value) -> RedisBackup {
        let mut object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": "nightly", "creationTimestamp": "2027-01-15T08:00:00Z"},
            "spec": {"target": {"name": "cache"}},
        });
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn one_that_a_person_made_is_wanted_since_then_and_for_an_hour_at_most() {
        let demand = demand(&backup(json!({})));
        assert_eq!(
            (demand.cause, demand.schedule.as_str()),
            (Cause::Person, "")
        );
        assert_eq!(demand.since_unix_ms, 1_800_000_000_000);
        assert_eq!(demand.latest_unix_ms, 1_800_000_000_000 + 3_600_000);
    }

    #[test]
    fn one_that_a_schedule_wants_says_since_when_and_until_when() {
        let of_schedule = backup(json!({
            "labels": {"cache.hera.io/backup-cause": "schedule", "cache.hera.io/backup-schedule": "nightly"},
            "annotations": {
                "cache.hera.io/backup-due": "2027-01-15T07:59:00Z",
                "cache.hera.io/backup-latest": "2027-01-15T08:00:00.5Z",
            },
        }));
        let demand = demand(&of_schedule);
        assert_eq!(
            (demand.cause, demand.schedule.as_str()),
            (Cause::Schedule, "nightly")
        );
        assert_eq!(demand.since_unix_ms, 1_800_000_000_000 - 60_000);
        assert_eq!(demand.latest_unix_ms, 1_800_000_000_500);
    }

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let at = 1_800_000_000_500;
        assert_eq!(time(at).to_string(), "2027-01-15T08:00:00.5Z");
        assert_eq!(time(at).to_string().parse().map(millis).ok(), Some(at));
        assert_eq!(second(at), Time(time(1_800_000_000_000)));
    }

    #[test]
    fn each_cause_is_told_by_its_label() {
        let labels = [Cause::Schedule, Cause::Age, Cause::Replay, Cause::Gap].map(|told| {
            let label = label(told).unwrap();
            let of_it = backup(json!({"labels": {LABEL_BACKUP_CAUSE: label}}));
            assert_eq!(cause(&of_it), told);
            label
        });
        assert_eq!(labels, hera_api::meta::CAUSES);
    }
}
