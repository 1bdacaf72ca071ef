//! What the condition `BackupHealthy` says, of the log and of backups.

use hera_api::conditions::{backup_healthy, completed};
use hera_api::validate::BackupPlan;
use hera_api::{BackupPhase, RedisBackup, RedisInstance};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::Said;
use super::sweeps;
use super::view::View;
use crate::controllers::backups::record::{self, time};
use crate::controllers::backups::retention::KnownSweep;

/// Sweeps may fail for so long, in milliseconds.
const SWEEPS_FAIL: u64 = 86_400_000;

/// What it says, and until when without news, in milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub said: Said,
    pub until_unix_ms: Option<u64>,
}

/// True if something is said where there is no log.
pub fn is_told(plan: &BackupPlan) -> bool {
    !plan.schedules.is_empty() || plan.max_age_ms.is_some()
}

/// The condition as it stands.
pub fn last(object: &RedisInstance) -> Option<&Condition> {
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == backup_healthy::TYPE)
}

/// What it says where this is said of the log. What is wrong with the log comes first.
pub fn of(view: &View<'_>, sweep: &KnownSweep, last: Option<&Condition>, log: &Said) -> Told {
    let too_old_at = too_old_at(view);
    let ahead = too_old_at.filter(|at| *at > view.now_unix_ms);
    let told = |said| Told {
        said,
        until_unix_ms: ahead,
    };
    let is = |reason: &'static str, words: String| told(Said::Is(false, reason, words));
    if matches!(log, Said::Is(false, ..)) {
        return told(log.clone());
    }
    if let Some(since) = too_old_at.filter(|at| *at <= view.now_unix_ms) {
        let words = format!(
            "since {} the newest backup is older than spec.backup.maxAge: what is in the way of the next one, its \
             RedisBackup says",
            time(since)
        );
        return is(backup_healthy::TOO_OLD, words);
    }
    if let Some(failed) = last_failed(view) {
        return is(backup_healthy::LAST_BACKUP_FAILED, failed);
    }
    if is_told(view.plan) && view.base().is_none() && *log != Said::AsBefore {
        let words = "there is no backup yet: the first one comes by itself";
        return is(backup_healthy::FIRST_BACKUP_PENDING, words.to_owned());
    }
    if let Some(words) = sweeps_fail(view, sweep, last) {
        return is(backup_healthy::SWEEP_FAILED, words);
    }
    match log {
        Said::Off if is_told(view.plan) => {
            let words = "backups are made as spec.backup asks: status.backup tells of the last one";
            told(Said::Is(true, backup_healthy::HEALTHY, words.to_owned()))
        }
        _ => told(log.clone()),
    }
}

/// When the newest backup is as old as it may get, in milliseconds since 1970.
fn too_old_at(view: &View<'_>) -> Option<u64> {
    let taken = view.base_unix_ms()?;
    Some(taken.saturating_add(view.plan.max_age_ms?))
}

/// Why the last backup that came by itself failed, while there has been none since.
fn last_failed(view: &View<'_>) -> Option<String> {
    let automatic = view
        .backups
        .iter()
        .copied()
        .filter(|backup| backup.phase() == BackupPhase::Failed && record::is_automatic(backup));
    let failed = automatic.max_by_key(|backup| record::over_unix_ms(backup))?;
    let at = record::over_unix_ms(failed)?;
    let mut completed = view.completed().filter_map(record::over_unix_ms);
    if completed.any(|over| over >= at) {
        return None;
    }
    Some(format!(
        "RedisBackup {} failed{}",
        failed.name_any(),
        why(failed)
    ))
}

fn why(backup: &RedisBackup) -> String {
    let mut conditions = backup.status.iter().flat_map(|status| &status.conditions);
    let said = conditions.find(|condition| condition.type_ == completed::TYPE);
    said.map_or_else(String::new, |said| {
        format!(": {}: {}", said.reason, said.message)
    })
}

