//! Which backups stay, as far as Kubernetes tells: agents, who look into the store, may need more.

use std::collections::BTreeSet;

use hera_api::meta::ANNOTATION_BACKUP_KEEP;
use hera_api::validate::backup_plan;
use hera_api::{BackupPhase, RedisBackup, RedisInstance};
use hera_core::backup::Keep;
use hera_core::backup::retention::needed_simple;
use jiff::Timestamp;
use kube::ResourceExt as _;

/// Somebody keeps it.
pub fn is_kept(backup: &RedisBackup) -> bool {
    let value = backup.annotations().get(ANNOTATION_BACKUP_KEEP);
    value.is_some_and(|value| value == "true")
}

/// Names of the backups that must stay by the spec of their instance; none where it keeps all.
pub fn needed(
    instance: &RedisInstance,
    backups: &[RedisBackup],
    now: Timestamp,
) -> BTreeSet<String> {
    by_spec(instance, backups, now).unwrap_or_default()
}

fn by_spec(
    instance: &RedisInstance,
    backups: &[RedisBackup],
    now: Timestamp,
) -> Option<BTreeSet<String>> {
    let (for_ms, last) = backup_plan(&instance.spec).ok()??.keep?;
    let whole: Vec<&RedisBackup> = backups
        .iter()
        .filter(|backup| is_whole(instance, backup))
        .collect();
    let named = |backup: &&RedisBackup| Some((backup.name_any(), instant(backup)?));
    let held: Vec<(String, u64)> = whole.iter().filter_map(named).collect();
    let kept = whole.iter().filter(|backup| is_kept(backup));
    let kept = kept.map(|backup| backup.name_any()).collect();
    let now = u64::try_from(now.as_millisecond()).ok()?;
    needed_simple(&held, &Keep { for_ms, last }, &kept, now).ok()
}

/// The store holds the whole of it, and it is of this instance, and not of one before that had its name.
fn is_whole(instance: &RedisInstance, backup: &RedisBackup) -> bool {
    let uid = backup.status.as_ref().map(|status| &status.target_uid);
    backup.phase() == BackupPhase::Completed && uid == Some(&instance.metadata.uid)
}

fn instant(backup: &RedisBackup) -> Option<u64> {
    let instant = backup.status.as_ref()?.instant.as_ref()?;
    u64::try_from(instant.0.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::backup;
    use super::*;
    use crate::named::Object;
    use crate::named::tests::instance;

    #[test]
    fn the_last_ones_that_are_whole_and_of_this_instance_are_needed() {
        let Object::Instance(mut cart) = instance(json!({})) else {
            panic!("no instance");
        };
        cart.metadata.uid = Some("u-2".to_owned());
        let of = |name: &str, hour: u8, phase: &str, uid: &str| {
            let instant = format!("2026-11-28T{hour:02}:00:00Z");
            let status = json!({"phase": phase, "targetUid": uid, "instant": instant});
            backup(name, hour, status)
        };
        let all = [
            of("b1", 1, "Completed", "u-2"),
            of("b2", 2, "Completed", "u-2"),
            of("b3", 3, "Completed", "u-2"),
            of("b4", 4, "Failed", "u-2"),
            of("b5", 5, "Completed", "u-1"),
        ];
        let now: Timestamp = "2026-11-28T06:00:00Z".parse().unwrap();
        let mut names = |keep: serde_json::Value| {
            let spec = json!({"storeRef": {"name": "s3"}, "keep": keep});
            cart.spec.backup = serde_json::from_value(spec).unwrap();
            needed(&cart, &all, now).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(names(json!({"last": 2})), ["b2", "b3"]);
        assert!(names(json!(null)).is_empty(), "all are kept");
    }

    #[test]
    fn who_keeps_one_says_true() {
        let mut one = backup("b1", 1, json!({}));
        assert!(!is_kept(&one));
        for (value, kept) in [("true", true), ("false", false), ("", false)] {
            let wish = (ANNOTATION_BACKUP_KEEP.to_owned(), value.to_owned());
            one.annotations_mut().extend([wish]);
            assert_eq!(is_kept(&one), kept, "{value:?}");
        }
    }
}
