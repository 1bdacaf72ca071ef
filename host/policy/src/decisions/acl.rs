use hera_core::acl::{AclAnswer, AclInput, guard};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Decision, GuardRefused};
use crate::sandbox::Usage;
use crate::{CallError, Context, Limits, v0_1};

/// Which rights each user gets.
pub struct Acl(v0_1::Acl);

impl Decision for Acl {
    type Input = AclInput;
    type Answer = AclAnswer;

    const NAME: &'static str = "acl";

    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        v0_1::Acl::link(engine, component).map(Self)
    }

    fn api(&self) -> &'static str {
        v0_1::API
    }

    fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        self.0.trial(limits)
    }

    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &AclInput,
    ) -> Result<(AclAnswer, Usage), CallError> {
        self.0.decide(limits, context, input)
    }

    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        self.0.validate_settings(limits, settings)
    }

    fn guard(input: &AclInput, answer: &AclAnswer) -> Result<(), GuardRefused> {
        guard(input, answer).map_err(|violation| GuardRefused {
            rule: violation.rule.name().to_owned(),
            words: violation.to_string(),
        })
    }
}
