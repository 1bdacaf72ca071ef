//! What the schema says of when backups are made and which ones stay, once more; and what it cannot say: whether there
//! ever is such a time, and such a zone.

use std::collections::BTreeSet;

use super::backup::check_log;
use super::error::{InvalidSpec, Problems};
use super::labels::is_dns_label;
use super::messages;
use super::replication::millis;
use crate::spec::{BackupSchedule, BackupSource, BackupSpec, KeepSpec};
use crate::{Cron, CronError, RedisInstanceSpec};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const MAX_SCHEDULES: usize = 8;
/// Longest name of a schedule.
const MAX_NAME: usize = 40;
/// So many of the last backups may be told to stay.
const LAST: std::ops::RangeInclusive<u32> = 1..=1_000;

/// When backups of an object are made, and which ones stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPlan {
    /// Name of the store.
    pub store: String,
    /// Which copy they are read from.
    pub source: BackupSource,
    /// The primary takes writes only with replicas in sync: a log is not read from it in place of one.
    pub needs_replicas: bool,
    /// A log is kept as well.
    pub log_kept: bool,
    /// When they are made by themselves, in the order of the spec.
    pub schedules: Vec<Schedule>,
    /// Milliseconds that the newest one may be old.
    pub max_age_ms: Option<u64>,
    /// Milliseconds that the log behind it may take to load.
    pub max_replay_ms: Option<u64>,
    /// Milliseconds for which all stays that could be recovered, if so much is to, and how many of the last ones stay
    /// whatever their age. None: all stays.
    pub keep: Option<(Option<u64>, u32)>,
}

/// When backups are made by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Its times as the status has them: the five fields, a space, and the zone.
    pub times: String,
    /// Its times.
    pub cron: Cron,
    /// Milliseconds after its time within which one begins.
    pub start_within_ms: u64,
}

/// What a spec, of which nothing else may be usable, says of when backups are made and which ones stay; none if it says
/// nothing of backups.
///
/// # Errors
///
/// What is wrong with what it says of backups.
pub fn backup_plan(spec: &RedisInstanceSpec) -> Result<Option<BackupPlan>, InvalidSpec> {
    let mut problems = Problems::default();
    let plan = check(spec, &mut problems);
    problems.finish(Some(plan))
}

pub(super) fn of_instance(spec: &RedisInstanceSpec, problems: &mut Problems) -> Option<BackupSpec> {
    check(spec, problems);
    spec.backup.clone()
}

fn check(spec: &RedisInstanceSpec, problems: &mut Problems) -> Option<BackupPlan> {
    let log_kept = check_log(spec, problems).is_some();
    let backup = spec.backup.as_ref()?;
    Some(BackupPlan {
        store: backup.store_ref.name.clone(),
        source: backup.source,
        needs_replicas: spec.durability.min_replicas_to_write > 0,
        log_kept,
        schedules: schedules(&backup.schedules, problems),
        max_age_ms: backup.max_age.as_deref().map(|text| {
            millis(
                problems,
                "spec.backup.maxAge",
                text,
                |millis| (10 * MINUTE..=8_760 * HOUR).contains(&millis),
                messages::MAX_AGE,
            )
        }),
        max_replay_ms: backup.max_replay.as_deref().map(|text| {
            millis(
                problems,
                "spec.backup.maxReplay",
                text,
                |millis| (10_000..=24 * HOUR).contains(&millis),
                messages::MAX_REPLAY,
            )
        }),
        keep: backup.keep.as_ref().map(|keep| kept(keep, problems)),
    })
}

fn schedules(specs: &[BackupSchedule], problems: &mut Problems) -> Vec<Schedule> {
    if specs.len() > MAX_SCHEDULES {
        problems.add("spec.backup.schedules", messages::SCHEDULES);
    }
    let mut names = BTreeSet::new();
    let specs = specs.iter().take(MAX_SCHEDULES).enumerate();
    specs
        .filter_map(|(index, spec)| {
            let field = format!("spec.backup.schedules[{index}]");
            if !names.insert(&spec.name) {
                problems.add(format!("{field}.name"), messages::SCHEDULE_IS_ONE);
            }
            schedule(&field, spec, problems)
        })
        .collect()
}

