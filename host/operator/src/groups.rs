//! What this process remembers of instances with several pods.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hera_core::agent::Question;
use hera_core::instance::{Leader, Observation, Remembered};
use nix::time::{ClockId, clock_gettime};

use crate::shared::InstanceRef;

/// Memory of all instances.
#[derive(Default)]
pub struct Groups(Mutex<HashMap<InstanceRef, Group>>);

#[derive(Default)]
struct Group {
    leader: Leader,
    /// When a Service of it moved last.
    moved: Option<Instant>,
}

/// kube-proxy takes in changes at most once in this time, unless it is told otherwise.
const NODES_FOLLOW: Duration = Duration::from_millis(1_000);

impl Groups {
    /// True if this leader confirms the primary that asks.
    pub fn confirm(&self, instance: &InstanceRef, term: u64, question: &Question) -> bool {
        self.with(instance, term, |leader, now| leader.confirm(question, now))
    }

    /// The primary is known to go by the last list of data pods alone.
    pub fn note_change(&self, instance: &InstanceRef, term: u64) {
        self.with(instance, term, Leader::note_change);
    }

    /// A Service of it moves: nodes take in the next move later.
    pub fn note_move(&self, instance: &InstanceRef, term: u64) {
        self.of(instance, term, |group, _| {
            group.moved = Some(Instant::now())
        });
    }

    /// Until nodes take in a move at once.
    pub fn until_nodes_follow(&self, instance: &InstanceRef) -> Duration {
        let moved = self.lock().get(instance).and_then(|group| group.moved);
        moved.map_or(Duration::ZERO, |moved| {
            NODES_FOLLOW.saturating_sub(moved.elapsed())
        })
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
        self.of(instance, term, |group, now| work(&mut group.leader, now))
    }

    fn of<T>(
        &self,
        instance: &InstanceRef,
        term: u64,
        work: impl FnOnce(&mut Group, u64) -> T,
    ) -> T {
        let now = boot_millis();
        let mut groups = self.lock();
        let group = groups.entry(instance.clone()).or_default();
        if group.leader.term() != term {
            *group = Group {
                leader: Leader::new(term, now),
                moved: None,
            };
        }
        work(group, now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceRef, Group>> {
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
