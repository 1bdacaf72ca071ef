//! The decisions that policies can make. Each is an adapter: from the operator's own types to
//! those of a contract and back, one branch for each version of the contract.

mod acl;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Engine;
use wasmtime::component::Component;

pub use acl::Acl;

use crate::sandbox::Usage;
use crate::{CallError, Context, Limits};

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
    ) -> Result<(Self::Answer, Usage), CallError>;
    /// Asks whether settings make sense.
    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError>;
    /// Holds an answer against what was asked.
    fn guard(input: &Self::Input, answer: &Self::Answer) -> Result<(), GuardRefused>;
}
