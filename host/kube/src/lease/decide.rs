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
    /// Since when there is no Lease.
    missing: Option<Instant>,
}

impl Sight {
    /// Decides from the Lease as it was read, none if there is none. `leads` while this candidate holds
    /// it. `now` is after the answer came: a holder counts from before it asked, so its time is over by
    /// then.
    pub fn look(&mut self, me: &str, lease: Option<Record>, leads: bool, now: Instant) -> Verdict {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= DURATION;
        let Some(record) = lease else {
            // Where somebody deleted it, its holder leads on until it looks.
            let since = *self.missing.get_or_insert(now);
            let term = self.last.as_ref().map_or(0, |(last, _)| last.transitions);
            return match leads || is_over(since) {
                true => Verdict::Acquire {
                    term: term.saturating_add(1),
                },
                false => Verdict::Yield,
            };
        };
        self.missing = None;
        let same = self.last.take().filter(|(last, _)| *last == record);
        let since = same.map_or(now, |(_, since)| since);
        let verdict = if record.holder == me {
            Verdict::Renew {
                term: record.transitions,
            }
        } else if record.holder.is_empty() || is_over(since) {
            Verdict::Acquire {
                term: record.transitions.saturating_add(1),
            }
        } else {
            Verdict::Yield
        };
        self.last = Some((record, since));
        verdict
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

    /// One that does not lead looks.
    fn look(sight: &mut Sight, lease: Option<Record>, now: Instant) -> Verdict {
        sight.look("a", lease, false, now)
    }

    #[test]
    fn the_first_lease_has_the_first_term_once_nobody_can_have_another() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        assert_eq!(look(&mut sight, None, start), Verdict::Yield);
        let verdict = look(&mut sight, None, start + JUST_BEFORE);
        assert_eq!(verdict, Verdict::Yield);
        let verdict = look(&mut sight, None, start + DURATION);
        assert_eq!(verdict, Verdict::Acquire { term: 1 });
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let verdict = look(&mut Sight::default(), held_by(""), Instant::now());
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn ones_own_is_renewed_under_the_same_term() {
        let verdict = look(&mut Sight::default(), held_by("a"), Instant::now());
        assert_eq!(verdict, Verdict::Renew { term: 7 });
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_the_duration() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        assert_eq!(look(&mut sight, held_by("b"), start), Verdict::Yield);
        let verdict = look(&mut sight, held_by("b"), start + JUST_BEFORE);
        assert_eq!(verdict, Verdict::Yield);
        let verdict = look(&mut sight, held_by("b"), start + DURATION);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_seen() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        look(&mut sight, held_by("b"), start);
        look(&mut sight, renewed(), start + JUST_BEFORE);
        let verdict = look(&mut sight, renewed(), start + DURATION);
        assert_eq!(verdict, Verdict::Yield);
    }

    #[test]
    fn the_holder_of_a_deleted_lease_has_its_time_and_its_term_is_not_given_again() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        look(&mut sight, held_by("b"), start);
        // Renewed meanwhile, and nobody saw it.
        let gone = start + JUST_BEFORE;
        assert_eq!(look(&mut sight, None, gone), Verdict::Yield);
        let verdict = look(&mut sight, None, gone + JUST_BEFORE);
        assert_eq!(verdict, Verdict::Yield);
        let verdict = look(&mut sight, None, gone + DURATION);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn who_leads_when_the_lease_is_deleted_takes_it_again_under_another_term() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("a"), true, start);
        let verdict = sight.look("a", None, true, start);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn who_held_it_and_slept_gives_another_that_may_have_taken_it_its_time() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("a"), true, start);
        let woke = start + 2 * DURATION;
        assert_eq!(look(&mut sight, None, woke), Verdict::Yield);
        let verdict = look(&mut sight, None, woke + DURATION);
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
            look(&mut sight, Some(record.clone()), start);
            let then = start + Duration::from_millis(millis);
            let lease = (!deleted).then_some(record);
            if let Verdict::Acquire { term } = look(&mut sight, lease, then) {
                prop_assert!(term > transitions);
            }
        }
    }
}