fn schedule(field: &str, spec: &BackupSchedule, problems: &mut Problems) -> Option<Schedule> {
    let BackupSchedule {
        name,
        cron,
        time_zone,
        start_within,
    } = spec;
    if name.len() > MAX_NAME || !is_dns_label(name) {
        problems.add(format!("{field}.name"), messages::SCHEDULE_NAME);
    }
    let start_within_ms = millis(
        problems,
        &format!("{field}.startWithin"),
        start_within,
        |millis| millis <= 24 * HOUR,
        messages::START_WITHIN,
    );
    match Cron::parse(cron, time_zone) {
        Ok(parsed) => Some(Schedule {
            name: name.clone(),
            times: format!("{cron} {time_zone}"),
            cron: parsed,
            start_within_ms,
        }),
        Err(error) => {
            let last = match error {
                CronError::Zone { .. } => "timeZone",
                CronError::Fields | CronError::Field { .. } | CronError::Never => "cron",
            };
            problems.add(format!("{field}.{last}"), error);
            None
        }
    }
}

fn kept(keep: &KeepSpec, problems: &mut Problems) -> (Option<u64>, u32) {
    let window = keep.window.as_deref().map(|text| {
        millis(
            problems,
            "spec.backup.keep.for",
            text,
            |millis| (HOUR..=87_600 * HOUR).contains(&millis),
            messages::KEEP_FOR,
        )
    });
    let last = u32::try_from(keep.last).unwrap_or_default();
    if !LAST.contains(&last) {
        problems.add("spec.backup.keep.last", messages::KEEP_LAST);
    }
    (window, last)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::{Invalid, validate, validate_cluster};

    fn spec(backup: Value) -> RedisInstanceSpec {
        let mut backup = backup;
        backup["storeRef"] = json!({"name": "s3"});
        serde_json::from_value(json!({"version": "7.2", "backup": backup})).unwrap()
    }

    fn plan(backup: Value) -> BackupPlan {
        backup_plan(&spec(backup)).unwrap().unwrap()
    }

    /// What is wrong, which is the same whoever looks.
    fn problems(backup: Value) -> Vec<Invalid> {
        let spec = spec(backup);
        let problems = backup_plan(&spec).unwrap_err().0;
        assert_eq!(validate("cache", &spec).unwrap_err().0, problems);
        problems
    }

    fn fields(backup: Value) -> Vec<String> {
        let problems = problems(backup).into_iter();
        problems.map(|problem| problem.field).collect()
    }

    #[test]
    fn without_a_word_nothing_is_made_by_itself_and_all_stays() {
        let none = serde_json::from_value(json!({})).unwrap();
        assert_eq!(backup_plan(&none), Ok(None));
        let expected = BackupPlan {
            store: "s3".to_owned(),
            source: BackupSource::PreferReplica,
            needs_replicas: false,
            log_kept: false,
            schedules: vec![],
            max_age_ms: None,
            max_replay_ms: None,
            keep: None,
        };
        assert_eq!(plan(json!({})), expected);
    }

    #[test]
    fn what_the_spec_says_is_in_milliseconds() {
        let found = plan(json!({
            "source": "Replica",
            "log": {},
            "schedules": [
                {"name": "nightly", "cron": "0 3 * * *", "timeZone": "Europe/Berlin", "startWithin": "2h"},
                {"name": "hourly", "cron": "@hourly"},
            ],
            "maxAge": "26h",
            "maxReplay": "10m",
            "keep": {"for": "168h", "last": 3},
        }));
        assert_eq!(
            (found.source, found.log_kept),
            (BackupSource::Replica, true)
        );
        assert_eq!(found.max_age_ms, Some(26 * HOUR));
        assert_eq!(found.max_replay_ms, Some(10 * MINUTE));
        assert_eq!(found.keep, Some((Some(168 * HOUR), 3)));
        let [nightly, hourly] = &found.schedules[..] else {
            panic!("{found:?}");
        };
        assert_eq!(nightly.name, "nightly");
        assert_eq!(nightly.times, "0 3 * * * Europe/Berlin");
        assert_eq!(nightly.start_within_ms, 2 * HOUR);
        assert_eq!(hourly.times, "@hourly UTC");
        assert_eq!(hourly.start_within_ms, HOUR);
        assert_eq!(hourly.cron, Cron::parse("@hourly", "UTC").unwrap());
    }

    #[test]
    fn one_backup_stays_unless_the_spec_says_another_number() {
        assert_eq!(plan(json!({"keep": {}})).keep, Some((None, 1)));
        let window = json!({"keep": {"for": "1h"}});
        assert_eq!(plan(window).keep, Some((Some(HOUR), 1)));
    }

    #[test]
    fn durations_have_bounds() {
        let name = |value: Value| json!([{"name": "a", "cron": "@daily", "startWithin": value}]);
        let good = [
            json!({"maxAge": "10m"}),
            json!({"maxAge": "8760h"}),
            json!({"maxReplay": "10s"}),
            json!({"maxReplay": "24h"}),
            json!({"keep": {"for": "1h"}}),
            json!({"keep": {"for": "87600h", "last": 1_000}}),
            json!({"schedules": name(json!("0s"))}),
            json!({"schedules": name(json!("24h"))}),
        ];
        for backup in good {
            assert!(backup_plan(&spec(backup.clone())).is_ok(), "{backup}");
        }
        let bad = [
            (json!({"maxAge": "9m59s"}), "spec.backup.maxAge"),
            (json!({"maxAge": "8760h1s"}), "spec.backup.maxAge"),
            (json!({"maxAge": "1d"}), "spec.backup.maxAge"),
            (json!({"maxReplay": "9s"}), "spec.backup.maxReplay"),
            (json!({"maxReplay": "25h"}), "spec.backup.maxReplay"),
            (json!({"keep": {"for": "59m"}}), "spec.backup.keep.for"),
            (json!({"keep": {"for": "87601h"}}), "spec.backup.keep.for"),
            (json!({"keep": {"last": 0}}), "spec.backup.keep.last"),
            (json!({"keep": {"last": -1}}), "spec.backup.keep.last"),
            (json!({"keep": {"last": 1_001}}), "spec.backup.keep.last"),
        ];
        for (backup, field) in bad {
            assert_eq!(fields(backup.clone()), [field], "{backup}");
        }
        let late = json!({"schedules": name(json!("24h1s"))});
        assert_eq!(fields(late), ["spec.backup.schedules[0].startWithin"]);
    }

    #[test]
    fn a_schedule_has_a_name_of_its_own_times_that_come_and_a_zone_that_there_is() {
        let schedules = json!({"schedules": [
            {"name": "a", "cron": "0 3 * *"},
            {"name": "a", "cron": "0 3 30 2 *"},
            {"name": "B_c", "cron": "@daily"},
            {"name": "d", "cron": "0 25 * * *"},
            {"name": "e", "cron": "@daily", "timeZone": "Europe/Nowhere"},
        ]});
        let expected = [
            "spec.backup.schedules[0].cron",
            "spec.backup.schedules[1].name",
            "spec.backup.schedules[1].cron",
            "spec.backup.schedules[2].name",
            "spec.backup.schedules[3].cron",
            "spec.backup.schedules[4].timeZone",
        ];
        let found = problems(schedules);
        let fields: Vec<_> = found.iter().map(|problem| &*problem.field).collect();
        assert_eq!(fields, expected);
        assert_eq!(found[0].message, messages::CRON);
        assert_eq!(found[1].message, messages::SCHEDULE_IS_ONE);
        assert_eq!(found[2].message, messages::CRON_NEVER);
        let zone = "there is no zone \"Europe/Nowhere\": ";
        assert!(found[5].message.starts_with(zone), "{}", found[5]);
    }

    #[test]
    fn there_are_eight_schedules_at_most() {
        let schedules = |count: usize| {
            let of = |index: usize| json!({"name": format!("s{index}"), "cron": "@daily"});
            json!({"schedules": (0..count).map(of).collect::<Vec<_>>()})
        };
        assert_eq!(plan(schedules(8)).schedules.len(), 8);
        assert_eq!(fields(schedules(9)), ["spec.backup.schedules"]);
    }

    #[test]
    fn a_policy_for_backups_is_one_of_an_instance() {
        let policies =
            json!({"version": "7.2", "policies": {"backup": {"configMapRef": {"name": "calm"}}}});
        let of_instance = serde_json::from_value(policies.clone()).unwrap();
        let policy = validate("cache", &of_instance).unwrap().backup_policy;
        let reference = policy.and_then(|policy| policy.config_map_ref);
        assert_eq!(reference.map(|map| map.name).as_deref(), Some("calm"));
        let of_cluster = serde_json::from_value(policies).unwrap();
        let error = validate_cluster("shop", &of_cluster).unwrap_err();
        let expected = Invalid::new("spec.policies.backup", messages::BACKUP_OF_CLUSTER);
        assert_eq!(error.0, [expected]);
    }
}
