//! Which backups are wanted without anybody asking for them, and when each begins at the latest.

use super::Cause;

/// What a server loads of a log in a second, in bytes: half of what was measured.
const LOADS: u64 = 25_000_000;
/// A backup that a person wants begins within an hour, in milliseconds.
const PERSON_MS: u64 = 3_600_000;
/// One that closes a gap begins within ten minutes.
const GAP_MS: u64 = 600_000;
/// By so much the newest backup is replaced before it is too old, at most.
const AHEAD_MS: u64 = 3_600_000;
/// After a backup of a cause has failed, the next one of that cause is made so much later.
const AGAIN_MS: u64 = 900_000;
/// After one that was made for the length of a log the next one is made so much later at the soonest, in milliseconds,
/// and no sooner than after as long as it took.
const PAUSE_MS: u64 = 60_000;

/// A backup of which something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Why it was wanted.
    pub cause: Cause,
    /// When it was over, in milliseconds since 1970.
    pub over_unix_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// How an object stands with its backups. Times are in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Now.
    pub now_unix_ms: u64,
    /// Since when the log goes on without a gap; none if none is kept, or while that is not known.
    pub log_since_unix_ms: Option<u64>,
    /// When the newest good base was taken; where a log goes on, the newest of those that it goes on from. None if
    /// there is none.
    pub base_unix_ms: Option<u64>,
    /// Bytes of the log since.
    pub log_bytes: u64,
    /// How old the newest base may get, in milliseconds; none if the spec does not say.
    pub max_age_ms: Option<u64>,
    /// How long the log since may take to load, in milliseconds; none if the spec does not say.
    pub max_replay_ms: Option<u64>,
    /// The spec wants a log.
    pub log_kept: bool,
    /// The last backup for age, replay or a gap of which nothing came: the cause, and when it was given up.
    pub last_failed: Option<(Cause, u64)>,
    /// The last one for age, replay or a gap of which something came.
    pub last_made: Option<Made>,
    /// A backup of the object is made, or waits as one for age, replay or a gap does.
    pub under_way: bool,
    /// When one of a schedule or of a person begins at the latest that waits to begin; none if none does.
    pub begins_unix_ms: Option<u64>,
}

/// Why a backup is to be made now, if none of a schedule is: none if none is. And when that is to be asked again, if
/// nothing else happens before; the log may get too long at any time.
pub fn wants(standing: &Standing) -> (Option<Cause>, Option<u64>) {
    // Its end is when this is asked again.
    if standing.under_way {
        return (None, None);
    }
    let now = standing.now_unix_ms;
    let ages = age_unix_ms(standing);
    let cause = if has_gap(standing) {
        Cause::Gap
    } else if ages.is_some_and(|at| at <= now) {
        Cause::Age
    } else if is_long(standing) {
        Cause::Replay
    } else {
        return (None, ages);
    };
    if stands_in(standing, cause) {
        return (None, None);
    }
    let not_before = after_failed(standing, cause).max(after_made(standing, cause));
    match not_before.filter(|at| now < *at) {
        Some(at) => (None, Some(at)),
        None => (Some(cause), None),
    }
}

/// One that waits to begin does so in time: for age while the newest is young enough, else as soon as a gap wants it.
fn stands_in(standing: &Standing, cause: Cause) -> bool {
    let soon = standing.now_unix_ms.saturating_add(GAP_MS);
    let ages = standing.base_unix_ms.zip(standing.max_age_ms);
    let by = match (cause, ages) {
        (Cause::Age, Some((base, age))) => base.saturating_add(age).max(soon),
        _ => soon,
    };
    standing.begins_unix_ms.is_some_and(|begins| begins <= by)
}

/// Not before then, after one of the cause of which nothing came.
fn after_failed(standing: &Standing, cause: Cause) -> Option<u64> {
    let (_, at) = standing.last_failed.filter(|(of, _)| *of == cause)?;
    // By a clock that was ahead it is no use to wait.
    (at <= standing.now_unix_ms.saturating_add(AGAIN_MS)).then(|| at.saturating_add(AGAIN_MS))
}

/// Not before then, after one of the cause that did not help: where more is written meanwhile than may be loaded, a
/// clock is behind, or a log goes on from none that is made, they would be made one after the other for ever.
fn after_made(standing: &Standing, cause: Cause) -> Option<u64> {
    let made = standing.last_made.filter(|made| made.cause == cause)?;
    let over = made.over_unix_ms;
    if over > standing.now_unix_ms.saturating_add(AGAIN_MS) {
        return None;
    }
    let pause = match cause {
        // It is about a gap since.
        Cause::Gap if standing.log_since_unix_ms.is_some_and(|since| over < since) => return None,
        Cause::Gap => AGAIN_MS,
        Cause::Age => made.took_ms.max(ahead(standing.max_age_ms?)),
        _ => made.took_ms.max(PAUSE_MS),
    };
    Some(over.saturating_add(pause))
}

