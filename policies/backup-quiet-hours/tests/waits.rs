//! How long a schedule waits.
#![allow(clippy::unwrap_used, reason = "tests")]

use hera_policy_backup_quiet_hours::{Hours, QuietHours, Settings};
use hera_policy_sdk::Context;
use hera_policy_sdk::backup::{BackupInput, BackupPolicy, Copy, Next, Role};
use hera_policy_sdk::testing::{backup_input, context, copy};

const MINUTE_MS: u64 = 60_000;

fn settings(from: &str, to: &str, calm: u32) -> Settings {
    let hours = Hours {
        from: from.to_owned(),
        to: to.to_owned(),
        utc_offset: String::new(),
    };
    Settings {
        quiet: vec![hours],
        calm,
    }
}

fn one(ops: u64, usual: u64) -> Copy {
    copy(0, Role::Primary).ops(ops, usual)
}

/// What is answered so many minutes after midnight.
fn at(minutes: u64, settings: &Settings, input: &BackupInput) -> Next {
    let context = Context {
        now_unix_ms: context().now_unix_ms + minutes * MINUTE_MS,
        ..context()
    };
    QuietHours::decide(&context, settings, input).unwrap().next
}

#[test]
fn asked_whenever_it_wants_a_schedule_begins_with_the_hours_or_waits_for_its_latest_time() {
    let midnight = context().now_unix_ms;
    for latest in [0, 1, 61, 200, 1_000, 1_439] {
        let mut input = backup_input(vec![one(9_000, 9_000)]);
        let latest_unix_ms = midnight + latest * MINUTE_MS;
        if let Some(demand) = input.demand.as_mut() {
            demand.latest_unix_ms = latest_unix_ms;
        }
        let night = settings("03:10", "04:00", 50);
        let mut minute = 0;
        loop {
            match at(minute, &night, &input) {
                Next::Start(_) => break,
                Next::WaitUntil(until) => {
                    assert!(until <= latest_unix_ms, "{latest}");
                    let next = (until - midnight) / MINUTE_MS;
                    assert!(next > minute && next <= minute + 5, "{latest}: {next}");
                    minute = next;
                }
                Next::Skip => panic!("it is left out"),
            }
        }
        assert_eq!(minute, latest.min(190));
    }
}

#[test]
fn load_is_little_by_the_percent_of_the_settings_or_if_there_is_hardly_any() {
    let begins = |ops: u64, usual: u64, calm: u32| {
        let input = backup_input(vec![one(ops, usual)]);
        let next = at(720, &settings("03:00", "04:00", calm), &late(input));
        matches!(next, Next::Start(_))
    };
    assert!(begins(500, 1_000, 50));
    assert!(!begins(501, 1_000, 50));
    assert!(begins(1_000, 1_000, 100));
    assert!(!begins(101, 1_000, 0));
    assert!(begins(100, 100, 0));
}

#[test]
fn load_that_is_not_known_is_not_little() {
    let mut unknown = one(0, 0);
    unknown.usual_ops_per_second = None;
    let input = late(backup_input(vec![unknown]));
    let next = at(720, &settings("03:00", "04:00", 50), &input);
    assert!(matches!(next, Next::WaitUntil(_)));
}

/// The same, with a latest time that is far away.
fn late(mut input: BackupInput) -> BackupInput {
    if let Some(demand) = input.demand.as_mut() {
        demand.latest_unix_ms += 24 * 60 * MINUTE_MS;
    }
    input
}

#[test]
fn without_hours_load_alone_is_waited_for() {
    let settings = Settings::default();
    let wait = at(0, &settings, &backup_input(vec![one(900, 1_000)]));
    assert!(wait == Next::WaitUntil(context().now_unix_ms + 5 * MINUTE_MS));
    let begins = at(0, &settings, &backup_input(vec![one(400, 1_000)]));
    assert!(matches!(begins, Next::Start(_)));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    assert!(QuietHours::validate(&Settings::default()).is_ok());
    assert!(QuietHours::validate(&settings("22:00", "05:00", 100)).is_ok());
    assert!(QuietHours::validate(&settings("22:00", "05:00", 101)).is_err());
    assert!(QuietHours::validate(&settings("22", "05:00", 50)).is_err());
}
