//! To which instant data is brought.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use hera_api::duration::parse_millis;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// The latest instant that there is.
const LATEST: &str = "latest";

/// An instant, as somebody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The latest that the store covers.
    Latest,
    /// This one.
    At(Timestamp),
    /// So many milliseconds ago.
    Ago(u64),
}

/// An instant that data is brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The latest that the store covers.
    Latest,
    /// This one.
    At(Timestamp),
}

/// What is no instant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no instant: say 2026-11-28T14:03:04.5Z (or +01:00 for Z), -10m for ten minutes ago, or latest"
)]
pub struct BadWhen(String);

impl FromStr for When {
    type Err = BadWhen;

    fn from_str(spelled: &str) -> Result<Self, BadWhen> {
        let said = match spelled.strip_prefix('-') {
            Some(ago) => parse_millis(ago).map(Self::Ago),
            None if spelled == LATEST => Some(Self::Latest),
            None => spelled.parse().ok().map(Self::At),
        };
        said.ok_or_else(|| BadWhen(spelled.to_owned()))
    }
}

impl When {
    /// The instant, to the millisecond before.
    ///
    /// # Errors
    /// When it is to come, or before there were clocks.
    pub fn until(self, now: Timestamp) -> anyhow::Result<Until> {
        let at = match self {
            Self::Latest => return Ok(Until::Latest),
            Self::At(at) => at,
            Self::Ago(millis) => {
                let ago = SignedDuration::from_millis(i64::try_from(millis)?);
                now.checked_sub(ago).context("that is too long ago")?
            }
        };
        if at > now {
            bail!("{at} is to come; by the clock of this machine it is {now}");
        }
        Ok(Until::At(Timestamp::from_millisecond(at.as_millisecond())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-28T14:00:00.123456Z";

    fn until(spelled: &str) -> anyhow::Result<String> {
        let when: When = spelled.parse()?;
        Ok(match when.until(NOW.parse()?)? {
            Until::Latest => LATEST.to_owned(),
            Until::At(at) => at.to_string(),
        })
    }

    #[test]
    fn an_instant_is_a_time_or_so_long_ago_or_the_latest() {
        for (spelled, wanted) in [
            ("2026-11-28T13:03:04Z", "2026-11-28T13:03:04Z"),
            ("2026-11-28T14:03:04.5+01:00", "2026-11-28T13:03:04.5Z"),
            ("2026-11-28T13:03:04.123999Z", "2026-11-28T13:03:04.123Z"),
            ("-10m", "2026-11-28T13:50:00.123Z"),
            ("-1h0m30s", "2026-11-28T12:59:30.123Z"),
            ("-0s", "2026-11-28T14:00:00.123Z"),
            ("latest", "latest"),
        ] {
            assert_eq!(until(spelled).unwrap(), wanted, "{spelled}");
        }
    }

    #[test]
    fn what_is_no_instant_or_to_come_is_said_to_be_that() {
        for spelled in ["", "-", "10m", "-10", "now", "2026-11-28T13:03:04", "14:00"] {
            let words = until(spelled).unwrap_err().to_string();
            assert!(words.contains("say 2026-"), "{spelled}: {words}");
        }
        let words = until("2026-11-28T14:00:01Z").unwrap_err().to_string();
        assert!(words.contains("is to come"), "{words}");
    }
}
