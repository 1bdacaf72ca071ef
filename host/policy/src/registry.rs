use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use wasmtime::Engine;

use crate::{AclPolicy, Limits, LoadError, StartError, engine, load};

/// Modules that are remembered, good and bad; past it those that nobody uses are forgotten.
const REMEMBERED: usize = 256;

type Outcome = Result<Arc<AclPolicy>, LoadError>;

/// Compiles modules and remembers them by digest. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    limits: Limits,
    /// One compilation at a time: it is the only thing here without a hard bound.
    compiling: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    acl: Mutex<HashMap<String, Arc<OnceCell<Outcome>>>>,
}

impl Registry {
    /// Starts the sandbox.
    ///
    /// # Errors
    ///
    /// [`StartError`] if this machine cannot run one.
    pub fn new(limits: Limits) -> Result<Self, StartError> {
        let engine = engine::start(&limits)?;
        let calls = Arc::new(Semaphore::new(limits.calls.max(1)));
        let compiling = Arc::new(Semaphore::new(1));
        let inner = Inner {
            engine,
            limits,
            compiling,
            calls,
            acl: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Loads a module that decides on users: a component, or the core module that a plain
    /// `cargo build --target wasm32-unknown-unknown` makes.
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
    pub async fn load_acl(&self, bytes: impl Into<Arc<[u8]>>) -> Outcome {
        let bytes = bytes.into();
        let limit = self.inner.limits.module_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        let digest = hera_core::digest::of(&bytes);
        let slot = self.slot(&digest);
        let outcome = slot
            .get_or_init(|| self.compile_acl(bytes, digest.clone()))
            .await
            .clone();
        if outcome.as_ref().is_err_and(|error| !error.is_lasting()) {
            self.forget(&digest, &slot);
        }
        outcome
    }

    async fn compile_acl(&self, bytes: Arc<[u8]>, digest: String) -> Outcome {
        let inner = Arc::clone(&self.inner);
        let internal = |error: &dyn std::fmt::Display| LoadError::Internal(error.to_string());
        let permit = Arc::clone(&inner.compiling)
            .acquire_owned()
            .await
            .map_err(|error| internal(&error))?;
        let compile = move || {
            let policy = load::load_acl(&inner.engine, &inner.limits, &bytes);
            drop(permit);
            let calls = Arc::clone(&inner.calls);
            policy
                .map(|policy| Arc::new(AclPolicy::new(policy, digest, inner.limits.clone(), calls)))
        };
        tokio::task::spawn_blocking(compile)
            .await
            .map_err(|error| internal(&error))?
    }

    fn slot(&self, digest: &str) -> Arc<OnceCell<Outcome>> {
        let mut slots = self
            .inner
            .acl
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED && !slots.contains_key(digest) {
            slots.retain(|_, slot| match slot.get() {
                Some(Ok(policy)) => Arc::strong_count(policy) > 1,
                Some(Err(_)) => false,
                None => true,
            });
        }
        Arc::clone(slots.entry(digest.to_owned()).or_default())
    }

    fn forget(&self, digest: &str, failed: &Arc<OnceCell<Outcome>>) {
        let mut slots = self
            .inner
            .acl
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(digest)
            .is_some_and(|slot| Arc::ptr_eq(slot, failed))
        {
            slots.remove(digest);
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
