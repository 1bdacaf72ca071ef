//! What an agent is ordered about what is in a store, and what it tells.

use std::time::{Duration, Instant};

use hera_core::agent::Request;
use hera_core::backup::{
    BackupOrder, BackupState, Held, Keep, OwnerFile, StoreAccess, SweepOrder, SweepState,
};
use tracing::debug;

use super::failed::Failed;
use crate::agents::AgentClient;
use crate::object::ObjectKey;
use crate::policies::now_unix_ms;
use crate::shared::Shared;

/// Between two looks at how far it is.
const LOOKS: Duration = Duration::from_secs(1);
/// One order takes no longer: an agent ends it sooner by itself.
const LIMIT: Duration = Duration::from_secs(2_100);
/// An agent that does not answer for longer has lost it.
const SILENCE: Duration = Duration::from_secs(30);

/// The agent of a pod that looks at the folder of an object in a store.
pub struct Sweeper<'a> {
    pub shared: &'a Shared,
    pub object: &'a ObjectKey,
    pub term: u64,
    pub agent: AgentClient,
    pub owner: OwnerFile,
    pub store: StoreAccess,
}

/// What stays, and what goes if nothing needs it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Names it.
    pub id: String,
    pub keep: Keep,
    pub kept: Vec<String>,
    pub drop: Vec<String>,
    /// Without it and with nothing in `drop` nothing is deleted.
    pub trims: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub held: Vec<Held>,
    pub dropped: Vec<String>,
    pub refused: Vec<String>,
    pub has_more: bool,
    pub first_unix_ms: Option<u64>,
}

impl Sweeper<'_> {
    /// Has it done, and waits for it.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn order(&self, order: Order) -> Result<Told, Failed> {
        let id = order.id.clone();
        let begun = Instant::now();
        let mut heard = begun;
        let mut state = Box::pin(self.give(order)).await?;
        loop {
            match state.take().and_then(|state| state.sweep) {
                Some(SweepState::Done {
                    id: of,
                    held,
                    dropped,
                    refused,
                    has_more,
                    first_unix_ms,
                    ..
                }) if of == id => {
                    return Ok(Told {
                        held,
                        dropped,
                        refused,
                        has_more,
                        first_unix_ms,
                    });
                }
                Some(SweepState::Failed { id: of, failure }) if of == id => {
                    return Err(Failed::Told(failure));
                }
                Some(SweepState::Running { id: of }) if of == id => heard = Instant::now(),
                Some(_) => return Err(Failed::Forgotten),
                None if heard.elapsed() > SILENCE => return Err(Failed::Forgotten),
                None => {}
            }
            if begun.elapsed() > LIMIT {
                return Err(Failed::TooSlow);
            }
            tokio::time::sleep(LOOKS).await;
            self.leads()?;
            state = match self.agent.backup().await {
                // It was started anew.
                Ok(BackupState { sweep: None, .. }) => return Err(Failed::Forgotten),
                Ok(state) => Some(state),
                Err(error) => {
                    debug!(id, %error, "the agent of a sweep does not answer");
                    None
                }
            };
        }
    }

    async fn give(&self, order: Order) -> Result<Option<BackupState>, Failed> {
        self.leads()?;
        let Order {
            id,
            keep,
            kept,
            drop,
            trims,
        } = order;
        let body = BackupOrder::Sweep(Box::new(SweepOrder {
            id: id.clone(),
            owner: self.owner.clone(),
            store: self.store.clone(),
            keep,
            kept,
            drop,
            trims,
            now_unix_ms: now_unix_ms(),
        }));
        let term = self.shared.leaders.terms.speak(self.object, self.term);
        let given = self.agent.order_backup(&Request { term, body }).await?;
        // Whether it has begun is seen at the next look.
        let is_it = given.sweep.as_ref().is_some_and(|sweep| id_of(sweep) == id);
        Ok(is_it.then_some(given))
    }

    /// # Errors
    /// When another replica leads.
    pub fn leads(&self) -> Result<(), Failed> {
        match self.shared.leadership.term() == Some(self.term) {
            true => Ok(()),
            false => Err(Failed::NotLeading),
        }
    }
}

fn id_of(sweep: &SweepState) -> &str {
    match sweep {
        SweepState::Running { id }
        | SweepState::Done { id, .. }
        | SweepState::Failed { id, .. } => id,
    }
}
