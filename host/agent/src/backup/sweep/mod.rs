//! Looks at what the store has of the object, and removes what is named and not needed, with the log that nothing needs
//! any more.
//!
//! What ends half way is harmless at any point: a backup goes before its base, what says that a base is whole before
//! its data, and the log last, the oldest of it first. Whatever is in doubt removes nothing.

mod cache;
mod doomed;
mod heads;
mod inventory;
mod known;
mod removing;
mod run;
mod trim;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hera_core::backup::{Failure, FailureReason, SweepOrder, SweepState};
use tracing::{info, warn};

use self::cache::Cache;
use super::failed;
use crate::agent::Agent;
use crate::control::answer::Refused;

/// The shard that a sweep is of: that of an object that has none.
const SHARD: &str = "0";

/// The last sweep.
#[derive(Default)]
pub struct Sweeps {
    last: Mutex<Option<SweepState>>,
    /// What files say that were read before. Who sweeps has it.
    cache: Mutex<Cache>,
}

/// A sweep that has begun. One that is dropped has failed.
struct Begun {
    sweeps: Arc<Sweeps>,
    id: String,
}

/// What becomes of an order.
enum Beginning {
    New(Begun),
    /// It runs, or is over.
    Known,
    Busy,
}

/// Sweeps. It goes on by itself.
///
/// # Errors
/// Another sweep runs.
pub fn order(agent: &Arc<Agent>, order: SweepOrder) -> Result<(), Refused> {
    let begun = match agent.sweeps.begin(&order.id) {
        Beginning::New(begun) => begun,
        Beginning::Known => return Ok(()),
        Beginning::Busy => return Err(Refused::later("another sweep of the store runs")),
    };
    let agent = agent.clone();
    tokio::spawn(async move {
        let mut cache = std::mem::take(&mut *agent.sweeps.cache());
        let outcome = Box::pin(run::run(&agent, &order, &mut cache)).await;
        *agent.sweeps.cache() = cache;
        begun.ends(outcome);
    });
    Ok(())
}

impl Sweeps {
    /// What is told of the last one.
    pub fn told(&self) -> Option<SweepState> {
        self.last().clone()
    }

    fn begin(self: &Arc<Self>, id: &str) -> Beginning {
        let mut last = self.last();
        match &*last {
            Some(
                SweepState::Running { id: known }
                | SweepState::Done { id: known, .. }
                | SweepState::Failed { id: known, .. },
            ) if known == id => return Beginning::Known,
            Some(SweepState::Running { .. }) => return Beginning::Busy,
            Some(SweepState::Done { .. } | SweepState::Failed { .. }) | None => {}
        }
        *last = Some(SweepState::Running { id: id.to_owned() });
        Beginning::New(Begun {
            sweeps: self.clone(),
            id: id.to_owned(),
        })
    }

    fn last(&self) -> MutexGuard<'_, Option<SweepState>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn ends(self, outcome: Result<run::Outcome, Failure>) {
        let id = self.id.clone();
        let state = match outcome {
            Ok(outcome) => {
                info!(
                    id,
                    held = outcome.held.len(),
                    dropped = ?outcome.dropped,
                    refused = ?outcome.refused,
                    pieces = outcome.pieces,
                    has_more = outcome.has_more,
                    "the store is swept"
                );
                outcome.done(id)
            }
            Err(failure) => {
                let reason = failure.reason.as_str();
                warn!(id, reason, why = %failure.message, "the store is not swept to the end");
                SweepState::Failed { id, failure }
            }
        };
        *self.sweeps.last() = Some(state);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut last = self.sweeps.last();
        if matches!(&*last, Some(SweepState::Running { id }) if *id == self.id) {
            let words = "the sweep ended by a fault of the agent's, which its log tells of";
            *last = Some(SweepState::Failed {
                id: self.id.clone(),
                failure: failed(FailureReason::LostItsPod, words),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(sweeps: &Arc<Sweeps>, id: &str) -> Begun {
        match sweeps.begin(id) {
            Beginning::New(begun) => begun,
            _ => panic!("{id} does not begin"),
        }
    }

    #[test]
    fn one_runs_at_a_time_and_the_same_once() {
        let sweeps = Arc::new(Sweeps::default());
        assert_eq!(sweeps.told(), None);
        let first = begun(&sweeps, "a");
        assert!(matches!(sweeps.begin("a"), Beginning::Known));
        assert!(matches!(sweeps.begin("b"), Beginning::Busy));
        first.ends(Ok(run::Outcome::default()));
        assert!(matches!(sweeps.told(), Some(SweepState::Done { id, .. }) if id == "a"));
        assert!(matches!(sweeps.begin("a"), Beginning::Known));
        drop(begun(&sweeps, "b"));
        let Some(SweepState::Failed { id, failure }) = sweeps.told() else {
            panic!("{:?}", sweeps.told());
        };
        assert_eq!(
            (id.as_str(), failure.reason),
            ("b", FailureReason::LostItsPod)
        );
        begun(&sweeps, "c");
    }
}
