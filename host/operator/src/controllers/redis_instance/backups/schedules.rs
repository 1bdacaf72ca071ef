//! Which schedules are due, and when the next one is.

use hera_api::meta::LABEL_BACKUP_SCHEDULE;
use hera_api::validate::Schedule;
use hera_api::{BackupPhase, RedisBackup, ScheduleStatus};
use hera_core::backup::decision::{Cause, Due, Tick as Known, due, latest};
use kube::ResourceExt as _;

use super::demand::Wanted;
use super::view::View;
use crate::controllers::backups::record::second;
use crate::controllers::pods::observe::millis;

/// What there is of schedules.
pub struct Ticks {
    pub ticks: Vec<Tick>,
    /// When the next one is due, in milliseconds since 1970.
    pub next_unix_ms: Option<u64>,
}

/// A schedule.
pub struct Tick {
    schedule: Schedule,
    /// Its time, if it is due and none of its backups waits to begin: that one holds what is there by then.
    fires: Option<u64>,
    /// As it stands in the status once that is seen to.
    pub status: ScheduleStatus,
    /// As it stands there.
    pub before: Option<ScheduleStatus>,
}

impl Tick {
    /// The backup that is to be made of it, if one is.
    pub fn wanted(&self, view: &View<'_>) -> Option<Wanted<'_>> {
        let since_unix_ms = self.fires?;
        Some(Wanted {
            cause: Cause::Schedule,
            schedule: &self.schedule.name,
            since_unix_ms,
            latest_unix_ms: latest(
                Cause::Schedule,
                since_unix_ms,
                self.schedule.start_within_ms,
                view.base_unix_ms(),
                view.plan.max_age_ms,
            ),
        })
    }
}

/// What there is of schedules now.
pub fn look(view: &View<'_>) -> Ticks {
    let now = view.now_unix_ms;
    let known = view.last.as_ref().map(|last| last.schedules.as_slice());
    let known = known.unwrap_or_default();
    let schedules = &view.plan.schedules;
    let ticks = schedules.iter().map(|schedule| {
        let before = known.iter().find(|known| known.name == schedule.name);
        let tick = before.map(|before| Known {
            name: before.name.clone(),
            times: before.times.clone(),
            until_unix_ms: millis(before.until.0),
        });
        let last = schedule.cron.last_until(now);
        let Due {
            fires,
            until_unix_ms,
        } = due(tick.as_ref(), &schedule.times, last, now);
        let waits = || {
            let mut backups = view.backups.iter();
            backups.any(|backup| waits_to_begin(backup, &schedule.name))
        };
        Tick {
            schedule: schedule.clone(),
            fires: fires.filter(|_| !waits()),
            status: ScheduleStatus {
                name: schedule.name.clone(),
                times: schedule.times.clone(),
                until: second(until_unix_ms),
            },
            before: before.cloned(),
        }
    });
    let next = schedules
        .iter()
        .filter_map(|schedule| schedule.cron.next_after(now));
    Ticks {
        ticks: ticks.collect(),
        next_unix_ms: next.min(),
    }
}

/// True of a backup of this schedule that nobody has begun to read.
fn waits_to_begin(backup: &RedisBackup, schedule: &str) -> bool {
    let is_its = backup.labels().get(LABEL_BACKUP_SCHEDULE);
    let attempts = backup.status.as_ref().map_or(0, |status| status.attempts);
    is_its.is_some_and(|name| name == schedule)
        && backup.phase() == BackupPhase::Pending
        && attempts == 0
        && backup.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use hera_api::BackupOverview;
    use serde_json::json;

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;

    const MINUTE: u64 = 60_000;

    /// What fires at half past seven and a few times later, of one whose times up to so many minutes ago are seen to.
    fn fires(minutes_ago: u64, backups: &[RedisBackup]) -> Option<u64> {
        let plan = plan(json!({"schedules": [{"name": "often", "cron": "*/10 * * * *"}]}));
        let mut view = view(&plan, backups);
        let known = ScheduleStatus {
            name: "often".to_owned(),
            times: plan.schedules[0].times.clone(),
            until: second(NOW - minutes_ago * MINUTE),
        };
        view.last = Some(BackupOverview {
            schedules: vec![known],
            ..BackupOverview::default()
        });
        let ticks = look(&view);
        assert_eq!(ticks.next_unix_ms, Some(NOW + 10 * MINUTE));
        assert_eq!(ticks.ticks[0].status.until, second(NOW));
        ticks.ticks[0]
            .wanted(&view)
            .map(|wanted| wanted.since_unix_ms)
    }

    #[test]
    fn of_times_that_were_missed_the_last_one_gets_a_backup() {
        assert_eq!(fires(95, &[]), Some(NOW));
        assert_eq!(fires(0, &[]), None, "it is seen to");
    }

    #[test]
    fn one_that_waits_to_begin_stands_for_the_next_time_and_one_that_was_begun_does_not() {
        let mut waits = backup("a", Some("schedule"), "Pending", NOW);
        let labels = waits.metadata.labels.as_mut().unwrap();
        labels.insert(LABEL_BACKUP_SCHEDULE.to_owned(), "often".to_owned());
        assert_eq!(fires(10, &[waits.clone()]), Some(NOW), "it was begun once");
        waits.status.as_mut().unwrap().attempts = 0;
        assert_eq!(fires(10, &[waits.clone()]), None);
        waits.status.as_mut().unwrap().phase = Some(BackupPhase::Failed);
        assert_eq!(
            fires(10, &[waits]),
            Some(NOW),
            "a failed one freezes nothing"
        );
    }

    #[test]
    fn a_schedule_begins_with_the_next_of_its_times() {
        let plan = plan(json!({"schedules": [{"name": "often", "cron": "*/10 * * * *"}]}));
        let view = view(&plan, &[]);
        let ticks = look(&view);
        assert!(ticks.ticks[0].wanted(&view).is_none());
        assert_eq!(ticks.ticks[0].status.until, second(NOW));
    }
}
