//! What a pass goes by: the backups that there are, the log, and what the spec wants.

use hera_api::validate::BackupPlan;
use hera_api::{BackupOverview, BackupPhase, RedisBackup};
use hera_core::backup::decision::{Cause, Standing};

use crate::controllers::backups::bases::{self, GoesOn};
use crate::controllers::backups::record;

/// What one pass goes by.
#[derive(Clone)]
pub struct View<'a> {
    /// Uid of the object.
    pub uid: &'a str,
    pub plan: &'a BackupPlan,
    /// Those of the object, and of one that had its name.
    pub backups: Vec<&'a RedisBackup>,
    /// The log, while it is kept and has no gap.
    pub goes_on: Option<&'a GoesOn>,
    /// As the status has it.
    pub last: Option<BackupOverview>,
    pub now_unix_ms: u64,
}

impl<'a> View<'a> {
    /// The newest good backup; of a log, that it goes on from.
    pub fn base(&self) -> Option<&'a RedisBackup> {
        let store = &self.plan.store;
        match self.goes_on {
            Some(goes_on) => bases::newest(&self.backups, &goes_on.since(self.uid, store)),
            None => bases::newest_of_all(&self.backups, self.uid, store),
        }
    }

    /// When that was taken, in milliseconds since 1970.
    pub fn base_unix_ms(&self) -> Option<u64> {
        record::taken_unix_ms(self.base()?)
    }

    /// Those that some store has of the object.
    pub fn completed(&self) -> impl Iterator<Item = &'a RedisBackup> {
        let backups = self.backups.iter().copied();
        backups.filter(|backup| record::is_completed(backup, self.uid))
    }

    /// True while one is wanted or made.
    pub fn is_under_way(&self) -> bool {
        let mut backups = self.backups.iter();
        backups.any(|backup| !backup.is_over() && backup.metadata.deletion_timestamp.is_none())
    }

    /// The last one that came by itself and of which nothing came: why it was wanted, and when it was given up.
    pub fn last_failed(&self) -> Option<(Cause, u64)> {
        let failed =
            self.backups.iter().copied().filter(|backup| {
                backup.phase() == BackupPhase::Failed && record::is_automatic(backup)
            });
        let told = failed
            .filter_map(|backup| Some((record::over_unix_ms(backup)?, record::cause(backup))));
        let last = told.max_by_key(|(at, _)| *at);
        last.map(|(at, cause)| (cause, at))
    }

    /// By what it is judged whether one is wanted.
    pub fn standing(&self, log_bytes: u64) -> Standing {
        Standing {
            now_unix_ms: self.now_unix_ms,
            log_since_unix_ms: self.goes_on.map(|goes_on| goes_on.unix_ms),
            base_unix_ms: self.base_unix_ms(),
            log_bytes,
            max_age_ms: self.plan.max_age_ms,
            max_replay_ms: self.plan.max_replay_ms,
            log_kept: self.plan.log_kept,
            last_failed: self.last_failed(),
            under_way: self.is_under_way(),
        }
    }
}

/// Objects for tests.
#[cfg(test)]
pub mod tests {
    use hera_api::{RedisBackup, RedisInstanceSpec};
    use serde_json::{Value, json};

    use super::*;

    /// 2027-01-15T08:00:00Z.
    pub const NOW: u64 = 1_800_000_000_000;

    /// What a spec wants.
    pub fn plan(backup: Value) -> BackupPlan {
        let mut backup = backup;
        backup["storeRef"] = json!({"name": "s3"});
        let spec: RedisInstanceSpec =
            serde_json::from_value(json!({"version": "7.2", "backup": backup})).unwrap();
        hera_api::validate::backup_plan(&spec).unwrap().unwrap()
    }

    /// A backup that was over then; of this cause, none of a person's.
    pub fn backup(name: &str, cause: Option<&str>, phase: &str, over_unix_ms: u64) -> RedisBackup {
        let at = record::second(over_unix_ms);
        let labels = match cause {
            Some(cause) => json!({"cache.hera.io/backup-cause": cause}),
            None => json!({}),
        };
        let mut status = json!({
            "phase": phase, "store": "s3", "targetUid": "u", "completedAt": at, "attempts": 1,
        });
        if phase == "Completed" {
            status["instant"] = json!(at);
            status["shards"] = json!([{
                "shard": "0", "pod": "cache-1", "podUid": "p", "replicationId": "a", "offset": 100,
                "storedBytes": 7,
            }]);
        }
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": labels},
            "spec": {"target": {"name": "cache"}}, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    /// What a pass goes by at [`NOW`].
    pub fn view<'a>(plan: &'a BackupPlan, backups: &'a [RedisBackup]) -> View<'a> {
        View {
            uid: "u",
            plan,
            backups: backups.iter().collect(),
            goes_on: None,
            last: None,
            now_unix_ms: NOW,
        }
    }

    #[test]
    fn the_newest_backup_in_the_store_counts_and_none_of_another_object() {
        let plan = plan(json!({}));
        let mut elsewhere = backup("e", None, "Completed", NOW - 1_000);
        elsewhere.status.as_mut().unwrap().store = Some("other".to_owned());
        let mut before = backup("p", None, "Completed", NOW - 2_000);
        before.status.as_mut().unwrap().target_uid = Some("v".to_owned());
        let backups = [
            backup("a", None, "Completed", NOW - 9_000),
            backup("b", None, "Completed", NOW - 5_000),
            elsewhere,
            before,
        ];
        let view = view(&plan, &backups);
        assert_eq!(view.base_unix_ms(), Some(NOW - 5_000));
        assert_eq!(view.completed().count(), 3);
    }

    #[test]
    fn only_what_came_by_itself_and_failed_holds_back_the_next_of_its_cause() {
        let plan = plan(json!({}));
        let backups = [
            backup("a", Some("age"), "Failed", NOW - 9_000),
            backup("b", Some("gap"), "Failed", NOW - 8_000),
            backup("c", None, "Failed", NOW - 1_000),
            backup("d", Some("age"), "Skipped", NOW),
        ];
        let view = view(&plan, &backups);
        assert_eq!(view.last_failed(), Some((Cause::Gap, NOW - 8_000)));
        assert!(!view.is_under_way());
    }
}
