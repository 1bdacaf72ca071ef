//! What this process remembers of instances with several pods.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hera_core::agent::Question;
use hera_core::instance::{Leader, Observation, Remembered};
use nix::time::{ClockId, clock_gettime};

use crate::shared::InstanceRef;

/// Memory of all instances.
#[derive(Default)]
pub struct Groups(Mutex<HashMap<InstanceRef, Leader>>);

impl Groups {
    /// True if this leader confirms the primary that asks.
    pub fn confirm(&self, instance: &InstanceRef, term: u64, question: &Question) -> bool {
        self.with(instance, term, |leader, now| leader.confirm(question, now))
    }

    /// The primary is known to go by the last list of data pods alone.
    pub fn note_change(&self, instance: &InstanceRef, term: u64) {
        self.with(instance, term, Leader::note_change);
    }

    /// Notes what was seen, and tells what is remembered: see [`Leader::remember`].
    pub fn remember(
        &self,
        instance: &InstanceRef,
        term: u64,
        seen: &Observation,
        fence_after_ms: u64,
    ) -> Remembered {
        self.with(instance, term, |leader, now| {
            leader.remember(seen, fence_after_ms, now)
        })
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &InstanceRef) {
        self.lock().remove(instance);
    }

    fn with<T>(
        &self,
        instance: &InstanceRef,
        term: u64,
        work: impl FnOnce(&mut Leader, u64) -> T,
    ) -> T {
        let now = boot_millis();
        let mut leaders = self.lock();
        let leader = leaders.entry(instance.clone()).or_default();
        if leader.term() != term {
            *leader = Leader::new(term, now);
        }
        work(leader, now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceRef, Leader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
