//! What is remembered of an object about one decision. Nothing in it needs to survive a restart.

use std::sync::Arc;

use hera_api::conditions::policy_healthy as reason;
use hera_core::quarantine;
use hera_policy::{Call, Context, Decision, Outcome};

use super::{Choice, Compared, Problem, problem_of};

/// What is remembered of one object.
pub struct Memory<D: Decision> {
    pub last_good: Option<Choice<D>>,
    /// What was asked last.
    pub last: Option<Last<D>>,
    /// What the built-in answered in place of the policy, and to which question.
    pub instead: Option<(String, D::Answer)>,
    /// How the policy fared.
    pub conduct: Conduct,
}

/// What was asked last, and what it came to.
pub struct Last<D: Decision> {
    /// Stands for the question.
    pub key: String,
    pub asked: Asked<D::Answer>,
    /// The question itself, while its answer holds until a time only.
    pub again: Option<Arc<Again<D>>>,
}

/// A question that is put again.
pub struct Again<D: Decision> {
    pub due_unix_ms: u64,
    pub policy_key: String,
    pub choice: Choice<D>,
    pub shadow: Option<Result<Choice<D>, Compared>>,
    pub context: Context,
    pub input: D::Input,
}

/// How a policy with its settings fared of late: another, or other settings, begins anew.
#[derive(Clone, Default)]
pub struct Conduct {
    pub policy_key: String,
    pub record: quarantine::Record,
    /// The last fault, while there was no good answer since, and its kind. The words are those of
    /// its first time: what a policy says is no reason to write a status again.
    pub fault: Option<(String, Problem)>,
}

/// What a call and its shadow came to.
#[derive(Clone)]
pub struct Asked<A> {
    pub call: Call<A>,
    pub shadow: Option<Compared>,
    /// The shadow would say the same again.
    pub lasts: bool,
    /// When to ask again.
    pub due_unix_ms: Option<u64>,
}

impl<D: Decision> Memory<D> {
    pub fn last_shadow(&self) -> Option<Compared> {
        self.last.as_ref()?.asked.shadow.clone()
    }

    pub fn again(&self) -> Option<&Again<D>> {
        self.last.as_ref()?.again.as_deref()
    }

    /// Forgets how another policy fared, or the same one with other settings.
    pub fn begin_anew(&mut self, policy_key: &str) {
        if self.conduct.policy_key != policy_key {
            self.conduct = Conduct {
                policy_key: policy_key.to_owned(),
                ..Conduct::default()
            };
        }
    }
}

impl Conduct {
    /// Takes in what came of a call.
    pub fn note<A>(&mut self, call: &Call<A>, now_unix_ms: u64) {
        let Some(problem) = problem_of(call) else {
            self.record.good();
            self.fault = None;
            return;
        };
        self.record.fault(call.outcome.is_fault(), now_unix_ms);
        let kind = match &call.outcome {
            Outcome::GuardRefused { refused, .. } => refused.rule.clone(),
            outcome => outcome.name().to_owned(),
        };
        if self.fault.as_ref().is_none_or(|(known, _)| *known != kind) {
            self.fault = Some((kind, problem));
        }
    }

    /// Says what the last fault means for the object, for which the built-in decides meanwhile or nobody.
    pub fn explain(&self, digest: &str, built_in: bool) -> Option<Problem> {
        let meanwhile = match built_in {
            true => "the built-in decides meanwhile",
            false => "the last good decision stays",
        };
        let (_, problem) = self.fault.clone()?;
        let Problem {
            reason, message, ..
        } = problem;
        let module = digest.get(..19).unwrap_or(digest);
        Some(if self.record.is_aside() {
            let message = format!(
                "{reason}: {message} (module {module}); after {} faults in a row it is asked again only after a \
                 while, or at once when module or settings change; {meanwhile}",
                quarantine::FAULTS
            );
            Problem::lasting(reason::SET_ASIDE, message)
        } else {
            let message = format!("{message} (module {module}); {meanwhile}");
            Problem::lasting(reason, message)
        })
    }
}
