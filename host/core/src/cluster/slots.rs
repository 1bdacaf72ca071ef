//! Sets of hash slots.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

/// Some of the slots, as ranges from first to last, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u16)>", into = "Vec<(u16, u16)>")]
pub struct SlotSet {
    /// In order; no two of them touch.
    ranges: Vec<(u16, u16)>,
}

impl SlotSet {
    /// All of them.
    pub fn all() -> Self {
        Self {
            ranges: vec![(0, SLOTS - 1)],
        }
    }

    /// Those of ranges in any order, also if they overlap. What is no slot is left out.
    pub fn of(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let within = |(first, last): (u16, u16)| (first, last.min(SLOTS - 1));
        let good = |(first, last): &(u16, u16)| first <= last;
        let mut given: Vec<_> = ranges.into_iter().map(within).filter(good).collect();
        given.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::with_capacity(given.len());
        for (first, last) in given {
            match ranges.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Self { ranges }
    }

    /// Those of a text as it is written for people: `0-5460 8000`. What is no range is left out.
    pub fn read(text: &str) -> Self {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        Self::of(text.split_whitespace().filter_map(range))
    }

    /// All slots in so many parts, which differ by one slot at most.
    pub fn even(parts: u32) -> Vec<Self> {
        let (all, parts) = (u32::from(SLOTS), parts.clamp(1, u32::from(SLOTS)));
        let begin = |part: u32| u16::try_from(all * part / parts).unwrap_or(SLOTS);
        let part = |at: u32| Self::of([(begin(at), begin(at + 1) - 1)]);
        (0..parts).map(part).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let lengths = self.ranges.iter().map(|(first, last)| last - first + 1);
        lengths.map(usize::from).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True if this slot is one of them.
    pub fn contains(&self, slot: u16) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= slot);
        let before = self.ranges.get(..after).and_then(<[_]>::last);
        before.is_some_and(|(_, last)| slot <= *last)
    }

    /// In order; no two of them touch.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        let ranges = self.ranges.iter();
        ranges.flat_map(|(first, last)| *first..=*last)
    }

    /// Those of either.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self::of(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// Those of this that are not of the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.shared(&other.rest())
    }

    /// Those of both.
    #[must_use]
    pub fn shared(&self, other: &Self) -> Self {
        let (mut ones, mut others) = (
            self.ranges.iter().peekable(),
            other.ranges.iter().peekable(),
        );
        let mut ranges = Vec::new();
        while let (Some(one), Some(other)) = (ones.peek(), others.peek()) {
            let (first, last) = (one.0.max(other.0), one.1.min(other.1));
            if first <= last {
                ranges.push((first, last));
            }
            match one.1 < other.1 {
                true => ones.next(),
                false => others.next(),
            };
        }
        Self { ranges }
    }

    /// The first of them, so many at most.
    #[must_use]
    pub fn first(&self, most: usize) -> Self {
        let mut left = u16::try_from(most).unwrap_or(SLOTS);
        let mut ranges = Vec::new();
        for (first, last) in &self.ranges {
            let Some(more) = left.checked_sub(1) else {
                break;
            };
            let end = first.saturating_add(more).min(*last);
            ranges.push((*first, end));
            left -= end - first + 1;
        }
        Self { ranges }
    }

    /// All others.
    fn rest(&self) -> Self {
        let (mut ranges, mut next) = (Vec::with_capacity(self.ranges.len() + 1), 0);
        for (first, last) in &self.ranges {
            if next < *first {
                ranges.push((next, first - 1));
            }
            next = last + 1;
        }
        if next < SLOTS {
            ranges.push((next, SLOTS - 1));
        }
        Self { ranges }
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<T: IntoIterator<Item = u16>>(slots: T) -> Self {
        Self::of(slots.into_iter().map(|slot| (slot, slot)))
    }
}

impl From<Vec<(u16, u16)>> for SlotSet {
    fn from(ranges: Vec<(u16, u16)>) -> Self {
        Self::of(ranges)
    }
}

