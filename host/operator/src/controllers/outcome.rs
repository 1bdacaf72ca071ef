//! How a pass ends, and when the next one comes.

use std::time::Duration;

use hera_kube::{ApplyError, Refusal};
use thiserror::Error;

use crate::agents::AgentError;
use crate::authority::AuthorityError;

/// A settled object is looked at again after this, as a net under the watches.
const NET: Duration = Duration::from_secs(900);
/// An object that waits for something that a watch may not show is looked at again after this.
const WAITING: Duration = Duration::from_secs(15);
/// Agents tell of roles that changed sooner than this; it is for those that cannot.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two passes of a settled object that something is due for, and of one that nobody leads, when they
/// fail.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What the API server refuses is tried again after this at the latest: no watch tells that a quota or a
/// webhook is gone.
const REFUSED: Duration = Duration::from_secs(5);

/// Why a pass ended early.
#[derive(Debug, Error)]
pub enum PassError {
    /// The API server.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// A child could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The primary could not hand over; it serves on.
    #[error("the primary did not hand over: {0}")]
    HandOver(String),
    /// Replicas cannot be told whom to follow before the Secret is made.
    #[error("the password of replication is not written down yet: its Secret is made first")]
    NoPassword,
    /// The pass was cut.
    #[error("the pass took too long, and the next one begins anew")]
    Hung,
    /// This process was stopped, or something took long, between a look at the copies and a promotion.
    #[error("copies were looked at too long ago to promote one of them: they are looked at anew")]
    Overtaken,
    /// Another leader, or somebody by hand, wrote what this pass had read; or a rule forbids to write it.
    #[error(
        "the annotation {annotation} of the StatefulSet is not what it was, or may not be written, and is \
         read anew: {words}"
    )]
    WrittenMeanwhile {
        /// Which.
        annotation: &'static str,
        /// Those of the API server.
        words: String,
    },
    /// Another replica leads now.
    #[error("another replica leads now")]
    LeadershipLost,
    /// A backup is due, and finds no name.
    #[error("a backup is due, and others have the name {0} and all that could stand in for it")]
    NamesTaken(String),
    /// A step that changes who leads failed in the middle: who does is to be seen anew.
    #[error("{0}")]
    Midway(Box<Self>),
    /// The API server refuses objects; everything else is carried out, and the status says so.
    #[error("the API server refuses {} objects, first of all {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Refused(Vec<Refusal>),
    /// In a pass that found no primary: the next one comes soon, whatever has failed how often.
    #[error("nobody leads, and {0}")]
    NobodyLeads(Box<Self>),
}

impl PassError {
    /// The object that the API server refuses, if that is all.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Apply(ApplyError::Refused(refusal)) => Some(refusal),
            Self::Refused(refusals) => refusals.first(),
            Self::Midway(error) | Self::NobodyLeads(error) => error.refusal(),
            _ => None,
        }
    }

    /// That an object of somebody else's has a child's name, for people, if that is all.
    pub fn taken(&self) -> Option<&str> {
        match self {
            Self::Apply(ApplyError::Taken(words)) => Some(words),
            Self::Midway(error) | Self::NobodyLeads(error) => error.taken(),
            _ => None,
        }
    }

    /// True if it says nothing about other objects.
    pub fn is_about_a_child(&self) -> bool {
        self.refusal().is_some() || self.taken().is_some()
    }

    /// How long the next pass waits at most, where that many failed in a row that `delay` is due.
    pub fn delay(&self, delay: Duration) -> Duration {
        let limit = match self {
            Self::NobodyLeads(_) => AT_ONCE,
            _ if self.is_about_a_child() => REFUSED,
            _ => return delay,
        };
        delay.min(limit)
    }
}

/// What a pass came to.
pub enum Outcome {
    /// Nothing is left to do.
    Settled,
    /// Nothing is left to do before this time, in milliseconds since 1970.
    SettledUntil(u64),
    /// Something is under way that news will tell about.
    Waiting,
    /// Roles changed: what follows from that is to be done now.
    Again,
    /// Something may be done after this that no news tells of.
    After(Duration),
    /// This replica does not lead.
    Standby,
}

impl Outcome {
    /// The same, and another look after `limit` at the latest.
    pub fn within(self, limit: Duration) -> Self {
        match self {
            Self::Settled | Self::SettledUntil(_) | Self::Waiting => Self::After(limit),
            Self::After(wait) => Self::After(wait.min(limit)),
            soon @ (Self::Again | Self::Standby) => soon,
        }
    }

    /// The same, and another look at this time at the latest, in milliseconds since 1970.
    pub fn by(self, at_unix_ms: u64) -> Self {
        match self {
            Self::Settled => Self::SettledUntil(at_unix_ms),
            Self::SettledUntil(known) => Self::SettledUntil(known.min(at_unix_ms)),
            waiting @ (Self::Waiting | Self::After(_)) => waiting.within(until(at_unix_ms)),
            soon @ (Self::Again | Self::Standby) => soon,
        }
    }

    /// After how long the next pass comes without news, if it does.
    pub fn next(&self) -> Option<Duration> {
        match self {
            Self::Settled => Some(NET),
            Self::SettledUntil(at) => Some(until(*at).clamp(AT_ONCE, NET)),
            Self::Waiting => Some(WAITING),
            Self::Again => Some(AGAIN),
            Self::After(wait) => Some((*wait).clamp(AGAIN, WAITING)),
            Self::Standby => None,
        }
    }
}

fn until(unix_ms: u64) -> Duration {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    Duration::from_millis(unix_ms.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_minutes(minutes: i64) -> u64 {
        let at = jiff::Timestamp::now().as_millisecond() + minutes * 60_000;
        u64::try_from(at).unwrap()
    }

    #[test]
    fn what_is_due_at_a_time_wakes_one_that_is_settled_then_and_one_that_waits_no_later() {
        let next = |outcome: Outcome, minutes| outcome.by(in_minutes(minutes)).next().unwrap();
        let near = |is: Duration, minutes: u64| {
            let wanted = Duration::from_secs(minutes * 60);
            is <= wanted && is + Duration::from_secs(5) > wanted
        };
        assert!(near(next(Outcome::Settled, 5), 5));
        assert_eq!(next(Outcome::Settled, 60), NET);
        assert_eq!(next(Outcome::Settled, -5), AT_ONCE);
        assert!(near(next(Outcome::SettledUntil(in_minutes(2)), 5), 2));
        assert_eq!(next(Outcome::Waiting, 5), WAITING);
        assert_eq!(next(Outcome::Again, 5), AGAIN);
        assert!(Outcome::Standby.by(in_minutes(1)).next().is_none());
    }
}
