use std::time::Instant;

use hera_core::term;

use super::DURATION;

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; empty when it was released.
    pub holder: String,
    /// The term of who held it last.
    pub term: u64,
    /// What it says of terms cannot be all: it was made by hand, or damaged.
    pub damaged: bool,
    /// Changes with each renewal; only compared, never read as a time, so that the clocks of two
    /// nodes need not agree.
    pub renewal: String,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take the Lease under this term.
    Acquire {
        /// The new term.
        term: u64,
        /// Terms may have been given that nobody remembers.
        lost: bool,
    },
    /// Renew it under the same term.
    Renew {
        /// The present term.
        term: u64,
    },
    /// Somebody else holds it.
    Yield,
    /// There is no higher term.
    Spent,
}

/// What a candidate has seen of the Lease.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The last record, and since when it is the same.
    last: Option<(Record, Instant)>,
    /// Since when there is no Lease.
    missing: Option<Instant>,
    /// The highest term that was seen.
    highest: u64,
    /// The term under which this process led last.
    led: Option<u64>,
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
            return match leads || is_over(since) {
                true => self.acquire(true),
                false => Verdict::Yield,
            };
        };
        self.missing = None;
        let same = self.last.take().filter(|(last, _)| *last == record);
        let since = same.map_or(now, |(_, since)| since);
        let fell = record.term < self.highest;
        let lost = record.damaged || fell;
        self.highest = self.highest.max(record.term);
        let verdict = if record.holder == me {
            // What an earlier process of that name led under, or somebody wrote, is no term of this one.
            match self.led {
                Some(term) if term == record.term => Verdict::Renew { term },
                _ => self.acquire(lost),
            }
        } else if record.holder.is_empty() || is_over(since) {
            self.acquire(lost)
        } else {
            Verdict::Yield
        };
        self.last = Some((record, since));
        verdict
    }

    /// The Lease was written: this process leads under that term.
    pub fn leads(&mut self, term: u64) {
        self.led = Some(term);
        self.highest = self.highest.max(term);
    }

    fn acquire(&self, lost: bool) -> Verdict {
        match self.highest.saturating_add(1) {
            term if term::is_term(term) => Verdict::Acquire { term, lost },
            _ => Verdict::Spent,
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
            term: 7,
            renewal: "x".into(),
            ..Record::default()
        })
    }

    fn renewed() -> Option<Record> {
        held_by("b").map(|record| Record {
            renewal: "y".into(),
            ..record
        })
    }

    /// The Lease is taken from who had it under that term.
    fn after(term: u64) -> Verdict {
        let (term, lost) = (term + 1, false);
        Verdict::Acquire { term, lost }
    }

    /// The Lease is taken that was missing, or said less than was known.
    fn anew(term: u64) -> Verdict {
        Verdict::Acquire { term, lost: true }
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
        assert_eq!(verdict, anew(1));
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let verdict = look(&mut Sight::default(), held_by(""), Instant::now());
        assert_eq!(verdict, after(7));
    }

    #[test]
    fn ones_own_is_renewed_under_the_same_term() {
        let mut sight = Sight::default();
        sight.leads(7);
        let verdict = look(&mut sight, held_by("a"), Instant::now());
        assert_eq!(verdict, Verdict::Renew { term: 7 });
    }

    #[test]
    fn a_process_that_has_the_name_of_one_before_it_does_not_share_its_term() {
        let verdict = look(&mut Sight::default(), held_by("a"), Instant::now());
        assert_eq!(verdict, after(7));
    }

    #[test]
    fn a_lease_that_somebody_set_back_is_led_above_what_was_known() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        look(&mut sight, held_by("b"), start);
        let set_back = |holder: &str| held_by(holder).map(|record| Record { term: 3, ..record });
        assert_eq!(look(&mut sight, set_back("b"), start), Verdict::Yield);
        assert_eq!(look(&mut sight, set_back(""), start), anew(8));
        // Also by who leads, and also where it is set forward.
        let mut sight = Sight::default();
        sight.leads(7);
        assert_eq!(sight.look("a", set_back("a"), true, start), anew(8));
        sight.leads(8);
        let forward = held_by("a").map(|record| Record {
            term: 100,
            ..record
        });
        assert_eq!(sight.look("a", forward, true, start), after(100));
    }

    #[test]
    fn a_damaged_lease_is_told_as_one() {
        let damaged = held_by("").map(|record| Record {
            damaged: true,
            ..record
        });
        assert_eq!(
            look(&mut Sight::default(), damaged, Instant::now()),
            anew(8)
        );
    }

    #[test]
    fn nobody_leads_under_a_number_that_is_no_term() {
        let last = held_by("").map(|record| Record {
            term: term::END - 1,
            ..record
        });
        let verdict = look(&mut Sight::default(), last, Instant::now());
        assert_eq!(verdict, Verdict::Spent);
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_the_duration() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        assert_eq!(look(&mut sight, held_by("b"), start), Verdict::Yield);
        let verdict = look(&mut sight, held_by("b"), start + JUST_BEFORE);
        assert_eq!(verdict, Verdict::Yield);
        let verdict = look(&mut sight, held_by("b"), start + DURATION);
        assert_eq!(verdict, after(7));
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
        assert_eq!(verdict, anew(8));
    }

    #[test]
    fn who_leads_when_the_lease_is_deleted_takes_it_again_under_another_term() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("a"), true, start);
        let verdict = sight.look("a", None, true, start);
        assert_eq!(verdict, anew(8));
    }

    #[test]
    fn who_held_it_and_slept_gives_another_that_may_have_taken_it_its_time() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        sight.look("a", held_by("a"), true, start);
        let woke = start + 2 * DURATION;
        assert_eq!(look(&mut sight, None, woke), Verdict::Yield);
        let verdict = look(&mut sight, None, woke + DURATION);
        assert_eq!(verdict, anew(8));
    }

    proptest! {
        #[test]
        fn a_new_holder_always_gets_a_higher_term(
            before in 0u64..term::END - 1,
            millis in 0u64..20_000,
            deleted: bool,
        ) {
            let (mut sight, start) = (Sight::default(), Instant::now());
            let record = Record { holder: "b".into(), term: before, ..Record::default() };
            look(&mut sight, Some(record.clone()), start);
            let then = start + Duration::from_millis(millis);
            let lease = (!deleted).then_some(record);
            if let Verdict::Acquire { term, .. } = look(&mut sight, lease, then) {
                prop_assert!(term > before);
            }
        }
    }
}
