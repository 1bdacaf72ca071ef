use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use wasmtime::Engine;

use crate::queue::{FairQueue, Places};
use crate::trial::Trial;
use crate::{Decision, Limits, LoadError, Policy, StartError, engine, load, stack};

/// Compilations at a time. With one alone, a module that takes the five seconds it may have would
/// keep everybody else waiting.
const COMPILING: Places = Places {
    all: 2,
    of_owner: 1,
    waiting_of_owner: 32,
};

/// Modules that are remembered, good and bad, and their size together; past either, good ones that
/// nobody uses are forgotten, and past the number failures too.
const REMEMBERED: usize = 1024;
const REMEMBERED_BYTES: usize = 32 << 20;

/// What became of a module; the policy's type follows from the decision in the key.
type Outcome = Result<Arc<dyn Any + Send + Sync>, LoadError>;
type Key = (&'static str, String);
/// Told of each module that was compiled: the decision, and why it cannot be used.
type Observer = Box<dyn Fn(&'static str, Option<&LoadError>) + Send + Sync>;

struct Slot {
    bytes: usize,
    outcome: Arc<OnceCell<Outcome>>,
}

/// Compiles modules and remembers them by digest. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    limits: Limits,
    trial: Option<Trial>,
    queue: FairQueue,
    calls: Arc<Semaphore>,
    modules: Mutex<HashMap<Key, Slot>>,
    observer: Observer,
}

impl Registry {
    /// Starts the sandbox. With a `trial`, every module is compiled there first.
    ///
    /// # Errors
    ///
    /// [`StartError`] if this machine cannot run one.
    pub fn new(limits: Limits, trial: Option<Trial>) -> Result<Self, StartError> {
        Self::observed(limits, trial, |_, _| {})
    }

    /// As [`Self::new`]; `observer` is told of each module that was compiled: the decision, and
    /// why it cannot be used.
    ///
    /// # Errors
    ///
    /// [`StartError`] if this machine cannot run a sandbox.
    pub fn observed(
        limits: Limits,
        trial: Option<Trial>,
        observer: impl Fn(&'static str, Option<&LoadError>) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let engine = engine::start(&limits)?;
        let calls = Arc::new(Semaphore::new(limits.calls.max(1)));
        let inner = Inner {
            engine,
            limits,
            trial,
            queue: FairQueue::new(COMPILING),
            calls,
            modules: Mutex::default(),
            observer: Box::new(observer),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Loads a module that makes a decision: a component, or the core module that a plain
    /// `cargo build --target wasm32-unknown-unknown` makes. `owner` waits for its turn.
    ///
    /// # Guarantees
    ///
    /// The same bytes are compiled once, however many ask at the same time, and a failure is
    /// remembered too.
    ///
    /// # Caveats
    ///
    /// A compilation that has begun cannot be stopped; it ends in the background.
    ///
    /// # Errors
    ///
    /// [`LoadError`], with what its author can do.
    pub async fn load<D: Decision>(
        &self,
        bytes: impl Into<Arc<[u8]>>,
        owner: &str,
    ) -> Result<Arc<Policy<D>>, LoadError> {
        let bytes = bytes.into();
        let limit = self.inner.limits.module_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        let digest = hera_core::digest::of(&bytes);
        let key = (D::NAME, digest.clone());
        let slot = self.slot(&key, bytes.len());
        let compile = async || {
            let outcome = self.compile::<D>(bytes, digest, owner).await;
            (self.inner.observer)(D::NAME, outcome.as_ref().err());
            outcome
        };
        let outcome = slot.get_or_init(compile).await.clone();
        if outcome.as_ref().is_err_and(|error| !error.is_lasting()) {
            self.forget(&key, &slot);
        }
        outcome?
            .downcast()
            .map_err(|_| LoadError::Internal("a policy of another decision".to_owned()))
    }

    /// Good modules in memory.
    pub fn loaded(&self) -> usize {
        let modules = self.lock();
        let good = modules
            .values()
            .filter(|slot| matches!(slot.outcome.get(), Some(Ok(_))));
        good.count()
    }

    async fn compile<D: Decision>(&self, bytes: Arc<[u8]>, digest: String, owner: &str) -> Outcome {
        let inner = Arc::clone(&self.inner);
        let turn = inner.queue.turn(owner).await;
        let turn = turn.map_err(|waiting| LoadError::QueueFull { waiting })?;
        if let Some(trial) = &inner.trial {
            trial.run(D::NAME, &bytes).await?;
        }
        let compile = move || {
            let linked = stack::with(stack::PROVEN, || {
                load::load::<D>(&inner.engine, &inner.limits, &bytes)
            })
            .unwrap_or_else(|error| Err(LoadError::Internal(error.to_string())));
            drop(turn);
            let calls = Arc::clone(&inner.calls);
            let policy = Policy::new(linked?, (digest, bytes), inner.limits.clone(), calls);
            Ok(Arc::new(policy) as Arc<dyn Any + Send + Sync>)
        };
        tokio::task::spawn_blocking(compile)
            .await
            .map_err(|error| LoadError::Internal(error.to_string()))?
    }

    fn slot(&self, key: &Key, bytes: usize) -> Arc<OnceCell<Outcome>> {
        let mut modules = self.lock();
        if let Some(slot) = modules.get(key) {
            return Arc::clone(&slot.outcome);
        }
        let many = modules.len() >= REMEMBERED;
        let total: usize = modules.values().map(Slot::held).sum();
        if many || total + bytes > REMEMBERED_BYTES {
            modules.retain(|_, slot| match slot.outcome.get() {
                Some(Ok(policy)) => Arc::strong_count(policy) > 1,
                Some(Err(_)) => !many,
                None => true,
            });
        }
        let outcome = Arc::default();
        let slot = Slot {
            bytes,
            outcome: Arc::clone(&outcome),
        };
        modules.insert(key.clone(), slot);
        outcome
    }

    fn forget(&self, key: &Key, failed: &Arc<OnceCell<Outcome>>) {
        let mut modules = self.lock();
        if modules
            .get(key)
            .is_some_and(|slot| Arc::ptr_eq(&slot.outcome, failed))
        {
            modules.remove(key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Slot>> {
        self.inner
            .modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// What it keeps in memory, as far as it grows with the module.
    fn held(&self) -> usize {
        match self.outcome.get() {
            Some(Err(_)) => 0,
            Some(Ok(_)) | None => self.bytes,
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}
