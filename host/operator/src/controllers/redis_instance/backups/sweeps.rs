//! When what is not needed is looked for and deleted: after a backup, when `spec.backup.keep` changed, and once a day.

use super::view::{CLOCKS, View};
use crate::controllers::backups::record;
use crate::controllers::backups::retention::{KnownSweep, keep_of};
use crate::controllers::pods::observe::millis;

/// Between two sweeps for which nothing else gives a reason, in milliseconds.
const DAILY: u64 = 86_400_000;
/// Between any two, but for another `keep`.
const PAUSE: u64 = 3_600_000;

/// When the next one is due, in milliseconds since 1970; none without retention, and while there is nothing to delete.
pub fn due(view: &View<'_>, known: &KnownSweep) -> Option<u64> {
    let keep = keep_of(view.plan)?;
    if known.is_under_way {
        return None;
    }
    view.completed().next()?;
    let over = view.completed().filter_map(record::over_unix_ms);
    let last_backup = over.filter(|at| is_past(view, *at)).max().unwrap_or(0);
    let not_before = Some(known.not_before_unix_ms).filter(|at| is_past(view, *at));
    let not_before = not_before.unwrap_or(0);
    let Some(swept) = swept_unix_ms(view, known) else {
        return Some(not_before);
    };
    if known.keep.is_some_and(|known| known != keep) {
        return Some(not_before);
    }
    let wanted = match last_backup >= swept {
        true => last_backup,
        false => swept.saturating_add(DAILY),
    };
    Some(wanted.max(swept.saturating_add(PAUSE)).max(not_before))
}

/// When the last one began, in milliseconds since 1970.
fn swept_unix_ms(view: &View<'_>, known: &KnownSweep) -> Option<u64> {
    let told = view.last.as_ref().and_then(|last| last.swept_at.as_ref());
    let told = told.map(|at| millis(at.0));
    let known = known.swept.map(|swept| swept.at_unix_ms);
    let all = told.into_iter().chain(known);
    all.filter(|at| is_past(view, *at)).max()
}

/// False of a time by a clock that was ahead: nothing would be swept until then.
pub fn is_past(view: &View<'_>, unix_ms: u64) -> bool {
    unix_ms <= view.now_unix_ms.saturating_add(CLOCKS)
}

/// Since when one has been due that did not come to a good end, in milliseconds since 1970.
pub fn overdue_since(view: &View<'_>, known: &KnownSweep) -> Option<u64> {
    keep_of(view.plan)?;
    let swept = swept_unix_ms(view, known).unwrap_or(0);
    let over = view.completed().filter_map(record::over_unix_ms);
    let since = over.filter(|over| *over >= swept).min();
    let daily = Some(swept.saturating_add(DAILY)).filter(|_| swept > 0);
    since.into_iter().chain(daily).min()
}

#[cfg(test)]
mod tests {
    use hera_api::BackupOverview;
    use hera_core::backup::Keep;
    use serde_json::{Value, json};

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;
    use crate::controllers::backups::record::second;

    /// When one is due, of an object whose last backup was over so long ago, and that was swept so long ago.
    fn due_at(
        keep: Value,
        backup_ago: u64,
        swept_ago: Option<u64>,
        known: &KnownSweep,
    ) -> Option<u64> {
        let plan = plan(json!({"keep": keep}));
        let backups = [backup("a", None, "Completed", NOW - backup_ago)];
        let mut view = view(&plan, &backups);
        view.last = swept_ago.map(|ago| BackupOverview {
            swept_at: Some(second(NOW - ago)),
            ..BackupOverview::default()
        });
        due(&view, known)
    }

    #[test]
    fn without_retention_nothing_is_deleted_and_with_it_at_once_and_after_each_backup_once_an_hour()
    {
        let none = KnownSweep::default();
        assert_eq!(due_at(Value::Null, 0, None, &none), None);
        let keep = || json!({"last": 2});
        assert!(due_at(keep(), 1_000, None, &none).unwrap() <= NOW);
        let hour = PAUSE;
        assert_eq!(due_at(keep(), 0, Some(2 * hour), &none), Some(NOW));
        assert_eq!(
            due_at(keep(), 0, Some(hour / 2), &none),
            Some(NOW + hour / 2)
        );
        assert_eq!(
            due_at(keep(), 9 * hour, Some(hour), &none),
            Some(NOW - hour + DAILY)
        );
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_end_sweeps() {
        let plan = plan(json!({"keep": {"last": 2}}));
        let ahead = NOW + CLOCKS + 1_000;
        let backups = [backup("a", None, "Completed", ahead)];
        let mut view = view(&plan, &backups);
        view.last = Some(BackupOverview {
            swept_at: Some(second(ahead)),
            ..BackupOverview::default()
        });
        let known = KnownSweep {
            not_before_unix_ms: ahead,
            ..KnownSweep::default()
        };
        assert_eq!(due(&view, &known), Some(0));
    }

    #[test]
    fn another_keep_is_carried_out_at_once_and_a_failed_sweep_is_tried_again_later() {
        let known = |last| KnownSweep {
            keep: Some(Keep { for_ms: None, last }),
            not_before_unix_ms: NOW + 5,
            ..KnownSweep::default()
        };
        let swept = Some(60_000);
        let at = |last| due_at(json!({"last": 2}), PAUSE, swept, &known(last));
        assert_eq!(at(3), Some(NOW + 5));
        assert_eq!(at(2), Some(NOW - 60_000 + DAILY));
        let under_way = KnownSweep {
            is_under_way: true,
            ..KnownSweep::default()
        };
        assert_eq!(due_at(json!({"last": 2}), 0, None, &under_way), None);
    }

    #[test]
    fn a_sweep_is_overdue_since_the_first_backup_after_the_last_one_or_the_day_after() {
        let plan = plan(json!({"keep": {"last": 2}}));
        let backups = [
            backup("a", None, "Completed", NOW - 9_000),
            backup("b", None, "Completed", NOW - 5_000),
        ];
        let mut view = view(&plan, &backups);
        let none = KnownSweep::default();
        assert_eq!(overdue_since(&view, &none), Some(NOW - 9_000));
        view.last = Some(BackupOverview {
            swept_at: Some(second(NOW - 7_000)),
            ..BackupOverview::default()
        });
        assert_eq!(overdue_since(&view, &none), Some(NOW - 5_000));
        view.backups.clear();
        assert_eq!(overdue_since(&view, &none), Some(NOW - 7_000 + DAILY));
    }
}
