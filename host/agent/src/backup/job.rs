//! A run that reads the server: how far it is, what it waits for, and what ends it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::backup::{Failure, FailureReason};
use tokio::sync::watch;

use super::failed;

/// What a run does, and what ends it.
#[derive(Default)]
pub struct Job {
    read: AtomicU64,
    stored: AtomicU64,
    for_store: Mutex<Waited>,
    has_all: AtomicBool,
    cancelled: watch::Sender<bool>,
}

/// How long something was waited for.
#[derive(Clone, Copy, Default)]
struct Waited {
    before: Duration,
    /// Since when it is waited for now.
    since: Option<Instant>,
}

impl Job {
    /// The server has sent so many bytes more.
    pub fn reads(&self, bytes: usize) {
        add_bytes(&self.read, bytes);
    }

    /// Bytes that the server has sent.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that the store has taken.
    pub fn stored_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// The store takes so many bytes more.
    pub fn stores(&self, bytes: usize) {
        add_bytes(&self.stored, bytes);
    }

    /// Does something that the store is waited for.
    pub async fn waits_for_store<T>(&self, work: impl Future<Output = T>) -> T {
        self.for_store().since = Some(Instant::now());
        let done = work.await;
        let mut waited = self.for_store();
        if let Some(since) = waited.since.take() {
            waited.before += since.elapsed();
        }
        done
    }

    /// How long the store was waited for, in all, until `now`.
    pub fn waited_for_store(&self, now: Instant) -> Duration {
        let waited = *self.for_store();
        let meanwhile = waited
            .since
            .map(|since| now.saturating_duration_since(since));
        waited.before + meanwhile.unwrap_or_default()
    }

    fn for_store(&self) -> MutexGuard<'_, Waited> {
        self.for_store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has sent all.
    pub fn note_all(&self) {
        self.has_all.store(true, Ordering::Relaxed);
    }

    /// True once the server has sent all: nothing of it is in use any more.
    pub fn has_all(&self) -> bool {
        self.has_all.load(Ordering::Relaxed)
    }

    /// Ends it, soon.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    /// Why it goes no further, if somebody ended it.
    ///
    /// # Errors
    /// Somebody did.
    pub fn goes_on(&self) -> Result<(), Failure> {
        match *self.cancelled.borrow() {
            true => Err(cancelled()),
            false => Ok(()),
        }
    }

    /// Completes once somebody ended it.
    pub async fn until_cancelled(&self) -> Failure {
        let mut told = self.cancelled.subscribe();
        // The sender lives as long as this.
        let _ = told.wait_for(|cancelled| *cancelled).await.map(|_| ());
        cancelled()
    }
}

/// Somebody ended it.
pub fn cancelled() -> Failure {
    failed(FailureReason::Cancelled, "somebody ended the run")
}

fn add_bytes(to: &AtomicU64, bytes: usize) {
    to.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_store_is_waited_for_counts_while_it_is_and_what_comes_from_the_server_does_not()
     {
        let job = Job::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(job.waited_for_store(later(30)), Duration::ZERO);
        let waits = job.waits_for_store(std::future::pending::<()>());
        let cut = tokio::time::timeout(Duration::from_millis(1), waits).await;
        assert!(cut.is_err());
        assert!(job.waited_for_store(later(30)) > Duration::from_secs(29));
        assert_eq!(job.waits_for_store(async { 7 }).await, 7);
        assert!(job.waited_for_store(later(30)) < Duration::from_secs(1));
    }
}
