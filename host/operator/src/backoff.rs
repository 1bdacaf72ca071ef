//! What failed, how often in a row, and when it is tried again: the controller itself does not count
//! (kube#1916).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::object::ObjectKey;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// What failed longer ago than this is no failure in a row.
const ROW: Duration = Duration::from_secs(120);

/// Attempts at one thing, of each instance.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<ObjectKey, Failures>>);

struct Failures {
    about: String,
    count: u32,
    until: Instant,
}

impl Failures {
    fn left(&self) -> Option<Duration> {
        let left = self.until.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }
}

impl Backoff {
    /// It was done.
    pub fn reset(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    /// It failed; how long to wait: 0.5 s, doubled each time, at most 30 s. `about` says what was tried:
    /// something else begins anew.
    pub fn failed(&self, instance: &ObjectKey, about: &str) -> Duration {
        let now = Instant::now();
        let mut map = self.lock();
        let failures = map.entry(instance.clone()).or_insert(Failures {
            about: String::new(),
            count: 0,
            until: now,
        });
        if failures.about != about || now.saturating_duration_since(failures.until) > ROW {
            failures.count = 0;
            about.clone_into(&mut failures.about);
        }
        let delay = FIRST
            .saturating_mul(1 << failures.count.min(6))
            .min(LONGEST);
        failures.count = failures.count.saturating_add(1);
        failures.until = now + delay;
        delay
    }

    /// True if this is not to be tried again yet, however often passes are woken meanwhile.
    pub fn holds_back(&self, instance: &ObjectKey, about: &str) -> bool {
        let map = self.lock();
        map.get(instance)
            .is_some_and(|failures| failures.about == about && failures.left().is_some())
    }

    /// Until what failed last is tried again.
    pub fn left(&self, instance: &ObjectKey) -> Option<Duration> {
        self.lock().get(instance)?.left()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_is_waited_for_twice_as_long_and_none_after_success() {
        let (attempts, shop) = (Backoff::default(), ObjectKey::instance("default", "shop"));
        let same = "from a to b";
        assert!(!attempts.holds_back(&shop, same));
        let delays = (0..8).map(|_| attempts.failed(&shop, same).as_millis());
        let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert!(delays.eq(expected));
        assert!(attempts.left(&shop) > Some(Duration::from_secs(20)));
        assert!(attempts.holds_back(&shop, same));
        assert!(!attempts.holds_back(&shop, "from a to c"));
        assert_eq!(attempts.failed(&shop, "from a to c"), FIRST);
        attempts.reset(&shop);
        assert_eq!(attempts.left(&shop), None);
        assert_eq!(attempts.failed(&shop, same), FIRST);
    }
}
