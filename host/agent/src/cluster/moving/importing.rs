//! Of which slots a server begins to take keys, when the agent of who has them asks.

use hera_core::agent::{RefusedSlots, SlotStep};
use hera_core::cluster::{Direction, Server as Seen, SlotSet};

use super::open::{self, may_replace};
use super::step::leads;

/// What the server is to be told of slots of which it is to take keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Importing {
    /// It does not take them from this source yet.
    pub new: SlotSet,
    /// It takes them, from this source or one before, and has heard of no owner: that one went, and was forgotten. As
    /// long as a slot is imported the server does not hear who has it since, and it refuses keys of a slot that nobody
    /// has. That it imports does not end by being told.
    pub of_nobody: SlotSet,
    pub refused: RefusedSlots,
}

impl Importing {
    /// By what the server has heard.
    ///
    /// # Errors
    /// Why it takes none.
    pub fn of(own: &Seen, asked: &SlotStep, left: &SlotSet) -> Result<Self, String> {
        let from_source = Some((Direction::In, asked.source.as_str()));
        let (mut new, mut of_nobody, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut why = String::new();
        for slot in left.iter() {
            let open = open::of(own, slot);
            if open != from_source {
                if let Err(words) = may_import(own, asked, slot) {
                    if refused.is_empty() {
                        why = words;
                    }
                    refused.push(slot);
                    continue;
                }
                new.push(slot);
            }
            if open.is_some() && !has_owner(own, slot) {
                of_nobody.push(slot);
            }
        }
        if !new.is_empty() || !of_nobody.is_empty() || !refused.is_empty() {
            leads(own, asked)?;
        }
        let refused: SlotSet = refused.into_iter().collect();
        if !refused.is_empty() && refused == *left {
            return Err(why);
        }
        Ok(Self {
            new: new.into_iter().collect(),
            of_nobody: of_nobody.into_iter().collect(),
            refused: RefusedSlots {
                slots: refused,
                why,
            },
        })
    }
}

/// The server may take keys of the slot from this source. It has heard whose the slot is: once it imports it does not
/// hear that any more.
fn may_import(own: &Seen, asked: &SlotStep, slot: u16) -> Result<(), String> {
    let (source, target) = (&asked.source, &own.id);
    let entry = own.entry(source);
    match open::of(own, slot) {
        None if entry.is_some_and(|entry| entry.slots.contains(slot)) => Ok(()),
        None => Err(format!(
            "{target} has not heard yet that slot {slot} is that of {source}"
        )),
        Some((Direction::In, before)) if may_replace(own, before, source) => Ok(()),
        Some((_, other)) => Err(format!("slot {slot} moves between this server and {other}")),
    }
}

/// Somebody has the slot, by what the server has heard.
fn has_owner(own: &Seen, slot: u16) -> bool {
    own.known.iter().any(|entry| entry.slots.contains(slot))
}

#[cfg(test)]
mod tests {
    use hera_core::agent::TakeSlot;
    use hera_core::cluster::Entry;

    use super::super::step::tests::{asked, slot, view};
    use super::*;

    #[test]
    fn a_slot_that_comes_from_one_who_leads_is_not_taken_from_another() {
        let import = asked(TakeSlot::Import);
        assert_eq!(may_import(&view(&[]), &import, 93), Ok(()));
        assert_eq!(may_import(&view(&["[93-<-source]"]), &import, 93), Ok(()));
        // Who led before, and was forgotten since.
        assert_eq!(may_import(&view(&["[93-<-before]"]), &import, 93), Ok(()));
        let mut both = view(&["[93-<-other]"]);
        both.known.push(Entry {
            id: "other".to_owned(),
            ..Entry::default()
        });
        assert!(may_import(&both, &import, 93).is_err());
        assert!(may_import(&view(&["[93->-source]"]), &import, 93).is_err());
    }

    #[test]
    fn a_slot_that_cannot_come_holds_up_none_of_the_others() {
        let both = SlotSet::of([(93, 94)]);
        let import = asked(TakeSlot::Import);
        let mut one = view(&["[94->-source]"]);
        let importing = Importing::of(&one, &import, &both).unwrap();
        assert_eq!(importing.new, slot());
        assert_eq!(importing.refused.slots, SlotSet::of([(94, 94)]));
        assert!(importing.refused.why.contains("94"));
        assert!(Importing::of(&one, &import, &SlotSet::of([(94, 94)])).is_err());
        one.known[1].failed = true;
        assert!(Importing::of(&one, &import, &both).is_err());
    }

    #[test]
    fn who_imports_a_slot_of_nobody_is_told_its_owner() {
        let import = asked(TakeSlot::Import);
        for before in ["[93-<-source]", "[93-<-before]"] {
            let mut view = view(&[before]);
            let importing = Importing::of(&view, &import, &slot()).unwrap();
            assert!(
                importing.of_nobody.is_empty(),
                "the source is known to have it"
            );
            view.known[1].slots = SlotSet::default();
            let importing = Importing::of(&view, &import, &slot()).unwrap();
            assert_eq!(importing.of_nobody, slot());
            assert_eq!(importing.new.is_empty(), before.contains("source"));
            view.known[1].connected = false;
            assert!(Importing::of(&view, &import, &slot()).is_err());
        }
    }

    #[test]
    fn a_slot_whose_owner_was_not_heard_yet_is_not_imported() {
        let import = asked(TakeSlot::Import);
        let mut new = view(&[]);
        new.known[1].slots = SlotSet::default();
        assert!(!has_owner(&new, 93));
        assert!(may_import(&new, &import, 93).is_err());
        // By what was heard it is a third one's still.
        let mut late = new.clone();
        late.known.push(Entry {
            id: "third".to_owned(),
            slots: slot(),
            ..Entry::default()
        });
        assert!(has_owner(&late, 93));
        assert!(may_import(&late, &import, 93).is_err());
    }
}
