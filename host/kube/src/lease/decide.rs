use std::time::Instant;

use super::DURATION;

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; empty when it was released.
    pub holder: String,
    /// How often the holder changed.
    pub transitions: u64,
    /// Changes with each renewal; only compared, never read as a time, so that the clocks of two
    /// nodes need not agree.
    pub renewal: String,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take the Lease under this term.
    Acquire {
        /// The new transition count.
        term: u64,
    },
    /// Renew it under the same term.
    Renew {
        /// The present transition count.
        term: u64,
    },
    /// Somebody else holds it.
    Yield,
}

/// What a candidate has seen of the Lease.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The last record, and since when it is the same.
    last: Option<(Record, Instant)>,
}

impl Sight {
    /// Decides from the Lease as it was read, none if there is none. `now` is after the answer came: a
    /// holder counts from before it asked, so its time is over by then.
    pub fn look(&mut self, me: &str, lease: Option<Record>, now: Instant) -> Verdict {
        let is_there = lease.is_some();
        if let Some(record) = lease
            && self.last.as_ref().is_none_or(|(last, _)| *last != record)
        {
            self.last = Some((record, now));
        }
        let Some((record, since)) = &self.last else {
            return Verdict::Acquire { term: 1 };
        };
        let over = now.saturating_duration_since(*since) >= DURATION;
        if record.holder == me && is_there {
            return Verdict::Renew {
                term: record.transitions,
            };
        }
        // Where somebody deleted it, its holder leads on until it looks.
        match record.holder == me || record.holder.is_empty() || over {
            true => Verdict::Acquire {
                term: record.transitions.saturating_add(1),
            },
            false => Verdict::Yield,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const JUST_BEFORE: Duration = Duration::from_millis(5_999);

    fn held_by(holder: &str) -> Option<Record> {
        Some(Record {
            holder: holder.into(),
            transitions: 7,
            renewal: "x".into(),
        })
    }

    fn renewed() -> Option<Record> {
        held_by("b").map(|record| Record {
            renewal: "y".into(),
            ..record
        })
    }

    #[test]
    fn the_first_lease_has_the_first_term() {
        let verdict = Sight::default().look("a", None, Instant::now());
        assert_eq!(verdict, Verdict::Acquire { term: 1 });
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let verdict = Sight::default().look("a", held_by(""), Instant::now());
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn ones_own_is_renewed_under_the_same_term() {
        let verdict = Sight::default().look("a", held_by("a"), Instant::now());
        assert_eq!(verdict, Verdict::Renew { term: 7 });
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_the_duration() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        assert_eq!(sight.look("a", held_by("b"), start), Verdict::Yield);
        let verdict = sight.look("a", held_by("b"), start + JUST_BEFORE);
        assert_eq!(verdict, Verdict::Yield);
        let verdict = sight.look("a", held_by("b"), start + DURATION);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_seen() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("b"), start);
        sight.look("a", renewed(), start + JUST_BEFORE);
        let verdict = sight.look("a", renewed(), start + DURATION);
        assert_eq!(verdict, Verdict::Yield);
    }

    #[test]
    fn the_holder_of_a_deleted_lease_has_its_time_and_its_term_is_not_given_again() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("b"), start);
        assert_eq!(sight.look("a", None, start + JUST_BEFORE), Verdict::Yield);
        let verdict = sight.look("a", None, start + DURATION);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn who_held_a_deleted_lease_takes_it_again_under_another_term() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("a"), start);
        let verdict = sight.look("a", None, start);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    proptest! {
        #[test]
        fn a_new_holder_always_gets_a_higher_term(
            transitions in 0u64..u64::MAX,
            millis in 0u64..20_000,
            deleted: bool,
        ) {
            let (mut sight, start) = (Sight::default(), Instant::now());
            let record = Record { holder: "b".into(), transitions, renewal: String::new() };
            sight.look("a", Some(record.clone()), start);
            let then = start + Duration::from_millis(millis);
            let lease = (!deleted).then_some(record);
            if let Verdict::Acquire { term } = sight.look("a", lease, then) {
                prop_assert!(term > transitions);
            }
        }
    }
}
