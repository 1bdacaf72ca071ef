//! What failed, how often in a row, and when it is tried again: the controller itself does not count
//! (kube#1916).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::shared::InstanceRef;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// What failed longer ago than this is no failure in a row.
const ROW: Duration = Duration::from_secs(120);

/// Attempts at one thing, of each instance.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<InstanceRef, Failures>>);

struct Failures {
    count: u32,
    until: Instant,
}

impl Attempts {
    /// It was done.
    pub fn reset(&self, instance: &InstanceRef) {
        self.lock().remove(instance);
    }

    /// It failed; how long to wait: 0.5 s, doubled each time, at most 30 s.
    pub fn failed(&self, instance: &InstanceRef) -> Duration {
        let now = Instant::now();
        let mut map = self.lock();
        let failures = map.entry(instance.clone()).or_insert(Failures {
            count: 0,
            until: now,
        });
        if now.saturating_duration_since(failures.until) > ROW {
            failures.count = 0;
        }
        let delay = FIRST
            .saturating_mul(1 << failures.count.min(6))
            .min(LONGEST);
        failures.count = failures.count.saturating_add(1);
        failures.until = now + delay;
        delay
    }

    /// How long it is not to be tried again, however often passes are woken meanwhile.
    pub fn held_back(&self, instance: &InstanceRef) -> Option<Duration> {
        let map = self.lock();
        let left = map
            .get(instance)?
            .until
            .checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceRef, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_is_waited_for_twice_as_long_and_none_after_success() {
        let (attempts, shop) = (Attempts::default(), InstanceRef::new("shop"));
        assert_eq!(attempts.held_back(&shop), None);
        let delays = (0..8).map(|_| attempts.failed(&shop).as_millis());
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert!(delays.eq(expected));
        assert!(attempts.held_back(&shop) > Some(Duration::from_secs(20)));
        attempts.reset(&shop);
        assert_eq!(attempts.held_back(&shop), None);
        assert_eq!(attempts.failed(&shop), FIRST);
    }
}
