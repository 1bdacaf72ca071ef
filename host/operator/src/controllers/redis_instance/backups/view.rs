//! What a pass goes by: the backups that there are, the log, and what the spec wants.

use hera_api::validate::BackupPlan;
use hera_api::{BackupOverview, BackupPhase, RedisBackup};
use hera_core::backup::decision::{Cause, Made, Standing};

use crate::controllers::backups::bases::{self, GoesOn};
use crate::controllers::backups::record;
use crate::controllers::pods::observe::millis;

/// Clocks differ by no more than this, in milliseconds.
pub const CLOCKS: u64 = 3_600_000;

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
    /// The newest good backup; of a log, that it goes on from. One that is of the future is of a clock that was ahead:
    /// none would be newer for as long.
    pub fn base(&self) -> Option<&'a RedisBackup> {
        let store = &self.plan.store;
        let ahead = self.now_unix_ms.saturating_add(CLOCKS);
        let backups = self.backups.iter().copied();
        let backups = backups.filter(|backup| taken_by(backup).is_none_or(|at| at <= ahead));
        let backups: Vec<&RedisBackup> = backups.collect();
        match self.goes_on {
            Some(goes_on) => bases::newest(&backups, &goes_on.since(self.uid, store)),
            None => bases::newest_of_all(&backups, self.uid, store),
        }
    }

    /// When that was taken, in milliseconds since 1970.
    pub fn base_unix_ms(&self) -> Option<u64> {
        taken_by(self.base()?)
    }

    /// Those that some store has of the object.
    pub fn completed(&self) -> impl Iterator<Item = &'a RedisBackup> {
        let backups = self.backups.iter().copied();
        backups.filter(|backup| record::is_completed(backup, self.uid))
    }

    /// True while one is made, or waits that is wanted as the log, or the age of the newest one, wants it.
    pub fn is_under_way(&self) -> bool {
        self.waiting_or_made().any(|backup| {
            let is_alike = of_standing(backup).is_some() && is_as_made(backup);
            has_begun(backup) || is_alike
        })
    }

    /// When one of a schedule or of a person begins at the latest, in milliseconds since 1970, that waits to begin. One
    /// that is to be read from other copies than the spec says may wait for ever.
    pub fn begins_unix_ms(&self) -> Option<u64> {
        let waiting = self.waiting_or_made().filter(|backup| {
            !has_begun(backup) && of_standing(backup).is_none() && is_as_made(backup)
        });
        let latest = waiting.map(|backup| record::demand(backup).latest_unix_ms);
        latest.min()
    }

    fn waiting_or_made(&self) -> impl Iterator<Item = &'a RedisBackup> {
        let backups = self.backups.iter().copied();
        backups.filter(|backup| !backup.is_over() && backup.metadata.deletion_timestamp.is_none())
    }

    /// The last one of those for age, replay or a gap of which nothing came: why it was wanted, and when it was given
    /// up.
    pub fn last_failed(&self) -> Option<(Cause, u64)> {
        let failed = self.backups.iter().copied();
        let failed = failed.filter(|backup| backup.phase() == BackupPhase::Failed);
        let told =
            failed.filter_map(|backup| Some((of_standing(backup)?, record::over_unix_ms(backup)?)));
        told.max_by_key(|(_, at)| *at)
    }

    /// The last one of those of which something came.
    pub fn last_made(&self) -> Option<Made> {
        let told = self.completed().filter_map(|backup| {
            let over_unix_ms = record::over_unix_ms(backup)?;
            let status = backup.status.as_ref()?;
            let began = status.started_at.as_ref().map(|at| millis(at.0));
            Some(Made {
                cause: of_standing(backup)?,
                over_unix_ms,
                took_ms: over_unix_ms.saturating_sub(began.unwrap_or(over_unix_ms)),
            })
        });
        told.max_by_key(|made| made.over_unix_ms)
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
            last_made: self.last_made(),
            under_way: self.is_under_way(),
            begins_unix_ms: self.begins_unix_ms(),
        }
    }
}

