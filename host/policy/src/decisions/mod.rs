//! The decisions that policies can make. Each is an adapter: from the operator's own types to
//! those of a contract and back, one branch for each version of the contract.

mod acl;
mod backup;
mod rebalance;

use std::path::Path;

use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Engine;
use wasmtime::component::Component;

pub use acl::Acl;
pub use backup::Backup;
pub use rebalance::Rebalance;

use crate::sandbox::Ran;
use crate::{CallError, CaseResult, Context, Limits, Policy};

/// What a policy answers, whatever it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<A> {
    /// The answer.
    pub answer: A,
    /// Until when it holds, in milliseconds since 1970: the policy wants to be asked again then.
    pub again_at_unix_ms: Option<u64>,
}

/// What passes the guard may be used; this does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, thiserror::Error)]
#[error("{words}")]
pub struct GuardRefused {
    /// Stable name of the rule (`docs/guards.md`).
    pub rule: String,
    /// What is wrong, for people.
    pub words: String,
}

/// A decision that policies can make, linked to one module.
pub trait Decision: Sized + Send + Sync + 'static {
    /// What is asked.
    type Input: Clone + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What is answered.
    type Answer: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The name in specs, metrics and interfaces.
    const NAME: &'static str;
    /// Versions of the contract that the host serves for it, the newest last.
    const VERSIONS: &'static [(u64, u64)];
    /// What becomes of a question that its policy answers with nothing that may be used: true if the
    /// built-in decides this time, false if what was decided last stays.
    const BUILT_IN_STEPS_IN: bool;

    /// Links a component that exports the interface in one of the versions that the host knows.
    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self>;
    /// Version of the contract that it was built for.
    fn api(&self) -> &'static str;
    /// Starts an instance and drops it: types that differ show only here.
    fn trial(&self, limits: &Limits) -> Result<(), CallError>;
    /// Asks for a decision.
    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &Self::Input,
    ) -> Ran<Answered<Self::Answer>>;
    /// Asks whether settings make sense.
    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError>;
    /// Holds an answer against what was asked.
    fn guard(input: &Self::Input, answer: &Self::Answer) -> Result<(), GuardRefused>;
    /// How two answers differ, a line for each difference.
    fn diff(one: &Self::Answer, two: &Self::Answer) -> Vec<String>;
    /// An answer for people, a line for each part.
    fn show(answer: &Self::Answer) -> Vec<String>;

    /// A question as it could be asked: the `number`th of a suite.
    fn example(random: &mut StdRng, number: usize) -> Self::Input;
    /// A question of a size, for measuring.
    fn example_of(size: usize) -> Self::Input;
    /// The question of a case in a file.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    fn case(text: &str) -> Result<(Context, Self::Input), String>;
    /// Runs the cases of a folder.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn cases(policy: &Policy<Self>, folder: &Path) -> std::io::Result<Vec<CaseResult>>;
}

/// Evaluates an expression, in which `$D` is the decision of this name; `None` if there is none.
#[macro_export]
macro_rules! for_decision {
    ($name:expr, $D:ident => $call:expr) => {
        match $name {
            <$crate::Acl as $crate::Decision>::NAME => {
                type $D = $crate::Acl;
                Some($call)
            }
            <$crate::Rebalance as $crate::Decision>::NAME => {
                type $D = $crate::Rebalance;
                Some($call)
            }
            <$crate::Backup as $crate::Decision>::NAME => {
                type $D = $crate::Backup;
                Some($call)
            }
            _ => None,
        }
    };
}
