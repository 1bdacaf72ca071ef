//! Slots that are half moved, as a server says of itself.

use hera_core::cluster::{Direction, Server as Seen};

/// Where this one moves, and the other's id.
pub fn of(own: &Seen, slot: u16) -> Option<(Direction, &str)> {
    let open = own.opened().find(|open| open.slot == slot)?;
    Some((open.moves, open.peer))
}

/// True if a slot that moves between this server and `before` may move between it and `now` instead: keys that moved
/// are with `now`, or nowhere, as `before` leads no more.
pub fn may_replace(own: &Seen, before: &str, now: &str) -> bool {
    before == now
        || own
            .entry(before)
            .is_none_or(|entry| entry.failed || entry.replica_of.is_some())
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::Entry;

    use super::*;

    fn seen_as(open: &[&str], others: &[Entry]) -> Seen {
        let own = Entry {
            id: "me".to_owned(),
            open_slots: open.iter().map(|text| (*text).to_owned()).collect(),
            ..Entry::default()
        };
        Seen {
            id: "me".to_owned(),
            known: [own].into_iter().chain(others.iter().cloned()).collect(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_slot_is_open_in_one_direction() {
        let own = seen_as(&["[93->-a]", "[94-<-b]", "no slot"], &[]);
        assert_eq!(of(&own, 93), Some((Direction::Out, "a")));
        assert_eq!(of(&own, 94), Some((Direction::In, "b")));
        assert_eq!(of(&own, 95), None);
    }

    #[test]
    fn keys_that_moved_to_a_primary_that_lives_are_not_left_behind() {
        let entry = |id: &str| Entry {
            id: id.to_owned(),
            ..Entry::default()
        };
        let replica = Entry {
            replica_of: Some("new".to_owned()),
            ..entry("replica")
        };
        let failed = Entry {
            failed: true,
            ..entry("failed")
        };
        let own = seen_as(&[], &[entry("lives"), replica, failed]);
        assert!(!may_replace(&own, "lives", "new"));
        for before in ["new", "replica", "failed", "forgotten"] {
            assert!(may_replace(&own, before, "new"), "{before}");
        }
    }
}
