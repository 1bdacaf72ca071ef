//! Why nothing came of a sweep.

use std::time::Duration;

use hera_core::backup::Failure;
use thiserror::Error;

use crate::agents::AgentError;

/// Why nothing came of a sweep, and when the next one comes.
#[derive(Debug, Error)]
pub enum Failed {
    /// Another replica leads now.
    #[error("another replica leads now")]
    NotLeading,
    /// There is no such object, or none whose backups could be looked at.
    #[error("{0}")]
    NoTarget(String),
    /// What the spec says of backups is not usable.
    #[error("what the spec says of backups is not usable: {0}")]
    Spec(String),
    /// It has no pods, as was asked for.
    #[error("it hibernates")]
    Hibernates,
    /// No agent of its pods is heard.
    #[error("no agent of its pods is heard")]
    NoAgent,
    /// The store cannot be reached.
    #[error("{0}")]
    Store(String),
    /// No policy says what may go.
    #[error("no policy says what may go")]
    NoPolicy,
    /// The policy is being loaded.
    #[error("the policy is being loaded")]
    Loading,
    /// What is needed cannot be told.
    #[error("what is needed cannot be told, so nothing is deleted: {0}")]
    Doubt(String),
    /// The agent says why.
    #[error("{reason}: {words}", reason = .0.reason.as_str(), words = .0.message)]
    Told(Failure),
    /// The agent was started anew, or was ordered another one.
    #[error("its agent knows nothing of the sweep any more")]
    Forgotten,
    /// It takes too long.
    #[error("it took too long")]
    TooSlow,
    /// The agent refuses, or does not answer.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The API server.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
}

/// The next one after what a moment may mend.
const SOON: Duration = Duration::from_secs(60);
/// And after anything else.
const LATER: Duration = Duration::from_secs(3_600);

impl Failed {
    /// For how long there is no other.
    pub fn pause(&self) -> Duration {
        match self {
            Self::NotLeading => Duration::ZERO,
            Self::Loading | Self::Forgotten | Self::NoAgent | Self::Agent(_) | Self::Kube(_) => {
                SOON
            }
            _ => LATER,
        }
    }

    /// True if it says something about the object's backups.
    pub fn is_told(&self) -> bool {
        !matches!(self, Self::NotLeading | Self::Loading | Self::Hibernates)
    }
}
