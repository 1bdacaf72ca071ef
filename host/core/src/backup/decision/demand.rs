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
    /// The last backup that the operator made for one of these causes, if it failed: the cause, and when it did.
    pub last_failed: Option<(Cause, u64)>,
    /// A backup of the object waits or runs.
    pub under_way: bool,
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
    match standing.last_failed {
        Some((failed, at)) if failed == cause && now < at.saturating_add(AGAIN_MS) => {
            (None, Some(at.saturating_add(AGAIN_MS)))
        }
        _ => (Some(cause), None),
    }
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
    let ahead = (max / 10).min(AHEAD_MS);
    Some(base.saturating_add(max.saturating_sub(ahead)))
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
            under_way: false,
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
