//! When a policy that gives no usable answers is left alone for a while.

use serde::{Deserialize, Serialize};

/// Faults in a row after which it is set aside.
pub const FAULTS: u32 = 3;
/// Between the first faults.
const RETRY_MS: u64 = 5_000;
/// The first time aside; doubled each further time.
const FIRST_ASIDE_MS: u64 = 60_000;
const LONGEST_ASIDE_MS: u64 = 3_600_000;

/// The record of one (object, decision, digest, settings): a new one is a clean slate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Faults in a row.
    pub faults: u32,
    /// Not to be asked before, in milliseconds since 1970.
    pub not_before_unix_ms: u64,
}

impl Record {
    /// True if it may be asked now.
    pub fn may_ask(&self, now_unix_ms: u64) -> bool {
        now_unix_ms >= self.not_before_unix_ms
    }

    /// True once it is set aside, also while it gets another chance.
    pub fn is_aside(&self) -> bool {
        self.faults >= FAULTS
    }

    /// It gave an answer that can be used.
    pub fn good(&mut self) {
        *self = Self::default();
    }

    /// It gave none. `to_blame` is false for what a busy machine does to it: that never sets it
    /// aside.
    pub fn fault(&mut self, to_blame: bool, now_unix_ms: u64) {
        if to_blame {
            self.faults = self.faults.saturating_add(1);
        }
        let wait = match self.faults.checked_sub(FAULTS) {
            None => RETRY_MS,
            Some(times) => FIRST_ASIDE_MS
                .saturating_mul(1 << times.min(10))
                .min(LONGEST_ASIDE_MS),
        };
        self.not_before_unix_ms = now_unix_ms.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_faults_in_a_row_set_it_aside_and_one_good_answer_takes_it_back() {
        let mut record = Record::default();
        for _ in 0..FAULTS {
            assert!(!record.is_aside());
            record.fault(true, 0);
        }
        assert!(record.is_aside() && !record.may_ask(59_999) && record.may_ask(60_000));
        record.good();
        assert!(!record.is_aside() && record.may_ask(0));
    }

    #[test]
    fn a_busy_machine_is_not_held_against_it() {
        let mut record = Record::default();
        (0..100).for_each(|_| record.fault(false, 0));
        assert!(!record.is_aside() && record.may_ask(RETRY_MS));
    }

    proptest! {
        #[test]
        fn it_waits_longer_each_time_and_never_more_than_an_hour(faults in 1_u32..200) {
            let mut record = Record::default();
            let mut last = 0;
            for _ in 0..faults {
                record.fault(true, 0);
                prop_assert!(record.not_before_unix_ms >= last);
                last = record.not_before_unix_ms;
            }
            prop_assert!(last <= LONGEST_ASIDE_MS);
        }
    }
}
