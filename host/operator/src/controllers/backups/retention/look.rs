//! What an agent found in a store, beside what RedisBackups say: what may go, and of what nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use hera_api::RedisBackup;
use hera_core::backup::decision::{Cause, Past};
use hera_core::backup::retention::needed_simple;
use hera_core::backup::{Held, Keep, MOST_HELD};
use kube::ResourceExt as _;

use super::super::record;
use super::failed::Failed;
use super::kept::Kept;

/// A backup is over for so long, in milliseconds, before it is missed in a store that was looked at.
const SETTLED: u64 = 60_000;

/// What is in the store, for a policy: what an agent needs stays, and what the operator does.
///
/// # Errors
/// When that cannot be told.
pub fn history(
    held: &[Held],
    keep: Keep,
    kept: &BTreeSet<String>,
    backups: &[&RedisBackup],
    now_unix_ms: u64,
) -> Result<Vec<Past>, Failed> {
    let instants: Vec<(String, u64)> = held
        .iter()
        .map(|held| (held.id.clone(), held.instant_unix_ms))
        .collect();
    let needed = needed_simple(&instants, &keep, kept, now_unix_ms)
        .map_err(|doubt| Failed::Doubt(doubt.to_string()))?;
    let causes: BTreeMap<String, Cause> = backups
        .iter()
        .map(|backup| (backup.name_any(), record::cause(backup)))
        .collect();
    let all = held.iter().map(|held| Past {
        id: held.id.clone(),
        instant_unix_ms: held.instant_unix_ms,
        stored_bytes: held.stored_bytes,
        cause: causes.get(&held.id).copied().unwrap_or(Cause::Person),
        needed: held.needed || needed.contains(&held.id) || kept.contains(&held.id),
    });
    Ok(all.collect())
}

/// RedisBackups of an object whose data is in the store no more: it was deleted, and nobody heard of it. Only where all
/// that is there was told, and some of it is the object's: another place in the store would have none.
pub fn gone<'a>(
    backups: &[&'a RedisBackup],
    held: &[Held],
    uid: &str,
    store: &str,
    looked_unix_ms: u64,
) -> Vec<&'a RedisBackup> {
    if held.is_empty() || held.len() >= MOST_HELD {
        return Vec::new();
    }
    let ids: BTreeSet<&str> = held.iter().map(|held| held.id.as_str()).collect();
    let stored = backups.iter().copied();
    let stored: Vec<&RedisBackup> = stored
        .filter(|backup| record::is_stored(backup, uid, store))
        .collect();
    let is_held = |backup: &RedisBackup| ids.contains(backup.name_any().as_str());
    if !stored.iter().any(|backup| is_held(backup)) {
        return Vec::new();
    }
    let is_settled = |backup: &RedisBackup| {
        let over = record::over_unix_ms(backup);
        over.is_some_and(|over| over.saturating_add(SETTLED) < looked_unix_ms)
    };
    let gone = stored
        .into_iter()
        .filter(|backup| !is_held(backup) && is_settled(backup) && !record::is_kept(*backup));
    gone.collect()
}

/// What needs a backup that somebody wants deleted, for people.
pub fn why_needed(id: &str, held: &[Held], keep: Option<Keep>, kept: &Kept) -> String {
    if kept.by_person.contains(id) {
        return "the annotation cache.hera.io/keep has it stay: take that away first".to_owned();
    }
    if let Some(instance) = kept.for_instance.get(id) {
        return format!("RedisInstance {instance} begins with it, and has not yet");
    }
    let instant = held.iter().find(|held| held.id == id);
    let instant = instant.map_or(0, |held| held.instant_unix_ms);
    let newer = held.iter().filter(|held| held.instant_unix_ms > instant);
    let newer = u32::try_from(newer.count()).unwrap_or(u32::MAX);
    match keep {
        None => "it is the last backup of the object, or the log goes on from it".to_owned(),
        Some(keep) if newer < keep.last => format!(
            "it is one of the last {}, which stay by spec.backup.keep.last",
            keep.last
        ),
        Some(_) => "what spec.backup.keep.for wants to be recoverable needs it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn held(id: &str, instant_unix_ms: u64) -> Held {
        Held {
            id: id.to_owned(),
            instant_unix_ms,
            stored_bytes: 7,
            needed: false,
        }
    }

    fn stored(name: &str, over_unix_ms: u64, metadata: serde_json::Value) -> RedisBackup {
        let at = record::second(over_unix_ms);
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": name, "annotations": metadata},
            "spec": {"target": {"name": "cache"}},
            "status": {"phase": "Completed", "targetUid": "u", "store": "s3", "completedAt": at, "instant": at},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_gone_from_a_store_is_gone_here_unless_that_may_be_another_place() {
        let there = stored("a", NOW - 900_000, json!({}));
        let gone_by_now = stored("b", NOW - 800_000, json!({}));
        let kept = stored("c", NOW - 700_000, json!({"cache.hera.io/keep": "true"}));
        let just_made = stored("d", NOW - 1_000, json!({}));
        let backups = [&there, &gone_by_now, &kept, &just_made];
        let names = |held: &[Held], uid| {
            let gone = gone(&backups, held, uid, "s3", NOW);
            gone.iter()
                .map(|backup| backup.name_any())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[held("a", 1)], "u"), ["b"]);
        assert!(names(&[held("of-another-place", 1)], "u").is_empty());
        assert!(names(&[], "u").is_empty());
        assert!(names(&[held("a", 1)], "v").is_empty());
        let many: Vec<Held> = (0..MOST_HELD).map(|_| held("a", 1)).collect();
        assert!(names(&many, "u").is_empty(), "more may be there");
    }

    #[test]
    fn people_are_told_what_needs_a_backup() {
        let all = [held("new", 9), held("old", 1)];
        let keep = Some(Keep {
            for_ms: Some(5),
            last: 1,
        });
        let why = |id, keep, kept: &Kept| why_needed(id, &all, keep, kept);
        let none = Kept::default();
        assert!(why("new", keep, &none).contains("keep.last"));
        assert!(why("old", keep, &none).contains("keep.for"));
        assert!(why("new", None, &none).contains("last backup"));
        let kept = Kept {
            by_person: ["new".to_owned()].into(),
            for_instance: [("old".to_owned(), "other".to_owned())].into(),
        };
        assert!(why("new", keep, &kept).contains("cache.hera.io/keep"));
        assert!(why("old", keep, &kept).contains("RedisInstance other"));
    }
}
