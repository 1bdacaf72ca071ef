//! When nodes take in that a Service has moved: as kube-proxy does it.

/// Between the end of one taking in and the begin of the next, in milliseconds: kube-proxy's
/// `minSyncPeriod`, unless it is told otherwise. Changes meanwhile wait for that.
const PERIOD_MS: u64 = 1_000;
/// As long as taking in lasts at most, and news of the change to come to the node (10 to 40 each, measured with
/// the testbed).
const TAKES_MS: u64 = 100;

/// What is known of the Services that this operator moves. Times are milliseconds of one clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intake {
    /// When nodes will have taken in the last move.
    done: Option<u64>,
}

impl Intake {
    /// A Service moves.
    pub fn note(&mut self, now: u64) {
        let begins = match self.done {
            // It waits for its turn still, and takes this one in as well: it may begin sooner than
            // reckoned, as the one before may have been quick.
            Some(done) if now < done.saturating_sub(2 * TAKES_MS) => return,
            Some(done) => now.max(done.saturating_add(PERIOD_MS)),
            None => now,
        };
        self.done = Some(begins.saturating_add(TAKES_MS));
    }

    /// Until nodes have taken in all moves.
    pub fn until_taken_in(&self, now: u64) -> u64 {
        self.done.map_or(0, |done| done.saturating_sub(now))
    }

    /// Until they take in another one at once.
    pub fn until_at_once(&self, now: u64) -> u64 {
        self.done
            .map_or(0, |done| done.saturating_add(PERIOD_MS).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved_at(times: impl IntoIterator<Item = u64>) -> Intake {
        let mut intake = Intake::default();
        times.into_iter().for_each(|time| intake.note(time));
        intake
    }

    #[test]
    fn where_nothing_moved_nodes_take_in_a_move_at_once() {
        assert_eq!(moved_at([]).until_at_once(7), 0);
        let once = moved_at([10_000]);
        assert_eq!(once.until_taken_in(10_000), TAKES_MS);
        assert_eq!(once.until_at_once(10_000), TAKES_MS + PERIOD_MS);
        assert_eq!(once.until_at_once(20_000), 0);
    }

    #[test]
    fn a_move_right_after_another_waits_and_so_does_the_next_after_it() {
        let twice = moved_at([10_000, 10_200]);
        assert_eq!(
            twice.until_taken_in(10_200),
            1_000,
            "after the period of the first"
        );
        assert_eq!(
            twice.until_at_once(11_200),
            PERIOD_MS,
            "and that has one of its own"
        );
    }

    #[test]
    fn moves_that_wait_are_taken_in_together() {
        let twice = moved_at([10_000, 10_200]);
        let more = moved_at([10_000, 10_200, 10_500, 10_990]);
        assert_eq!(more.until_at_once(11_000), twice.until_at_once(11_000));
        let during = moved_at([10_000, 10_200, 11_060]);
        assert!(
            during.until_taken_in(11_060) > PERIOD_MS,
            "it may have come too late for that"
        );
    }
}
