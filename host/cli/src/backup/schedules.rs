//! When backups of an instance are made by themselves, as its spec has it.

use hera_api::{BackupSchedule, Cron};
use jiff::Timestamp;
use serde::Serialize;

/// A schedule.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSeen {
    pub name: String,
    /// The five fields, and the zone.
    pub times: String,
    /// When it is due next; none if that cannot be told.
    pub next: Option<Timestamp>,
    /// Why not.
    pub wrong: Option<String>,
}

/// When each is due next.
pub fn seen(schedules: &[BackupSchedule], now: Timestamp) -> Vec<ScheduleSeen> {
    let of = |schedule: &BackupSchedule| {
        let BackupSchedule {
            name,
            cron,
            time_zone,
            start_within: _,
        } = schedule;
        let (next, wrong) = match Cron::parse(cron, time_zone) {
            Ok(times) => (next(&times, now), None),
            Err(error) => (None, Some(error.to_string())),
        };
        ScheduleSeen {
            name: name.clone(),
            times: format!("{cron} {time_zone}"),
            next,
            wrong,
        }
    };
    schedules.iter().map(of).collect()
}

fn next(times: &Cron, now: Timestamp) -> Option<Timestamp> {
    let next = times.next_after(u64::try_from(now.as_millisecond()).ok()?)?;
    Timestamp::from_millisecond(i64::try_from(next).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_has_its_next_time_or_what_is_wrong_with_it() {
        let schedules: Vec<BackupSchedule> = serde_json::from_value(json!([
            {"name": "nightly", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"},
            {"name": "never", "cron": "0 0 30 2 *"},
        ]))
        .unwrap();
        let seen = seen(&schedules, "2026-11-28T12:00:00Z".parse().unwrap());
        assert_eq!(seen[0].times, "0 3 * * * Europe/Berlin");
        assert_eq!(seen[0].next, "2026-11-29T02:00:00Z".parse().ok());
        assert_eq!(seen[0].wrong, None);
        assert_eq!(seen[1].next, None);
        assert!(seen[1].wrong.is_some());
    }
}
