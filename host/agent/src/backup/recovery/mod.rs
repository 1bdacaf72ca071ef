//! The volume is filled from a backup before the server's first start.

pub mod hold;
pub mod names;
pub mod patient;

mod append_only;
mod base;
mod fetch;
mod files;
mod instant;
mod log;
mod origin;
mod pieces;
mod unpack;
mod words;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_core::backup::{Failure, RecoverFrom, RecoveryNews, StoreAccess};
use tokio::sync::watch;
use tracing::{error, info, warn};

use self::files::Filling;
use crate::agent::Agent;
use crate::control::answer::Refused;

/// What was ordered. The key of the store is in memory only.
#[derive(Clone)]
struct Ordered {
    from: RecoverFrom,
    store: StoreAccess,
}

/// How far the recovery of this volume is.
pub struct Recovery {
    state: watch::Sender<Option<RecoveryNews>>,
    /// What is carried out while it runs. Who changes the state by an order, or at its end, holds it.
    ordered: Mutex<Option<Ordered>>,
}

impl Recovery {
    fn new(state: Option<RecoveryNews>) -> Self {
        Self {
            state: watch::channel(state).0,
            ordered: Mutex::default(),
        }
    }

    /// How far it is, as the agent's status tells; none if there is none.
    pub fn news(&self) -> Option<RecoveryNews> {
        self.state.borrow().clone()
    }

    /// The server may not start yet.
    pub fn holds(&self) -> bool {
        self.news().is_some_and(|news| news.holds())
    }

    fn ordered(&self) -> MutexGuard<'_, Option<Ordered>> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills the volume from there, and starts the server then. It goes on by itself.
///
/// # Errors
/// This agent waits for no recovery, or another one runs.
pub fn order(agent: &Agent, from: &RecoverFrom, store: &StoreAccess) -> Result<(), Refused> {
    let mut ordered = agent.recovery.ordered();
    match agent.recovery.news() {
        Some(RecoveryNews::Waiting | RecoveryNews::Failed { .. }) => {}
        Some(RecoveryNews::Running) => {
            return match &*ordered {
                Some(known) if known.from == *from => Ok(()),
                _ => Err(Refused::wrong("data comes from another backup now")),
            };
        }
        None | Some(RecoveryNews::Done { .. }) => return Err(waits_for_none()),
    }
    info!(?from, store = %store.name, "the volume is filled from a backup");
    *ordered = Some(Ordered {
        from: from.clone(),
        store: store.clone(),
    });
    tell(agent, Some(RecoveryNews::Running));
    Ok(())
}

/// Starts the server with what is on the volume.
///
/// # Errors
/// This agent waits for no recovery, or one runs.
pub fn start_without(agent: &Agent) -> Result<(), Refused> {
    let _ordered = agent.recovery.ordered();
    match agent.recovery.news() {
        Some(RecoveryNews::Waiting | RecoveryNews::Failed { .. }) => {}
        Some(RecoveryNews::Running) => {
            return Err(Refused::wrong("data comes from a backup now"));
        }
        None | Some(RecoveryNews::Done { .. }) => return Err(waits_for_none()),
    }
    info!("the server starts without data from a backup");
    files::discard(&agent.settings);
    if let Err(error) = files::note(&agent.settings, None) {
        warn!(%error, "that cannot be noted: the next agent may wait again");
    }
    tell(agent, None);
    Ok(())
}

fn waits_for_none() -> Refused {
    Refused::wrong("this agent waits for no recovery")
}

/// Ends what was ordered.
fn end(agent: &Agent, filled: Result<Filling, Failure>) {
    let mut ordered = agent.recovery.ordered();
    *ordered = None;
    let state = match filled {
        Ok(filling) => {
            let (base, reached_unix_ms) = (&filling.base.path, filling.reached_unix_ms);
            info!(%base, reached_unix_ms, "the volume has the data of the backup");
            filling.done()
        }
        Err(failure) => {
            error!(
                reason = failure.reason.as_str(),
                message = %failure.message,
                "the volume was not filled"
            );
            RecoveryNews::Failed { failure }
        }
    };
    tell(agent, Some(state));
}

fn tell(agent: &Agent, state: Option<RecoveryNews>) {
    agent.recovery.state.send_replace(state.clone());
    agent.board.change(|status| status.recovery = state);
}
