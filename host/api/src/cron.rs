//! Times of a schedule: five fields of cron, in a zone.

use croner::parser::{CronParser, Seconds, Year};
use croner::{CronComponent, CronPattern, Weekday};
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use thiserror::Error;

use crate::validate::messages;

/// What may stand for five fields.
const NICKNAMES: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
const FIELDS: usize = 5;
const MAX_CRON: usize = 100;
const MAX_ZONE: usize = 64;
const HOURS: usize = 24;
/// Within 28 years there is each kind of year: each day of the week as its first one, with a leap day and without.
const FIRST: Date = date(2024, 1, 1);
const END: Date = date(2052, 1, 1);

/// When something is due again and again: five fields of cron, by the clocks of a zone.
///
/// # Guarantees
/// There always is a next time. A time that the clocks leave out comes with the end of what they leave out, and one
/// that they show twice counts once, where it comes first. Only where every hour of the day has its times, each hour
/// that passes has them, and no other.
///
/// # Caveats
/// Zones are those of the day on which this was built: a change of law after that needs a new build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
    every_hour: bool,
}

/// Why a schedule has no times.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// These are not five fields, and not one word for them.
    #[error("{}", messages::CRON)]
    Fields,
    /// A field says what it cannot.
    #[error("{what}: {advice}", advice = messages::CRON)]
    Field {
        /// What is wrong with it.
        what: String,
    },
    /// There is no such day, or no such hour.
    #[error("{}", messages::CRON_NEVER)]
    Never,
    /// There is no such zone.
    #[error("there is no zone {name:?}: {advice}", advice = messages::TIME_ZONE)]
    Zone {
        /// Its name.
        name: String,
    },
}

impl Cron {
    /// Reads five fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`, and the name of a zone.
    ///
    /// # Errors
    ///
    /// What is wrong, also that no time is ever like that, and what to write.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, CronError> {
        if !is_in_form(cron) {
            return Err(CronError::Fields);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let pattern = parser.parse(cron).map_err(|error| CronError::Field {
            what: error.to_string().trim_end_matches('.').to_owned(),
        })?;
        if !has_a_time(&pattern.pattern) {
            return Err(CronError::Never);
        }
        Ok(Self {
            every_hour: pattern.pattern.hours.values().len() == HOURS,
            pattern,
            zone: zone(time_zone)?,
        })
    }

    /// The first time after `unix_ms`, both in milliseconds since 1970; none beyond what dates reach.
    pub fn next_after(&self, unix_ms: u64) -> Option<u64> {
        let now = self.shown(unix_ms)?;
        if self.every_hour {
            let next = self.pattern.find_next_occurrence(&now, false).ok()?;
            return millis(next.timestamp());
        }
        let times = self.pattern.iter_after(now.datetime());
        // Clocks that were put back show times once more that came before: at most so many are passed over.
        let mut times = times.map_while(|time| self.first_shown(time));
        times.find(|time| *time > now.timestamp()).and_then(millis)
    }

    /// The last time that is not after `unix_ms`, both in milliseconds since 1970; none before 1970.
    pub fn last_until(&self, unix_ms: u64) -> Option<u64> {
        let now = self.shown(unix_ms)?;
        if self.every_hour {
            let last = self.pattern.find_previous_occurrence(&now, true).ok()?;
            return millis(last.timestamp());
        }
        let shown = now.datetime();
        let shown = self.pattern.find_previous_occurrence(&shown, true).ok()?;
        let mut last = self.first_shown(shown).and_then(millis)?;
        // Clocks that were put back show less than what came before: at most so many are caught up with.
        while let Some(next) = self.next_after(last).filter(|next| *next <= unix_ms) {
            last = next;
        }
        Some(last)
    }

    /// What clocks show, down to the second.
    fn shown(&self, unix_ms: u64) -> Option<Zoned> {
        let seconds = i64::try_from(unix_ms / 1_000).ok()?;
        let time = Timestamp::from_second(seconds).ok()?;
        Some(time.to_zoned(self.zone.clone()))
    }

    /// When clocks show this for the first time; where they leave it out, the end of what they leave out.
    fn first_shown(&self, time: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_zoned(time);
        let is_left_out = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        let first = ambiguous.earlier().ok()?.timestamp();
        if !is_left_out {
            return Some(first);
        }
        // Read with the offset that holds afterwards, it lies before the change.
        let change = self.zone.following(first).next()?;
        Some(change.timestamp())
    }
}

fn millis(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_millisecond()).ok()
}

/// What the schema takes; the parser takes more.
fn is_in_form(cron: &str) -> bool {
    if NICKNAMES.contains(&cron) {
        return true;
    }
    let good = |c: char| c.is_ascii_graphic() && c != '@';
    cron.len() <= MAX_CRON
        && cron.starts_with(good)
        && cron.ends_with(good)
        && cron.chars().all(|c| good(c) || c == ' ')
        && cron.split_ascii_whitespace().count() == FIELDS
}

/// True unless it is for days that never come, or names no hour or minute: a search would go on for thousands of years.
fn has_a_time(pattern: &CronPattern) -> bool {
    let is_empty = |field: &CronComponent| field.values().is_empty();
    if is_empty(&pattern.minutes) || is_empty(&pattern.hours) || is_empty(&pattern.months) {
        return false;
    }
    let days = std::iter::successors(Some(FIRST), |day| day.tomorrow().ok());
    days.take_while(|day| *day < END)
        .any(|day| has_day(pattern, day))
}

fn has_day(pattern: &CronPattern, day: Date) -> bool {
    let month = u32::from(day.month().unsigned_abs());
    let of_month = u32::from(day.day().unsigned_abs());
    let of_week = u32::from(day.weekday().to_sunday_zero_offset().unsigned_abs());
    let of_week = Weekday::from_days_from_sunday(of_week);
    let year = i32::from(day.year());
    matches!(pattern.month_match(month), Ok(true))
        && matches!(pattern.day_match(year, month, of_month, of_week), Ok(true))
}

fn zone(name: &str) -> Result<TimeZone, CronError> {
    let found = TimeZoneDatabase::bundled().get(name).ok();
    let found = found.filter(|zone| !zone.is_unknown() && name.len() <= MAX_ZONE);
    found.ok_or_else(|| CronError::Zone {
        name: name.chars().take(MAX_ZONE).collect(),
    })
}

#[cfg(test)]
mod tests;
