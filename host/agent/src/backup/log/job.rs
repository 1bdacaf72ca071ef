//! One order to keep a log: the server is read again and again, whatever becomes of it, until the order is another one
//! or the server has stopped for good.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hera_core::agent::{AgentStatus, Role, ServerState};
use hera_core::backup::CaptureOrder;
use hera_core::backup::log::ALIVE;
use hera_store::Store;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::{debug, info, warn};

use super::queue::Queue;
use super::session::{self, Ended, Known};
use super::told::Told;
use super::upload;
use crate::agent::Agent;
use crate::backup::files;

/// Between two attempts to read the server.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// One that was read for so long is read again at once.
const WENT_WELL: Duration = Duration::from_secs(10);
/// What was read when the log ends is stored within this, or not at all.
const LAST: Duration = Duration::from_secs(5);
/// Between two looks at what waits.
const LOOK: Duration = Duration::from_millis(500);
/// What waits for this many times the delay that is allowed, and for this long, is late.
const LATE: u32 = 3;
const LATE_AFTER: Duration = Duration::from_secs(5);
/// A shorter delay than this is none that is kept.
const SHORTEST: Duration = Duration::from_millis(200);
/// After a fault of this agent's.
const AGAIN: Duration = Duration::from_secs(1);

/// An order that is carried out.
pub struct Job {
    /// Whose server is read.
    pub agent: Arc<Agent>,
    /// What was read and is not stored yet.
    pub queue: Queue,
    order: Arc<CaptureOrder>,
    folder: String,
    store: watch::Sender<Store>,
    over: watch::Sender<bool>,
}

type Wanted = watch::Receiver<Option<Arc<CaptureOrder>>>;

/// Carries out an order until it is another one, or the server has stopped for good. What was read is stored then, if
/// that does not take too long.
pub async fn run(
    agent: &Arc<Agent>,
    tls: &watch::Receiver<ClientConfig>,
    order: Arc<CaptureOrder>,
    wanted: &mut Wanted,
) {
    agent.log.told.begins(&order);
    agent.log.told.publish(&agent.board);
    let store = match Store::open(&order.store) {
        Ok(store) => store,
        Err(error) => {
            warn!(%error, "the store of the log cannot be opened");
            agent.log.told.store_fails(error.into());
            agent.log.told.publish(&agent.board);
            tokio::select! {
                _ = wanted.changed() => {}
                () = agent.until_stopping() => {}
            }
            return;
        }
    };
    let (queue, items) = Queue::new();
    let job = Arc::new(Job {
        agent: agent.clone(),
        queue,
        folder: files::paths(&order.owner).log(&order.shard),
        order,
        store: watch::Sender::new(store),
        over: watch::Sender::new(false),
    });
    // They end with this.
    let mut tasks = JoinSet::new();
    tasks.spawn(Box::pin(upload::run(job.clone(), items)));
    tokio::select! {
        () = Box::pin(until_over(&job, tls, wanted)) => {}
        never = tell(&job) => match never {},
        _ = tasks.join_next() => {
            agent.log.told.is_unread(None);
            tokio::time::sleep(AGAIN).await;
            return;
        }
    }
    agent.log.told.is_unread(None);
    match timeout(LAST, job.queue.until_empty()).await {
        Ok(()) => info!("the log is stored to its end"),
        Err(_) => warn!("the last of the log is not stored: the store does not take it in time"),
    }
}

async fn until_over(job: &Job, tls: &watch::Receiver<ClientConfig>, wanted: &mut Wanted) {
    let ordered = async {
        tokio::select! {
            () = until_another(job, wanted) => {
                job.over.send_replace(true);
            }
            () = job.agent.until_stopping() => {}
        }
    };
    tokio::join!(reads(job, tls), ordered);
}

/// Completes once the order is another one, or there is none. Another key of the same store is taken.
async fn until_another(job: &Job, wanted: &mut Wanted) {
    while wanted.changed().await.is_ok() {
        let next = wanted.borrow_and_update().clone();
        let Some(next) = next.filter(|next| differs_in_keys(&job.order, next)) else {
            return;
        };
        match Store::open(&next.store) {
            Ok(store) => {
                info!("the store of the log has another key");
                job.store.send_replace(store);
            }
            // It is told by who begins with it.
            Err(_) => return,
        }
    }
}

