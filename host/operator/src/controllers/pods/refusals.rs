//! What the API server refused in a pass. It ends no pass: what does not depend on it is carried out,
//! a condition tells of it, and it is tried again soon.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hera_kube::{ApplyError, Refusal};

/// What one pass met, by kind and name.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<(String, String), Refusal>>);

impl Refusals {
    /// An object was refused; what was said of it last counts.
    pub fn note(&self, refusal: &Refusal) {
        let object = (refusal.kind.clone(), refusal.name.clone());
        self.lock().insert(object, refusal.clone());
    }

    /// Takes a refusal out of the way: whether the object is as it is wanted.
    ///
    /// # Errors
    /// What is not about one object.
    pub fn take<T>(&self, written: Result<T, ApplyError>) -> Result<bool, ApplyError> {
        match written {
            Ok(_) => Ok(true),
            Err(ApplyError::Refused(refusal)) => {
                self.note(&refusal);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// All of them, sorted.
    pub fn all(&self) -> Vec<Refusal> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
