//! Times of the day, and how far away they are.

use serde::Deserialize;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

/// A part of each day.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Hours {
    /// Its first minute, as `01:00`.
    pub from: String,
    /// The minute after its last one; the same minute means all day.
    pub to: String,
    /// What the clocks that it goes by are ahead of UTC, as `+01:00`; nothing if they show UTC. It is the same in
    /// summer and winter.
    pub utc_offset: String,
}

/// What of the day a time is in.
#[derive(Debug, PartialEq, Eq)]
pub enum Now {
    /// One of the hours.
    Within,
    /// None; the first of them begins then, in milliseconds since 1970. There need not be any.
    Before(Option<u64>),
}

/// Where in the day a time is.
///
/// # Errors
/// A sentence about the first of the hours that are none.
pub fn look(hours: &[Hours], unix_ms: u64) -> Result<Now, String> {
    let now = unix_ms / MINUTE_MS;
    let mut next: Option<u64> = None;
    for part in hours {
        let (from, to) = part.read()?;
        let (until_from, until_to) = (minutes_until(from, now), minutes_until(to, now));
        // Within them their end comes first.
        if until_to <= until_from {
            return Ok(Now::Within);
        }
        let begins = now.saturating_add(until_from).saturating_mul(MINUTE_MS);
        next = Some(next.map_or(begins, |known| known.min(begins)));
    }
    Ok(Now::Before(next))
}

impl Hours {
    /// Both ends in UTC, in minutes of the day.
    ///
    /// # Errors
    /// A sentence if one of them is no time of the day.
    pub fn read(&self) -> Result<(u64, u64), String> {
        let words = || {
            "from and to are times of the day, as 01:00 is one, and utcOffset is as +01:00"
                .to_owned()
        };
        let ahead = ahead(&self.utc_offset).ok_or_else(words)?;
        let utc = |text: &str| {
            let minute = minute(text.as_bytes())?;
            Some((minute + DAY_MINUTES - ahead) % DAY_MINUTES)
        };
        let ends = utc(&self.from).zip(utc(&self.to));
        ends.ok_or_else(words)
    }
}

/// Minutes from now, counted since 1970, until the next time that the day is so old: a day if it is now.
fn minutes_until(of_day: u64, now: u64) -> u64 {
    let today = now % DAY_MINUTES;
    match (of_day + DAY_MINUTES - today) % DAY_MINUTES {
        0 => DAY_MINUTES,
        minutes => minutes,
    }
}

/// Minutes from UTC on to what clocks show, less than a day: `-01:00` is 23 hours.
fn ahead(offset: &str) -> Option<u64> {
    match offset.as_bytes() {
        [] => Some(0),
        [b'+', time @ ..] => minute(time),
        [b'-', time @ ..] => Some((DAY_MINUTES - minute(time)?) % DAY_MINUTES),
        _ => None,
    }
}

/// The minute of the day.
fn minute(text: &[u8]) -> Option<u64> {
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u64::from(tens & 15) * 10 + u64::from(ones & 15))
    };
    let [ten_hours, hours, b':', ten_minutes, minutes] = *text else {
        return None;
    };
    let (hour, minute) = number(ten_hours, hours).zip(number(ten_minutes, minutes))?;
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 60 * MINUTE_MS;
    /// 2026-01-01T00:00:00Z.
    const MIDNIGHT: u64 = 1_767_225_600_000;

    fn hours(from: &str, to: &str, utc_offset: &str) -> Hours {
        Hours {
            from: from.to_owned(),
            to: to.to_owned(),
            utc_offset: utc_offset.to_owned(),
        }
    }

    fn at(hours: &Hours, of_day_ms: u64) -> Now {
        look(std::slice::from_ref(hours), MIDNIGHT + of_day_ms).unwrap()
    }

    #[test]
    fn the_first_minute_is_within_and_the_last_one_is_not() {
        let night = hours("01:00", "05:00", "");
        let begins = |day: u64| Now::Before(Some(MIDNIGHT + (24 * day + 1) * HOUR_MS));
        assert_eq!(at(&night, HOUR_MS - 1), begins(0));
        assert_eq!(at(&night, HOUR_MS), Now::Within);
        assert_eq!(at(&night, 5 * HOUR_MS - 1), Now::Within);
        assert_eq!(at(&night, 5 * HOUR_MS), begins(1));
    }

    #[test]
    fn hours_may_pass_midnight_or_be_all_day() {
        let night = hours("22:30", "05:00", "");
        assert_eq!(at(&night, 23 * HOUR_MS), Now::Within);
        assert_eq!(at(&night, 4 * HOUR_MS), Now::Within);
        let begins = MIDNIGHT + 22 * HOUR_MS + HOUR_MS / 2;
        assert_eq!(at(&night, 12 * HOUR_MS), Now::Before(Some(begins)));
        let always = hours("03:00", "03:00", "");
        for hour in 0..24 {
            assert_eq!(at(&always, hour * HOUR_MS), Now::Within);
        }
    }

    #[test]
    fn clocks_that_are_ahead_of_utc_or_behind_it_count() {
        let berlin = hours("01:00", "05:00", "+01:00");
        assert_eq!(at(&berlin, 0), Now::Within);
        assert_eq!(at(&berlin, 4 * HOUR_MS - 1), Now::Within);
        assert_ne!(at(&berlin, 4 * HOUR_MS), Now::Within);
        let newfoundland = hours("01:00", "05:00", "-03:30");
        assert_ne!(at(&newfoundland, 4 * HOUR_MS), Now::Within);
        assert_eq!(at(&newfoundland, 4 * HOUR_MS + HOUR_MS / 2), Now::Within);
        let none = hours("00:00", "00:30", "-00:00");
        assert_eq!(at(&none, 0), Now::Within);
    }

    #[test]
    fn of_several_hours_the_next_ones_are_waited_for() {
        let two = [hours("12:00", "13:00", ""), hours("02:00", "03:00", "")];
        let begins = |of_day: u64| -> Result<Now, String> {
            Ok(Now::Before(Some(MIDNIGHT + of_day * HOUR_MS)))
        };
        assert_eq!(look(&two, MIDNIGHT + 4 * HOUR_MS), begins(12));
        assert_eq!(look(&two, MIDNIGHT + 13 * HOUR_MS), begins(26));
        assert_eq!(look(&two, MIDNIGHT + 2 * HOUR_MS), Ok(Now::Within));
        assert_eq!(look(&[], MIDNIGHT), Ok(Now::Before(None)));
    }

    #[test]
    fn what_is_no_time_of_the_day_is_refused() {
        for (from, offset) in [
            ("24:00", ""),
            ("1:00", ""),
            ("01:60", ""),
            ("", ""),
            ("01-00", ""),
            ("01:00", "01:00"),
            ("01:00", "Z"),
            ("01:00", "+24:00"),
            ("01:00", "+1"),
            ("\u{661}:00", ""),
        ] {
            assert!(
                hours(from, "05:00", offset).read().is_err(),
                "{from}{offset}"
            );
        }
    }
}
