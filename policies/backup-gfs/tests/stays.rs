//! What is left after years of nights.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hera_policy_backup_gfs::{Gfs, Settings};
use hera_policy_sdk::backup::{BackupPolicy, Past};
use hera_policy_sdk::testing::{backup_input, context, past};

const DAY_MS: u64 = 86_400_000;
/// 2024-01-01T03:00:00Z, a Monday.
const FIRST_NIGHT: u64 = 1_704_078_000_000;
const NIGHTS: u64 = 800;

#[test]
fn swept_each_night_the_last_of_each_day_week_and_month_stays() {
    let mut input = backup_input(vec![]);
    input.demand = None;
    for night in 0..NIGHTS {
        let newest = Past {
            instant_unix_ms: FIRST_NIGHT + night * DAY_MS,
            ..past(&night.to_string(), 0, true)
        };
        input.history.insert(0, newest);
        // Only the last one is needed.
        for older in input.history.iter_mut().skip(1) {
            older.needed = false;
        }
        let answer = Gfs::decide(&context(), &Settings::default(), &input).unwrap();
        input.history.retain(|past| !answer.drop.contains(&past.id));
        assert!(input.history.len() <= 7 + 4 + 12);
    }
    let left: Vec<&str> = input.history.iter().map(|past| past.id.as_str()).collect();
    // 2026-03-10 and the six days before it.
    assert_eq!(left[..7], ["799", "798", "797", "796", "795", "794", "793"]);
    // 1 March and 22 February, Sundays, around the last of February.
    assert_eq!(left[7..10], ["790", "789", "783"]);
    // The last of January, and of nine months of 2025.
    let months = [
        "761", "730", "699", "669", "638", "608", "577", "546", "516", "485",
    ];
    assert_eq!(left[10..], months);
}

#[test]
fn what_is_needed_is_never_dropped_and_counts_for_its_day() {
    let mut input = backup_input(vec![]);
    input.history = vec![
        past("c", 1, true),
        past("b", 2, false),
        past("a", 30, true),
        past("old", 24 * 900, true),
    ];
    let answer = Gfs::decide(&context(), &Settings::default(), &input).unwrap();
    assert_eq!(answer.drop, ["b"]);
}