/// When it was taken, in milliseconds since 1970: by a clock that is ahead, no later than when it was over.
fn taken_by(backup: &RedisBackup) -> Option<u64> {
    let taken = record::taken_unix_ms(backup)?;
    let over = record::over_unix_ms(backup);
    Some(over.map_or(taken, |over| taken.min(over)))
}

/// Why one is wanted that how the object stands wants.
fn of_standing(backup: &RedisBackup) -> Option<Cause> {
    let cause = record::cause(backup);
    matches!(cause, Cause::Age | Cause::Replay | Cause::Gap).then_some(cause)
}

/// Its server was read, or is.
fn has_begun(backup: &RedisBackup) -> bool {
    let attempts = backup.status.as_ref().map_or(0, |status| status.attempts);
    backup.phase() == BackupPhase::Running || attempts > 0
}

/// It is read from the copies that the spec says, as those are that are made here.
fn is_as_made(backup: &RedisBackup) -> bool {
    backup.spec.source.is_none()
}

/// Objects for tests.
#[cfg(test)]
pub mod tests {
    use hera_api::meta::ANNOTATION_BACKUP_LATEST;
    use hera_api::{BackupSource, RedisBackup, RedisInstanceSpec};
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
    fn only_what_how_it_stands_wants_and_failed_holds_back_the_next_of_its_cause() {
        let plan = plan(json!({}));
        let backups = [
            backup("a", Some("age"), "Failed", NOW - 9_000),
            backup("b", Some("gap"), "Failed", NOW - 8_000),
            backup("c", None, "Failed", NOW - 1_000),
            backup("d", Some("age"), "Skipped", NOW),
            backup("e", Some("schedule"), "Failed", NOW),
            backup("f", Some("replay"), "Completed", NOW - 7_000),
        ];
        let view = view(&plan, &backups);
        assert_eq!(view.last_failed(), Some((Cause::Gap, NOW - 8_000)));
        let made = view.last_made().unwrap();
        assert_eq!((made.cause, made.took_ms), (Cause::Replay, 0));
        assert!(!view.is_under_way());
    }

    #[test]
    fn one_that_may_wait_for_long_does_not_stand_for_what_a_gap_wants() {
        let plan = plan(json!({}));
        let waits = |cause: Option<&str>, attempts: i32| {
            let mut backup = backup("a", cause, "Pending", NOW);
            backup.status.as_mut().unwrap().attempts = attempts;
            let latest = [(
                ANNOTATION_BACKUP_LATEST.to_owned(),
                "2027-01-15T09:00:00Z".to_owned(),
            )];
            backup.metadata.annotations = Some(latest.into());
            backup
        };
        let told = |backup: RedisBackup| {
            let backups = [backup];
            let view = view(&plan, &backups);
            let begins = view.begins_unix_ms().map(|at| at - NOW);
            (view.is_under_way(), begins)
        };
        assert_eq!(told(waits(Some("schedule"), 0)), (false, Some(3_600_000)));
        assert_eq!(told(waits(Some("schedule"), 1)), (true, None));
        assert_eq!(told(waits(Some("gap"), 0)), (true, None));
        // Of other copies, which may never fit.
        for cause in [None, Some("gap")] {
            let mut backup = waits(cause, 0);
            backup.spec.source = Some(BackupSource::Replica);
            assert_eq!(told(backup), (false, None));
        }
    }

    #[test]
    fn a_clock_that_was_ahead_lets_no_backup_stay_the_newest_for_as_long() {
        let plan = plan(json!({}));
        let mut node = backup("node", None, "Completed", NOW - 5_000);
        let ahead = record::second(NOW + 9 * CLOCKS);
        node.status.as_mut().unwrap().instant = Some(ahead);
        let of_node = [node];
        let base = view(&plan, &of_node).base_unix_ms();
        assert_eq!(base, Some(NOW - 5_000), "it was over by then");
        let all = [
            backup("operator", None, "Completed", NOW + 9 * CLOCKS),
            backup("right", None, "Completed", NOW - 9_000),
        ];
        assert_eq!(view(&plan, &all).base_unix_ms(), Some(NOW - 9_000));
    }
}
