//! Sets of hash slots.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

const WORDS: usize = SLOTS as usize / 64;

/// Some of the slots, as ranges from first to last, both included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
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
        let ranges: Vec<(u16, u16)> = ranges.into_iter().collect();
        let good = ranges
            .iter()
            .all(|(first, last)| first <= last && *last < SLOTS);
        let apart = ranges.windows(2).all(|pair| {
            matches!(pair, [(_, last), (first, _)] if u32::from(*last) + 1 < u32::from(*first))
        });
        // As servers tell them.
        if good && apart {
            return Self { ranges };
        }
        let mut bits = Bits::default();
        for (first, last) in ranges {
            for slot in first..=last.min(SLOTS - 1) {
                bits.insert(slot);
            }
        }
        bits.set()
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

    /// In order; no two of them touch.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Those of either.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self }.clone();
        }
        self.combined(other, |one, other| one | other)
    }

    /// Those of this that are not of the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() || self == other {
            return if self == other {
                Self::default()
            } else {
                self.clone()
            };
        }
        self.combined(other, |one, other| one & !other)
    }

    /// Those of both.
    #[must_use]
    pub fn shared(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::default();
        }
        self.combined(other, |one, other| one & other)
    }

    fn combined(&self, other: &Self, how: fn(u64, u64) -> u64) -> Self {
        let (mut one, other) = (Bits::from(self), Bits::from(other));
        for (word, other) in one.0.iter_mut().zip(other.0.iter()) {
            *word = how(*word, *other);
        }
        one.set()
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

/// A bit for each slot.
struct Bits(Box<[u64; WORDS]>);

impl Default for Bits {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl From<&SlotSet> for Bits {
    fn from(set: &SlotSet) -> Self {
        let mut bits = Self::default();
        for (first, last) in &set.ranges {
            for slot in *first..=*last {
                bits.insert(slot);
            }
        }
        bits
    }
}

impl Bits {
    fn insert(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
    }

    fn has(&self, slot: u16) -> bool {
        let word = self.0.get(usize::from(slot / 64));
        word.is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    fn set(&self) -> SlotSet {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in (0..SLOTS).filter(|slot| self.has(*slot)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        SlotSet { ranges }
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

    proptest! {
        #[test]
        fn what_is_taken_out_and_put_back_is_the_same(one in any_set(), other in any_set()) {
            let shared = one.shared(&other);
            prop_assert_eq!(one.without(&other).with(&shared), one.clone());
            prop_assert_eq!(one.with(&other).len() + shared.len(), one.len() + other.len());
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

    #[test]
    fn people_read_ranges() {
        let set = SlotSet::of([(5, 5), (7, 9), (10, 12), (16_000, 20_000)]);
        assert_eq!(set.to_string(), "5 7-12 16000-16383");
    }
}
