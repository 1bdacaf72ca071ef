//! What `status.backup` says: what there is of an object in its store, and up to when schedules are seen to.

use hera_api::{BackupOverview, LastBackup, ScheduleStatus};
use hera_core::backup::Paths;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::Site;
use super::sweeps;
use super::view::View;
use crate::controllers::backups::record::{self, second};
use crate::controllers::backups::retention::KnownSweep;
use crate::controllers::pods::observe::millis;

/// What it says from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Overview {
    /// What it said.
    #[default]
    AsBefore,
    /// This; nothing without a store.
    Is(Option<Box<BackupOverview>>),
}

impl Overview {
    /// What there is now.
    pub fn of(
        site: &Site<'_>,
        view: &View<'_>,
        schedules: Vec<ScheduleStatus>,
        next_schedule_unix_ms: Option<u64>,
        sweep: &KnownSweep,
    ) -> Self {
        let key = site.instance();
        let paths = Paths::new(&key.namespace, &key.name, view.uid);
        let now = build(view, &paths, schedules, next_schedule_unix_ms, sweep);
        Self::Is(Some(Box::new(now)))
    }
}

fn build(
    view: &View<'_>,
    paths: &Paths,
    schedules: Vec<ScheduleStatus>,
    next_schedule_unix_ms: Option<u64>,
    sweep: &KnownSweep,
) -> BackupOverview {
    let newest = view
        .completed()
        .max_by_key(|backup| record::over_unix_ms(backup));
    let last_backup = newest.and_then(|backup| {
        Some(LastBackup {
            name: backup.name_any(),
            instant: backup.status.as_ref()?.instant.clone()?,
        })
    });
    let last = view.last.as_ref();
    // Without retention nothing is swept, and once there is some again it begins anew. What is gone is gone.
    let swept_at = last.filter(|_| view.plan.keep.is_some());
    let mut swept_at = swept_at.and_then(|last| last.swept_at.clone());
    let mut first_recoverable = last.and_then(|last| last.first_recoverable.clone());
    if let Some(swept) = sweep.swept.filter(|_| view.plan.keep.is_some()) {
        let at = second(swept.at_unix_ms);
        let is_older = |known: &Time| known.0 < at.0 || !sweeps::is_past(view, millis(known.0));
        if swept_at.as_ref().is_none_or(is_older) {
            swept_at = Some(at);
            first_recoverable = swept.first_unix_ms.map(second_after);
        }
    }
    BackupOverview {
        path: Some(paths.root().to_owned()),
        last_backup,
        first_recoverable,
        next_schedule: next_schedule_unix_ms.map(second),
        swept_at,
        schedules,
    }
}

/// The next whole second: the one before is not covered.
fn second_after(unix_ms: u64) -> Time {
    second(unix_ms.saturating_add(999))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;
    use crate::controllers::backups::retention::Swept;

    fn of(view: &View<'_>, sweep: &KnownSweep) -> BackupOverview {
        build(
            view,
            &Paths::new("shop", "cache", "u"),
            Vec::new(),
            None,
            sweep,
        )
    }

    #[test]
    fn the_last_backup_is_the_one_that_was_over_last() {
        let plan = plan(json!({}));
        let backups = [
            backup("a", None, "Completed", NOW - 1_000),
            backup("b", None, "Completed", NOW - 9_000),
            backup("c", None, "Failed", NOW),
        ];
        let told = of(&view(&plan, &backups), &KnownSweep::default());
        assert_eq!(told.last_backup.unwrap().name, "a");
        assert_eq!(told.path.as_deref(), Some("shop.cache/u"));
    }

    #[test]
    fn what_a_sweep_found_is_told_until_a_later_one_and_when_it_was_only_while_there_is_retention()
    {
        let swept = |at_unix_ms, first| KnownSweep {
            swept: Some(Swept {
                at_unix_ms,
                first_unix_ms: Some(first),
            }),
            ..KnownSweep::default()
        };
        let with = plan(json!({"keep": {"last": 2}}));
        let mut view_with = view(&with, &[]);
        let told = of(&view_with, &swept(NOW, NOW - 5_500));
        assert_eq!(told.swept_at, Some(second(NOW)));
        assert_eq!(told.first_recoverable, Some(second(NOW - 5_000)));
        view_with.last = Some(told.clone());
        assert_eq!(
            of(&view_with, &KnownSweep::default()),
            told,
            "also after a restart"
        );
        assert_eq!(
            of(&view_with, &swept(NOW - 9_000, 0)),
            told,
            "an older one is no news"
        );
        let without = plan(json!({}));
        let mut view_without = view(&without, &[]);
        view_without.last = Some(told);
        let told = of(&view_without, &swept(NOW, NOW));
        assert_eq!(told.swept_at, None);
        assert_eq!(told.first_recoverable, Some(second(NOW - 5_000)));
    }
}
