//! A decision as it is kept: everything that is needed to make it again.

use serde::{Deserialize, Serialize};

use crate::sandbox::Ran;
use crate::{Answered, Context, Decision, GuardRefused, LogLine, Policy};

/// One call of one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call<A> {
    /// Where the policy came from: `builtin`, `default` or `configMap <name>`.
    pub source: String,
    /// Digest of its module.
    pub digest: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome<A>,
    /// Fuel that it took.
    pub fuel: u64,
    /// Microseconds that it took.
    pub micros: u64,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "outcome"
)]
pub enum Outcome<A> {
    /// An answer that passed the guard.
    Ok {
        /// The answer.
        answer: A,
        /// Until when it holds, in milliseconds since 1970; none until something changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_at_unix_ms: Option<u64>,
    },
    /// An answer that did not.
    GuardRefused {
        /// The answer.
        answer: A,
        /// Why not.
        refused: GuardRefused,
    },
    /// No answer.
    Fault {
        /// Stable name of the fault.
        reason: String,
        /// What happened, for people.
        message: String,
        /// True if the policy is to blame.
        to_blame: bool,
    },
}

/// A decision, with the call of the policy that decides and of the one in its shadow. One line of
/// JSON each in a decision log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "I: Deserialize<'de>, A: Deserialize<'de>"))]
pub struct Record<I, A> {
    /// What was decided: `acl`.
    pub decision: String,
    /// The circumstances: time, object, server, the settings of the policy that decides.
    pub context: Context,
    /// What was asked.
    pub input: I,
    /// The policy that decides.
    pub call: Call<A>,
    /// The policy in its shadow, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Call<A>>,
    /// The settings of the policy in the shadow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shadow_settings: String,
}

impl<A> Outcome<A> {
    /// `ok`, `GuardRefused`, or the reason of the fault: for metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::Ok { .. } => "ok",
            Self::GuardRefused { .. } => "GuardRefused",
            Self::Fault { reason, .. } => reason,
        }
    }

    /// What came of it, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Ok { .. } => "an answer".to_owned(),
            Self::GuardRefused { refused, .. } => format!("GuardRefused: {refused}"),
            Self::Fault {
                reason, message, ..
            } => format!("{reason}: {message}"),
        }
    }

    /// The answer, if it may be used.
    pub fn good(&self) -> Option<&A> {
        match self {
            Self::Ok { answer, .. } => Some(answer),
            Self::GuardRefused { .. } | Self::Fault { .. } => None,
        }
    }

    /// Until when the answer holds, if it may be used and does not hold for good.
    pub fn again_at_unix_ms(&self) -> Option<u64> {
        match self {
            Self::Ok {
                again_at_unix_ms, ..
            } => *again_at_unix_ms,
            Self::GuardRefused { .. } | Self::Fault { .. } => None,
        }
    }

    /// False for what a busy machine or the operator is to blame for: the next time may be better.
    pub fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Fault {
                to_blame: false,
                ..
            }
        )
    }

    /// True if the policy gave no answer that may be used, and is to blame for that.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Ok { .. } => false,
            Self::GuardRefused { .. } => true,
            Self::Fault { to_blame, .. } => *to_blame,
        }
    }
}

impl<A: PartialEq> Call<A> {
    /// True if another call came to the same: the same answer, or the same kind of trouble.
    pub fn agrees(&self, other: &Self) -> bool {
        match (&self.outcome, &other.outcome) {
            (Outcome::Ok { answer: one, .. }, Outcome::Ok { answer: two, .. }) => one == two,
            (one, two) => one.good().is_none() && one.name() == two.name(),
        }
    }
}

impl<D: Decision> Policy<D> {
    /// Asks, holds the answer against the guard, and tells all of it.
    pub async fn ask(&self, source: &str, context: &Context, input: &D::Input) -> Call<D::Answer> {
        self.call_of(source, input, self.run(context, input).await)
    }

    /// [`Self::ask`] on this very thread.
    pub fn ask_blocking(
        &self,
        source: &str,
        context: &Context,
        input: &D::Input,
    ) -> Call<D::Answer> {
        self.call_of(source, input, self.run_blocking(context, input))
    }

    fn call_of(
        &self,
        source: &str,
        input: &D::Input,
        ran: Ran<Answered<D::Answer>>,
    ) -> Call<D::Answer> {
        let outcome = match ran.result {
            Ok(Answered {
                answer,
                again_at_unix_ms,
            }) => match D::guard(input, &answer) {
                Ok(()) => Outcome::Ok {
                    answer,
                    again_at_unix_ms,
                },
                Err(refused) => Outcome::GuardRefused { answer, refused },
            },
            Err(error) => Outcome::Fault {
                reason: error.reason().to_owned(),
                message: error.to_string(),
                to_blame: error.is_fault(),
            },
        };
        Call {
            source: source.to_owned(),
            digest: self.digest().to_owned(),
            outcome,
            fuel: ran.usage.fuel,
            micros: u64::try_from(ran.usage.duration.as_micros()).unwrap_or(u64::MAX),
            logs: ran.usage.logs,
        }
    }
}
