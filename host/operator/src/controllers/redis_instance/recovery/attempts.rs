//! When data was last asked for. Agents tell neither, and nothing of it outlives the operator.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::backup::FailureReason;
use hera_core::backup::recovery::again_after_ms;

use crate::object::ObjectKey;

/// An agent tells within this that it does what it was ordered.
const HEARD: Duration = Duration::from_secs(5);
/// What was refused is told on for so long while it is tried again: else the condition would change with each attempt.
const TOLD_ON: Duration = Duration::from_secs(60);

/// The last attempt of each instance.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<ObjectKey, Attempt>>);

struct Attempt {
    /// Uid of the pod.
    pod: String,
    /// When it began, or was first seen to have failed.
    at: Instant,
    /// When the next one may begin.
    next: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is the first one, or the first since something else was in the way.
    Begun,
    /// The one before failed.
    BegunAgain,
    Failed,
}

impl Attempts {
    /// True if one may begin at a pod whose agent waits; `failed` is what it tells of the last one.
    pub fn may_begin(
        &self,
        instance: &ObjectKey,
        pod: &str,
        failed: Option<FailureReason>,
    ) -> bool {
        let mut map = self.lock();
        let last = map.get(instance).filter(|last| last.pod == pod);
        match (last, failed) {
            (None, None) => true,
            (Some(last), None) => last.at.elapsed() >= HEARD,
            (Some(last), Some(_)) if last.state == State::Failed => last.next <= Instant::now(),
            (_, Some(reason)) => {
                let after = Duration::from_millis(again_after_ms(reason));
                map.insert(instance.clone(), Attempt::of(pod, State::Failed, after));
                false
            }
        }
    }

    /// One begins; `again` after one that failed.
    pub fn begins(&self, instance: &ObjectKey, pod: &str, again: bool) {
        let state = match again {
            true => State::BegunAgain,
            false => State::Begun,
        };
        let attempt = Attempt::of(pod, state, HEARD);
        self.lock().insert(instance.clone(), attempt);
    }

    /// True for a while after one has begun again: whether it comes to more than the last is not known yet.
    pub fn has_just_begun_again(&self, instance: &ObjectKey) -> bool {
        let map = self.lock();
        map.get(instance)
            .is_some_and(|last| last.state == State::BegunAgain && last.at.elapsed() < TOLD_ON)
    }

    /// Until the next one may begin.
    pub fn left(&self, instance: &ObjectKey) -> Option<Duration> {
        let next = self.lock().get(instance)?.next;
        let left = next.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// The instance is gone, or has its data.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    fn of(pod: &str, state: State, next: Duration) -> Self {
        let at = Instant::now();
        Self {
            pod: pod.to_owned(),
            at,
            next: at + next,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> (Attempts, ObjectKey) {
        (Attempts::default(), ObjectKey::instance("default", "shop"))
    }

    #[test]
    fn one_that_failed_is_not_repeated_at_once_and_another_pod_is_asked_at_once() {
        let (attempts, shop) = shop();
        let unreachable = Some(FailureReason::StoreUnreachable);
        assert!(attempts.may_begin(&shop, "a", None));
        attempts.begins(&shop, "a", false);
        assert!(
            !attempts.may_begin(&shop, "a", None),
            "its news is on its way"
        );
        assert!(!attempts.may_begin(&shop, "a", unreachable));
        let left = attempts.left(&shop).unwrap();
        assert!(left > Duration::from_secs(10), "{left:?}");
        assert!(!attempts.may_begin(&shop, "a", unreachable));
        assert!(attempts.may_begin(&shop, "b", None));
        attempts.forget(&shop);
        assert!(attempts.may_begin(&shop, "a", None));
        assert_eq!(attempts.left(&shop), None);
    }

    #[test]
    fn after_a_restart_of_the_operator_a_failure_is_as_if_it_were_new() {
        let (attempts, shop) = shop();
        assert!(!attempts.may_begin(&shop, "a", Some(FailureReason::Corrupt)));
    }

    #[test]
    fn where_data_was_found_it_is_looked_again_soon() {
        let (attempts, shop) = shop();
        let present = Some(FailureReason::DataPresent);
        for _ in 0..2 {
            assert!(!attempts.may_begin(&shop, "a", present));
        }
        let left = attempts.left(&shop).unwrap();
        assert!(left <= Duration::from_secs(15), "{left:?}");
    }

    #[test]
    fn what_was_refused_is_told_on_only_where_it_is_tried_again() {
        let (attempts, shop) = shop();
        attempts.begins(&shop, "a", false);
        assert!(!attempts.has_just_begun_again(&shop));
        attempts.begins(&shop, "a", true);
        assert!(attempts.has_just_begun_again(&shop));
    }
}
