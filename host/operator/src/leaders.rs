//! What this process remembers of instances with several pods.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hera_core::agent::Question;
use hera_core::instance::{Intake, Leader, Observation, Remembered};
use nix::time::{ClockId, clock_gettime};

use crate::object::ObjectKey;
use crate::terms::Terms;

/// Memory of all instances.
pub struct Leaders {
    /// Under which terms agents are spoken to.
    pub terms: Terms,
    leaders: Mutex<HashMap<ObjectKey, Leader>>,
    intake: Mutex<Intake>,
    /// When this process was last seen to run.
    beat: AtomicU64,
}

/// Between two signs of life of this process.
const BEAT: Duration = Duration::from_millis(500);
/// Without one for so many milliseconds it was stopped.
const STOPPED_MS: u64 = 1_500;

impl Default for Leaders {
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            leaders: Mutex::default(),
            intake: Mutex::default(),
            beat: AtomicU64::new(boot_millis()),
        }
    }
}

impl Leaders {
    /// Notices when this process was stopped and goes on: until agents are heard again, silence says
    /// nothing.
    pub async fn keep_time(&self) {
        loop {
            tokio::time::sleep(BEAT).await;
            self.beats(boot_millis());
        }
    }

    fn beats(&self, now: u64) {
        let mut leaders = self.lock();
        let before = self.beat.swap(now, Ordering::SeqCst);
        if now.saturating_sub(before) > STOPPED_MS {
            for leader in leaders.values_mut() {
                leader.wakes(now);
            }
        }
    }

    /// True if this leader confirms the primary that asks.
    pub fn confirm(&self, instance: &ObjectKey, term: u64, question: &Question) -> bool {
        self.with(instance, term, |leader, now| leader.confirm(question, now))
    }

    /// The primary is known to go by the last list of data pods alone.
    pub fn note_change(&self, instance: &ObjectKey, term: u64) {
        self.with(instance, term, Leader::note_change);
    }

    /// A Service has moved: nodes take in the next move later, also that of another instance.
    pub fn note_move(&self) {
        self.intake().note(boot_millis());
    }

    /// Until nodes have taken in all moves.
    pub fn until_taken_in(&self) -> Duration {
        Duration::from_millis(self.intake().until_taken_in(boot_millis()))
    }

    /// Until nodes take in a move at once.
    pub fn until_taken_in_at_once(&self) -> Duration {
        Duration::from_millis(self.intake().until_at_once(boot_millis()))
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was seen, and tells what is remembered: see [`Leader::remember`].
    pub fn remember(
        &self,
        instance: &ObjectKey,
        term: u64,
        seen: &Observation,
        fence_after_ms: u64,
    ) -> Remembered {
        self.with(instance, term, |leader, now| {
            leader.remember(seen, fence_after_ms, now)
        })
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
        self.terms.forget(instance);
    }

    fn with<T>(
        &self,
        instance: &ObjectKey,
        term: u64,
        work: impl FnOnce(&mut Leader, u64) -> T,
    ) -> T {
        let now = boot_millis();
        // Nothing is decided before it is noticed.
        self.beats(now);
        let mut leaders = self.lock();
        let leader = leaders.entry(instance.clone()).or_default();
        if leader.term() != term {
            *leader = Leader::new(term, now);
        }
        work(leader, now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Leader>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds of a clock that goes on while the machine sleeps.
pub fn boot_millis() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000;
        seconds.saturating_mul(1000).saturating_add(millis)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> ObjectKey {
        ObjectKey::instance("default", "shop")
    }

    #[test]
    fn a_process_that_was_stopped_notices_before_it_decides() {
        let leaders = Leaders::default();
        let seen = Observation::default();
        let just_woke = || leaders.remember(&instance(), 1, &seen, 0).just_woke;
        assert!(!just_woke());
        leaders.beat.fetch_sub(STOPPED_MS + 1, Ordering::SeqCst);
        assert!(just_woke());
    }
}