/// So much before the newest is too old another one is wanted.
fn ahead(max_age_ms: u64) -> u64 {
    (max_age_ms / 10).min(AHEAD_MS)
}

/// Seconds that a server takes to load so many bytes of a log, by a cautious reckoning.
pub fn replay_seconds(log_bytes: u64) -> u32 {
    u32::try_from(log_bytes.div_ceil(LOADS)).unwrap_or(u32::MAX)
}

/// When a backup begins at the latest, whatever a policy says, in milliseconds since 1970. `since`: since when it is
/// wanted. `start_within_ms` and the newest base, which is not to be older than `max_age_ms`, count for a schedule's.
pub fn latest(
    cause: Cause,
    since_unix_ms: u64,
    start_within_ms: u64,
    base_unix_ms: Option<u64>,
    max_age_ms: Option<u64>,
) -> u64 {
    match cause {
        Cause::Schedule => {
            let within = since_unix_ms.saturating_add(start_within_ms);
            let too_old = base_unix_ms.zip(max_age_ms);
            let too_old = too_old.map_or(within, |(base, age)| base.saturating_add(age));
            within.min(too_old).max(since_unix_ms)
        }
        Cause::Person => since_unix_ms.saturating_add(PERSON_MS),
        Cause::Gap => since_unix_ms.saturating_add(GAP_MS),
        Cause::Age | Cause::Replay => since_unix_ms,
    }
}

/// The log goes on from no base.
fn has_gap(standing: &Standing) -> bool {
    let goes_on = standing.log_kept && standing.log_since_unix_ms.is_some();
    goes_on && standing.base_unix_ms.is_none()
}

/// When the newest base is nearly too old; none if it may be as old as it will.
fn age_unix_ms(standing: &Standing) -> Option<u64> {
    let max = standing.max_age_ms?;
    // Without any, that is now.
    let base = standing.base_unix_ms.unwrap_or(0);
    Some(base.saturating_add(max.saturating_sub(ahead(max))))
}

