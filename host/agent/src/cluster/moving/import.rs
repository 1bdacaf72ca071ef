//! A server takes whole slots itself: Redis from 8.4 on. It logs in at the other with a secret that servers of a
//! cluster share, stages the keys, and owns the slots at once or not at all: nothing is ever half moved.

use std::time::{Duration, Instant};

use hera_core::cluster::SlotSet;
use hera_redis::{JobState, Server, SlotJob};
use tracing::warn;

use super::job::{Broke, Job};
use super::{primary, with_id};

/// Between two looks at the server's job.
const LOOK: Duration = Duration::from_millis(100);
/// A job that fails is tried again by the server for so long: its source may come back.
const TRIES: Duration = Duration::from_secs(10);
/// No job of a bounded number of slots takes longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Takes those of `slots` that the source has by what this server knows.
///
/// # Errors
/// It was stopped, or failed: the slots are where they were, then.
pub async fn take(server: &Server, job: &Job, slots: &SlotSet, source: &str) -> Result<(), Broke> {
    let own = primary(server).await?;
    let given = own.entry(source).map(|entry| entry.slots.clone());
    let wanted = slots.shared(&given.unwrap_or_default());
    if wanted.is_empty() {
        return Ok(());
    }
    // Of an order whose answer was lost, or of somebody's hand: a server has one job at a time.
    for before in server.import_jobs().await? {
        // One that failed is tried again as long as it is there.
        if before.takes && !matches!(before.state, JobState::Done | JobState::Canceled) {
            server.cancel_import(&before.id).await?;
        }
    }
    let id = server.import_slots(&wanted).await?;
    let ended = follow(server, job, &id).await;
    match &ended {
        Ok(()) => job.moved(server.count_keys_in(&wanted).await.unwrap_or(0)),
        // The server would go on by itself. It owns the slots before this, or not at all.
        Err(_) => {
            if let Err(error) = server.cancel_import(&id).await {
                warn!(%error, "the server may go on to take slots");
            }
        }
    }
    ended
}

async fn follow(server: &Server, job: &Job, id: &str) -> Result<(), Broke> {
    let begun = Instant::now();
    let mut failing: Option<Instant> = None;
    while begun.elapsed() < LONGEST {
        let SlotJob { state, words, .. } = with_id(server.import_jobs().await?, id)?;
        match state {
            JobState::Done => return Ok(()),
            JobState::Canceled => return Err(Broke::failed(format!("it was canceled: {words}"))),
            JobState::Failed => {
                if failing.get_or_insert_with(Instant::now).elapsed() > TRIES {
                    return Err(Broke::failed(words));
                }
            }
            JobState::Begins => {
                // Between two tries it begins anew.
                if failing.is_some_and(|since| since.elapsed() > TRIES) {
                    return Err(Broke::failed(words));
                }
            }
            JobState::Runs | JobState::HandsOver => failing = None,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = job.until_stop() => return Err(Broke::Stopped),
        }
    }
    Err(Broke::failed("it took too long"))
}
