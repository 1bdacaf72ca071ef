//! What the API server refused in a pass, and what of somebody else's is in the way. It ends no pass: what does
//! not depend on it is carried out, a condition tells of it, and it is tried again soon.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hera_kube::{ApplyError, Refusal};

/// What one pass met.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Met>);

#[derive(Debug, Default)]
struct Met {
    /// By kind and name.
    refused: BTreeMap<(String, String), Refusal>,
    /// An object of somebody else's that has a child's name, for people.
    taken: Option<String>,
}

impl Refusals {
    /// An object was refused; what was said of it last counts.
    pub fn note(&self, refusal: &Refusal) {
        let object = (refusal.kind.clone(), refusal.name.clone());
        self.lock().refused.insert(object, refusal.clone());
    }

    /// Somebody else's object has a child's name; the first counts.
    pub fn note_taken(&self, words: &str) {
        self.lock().taken.get_or_insert_with(|| words.to_owned());
    }

    /// What is known of such an object.
    pub fn taken(&self) -> Option<String> {
        self.lock().taken.clone()
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
        self.lock().refused.values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Met> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
