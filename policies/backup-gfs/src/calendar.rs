//! Days, weeks and months, counted since 1970, in UTC.

const DAY_MS: u64 = 86_400_000;
/// After so many years days of months and of the week fall as before.
const CYCLE_YEARS: u64 = 400;
const CYCLE_DAYS: u64 = 146_097;

/// The day of a time.
pub fn day(unix_ms: u64) -> u64 {
    unix_ms / DAY_MS
}

/// Its week, which begins on a Monday; 1970 began on a Thursday.
pub fn week(unix_ms: u64) -> u64 {
    (day(unix_ms) + 3) / 7
}

/// Its month.
pub fn month(unix_ms: u64) -> u64 {
    let (cycles, mut left) = (day(unix_ms) / CYCLE_DAYS, day(unix_ms) % CYCLE_DAYS);
    let mut year = 1970;
    while left >= 365 + leap(year) {
        left -= 365 + leap(year);
        year += 1;
    }
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30];
    let mut month = (year - 1970 + cycles * CYCLE_YEARS) * 12;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    month
}

/// Days that a year has more than 365.
fn leap(year: u64) -> u64 {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    u64::from(leaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T00:00:00Z.
    const LEAP_DAY: u64 = 1_709_164_800_000;
    /// 2026-01-01T00:00:00Z, a Thursday.
    const NEW_YEAR: u64 = 1_767_225_600_000;

    #[test]
    fn a_month_begins_with_its_first_day() {
        assert_eq!(month(0), 0);
        assert_eq!(month(NEW_YEAR), 56 * 12);
        assert_eq!(month(NEW_YEAR - 1), 56 * 12 - 1);
        assert_eq!(month(NEW_YEAR + 31 * DAY_MS - 1), 56 * 12);
        assert_eq!(month(NEW_YEAR + 31 * DAY_MS), 56 * 12 + 1);
    }

    #[test]
    fn a_leap_day_is_of_february() {
        assert_eq!(month(LEAP_DAY), 54 * 12 + 1);
        assert_eq!(month(LEAP_DAY + DAY_MS), 54 * 12 + 2);
        // 2026 has none: 1 March is 59 days after New Year.
        assert_eq!(month(NEW_YEAR + 59 * DAY_MS - 1), 56 * 12 + 1);
        assert_eq!(month(NEW_YEAR + 59 * DAY_MS), 56 * 12 + 2);
    }

    #[test]
    fn a_week_begins_on_monday() {
        let monday = NEW_YEAR + 4 * DAY_MS;
        assert_eq!(week(monday), week(monday - 1) + 1);
        assert_eq!(week(monday), week(monday + 7 * DAY_MS - 1));
        // 1970-01-05.
        assert_eq!((week(4 * DAY_MS - 1), week(4 * DAY_MS)), (0, 1));
    }

    #[test]
    fn each_day_of_a_cycle_is_in_the_month_of_the_day_before_or_in_the_next() {
        let mut before = 0;
        for day in 0..CYCLE_DAYS {
            let month = month(day * DAY_MS);
            assert!(month == before || month == before + 1, "{day}");
            before = month;
        }
        assert_eq!(before, CYCLE_YEARS * 12 - 1);
        assert_eq!(month(CYCLE_DAYS * DAY_MS), CYCLE_YEARS * 12);
    }
}