/// Why nothing has been deleted for a day that is not needed. Who was not there goes by what was said.
fn sweeps_fail(view: &View<'_>, sweep: &KnownSweep, last: Option<&Condition>) -> Option<String> {
    let since = sweeps::overdue_since(view, sweep)?;
    if view.now_unix_ms.saturating_sub(since) < SWEEPS_FAIL {
        return None;
    }
    if let Some(failed) = &sweep.failed {
        let words = format!(
            "since {} what is not needed is not deleted: {failed}",
            time(since)
        );
        return Some(words);
    }
    let last = last.filter(|last| last.reason == backup_healthy::SWEEP_FAILED);
    last.map(|last| last.message.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn told(spec: Value, backups: &[RedisBackup], log: &Said) -> Told {
        told_of(spec, backups, log, &KnownSweep::default())
    }

    fn told_of(spec: Value, backups: &[RedisBackup], log: &Said, sweep: &KnownSweep) -> Told {
        let plan = plan(spec);
        of(&view(&plan, backups), sweep, None, log)
    }

    fn reason(told: &Told) -> Option<(bool, &'static str)> {
        match &told.said {
            Said::Is(truth, reason, _) => Some((*truth, *reason)),
            Said::AsBefore | Said::Off => None,
        }
    }

    #[test]
    fn where_nothing_is_made_by_itself_nothing_is_said() {
        let told = told(json!({}), &[], &Said::Off);
        assert_eq!(told.said, Said::Off);
    }

    #[test]
    fn the_newest_backup_is_too_old_once_it_is_older_than_it_may_be() {
        let spec = || json!({"maxAge": "2h"});
        let young = [backup("a", None, "Completed", NOW - HOUR)];
        let now = told(spec(), &young, &Said::Off);
        assert_eq!(reason(&now), Some((true, backup_healthy::HEALTHY)));
        assert_eq!(now.until_unix_ms, Some(NOW + HOUR));
        let old = [backup("a", None, "Completed", NOW - 2 * HOUR)];
        let now = told(spec(), &old, &Said::Off);
        assert_eq!(reason(&now), Some((false, backup_healthy::TOO_OLD)));
        assert_eq!(now.until_unix_ms, None);
        let none = told(spec(), &[], &Said::Off);
        assert_eq!(
            reason(&none),
            Some((false, backup_healthy::FIRST_BACKUP_PENDING))
        );
    }

    #[test]
    fn a_backup_that_failed_by_itself_is_told_until_there_is_one() {
        let spec = || json!({"schedules": [{"name": "a", "cron": "@daily"}]});
        let failed = backup("f", Some("schedule"), "Failed", NOW - HOUR);
        let before = backup("a", None, "Completed", NOW - 2 * HOUR);
        let now = told(spec(), &[failed.clone(), before.clone()], &Said::Off);
        assert_eq!(
            reason(&now),
            Some((false, backup_healthy::LAST_BACKUP_FAILED))
        );
        let since = backup("b", None, "Completed", NOW);
        let now = told(spec(), &[failed, before.clone(), since], &Said::Off);
        assert_eq!(reason(&now), Some((true, backup_healthy::HEALTHY)));
        let of_person = backup("p", None, "Failed", NOW);
        let now = told(spec(), &[before, of_person], &Said::Off);
        assert_eq!(reason(&now), Some((true, backup_healthy::HEALTHY)));
    }

    #[test]
    fn what_is_wrong_with_the_log_comes_first_and_what_is_not_known_stays() {
        let spec = || json!({"maxAge": "2h"});
        let old = [backup("a", None, "Completed", NOW - 9 * HOUR)];
        let gap = Said::Is(false, backup_healthy::LOG_GAP, String::new());
        assert_eq!(told(spec(), &old, &gap).said, gap);
        assert_eq!(told(spec(), &[], &Said::AsBefore).said, Said::AsBefore);
    }

    #[test]
    fn sweeps_that_fail_are_told_after_a_day() {
        let spec = || json!({"maxAge": "720h", "keep": {"last": 2}});
        let sweep = KnownSweep {
            failed: Some("the store does not answer".to_owned()),
            ..KnownSweep::default()
        };
        let at = |hours: u64| {
            let backups = [backup("a", None, "Completed", NOW - hours * HOUR)];
            reason(&told_of(spec(), &backups, &Said::Off, &sweep))
        };
        assert_eq!(at(23), Some((true, backup_healthy::HEALTHY)));
        assert_eq!(at(25), Some((false, backup_healthy::SWEEP_FAILED)));
    }
}
