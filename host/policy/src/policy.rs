use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::sandbox::LogLine;
use crate::{CallError, Decision, Limits};

/// The circumstances of a call. Everything that an answer may depend on is here or in the input,
/// so a decision can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// Milliseconds since 1970.
    pub now_unix_ms: u64,
    /// Stable for one object and decision.
    pub seed: u64,
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `redis` or `valkey`.
    pub engine: String,
    /// Version of the server.
    pub version: String,
    /// The settings beside the policy, JSON text; empty for none.
    pub settings: String,
}

/// A decision, before the guard has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<A> {
    /// What the policy answered.
    pub answer: A,
    /// Fuel that it took: the same on every machine with this version of the runtime.
    pub fuel_used: u64,
    /// Time that it took, instantiation included.
    pub duration: Duration,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// A loaded policy. Any number of objects share one.
///
/// # Guarantees
///
/// Each call runs in an instance of its own, within [`Limits`]: nothing is kept between calls,
/// and no answer can come of more than the given input.
pub struct Policy<D> {
    inner: Arc<Inner<D>>,
    digest: String,
}

struct Inner<D> {
    linked: D,
    limits: Limits,
    calls: Arc<Semaphore>,
}

impl<D: Decision> Policy<D> {
    pub(crate) fn new(linked: D, digest: String, limits: Limits, calls: Arc<Semaphore>) -> Self {
        Self {
            inner: Arc::new(Inner {
                linked,
                limits,
                calls,
            }),
            digest,
        }
    }

    /// `sha256:<hex>` of the module as it stood in the ConfigMap.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Version of the contract that it was built for.
    pub fn api(&self) -> &'static str {
        self.inner.linked.api()
    }

    /// Asks the policy whether `settings` make sense to it.
    ///
    /// # Errors
    ///
    /// [`CallError::InvalidSettings`] with the policy's own words, or as in [`Self::decide`].
    pub async fn validate_settings(&self, settings: &str) -> Result<(), CallError> {
        let settings = settings.to_owned();
        self.call(move |inner| inner.linked.validate_settings(&inner.limits, &settings))
            .await
    }

    /// Asks for a decision, on a thread that may block, with as many calls at a time as there
    /// are cores.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no answer came.
    pub async fn decide(
        &self,
        context: &Context,
        input: &D::Input,
    ) -> Result<Decided<D::Answer>, CallError> {
        let (context, input) = (context.clone(), input.clone());
        self.call(move |inner| inner.decide(&context, &input)).await
    }

    /// [`Self::decide`] on this very thread, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no answer came.
    pub fn decide_blocking(
        &self,
        context: &Context,
        input: &D::Input,
    ) -> Result<Decided<D::Answer>, CallError> {
        self.inner.decide(context, input)
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Inner<D>) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let inner = Arc::clone(&self.inner);
        let internal = |error: &dyn std::fmt::Display| CallError::Internal(error.to_string());
        let permit = Arc::clone(&inner.calls)
            .acquire_owned()
            .await
            .map_err(|e| internal(&e))?;
        // The permit lives as long as the call, also when nobody waits for its answer any more.
        let call = move || {
            let answer = call(&inner);
            drop(permit);
            answer
        };
        tokio::task::spawn_blocking(call)
            .await
            .map_err(|error| internal(&error))?
    }
}

impl<D: Decision> Inner<D> {
    fn decide(&self, context: &Context, input: &D::Input) -> Result<Decided<D::Answer>, CallError> {
        let (answer, usage) = self.linked.decide(&self.limits, context, input)?;
        Ok(Decided {
            answer,
            fuel_used: usage.fuel,
            duration: usage.duration,
            logs: usage.logs,
        })
    }
}

impl<D> std::fmt::Debug for Policy<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
