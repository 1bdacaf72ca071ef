//! Under which term this process speaks to the agents of an instance: the Lease's, and above it the
//! instance's own floor, which is 0 unless the Lease was lost (decision 015).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::term;

use crate::object::ObjectKey;

/// Between two steps of a floor: an agent that tells a higher term each time costs no more writes.
const STEP_EVERY: Duration = Duration::from_secs(5);

/// What is known of each instance.
#[derive(Debug, Default)]
pub struct Terms(Mutex<HashMap<ObjectKey, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What is written down.
    floor: u64,
    /// The Lease's term when this process spoke to the instance last.
    spoke: Option<u64>,
    stepped: Option<Instant>,
    refused: Option<(String, u64)>,
}

impl Terms {
    /// The term for an order to an agent of this instance, of a leader whose Lease has the term `lease`.
    pub fn speak(&self, instance: &ObjectKey, lease: u64) -> u64 {
        self.with(instance, |known| {
            known.spoke = Some(lease);
            known.floor.saturating_add(lease)
        })
    }

    /// The same term, for who gives no order.
    pub fn term(&self, instance: &ObjectKey, lease: u64) -> u64 {
        self.with(instance, |known| known.floor.saturating_add(lease))
    }

    /// A floor was read where it is written down, or written there. It never falls.
    pub fn note_floor(&self, instance: &ObjectKey, floor: u64) {
        self.with(instance, |known| known.floor = known.floor.max(floor));
    }

    /// What the floor is to be, as `said` is the highest term that the instance's agents tell. To be
    /// written down before anybody is spoken to under it, so that the next leader goes on above it.
    pub fn next_floor(&self, instance: &ObjectKey, lease: u64, said: u64, lost: bool) -> u64 {
        self.with(instance, |known| {
            let has_spoken = known.spoke == Some(lease);
            let next = term::floor(known.floor, lease, said, lost, has_spoken);
            if next == known.floor || known.stepped.is_some_and(|at| at.elapsed() < STEP_EVERY) {
                return known.floor;
            }
            known.stepped = Some(Instant::now());
            next
        })
    }

    /// The agent of a pod refused an order, as it knows that term.
    pub fn note_refusal(&self, instance: &ObjectKey, pod: &str, term: u64) {
        let refused = Some((pod.to_owned(), term));
        self.with(instance, |known| known.refused = refused);
    }

    /// A pass begins: whose agent refused an order before is to do it again.
    pub fn begin(&self, instance: &ObjectKey) {
        self.with(instance, |known| known.refused = None);
    }

    /// Name of the pod whose agent refused an order in this pass, and the term that it tells.
    pub fn refused(&self, instance: &ObjectKey) -> Option<(String, u64)> {
        self.with(instance, |known| known.refused.clone())
    }

    /// Drops what is known of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    fn with<T>(&self, instance: &ObjectKey, work: impl FnOnce(&mut Known) -> T) -> T {
        work(self.lock().entry(instance.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(namespace: &str) -> ObjectKey {
        ObjectKey::instance(namespace, "cache")
    }

    #[test]
    fn what_one_instance_is_told_changes_no_other() {
        let terms = Terms::default();
        let (shop, other) = (instance("shop"), instance("other"));
        let floor = terms.next_floor(&shop, 3, 100, true);
        assert_eq!(floor, 98);
        assert_eq!(terms.speak(&shop, 3), 3, "not before it is written down");
        terms.note_floor(&shop, floor);
        assert_eq!(terms.speak(&shop, 3), 101);
        assert_eq!(terms.speak(&other, 3), 3);
        assert_eq!(terms.speak(&shop, 4), 102);
    }

    #[test]
    fn an_agent_that_tells_a_higher_term_each_time_gets_no_step_each_time() {
        let (terms, shop) = (Terms::default(), instance("shop"));
        terms.note_floor(&shop, terms.next_floor(&shop, 1, 10, true));
        assert_eq!(terms.next_floor(&shop, 1, 20, true), 10);
    }

    #[test]
    fn a_floor_does_not_fall_where_somebody_takes_it_away() {
        let (terms, shop) = (Terms::default(), instance("shop"));
        terms.note_floor(&shop, 7);
        terms.note_floor(&shop, 0);
        assert_eq!(terms.term(&shop, 1), 8);
        terms.forget(&shop);
        assert_eq!(terms.term(&shop, 1), 1);
    }
}