impl From<SlotSet> for Vec<(u16, u16)> {
    fn from(set: SlotSet) -> Self {
        set.ranges
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            match first == last {
                true => write!(f, "{space}{first}")?,
                false => write!(f, "{space}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_set() -> impl Strategy<Value = SlotSet> {
        prop::collection::vec((0..SLOTS, 0_u16..3_000), 0..6).prop_map(|ranges| {
            SlotSet::of(
                ranges
                    .into_iter()
                    .map(|(first, more)| (first, first + more)),
            )
        })
    }

    fn has(set: &SlotSet, slot: u16) -> bool {
        let mut ranges = set.ranges.iter();
        ranges.any(|(first, last)| (first..=last).contains(&&slot))
    }

    fn are_apart(set: &SlotSet) -> bool {
        let mut pairs = set.ranges.windows(2);
        pairs.all(|pair| matches!(pair, [(_, last), (first, _)] if last + 1 < *first))
    }

    proptest! {
        #[test]
        fn a_slot_is_where_it_should_be(one in any_set(), other in any_set()) {
            let (with, without, shared) = (one.with(&other), one.without(&other), one.shared(&other));
            for slot in (0..SLOTS).step_by(7).chain([SLOTS - 1]) {
                let (a, b) = (has(&one, slot), has(&other, slot));
                let found = (has(&with, slot), has(&without, slot), has(&shared, slot));
                prop_assert_eq!(found, (a || b, a && !b, a && b), "{}", slot);
                prop_assert_eq!(one.contains(slot), a, "{}", slot);
            }
            prop_assert!([one, other, with, without, shared].iter().all(are_apart));
        }

        #[test]
        fn what_is_taken_out_and_put_back_is_the_same(one in any_set(), other in any_set()) {
            let shared = one.shared(&other);
            prop_assert_eq!(one.without(&other).with(&shared), one.clone());
            prop_assert_eq!(one.with(&other).len() + shared.len(), one.len() + other.len());
        }

        #[test]
        fn one_by_one_they_are_the_same(set in any_set()) {
            prop_assert_eq!(set.iter().count(), set.len());
            prop_assert!(set.iter().all(|slot| set.contains(slot)));
            prop_assert_eq!(set.iter().collect::<SlotSet>(), set);
        }

        #[test]
        fn the_first_of_them_are_as_many_as_asked_for(set in any_set(), most in 0_usize..20_000) {
            let first = set.first(most);
            prop_assert_eq!(first.len(), most.min(set.len()));
            prop_assert!(first.without(&set).is_empty() && are_apart(&first));
            let end = first.ranges.last().map(|(_, last)| *last);
            let rest = set.without(&first);
            prop_assert!(rest.ranges.iter().all(|(first, _)| end.is_none_or(|end| *first > end)));
        }

        /// P34.
        #[test]
        fn even_parts_are_all_slots_once(parts in 1_u32..200) {
            let all = SlotSet::even(parts);
            let (least, most) = (all.iter().map(SlotSet::len).min(), all.iter().map(SlotSet::len).max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1);
            let sum = all.iter().fold(SlotSet::default(), |sum, part| sum.with(part));
            prop_assert_eq!(all.iter().map(SlotSet::len).sum::<usize>(), usize::from(SLOTS));
            prop_assert_eq!(sum, SlotSet::all());
        }
    }

    /// What an agent tells is put in order, whatever it says.
    #[test]
    fn ranges_that_make_no_sense_are_none() {
        let told: SlotSet =
            serde_json::from_str("[[9, 5], [60000, 65535], [3, 4], [1, 3]]").unwrap();
        assert_eq!(told, SlotSet::of([(1, 4)]));
    }

    #[test]
    fn people_read_ranges() {
        let set = SlotSet::of([(5, 5), (7, 9), (10, 12), (16_000, 20_000)]);
        assert_eq!(set.to_string(), "5 7-12 16000-16383");
        assert_eq!(SlotSet::read(&set.to_string()), set);
        assert!(SlotSet::read("a-b 7-").is_empty());
    }
}
