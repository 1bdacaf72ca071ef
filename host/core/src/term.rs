//! Terms: what tells a leader from those before it, and what an agent may say of them.
//!
//! The Lease of the operator gives them. An agent keeps the highest that it was told, on its volume, and
//! refuses a lower one. Where the Lease was lost, it begins below what honest agents know: then, and only
//! then, an instance is spoken to under a term that lies above the Lease's by a floor of its own. So what
//! one agent says of terms changes nothing for the instances of others.

/// The first number that is no term. A Lease that changed hands every six seconds, its duration, would
/// come here after eight hundred years; an agent that has stored or tells more was lied to, or lies.
pub const END: u64 = 1 << 32;

/// A floor rises by no more than this at once: a Lease that changed hands every six seconds for two
/// months gives so many terms. An honest agent is caught up with in one step; one that lies needs
/// thousands of refused orders to use up the terms of its own instance.
pub const STEP: u64 = 1 << 20;

/// True for what a Lease can have given, or 0 for none.
pub fn is_term(term: u64) -> bool {
    term < END
}

/// By how much the terms that an instance is spoken to under lie above the Lease's.
///
/// `floor` is what was written down for it, `lease` the Lease's term, `said` the highest term that its
/// agents tell. `lost` is true where the Lease was seen missing, or below what was known of it.
/// `has_spoken` is true once this leader has spoken to the instance under the sum of the two: then an
/// agent that tells just that was told it by this leader, and otherwise by one before.
pub fn floor(floor: u64, lease: u64, said: u64, lost: bool, has_spoken: bool) -> u64 {
    let spoken = floor.saturating_add(lease);
    let is_known = match has_spoken {
        true => said > spoken,
        false => said >= spoken,
    };
    if !lost || !is_term(said) || !is_known {
        return floor;
    }
    let needed = said.saturating_add(1).saturating_sub(lease);
    // The last term leaves no room for another leader.
    let last = (END - 1).saturating_sub(lease);
    needed.min(floor.saturating_add(STEP)).min(last).max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_lease_was_never_lost_no_agent_is_believed() {
        assert_eq!(floor(0, 3, 100, false, false), 0);
        assert_eq!(floor(7, 3, 100, false, true), 7);
    }

    #[test]
    fn after_the_lease_was_lost_the_next_term_is_above_what_agents_know() {
        assert_eq!(floor(0, 1, 100, true, false), 100);
        // The next leader has a term of its own.
        assert_eq!(floor(100, 2, 101, true, false), 100);
    }

    #[test]
    fn a_term_that_another_leader_gave_is_not_given_again() {
        assert_eq!(floor(0, 5, 5, true, false), 1);
        assert_eq!(floor(0, 5, 5, true, true), 0, "this one gave it");
    }

    #[test]
    fn a_floor_rises_in_steps_and_never_to_where_no_term_is() {
        assert_eq!(floor(0, 1, END - 1, true, false), STEP);
        assert_eq!(floor(9, 1, END, true, false), 9);
        assert_eq!(floor(9, 1, u64::MAX, true, false), 9);
        let high = END - 5;
        assert_eq!(floor(high, 1, END - 1, true, true), END - 2);
        assert_eq!(floor(u64::MAX, u64::MAX, 5, true, true), u64::MAX);
    }
}
