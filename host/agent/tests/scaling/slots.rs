//! In which slot a key is, and which slots move.

use std::collections::BTreeMap;

use hera_core::cluster::{SLOTS, SlotSet};
use hera_core::rebalance::{SlotMove, Table};

/// The slot of a key: CRC-16 of what its first braces hold, or of all of it.
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    let mut crc = 0_u16;
    for byte in tag.unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => (crc << 1) ^ 0x1021,
            };
        }
    }
    crc % SLOTS
}

/// The slots that these moves name.
pub fn of_moves(moves: &[SlotMove]) -> SlotSet {
    SlotSet::of(moves.iter().flat_map(|step| step.slots.iter().copied()))
}

/// Gives each new shard, up to `shards`, so many slots, or as many as it would have if all had the same.
pub fn outwards(table: &Table, shards: u32, share: Option<usize>) -> Vec<SlotMove> {
    let even = usize::from(SLOTS) / usize::try_from(shards).unwrap();
    let has_slots = |shard: &u32| table.get(shard).is_some_and(|slots| !slots.is_empty());
    let (old, new): (Vec<u32>, Vec<u32>) = (0..shards).partition(has_slots);
    let takes: Vec<(u32, usize)> = new
        .into_iter()
        .map(|shard| (shard, share.unwrap_or(even)))
        .collect();
    let all: usize = takes.iter().map(|(_, count)| count).sum();
    let givers = old.len();
    let gives = old.into_iter().enumerate().map(|(at, shard)| {
        let more = usize::from(at < all % givers);
        (shard, all / givers + more)
    });
    paired(table, gives.collect(), takes)
}

/// Takes all slots from the shards from `shards` on, and gives them to the others, to each about as many.
pub fn inwards(table: &Table, shards: u32) -> Vec<SlotMove> {
    let leaving = table.iter().filter(|(shard, _)| **shard >= shards);
    let gives: Vec<(u32, usize)> = leaving
        .map(|(shard, slots)| (*shard, slots.len()))
        .collect();
    let all: usize = gives.iter().map(|(_, count)| count).sum();
    let each = all.div_ceil(usize::try_from(shards).unwrap());
    paired(
        table,
        gives,
        (0..shards).map(|shard| (shard, each)).collect(),
    )
}

/// Moves a number of slots from one shard to another.
pub fn some(table: &Table, source: u32, target: u32, count: usize) -> Vec<SlotMove> {
    paired(table, vec![(source, count)], vec![(target, count)])
}

/// The last slots of who gives go to who has room, one after the other.
fn paired(table: &Table, gives: Vec<(u32, usize)>, mut takes: Vec<(u32, usize)>) -> Vec<SlotMove> {
    let mut left: BTreeMap<u32, Vec<u16>> = table
        .iter()
        .map(|(shard, slots)| (*shard, each(slots)))
        .collect();
    let mut moves = Vec::new();
    for (source, mut count) in gives {
        let slots = left.get_mut(&source).unwrap();
        for (target, room) in &mut takes {
            let some = count.min(*room);
            if some == 0 {
                continue;
            }
            let going = slots.split_off(slots.len() - some);
            let going = SlotSet::of(going.into_iter().map(|slot| (slot, slot)));
            moves.push(SlotMove {
                source,
                target: *target,
                slots: going.ranges().to_vec(),
            });
            *room -= some;
            count -= some;
        }
        assert_eq!(count, 0, "nobody has room for the slots of shard {source}");
    }
    moves
}

/// Slot for slot.
pub fn each(slots: &SlotSet) -> Vec<u16> {
    let ranges = slots.ranges().iter();
    ranges.flat_map(|(first, last)| *first..=*last).collect()
}

#[test]
fn a_key_is_in_the_slot_that_the_servers_say() {
    // Of CLUSTER KEYSLOT.
    assert_eq!(slot_of(b"123456789"), 12_739);
    assert_eq!(slot_of(b"{3560}:1"), slot_of(b"3560"));
    assert_eq!(slot_of(b"3560"), 0);
    assert_eq!(slot_of(b"{}x"), 10_595, "empty braces are part of the name");
}

#[test]
fn slots_go_out_and_come_back() {
    use hera_core::rebalance::apply;
    let even = SlotSet::even(3);
    let mut table: Table = (0..).zip(even).collect();
    table.extend([(3, SlotSet::default()), (4, SlotSet::default())]);
    let wide = apply(&table, &outwards(&table, 5, None));
    assert!(wide.values().all(|slots| slots.len() >= 3_276), "{wide:?}");
    let narrow = apply(&wide, &inwards(&wide, 3));
    assert!(narrow[&3].is_empty() && narrow[&4].is_empty());
    let all: usize = narrow.values().map(SlotSet::len).sum();
    assert_eq!(all, usize::from(SLOTS));
    assert_eq!(of_moves(&outwards(&table, 5, Some(10))).len(), 20);
}
