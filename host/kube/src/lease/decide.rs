use std::time::Duration;

use super::DURATION;

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
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
pub enum Verdict {
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

/// Decides from the Lease as read, and for how long this very record has been seen unchanged.
pub fn evaluate(me: &str, lease: Option<&Record>, unchanged_for: Duration) -> Verdict {
    match lease {
        None => Verdict::Acquire { term: 1 },
        Some(record) if record.holder == me => Verdict::Renew {
            term: record.transitions,
        },
        Some(record) if record.holder.is_empty() || unchanged_for >= DURATION => Verdict::Acquire {
            term: record.transitions.saturating_add(1),
        },
        Some(_) => Verdict::Yield,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held_by(holder: &str) -> Record {
        Record {
            holder: holder.into(),
            transitions: 7,
            renewal: "x".into(),
        }
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let verdict = evaluate("a", Some(&held_by("")), Duration::ZERO);
        assert_eq!(verdict, Verdict::Acquire { term: 8 });
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_the_duration() {
        let just_before = DURATION - Duration::from_millis(1);
        assert_eq!(
            evaluate("a", Some(&held_by("b")), just_before),
            Verdict::Yield
        );
        assert_eq!(
            evaluate("a", Some(&held_by("b")), DURATION),
            Verdict::Acquire { term: 8 }
        );
    }

    proptest! {
        #[test]
        fn a_new_holder_always_gets_a_higher_term(transitions in 0u64..u64::MAX, millis in 0u64..20_000) {
            let record = Record { holder: "b".into(), transitions, renewal: String::new() };
            if let Verdict::Acquire { term } = evaluate("a", Some(&record), Duration::from_millis(millis)) {
                prop_assert!(term > transitions);
            }
        }
    }
}