/// True if what is read and where it goes is the same: at most who asks the store differs.
fn differs_in_keys(one: &CaptureOrder, other: &CaptureOrder) -> bool {
    let mut same = other.clone();
    let (s3, own) = (&mut same.store.s3, &one.store.s3);
    s3.access_key_id.clone_from(&own.access_key_id);
    s3.secret_access_key.clone_from(&own.secret_access_key);
    s3.ca.clone_from(&own.ca);
    same == *one
}

/// Reads the server whenever it can be read. Returns once the order is over, or the server has stopped for good.
async fn reads(job: &Job, tls: &watch::Receiver<ClientConfig>) {
    let mut known = Known::default();
    let mut pause = FIRST;
    loop {
        let goes_on = tokio::select! {
            () = until_ready(&job.agent) => true,
            () = job.until_over() => false,
            () = job.agent.until_stopping() => false,
        };
        if !goes_on {
            return;
        }
        let begun = Instant::now();
        let ended = Box::pin(session::run(job, tls, &mut known)).await;
        if begun.elapsed() >= WENT_WELL {
            pause = FIRST;
        }
        let (why, is_full) = match ended {
            Ended::Over => return,
            Ended::Full => (None, true),
            Ended::Lost(failure) => (Some(failure), false),
        };
        match &why {
            Some(failure) => debug!(why = %failure.message, "the server is not read any more"),
            None => info!("the store is slow: the server keeps what is written meanwhile"),
        }
        job.told().is_unread(why);
        let rests = async {
            match is_full {
                true => job.queue.until_half().await,
                false => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            () = rests => {}
            () = job.until_over() => return,
            () = job.agent.until_stopping() => return,
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Completes once the server serves, or follows one that does.
async fn until_ready(agent: &Agent) {
    let mut news = agent.board.watch();
    // The sender lives as long as the agent.
    let _ = news.wait_for(is_ready).await.map(|_| ());
}

fn is_ready(status: &AgentStatus) -> bool {
    let link_is_up = || status.link.as_ref().is_some_and(|link| link.up);
    let serves = match status.role {
        Role::Primary => true,
        Role::Replica => link_is_up(),
        Role::Held | Role::Unknown => false,
    };
    serves && matches!(status.server, ServerState::Running { .. })
}

/// Tells how far the log is, again and again.
async fn tell(job: &Job) -> Infallible {
    let late = job.max_delay().saturating_mul(LATE).max(LATE_AFTER);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let oldest = job.queue.oldest();
        let is_late = oldest.is_some_and(|read| read.elapsed() >= late);
        job.told().waits(job.queue.bytes(), is_late);
        job.told().publish(&job.agent.board);
    }
}

impl Job {
    /// What is ordered.
    pub fn order(&self) -> &CaptureOrder {
        &self.order
    }

    /// So long after it was acknowledged a write is to be in the store at the latest.
    pub fn max_delay(&self) -> Duration {
        Duration::from_millis(self.order.max_delay_ms).max(SHORTEST)
    }

    /// The store, with the key that is known now.
    pub fn store(&self) -> Store {
        self.store.borrow().clone()
    }

    /// Completes once another key is known.
    pub async fn until_another_key(&self) {
        // The sender lives as long as this.
        let _ = self.store.subscribe().changed().await;
    }

    /// The folder of the log.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The file that says how far a log is that nothing is written to.
    pub fn alive(&self) -> String {
        format!("{}/{ALIVE}", self.folder)
    }

    /// What is told of the log.
    pub fn told(&self) -> &Told {
        &self.agent.log.told
    }

    /// Completes once the order is another one, or there is none.
    pub async fn until_over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as this.
        let _ = over.wait_for(|over| *over).await.map(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::order;
    use super::*;

    #[test]
    fn another_key_is_for_the_same_log_and_everything_else_for_another() {
        let own = order("a");
        assert!(differs_in_keys(&own, &order("b")));
        let mut others = [order("b"), order("a"), order("a"), order("a")];
        others[0].store.s3.bucket = "another".to_owned();
        others[1].owner.uid = "another".to_owned();
        others[2].max_delay_ms = 1_000;
        others[3].shard = "1".to_owned();
        for other in &others {
            assert!(!differs_in_keys(&own, other));
        }
    }
}
