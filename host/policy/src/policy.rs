use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::sandbox::{LogLine, Ran, Usage};
use crate::{Answered, CallError, Decision, Limits};

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

impl Context {
    /// Circumstances for trying things: a Redis 7.2.4 called `cache` in `shop`, no settings.
    pub fn example() -> Self {
        Self {
            now_unix_ms: 1_767_225_600_000,
            seed: 7,
            name: "cache".to_owned(),
            namespace: "shop".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            settings: String::new(),
        }
    }
}

/// A decision, before the guard has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<A> {
    /// What the policy answered.
    pub answer: A,
    /// Until when it holds, in milliseconds since 1970; none until something changes.
    pub again_at_unix_ms: Option<u64>,
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
    module: Arc<[u8]>,
}

struct Inner<D> {
    linked: D,
    limits: Limits,
    calls: Arc<Semaphore>,
}

impl<D: Decision> Policy<D> {
    pub(crate) fn new(
        linked: D,
        (digest, module): (String, Arc<[u8]>),
        limits: Limits,
        calls: Arc<Semaphore>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                linked,
                limits,
                calls,
            }),
            digest,
            module,
        }
    }

    /// `sha256:<hex>` of the module as it stood in the ConfigMap.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The module as it stood in the ConfigMap.
    pub fn module(&self) -> &[u8] {
        &self.module
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
    pub(crate) async fn run(
        &self,
        context: &Context,
        input: &D::Input,
    ) -> Ran<Answered<D::Answer>> {
        let (context, input) = (context.clone(), input.clone());
        let ran = self
            .call(move |inner| Ok(inner.run(&context, &input)))
            .await;
        ran.unwrap_or_else(|error| Ran {
            result: Err(error),
            usage: Usage::default(),
        })
    }

    /// [`Self::run`] on this very thread.
    pub(crate) fn run_blocking(
        &self,
        context: &Context,
        input: &D::Input,
    ) -> Ran<Answered<D::Answer>> {
        self.inner.run(context, input)
    }

    /// Asks for a decision, on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no answer came.
    pub async fn decide(
        &self,
        context: &Context,
        input: &D::Input,
    ) -> Result<Decided<D::Answer>, CallError> {
        Decided::of(self.run(context, input).await)
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
        Decided::of(self.run_blocking(context, input))
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

impl<A> Decided<A> {
    fn of(ran: Ran<Answered<A>>) -> Result<Self, CallError> {
        let Ran { result, usage } = ran;
        let Answered {
            answer,
            again_at_unix_ms,
        } = result?;
        Ok(Self {
            answer,
            again_at_unix_ms,
            fuel_used: usage.fuel,
            duration: usage.duration,
            logs: usage.logs,
        })
    }
}

impl<D: Decision> Inner<D> {
    fn run(&self, context: &Context, input: &D::Input) -> Ran<Answered<D::Answer>> {
        self.linked.decide(&self.limits, context, input)
    }
}

impl<D> std::fmt::Debug for Policy<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
