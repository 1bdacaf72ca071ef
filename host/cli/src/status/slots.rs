//! A map of all slots on one line.

use hera_core::cluster::{SLOTS, SlotSet};

/// Characters of a map.
const CELLS: u16 = 64;
/// Slots of a character.
const CELL: u16 = SLOTS / CELLS;
/// Shards of higher numbers share the one behind.
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const OTHER: char = '+';

/// The slots of ranges as the status has them: `0-5460 8000`. What is no range is left out.
pub fn read(ranges: &str) -> SlotSet {
    SlotSet::read(ranges)
}

/// What stands for a shard.
pub fn letter(shard: i32) -> char {
    let letter = usize::try_from(shard).ok().and_then(|at| LETTERS.get(at));
    letter.map_or(OTHER, |letter| char::from(*letter))
}

/// A letter for each part of the slots: of the shard that has most of it. A dot where a slot has no owner:
/// one that is missing is seen.
pub fn map(shards: &[(i32, SlotSet)]) -> String {
    (0..CELLS).map(|at| cell(at * CELL, shards)).collect()
}

fn cell(first: u16, shards: &[(i32, SlotSet)]) -> char {
    let all = SlotSet::of([(first, first + (CELL - 1))]);
    let owned = shards
        .iter()
        .fold(SlotSet::default(), |owned, (_, slots)| owned.with(slots));
    if !all.without(&owned).is_empty() {
        return '.';
    }
    let share = |(_, slots): &&(i32, SlotSet)| slots.shared(&all).len();
    let most = shards.iter().rev().max_by_key(share);
    most.map_or('.', |(shard, _)| letter(*shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(count: u32) -> Vec<(i32, SlotSet)> {
        (0..).zip(SlotSet::even(count)).collect()
    }

    #[test]
    fn each_shard_has_as_much_of_the_map_as_it_has_of_the_slots() {
        let map = map(&even(3));
        assert_eq!(map.len(), 64);
        let count = |letter| map.chars().filter(|found| *found == letter).count();
        assert_eq!((count('0'), count('1'), count('2')), (21, 22, 21));
    }

    #[test]
    fn one_slot_without_an_owner_is_seen() {
        let mut shards = even(2);
        shards[0].1 = shards[0].1.without(&read("300"));
        let map = map(&shards);
        assert!(map.starts_with("0.00"), "{map}");
        assert_eq!(map.matches('.').count(), 1);
        assert_eq!(super::map(&[]), ".".repeat(64));
    }

    #[test]
    fn shards_beyond_ten_have_letters_and_the_last_share_one() {
        assert_eq!(
            [9, 10, 36, 61, 62, 127].map(letter),
            ['9', 'a', 'A', 'Z', '+', '+']
        );
    }

    #[test]
    fn ranges_are_read_as_the_status_has_them() {
        assert_eq!(read("0-5460 8000"), SlotSet::of([(0, 5460), (8000, 8000)]));
        assert!(read("").is_empty() && read("a-b").is_empty());
    }
}
