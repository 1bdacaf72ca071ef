//! Which slots move together.

use hera_core::cluster::{Direction, Server as Seen, SlotSet};

use crate::cluster::moving::job::Broke;
use crate::cluster::moving::open::{self, may_replace};

/// Slots that move together. One that cannot leaves, and the others go on.
pub struct Lot {
    slots: SlotSet,
    /// Why the first that left did.
    words: Option<String>,
}

impl Lot {
    /// Of these slots.
    pub fn new(slots: SlotSet) -> Self {
        Self { slots, words: None }
    }

    /// Those that have not left.
    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// This one stays half moved, for this reason.
    pub fn leaves(&mut self, slot: u16, words: String) {
        self.slots = self.slots.without(&SlotSet::of([(slot, slot)]));
        self.words.get_or_insert(words);
    }

    /// All that could have moved.
    ///
    /// # Errors
    /// One could not.
    pub fn ends(self) -> Result<(), Broke> {
        match self.words {
            None => Ok(()),
            Some(words) => Err(Broke::Failed(words)),
        }
    }
}

/// What the server that gives says of slots that are to move.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// It does not have them.
    pub gone: SlotSet,
    /// Those of them that are marked as if it gave them.
    pub marked: SlotSet,
    /// It has them, and they do not move.
    pub whole: SlotSet,
    /// They are on their way to the target, or to one in whose place it is.
    pub on_their_way: SlotSet,
    /// Why one of them cannot go to the target. What is behind it was not looked at.
    pub elsewhere: Option<String>,
}

impl Found {
    /// By its own word.
    pub fn of(own: &Seen, slots: &SlotSet, target: &str) -> Self {
        let has = own.slots();
        let mut found = Self::default();
        let (mut gone, mut marked) = (Vec::new(), Vec::new());
        let (mut whole, mut on_their_way) = (Vec::new(), Vec::new());
        for slot in slots.iter() {
            match open::of(own, slot) {
                open if !has.contains(slot) => {
                    gone.push(slot);
                    if open.is_some_and(|(moves, _)| moves == Direction::Out) {
                        marked.push(slot);
                    }
                }
                None => whole.push(slot),
                Some((Direction::Out, before)) if may_replace(own, before, target) => {
                    on_their_way.push(slot);
                }
                Some((_, other)) => {
                    let words =
                        format!("slot {slot} is half moved between this server and {other}");
                    found.elsewhere = Some(words);
                    break;
                }
            }
        }
        Self {
            gone: gone.into_iter().collect(),
            marked: marked.into_iter().collect(),
            whole: whole.into_iter().collect(),
            on_their_way: on_their_way.into_iter().collect(),
            ..found
        }
    }

    /// Those that can go.
    pub fn here(&self) -> SlotSet {
        self.whole.with(&self.on_their_way)
    }
}

/// The first of these slots that have no more than `most` together, at least one.
pub fn fitting(slots: impl IntoIterator<Item = (u16, u64)>, most: u64) -> SlotSet {
    let mut sum: u64 = 0;
    let mut is_first = true;
    let fits = slots.into_iter().take_while(|(_, size)| {
        sum = sum.saturating_add(*size);
        std::mem::take(&mut is_first) || sum <= most
    });
    fits.map(|(slot, _)| slot).collect()
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::Entry;

    use super::*;

    fn seen(slots: (u16, u16), open: &[&str]) -> Seen {
        let own = Entry {
            id: "me".to_owned(),
            slots: SlotSet::of([slots]),
            open_slots: open.iter().map(|text| (*text).to_owned()).collect(),
            ..Entry::default()
        };
        let other = Entry {
            id: "other".to_owned(),
            ..Entry::default()
        };
        Seen {
            id: "me".to_owned(),
            known: vec![own, other],
            ..Seen::default()
        }
    }

    fn range(first: u16, last: u16) -> SlotSet {
        SlotSet::of([(first, last)])
    }

    #[test]
    fn slots_move_together_as_far_as_the_server_has_them() {
        let marks = [
            "[2->-target]",
            "[4->-forgotten]",
            "[9->-target]",
            "[8-<-other]",
        ];
        let found = Found::of(&seen((1, 7), &marks), &range(1, 9), "target");
        assert_eq!(found.whole, SlotSet::of([(1, 1), (3, 3), (5, 7)]));
        assert_eq!(found.on_their_way, SlotSet::of([(2, 2), (4, 4)]));
        assert_eq!(
            (found.gone.clone(), found.marked.clone()),
            (range(8, 9), range(9, 9))
        );
        assert_eq!((found.here(), found.elsewhere), (range(1, 7), None));
    }

    #[test]
    fn a_slot_that_moves_elsewhere_holds_up_none_before_it() {
        let found = Found::of(&seen((1, 7), &["[3->-other]"]), &range(1, 7), "target");
        assert_eq!(
            (found.here(), found.gone),
            (range(1, 2), SlotSet::default())
        );
        assert!(found.elsewhere.is_some());
        let taken = Found::of(&seen((1, 7), &["[1-<-target]"]), &range(1, 7), "target");
        assert!(taken.here().is_empty() && taken.elsewhere.is_some());
    }

    #[test]
    fn slots_with_many_keys_move_apart() {
        let slots = [(1, 400), (2, 600), (3, 1), (4, 0)];
        assert_eq!(fitting(slots, 1_000), range(1, 2));
        assert_eq!(fitting(slots, 399), range(1, 1));
        assert_eq!(fitting(slots, 5_000), range(1, 4));
        assert_eq!(fitting([(7, u64::MAX), (8, u64::MAX)], 5), range(7, 7));
        assert!(fitting([], 5).is_empty());
    }

    #[test]
    fn what_leaves_is_told_once_the_others_have_moved() {
        let mut lot = Lot::new(range(1, 3));
        lot.leaves(2, "first".to_owned());
        lot.leaves(3, "second".to_owned());
        assert_eq!(lot.slots(), &range(1, 1));
        assert_eq!(lot.ends(), Err(Broke::failed("first")));
        assert_eq!(Lot::new(range(1, 3)).ends(), Ok(()));
    }
}
