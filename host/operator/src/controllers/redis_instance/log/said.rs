//! What the condition `BackupHealthy` says of a log.

use hera_api::conditions::backup_healthy;
use hera_core::backup::{CaptureNews, Failure, FailureReason};
use k8s_openapi::jiff::Timestamp;

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// What was said last.
    #[default]
    AsBefore,
    /// Nothing: no log is to be kept.
    Off,
    /// Truth, reason and words.
    Is(bool, &'static str, String),
}

/// Of one with which something is wrong.
pub fn of_trouble(pod: &str, failure: &Failure) -> Said {
    let words = format!("pod {pod}: {}", failure.message);
    Said::Is(false, reason_of(failure.reason), words)
}

/// Of one that has had no gap since then; `first` is when the first backup since was taken.
pub fn of_log(
    name: &str,
    store: &str,
    news: &CaptureNews,
    since_unix_ms: u64,
    first_unix_ms: Option<u64>,
) -> Said {
    if let Some(first) = first_unix_ms {
        let words = format!(
            "a new object can begin with any instant since {}: the store {store} has a backup of then, and the log \
             since",
            time(first)
        );
        return Said::Is(true, backup_healthy::HEALTHY, words);
    }
    let since = time(since_unix_ms);
    let (reason, is_so) = match news.after_gap {
        true => (
            backup_healthy::LOG_GAP,
            format!("the log has a gap that ended {since}"),
        ),
        false => (
            backup_healthy::FIRST_BACKUP_PENDING,
            format!("the log is kept since {since}"),
        ),
    };
    let words = format!(
        "{is_so}, and there is no backup that it goes on from, so that nothing can be brought to a later instant: one is \
         made by itself within ten minutes; kubectl hera backup now {name} makes one at once"
    );
    Said::Is(false, reason, words)
}

/// As a reason of the condition.
fn reason_of(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::StoreUnreachable => backup_healthy::STORE_UNREACHABLE,
        FailureReason::CredentialsRefused => backup_healthy::CREDENTIALS_REFUSED,
        FailureReason::PathOwned => backup_healthy::PATH_OWNED,
        FailureReason::Corrupt => backup_healthy::CORRUPT,
        FailureReason::LogBehind => backup_healthy::LOG_BEHIND,
        FailureReason::NoCopyFits => backup_healthy::NO_COPY_FITS,
        // The others are about backups and recoveries.
        FailureReason::ServerRefused
        | FailureReason::NoHeadroom
        | FailureReason::SnapshotTooSlow
        | FailureReason::LostItsPod
        | FailureReason::Cancelled
        | FailureReason::NoSuchBackup
        | FailureReason::TooSmall
        | FailureReason::DataPresent
        | FailureReason::VersionIncompatible
        | FailureReason::TimeNotCovered
        | FailureReason::SeveralSources => backup_healthy::SERVER_REFUSED,
    }
}

fn time(unix_ms: u64) -> Timestamp {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: u64 = 1_800_000_000_000;

    fn news(after_gap: bool) -> CaptureNews {
        CaptureNews {
            shard: "0".to_owned(),
            uid: "uid-1".to_owned(),
            unbroken_since_unix_ms: Some(SINCE),
            unbroken: Vec::new(),
            after_gap,
            trouble: None,
        }
    }

    fn of(after_gap: bool, first: Option<u64>) -> (bool, &'static str, String) {
        match of_log("cache", "s3", &news(after_gap), SINCE, first) {
            Said::Is(truth, reason, words) => (truth, reason, words),
            said => panic!("{said:?}"),
        }
    }

    #[test]
    fn whatever_an_agent_says_is_a_reason_of_the_condition() {
        let known = hera_api::conditions::ALL.iter();
        let reasons: Vec<&str> = known
            .filter(|(type_, _)| *type_ == backup_healthy::TYPE)
            .flat_map(|(_, reasons)| reasons.iter().copied())
            .collect();
        for reason in FailureReason::ALL {
            let told = reason_of(reason);
            assert!(reasons.contains(&told), "{reason:?}");
            assert!([reason.as_str(), backup_healthy::SERVER_REFUSED].contains(&told));
        }
    }

    #[test]
    fn with_a_backup_since_any_instant_from_then_on_can_be_had() {
        for after_gap in [true, false] {
            let (truth, reason, words) = of(after_gap, Some(SINCE + 500));
            assert_eq!((truth, reason), (true, backup_healthy::HEALTHY));
            assert!(words.contains("since 2027-01-15T08:00:00.5Z"), "{words}");
        }
    }

    #[test]
    fn without_one_it_says_that_one_is_to_be_made() {
        for (after_gap, expected) in [
            (false, backup_healthy::FIRST_BACKUP_PENDING),
            (true, backup_healthy::LOG_GAP),
        ] {
            let (truth, reason, words) = of(after_gap, None);
            assert_eq!((truth, reason), (false, expected));
            assert!(words.contains("2027-01-15T08:00:00Z"), "{words}");
            assert!(words.contains("kubectl hera backup now cache"), "{words}");
        }
    }

    #[test]
    fn trouble_is_told_with_the_pod_that_has_it() {
        let failure = Failure::new(FailureReason::LogBehind, "90 s behind");
        let expected = Said::Is(
            false,
            backup_healthy::LOG_BEHIND,
            "pod cache-1: 90 s behind".to_owned(),
        );
        assert_eq!(of_trouble("cache-1", &failure), expected);
    }
}
