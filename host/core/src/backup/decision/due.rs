//! Whether a schedule's time has come.

/// A clock is set back by no more than this, in milliseconds; else it was wrong before.
const CLOCKS_MS: u64 = 3_600_000;

/// A schedule, as the object's status has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Its name.
    pub name: String,
    /// Its times and their zone, as the spec had them.
    pub times: String,
    /// Its times up to then are done with, in milliseconds since 1970.
    pub until_unix_ms: u64,
}

/// What is to be done for a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time of which a backup is wanted, in milliseconds since 1970; none if none is.
    pub fires: Option<u64>,
    /// [`Tick::until_unix_ms`] from now on: to be written once that backup is there. A name that follows from its time
    /// lets it be there once.
    pub until_unix_ms: u64,
}

/// What is to be done for a schedule with these times. `last` is what status has of it, `last_due_unix_ms` the latest
/// of its times up to now. Of several that were missed one backup is wanted; of those before it was written, or before
/// its times changed, none; nor of those that are over when a clock is right again that was ahead.
pub fn due(
    last: Option<&Tick>,
    times: &str,
    last_due_unix_ms: Option<u64>,
    now_unix_ms: u64,
) -> Due {
    // It would be done with all times up to then.
    let is_ahead = |last: &&Tick| last.until_unix_ms > now_unix_ms.saturating_add(CLOCKS_MS);
    let known = last.filter(|last| last.times == times && !is_ahead(last));
    let Some(last) = known else {
        return Due {
            fires: None,
            until_unix_ms: now_unix_ms,
        };
    };
    let until = last.until_unix_ms;
    let fires = last_due_unix_ms.filter(|due| (until..=now_unix_ms).contains(due) && *due > until);
    Due {
        fires,
        // While nothing is due it stays, so that status does not change with time alone.
        until_unix_ms: fires.unwrap_or(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAILY: &str = "0 3 * * * UTC";

    fn tick(until_unix_ms: u64) -> Tick {
        Tick {
            name: "nightly".to_owned(),
            times: DAILY.to_owned(),
            until_unix_ms,
        }
    }

    fn at(until: u64, last_due: Option<u64>, now: u64) -> (Option<u64>, u64) {
        let Due {
            fires,
            until_unix_ms,
        } = due(Some(&tick(until)), DAILY, last_due, now);
        (fires, until_unix_ms)
    }

    #[test]
    fn a_time_that_came_since_fires_once() {
        assert_eq!(at(100, Some(90), 150), (None, 100));
        assert_eq!(at(100, Some(150), 150), (Some(150), 150));
        assert_eq!(at(150, Some(150), 151), (None, 150));
        assert_eq!(at(100, Some(140), 9_000), (Some(140), 140));
        assert_eq!(at(100, None, 150), (None, 100));
    }

    #[test]
    fn a_schedule_that_is_new_or_has_other_times_fires_for_none_that_are_over() {
        let begun = Due {
            fires: None,
            until_unix_ms: 150,
        };
        assert_eq!(due(None, DAILY, Some(140), 150), begun);
        let other = "0 4 * * * UTC";
        assert_eq!(due(Some(&tick(100)), other, Some(140), 150), begun);
    }

    #[test]
    fn a_clock_that_was_set_back_fires_nothing_twice() {
        assert_eq!(at(150, Some(90), 100), (None, 150));
        assert_eq!(at(100, Some(160), 150), (None, 100));
        assert_eq!(at(100 + CLOCKS_MS, Some(90), 100), (None, 100 + CLOCKS_MS));
    }

    #[test]
    fn a_clock_that_was_far_ahead_stops_no_schedule() {
        let until = 101 + CLOCKS_MS;
        assert_eq!(at(until, Some(90), 100), (None, 100));
        assert_eq!(at(100, Some(120), 130), (Some(120), 120));
    }
}