/// The log since the newest base nearly takes too long to load.
fn is_long(standing: &Standing) -> bool {
    let takes_ms = u64::from(replay_seconds(standing.log_bytes)).saturating_mul(1_000);
    let nearly = |max: u64| takes_ms.saturating_mul(10) >= max.saturating_mul(9);
    let is_part = standing.log_kept && standing.base_unix_ms.is_some();
    is_part && standing.max_replay_ms.is_some_and(nearly)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const NOW: u64 = 1_000 * HOUR;

    /// With a log, a base of an hour ago, and nothing that is wanted.
    fn standing() -> Standing {
        Standing {
            now_unix_ms: NOW,
            log_since_unix_ms: Some(NOW - 10 * HOUR),
            base_unix_ms: Some(NOW - HOUR),
            log_bytes: 1_000,
            max_age_ms: Some(26 * HOUR),
            max_replay_ms: Some(10 * MINUTE),
            log_kept: true,
            last_failed: None,
            last_made: None,
            under_way: false,
            begins_unix_ms: None,
        }
    }

    #[test]
    fn nothing_is_wanted_before_the_newest_is_nearly_too_old() {
        let age = NOW - HOUR + 25 * HOUR;
        assert_eq!(wants(&standing()), (None, Some(age)));
        let at = |now_unix_ms| {
            let standing = Standing {
                now_unix_ms,
                ..standing()
            };
            wants(&standing).0
        };
        assert_eq!([at(age - 1), at(age)], [None, Some(Cause::Age)]);
        let short = Standing {
            max_age_ms: Some(10 * MINUTE),
            base_unix_ms: Some(NOW - 8 * MINUTE),
            ..standing()
        };
        assert_eq!(wants(&short), (None, Some(NOW + MINUTE)));
        let never = Standing {
            max_age_ms: None,
            ..standing()
        };
        assert_eq!(wants(&never), (None, None));
    }

    #[test]
    fn without_any_backup_the_first_one_is_wanted_by_age_or_by_a_log() {
        let first = Standing {
            base_unix_ms: None,
            ..standing()
        };
        assert_eq!(wants(&first).0, Some(Cause::Gap));
        let without_log = Standing {
            log_kept: false,
            log_since_unix_ms: None,
            ..first
        };
        assert_eq!(wants(&without_log).0, Some(Cause::Age));
        let by_hand = Standing {
            max_age_ms: None,
            ..without_log
        };
        assert_eq!(wants(&by_hand), (None, None));
        // Whether it goes on is not known yet.
        let begins = Standing {
            log_since_unix_ms: None,
            max_age_ms: None,
            ..first
        };
        assert_eq!(wants(&begins), (None, None));
    }

    #[test]
    fn a_log_that_takes_nearly_too_long_wants_a_base() {
        let with = |log_bytes| {
            let standing = Standing {
                log_bytes,
                ..standing()
            };
            wants(&standing).0
        };
        assert_eq!(with(539 * LOADS), None);
        assert_eq!(with(539 * LOADS + 1), Some(Cause::Replay));
        let disabled = Standing {
            log_bytes: u64::MAX,
            log_kept: false,
            ..standing()
        };
        assert_eq!(wants(&disabled).0, None);
    }

    #[test]
    fn one_is_made_at_a_time_and_a_failure_is_waited_after() {
        let gap = Standing {
            base_unix_ms: None,
            ..standing()
        };
        let under_way = Standing {
            under_way: true,
            ..gap
        };
        assert_eq!(wants(&under_way), (None, None));
        let failed = |cause, minutes| {
            let standing = Standing {
                last_failed: Some((cause, NOW - minutes * MINUTE)),
                ..gap
            };
            wants(&standing)
        };
        assert_eq!(failed(Cause::Gap, 14), (None, Some(NOW + MINUTE)));
        assert_eq!(failed(Cause::Gap, 15), (Some(Cause::Gap), None));
        assert_eq!(failed(Cause::Age, 1), (Some(Cause::Gap), None));
    }

    #[test]
    fn what_waits_to_begin_stands_for_another_only_if_it_begins_in_time() {
        let wanted = |standing: Standing, minutes: u64| {
            let begins_unix_ms = Some(NOW + minutes * MINUTE);
            let standing = Standing {
                begins_unix_ms,
                ..standing
            };
            wants(&standing).0
        };
        let gap = Standing {
            base_unix_ms: None,
            ..standing()
        };
        assert_eq!(wanted(gap, 10), None);
        assert_eq!(wanted(gap, 11), Some(Cause::Gap), "a policy has it wait");
        let aged = Standing {
            base_unix_ms: Some(NOW - 25 * HOUR - 30 * MINUTE),
            ..standing()
        };
        assert_eq!(wanted(aged, 30), None);
        assert_eq!(wanted(aged, 31), Some(Cause::Age));
        let long = Standing {
            log_bytes: u64::MAX,
            ..standing()
        };
        assert_eq!(wanted(long, 60), Some(Cause::Replay));
    }

    #[test]
    fn one_that_did_not_help_is_not_made_again_and_again() {
        let after = |standing: Standing, cause, minutes: u64, took: u64| {
            let made = Made {
                cause,
                over_unix_ms: NOW - minutes * MINUTE,
                took_ms: took * MINUTE,
            };
            let standing = Standing {
                last_made: Some(made),
                ..standing
            };
            wants(&standing)
        };
        let long = Standing {
            log_bytes: u64::MAX,
            ..standing()
        };
        let again = after(long, Cause::Replay, 2, 5);
        assert_eq!(again, (None, Some(NOW + 3 * MINUTE)));
        assert_eq!(after(long, Cause::Replay, 2, 2).0, Some(Cause::Replay));
        let gap = Standing {
            base_unix_ms: None,
            ..standing()
        };
        let again = after(gap, Cause::Gap, 5, 0);
        assert_eq!(again, (None, Some(NOW + 10 * MINUTE)));
        let anew = Standing {
            log_since_unix_ms: Some(NOW - MINUTE),
            ..gap
        };
        assert_eq!(after(anew, Cause::Gap, 5, 0).0, Some(Cause::Gap));
        // By a clock that is behind.
        let aged = Standing {
            base_unix_ms: Some(0),
            ..standing()
        };
        let again = after(aged, Cause::Age, 5, 0);
        assert_eq!(again, (None, Some(NOW + 55 * MINUTE)));
    }

    #[test]
    fn loading_is_reckoned_in_whole_seconds() {
        let reckoned = [0, 1, LOADS, LOADS + 1, u64::MAX].map(replay_seconds);
        assert_eq!(reckoned, [0, 1, 1, 2, u32::MAX]);
    }

    #[test]
    fn each_cause_waits_no_longer_than_it_may() {
        let at = |cause| latest(cause, NOW, 2 * HOUR, Some(NOW - HOUR), None) - NOW;
        assert_eq!(at(Cause::Schedule), 2 * HOUR);
        assert_eq!(at(Cause::Person), HOUR);
        assert_eq!(at(Cause::Gap), 10 * MINUTE);
        assert_eq!([at(Cause::Age), at(Cause::Replay)], [0, 0]);
        let aged = |base, age| latest(Cause::Schedule, NOW, 2 * HOUR, base, Some(age)) - NOW;
        assert_eq!(aged(Some(NOW - HOUR), 90 * MINUTE), 30 * MINUTE);
        assert_eq!(aged(Some(NOW - HOUR), 30 * MINUTE), 0);
        assert_eq!(aged(Some(NOW - HOUR), 30 * HOUR), 2 * HOUR);
        assert_eq!(aged(None, 30 * MINUTE), 2 * HOUR);
    }
}
