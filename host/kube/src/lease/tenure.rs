use std::time::Instant;

use tokio::sync::watch;
use tracing::{info, warn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenure {
    term: u64,
    /// Terms may have been given that nobody remembers.
    lost: bool,
    until: Instant,
    /// Counts the stretches of time without a gap in which this process leads. A Lease that is
    /// renewed late has the same term as before, but who asked in the gap was told that nobody leads.
    stretch: u64,
}

/// Tells whether this process leads, and under which term.
#[derive(Clone, Debug)]
pub struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
    /// The stretch that was told of last; none if it was told that this process does not lead.
    told: Option<u64>,
}

impl Leadership {
    /// The term under which this process leads now; none if it does not.
    pub fn term(&self) -> Option<u64> {
        self.tenure
            .borrow()
            .filter(|tenure| Instant::now() < tenure.until)
            .map(|t| t.term)
    }

    /// Completes when leadership was gained or lost since it completed last, also when it was lost
    /// and gained again under the same term; never after the elector ended.
    pub async fn changed(&mut self) {
        loop {
            let now = self.tenure.borrow_and_update().map(|t| t.stretch);
            if now != self.told {
                self.told = now;
                return;
            }
            if self.tenure.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// True where the Lease was once missing, or set back: an honest agent may know a higher term than it,
    /// which counts for the agent's own instance.
    pub fn has_lost_terms(&self) -> bool {
        self.tenure.borrow().is_some_and(|tenure| tenure.lost)
    }
}

/// What the elector says about this process.
pub(super) struct Seat {
    tenure: watch::Sender<Option<Tenure>>,
    stretches: u64,
}

impl Seat {
    /// Nobody leads yet.
    pub fn new() -> (Self, Leadership) {
        let (tenure, seen) = watch::channel(None);
        let seat = Self {
            tenure,
            stretches: 0,
        };
        let leadership = Leadership {
            tenure: seen,
            told: None,
        };
        (seat, leadership)
    }

    /// This process leads under `term` until then, if nothing new is said.
    pub fn lead(&mut self, term: u64, lost: bool, until: Instant) {
        let before = self.stretches;
        self.tenure.send_modify(|tenure| {
            // The clock is read under the lock: a gap that somebody saw is seen here as well.
            let now = Instant::now();
            let unbroken = tenure.is_some_and(|t| t.term == term && now < t.until);
            if !unbroken {
                self.stretches = self.stretches.saturating_add(1);
            }
            *tenure = Some(Tenure {
                term,
                lost,
                until,
                stretch: self.stretches,
            });
        });
        if self.stretches != before {
            info!(term, "this replica leads");
        }
    }

    /// This process does not lead; answers under which term it did.
    pub fn leave(&self) -> Option<u64> {
        let mut left = None;
        self.tenure.send_if_modified(|tenure| {
            left = tenure.take();
            left.is_some()
        });
        left.map(|tenure| tenure.term)
    }

    /// Notices that the time has run out.
    pub fn expire(&self) {
        self.tenure.send_if_modified(|tenure| {
            let expired = tenure.is_some_and(|t| Instant::now() >= t.until);
            if expired {
                warn!("leadership lost: the Lease could not be renewed in time");
                *tenure = None;
            }
            expired
        });
    }

    /// True until it was left or noticed to have run out.
    pub fn is_taken(&self) -> bool {
        self.tenure.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::super::DURATION;
    use super::*;

    fn is_told(leadership: &mut Leadership) -> bool {
        leadership.changed().now_or_never().is_some()
    }

    fn later() -> Instant {
        Instant::now() + DURATION
    }

    #[test]
    fn a_lease_that_is_renewed_in_time_is_no_news() {
        let (mut seat, mut leadership) = Seat::new();
        assert!(!is_told(&mut leadership));
        seat.lead(3, false, later());
        assert!(is_told(&mut leadership));
        seat.lead(3, false, later());
        assert!(!is_told(&mut leadership));
        assert_eq!(leadership.term(), Some(3));
    }

    #[test]
    fn a_lease_that_is_renewed_late_under_the_same_term_is_news() {
        let (mut seat, mut leadership) = Seat::new();
        seat.lead(3, false, Instant::now());
        assert!(is_told(&mut leadership));
        assert_eq!(leadership.term(), None);
        seat.lead(3, false, later());
        assert!(is_told(&mut leadership));
        assert_eq!(leadership.term(), Some(3));
    }

    #[test]
    fn a_leadership_that_is_lost_and_gained_before_anybody_looks_is_news() {
        let (mut seat, mut leadership) = Seat::new();
        seat.lead(3, false, Instant::now());
        assert!(is_told(&mut leadership));
        seat.expire();
        seat.lead(3, false, later());
        assert!(is_told(&mut leadership));
        assert!(!is_told(&mut leadership));
    }

    #[test]
    fn another_term_and_the_end_are_news() {
        let (mut seat, mut leadership) = Seat::new();
        seat.lead(3, false, later());
        assert!(is_told(&mut leadership));
        seat.lead(4, false, later());
        assert!(is_told(&mut leadership));
        assert_eq!(seat.leave(), Some(4));
        assert!(is_told(&mut leadership));
        assert_eq!(seat.leave(), None);
        assert!(!is_told(&mut leadership));
    }
}
