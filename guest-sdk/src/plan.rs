//! A plan of slot moves in the making, for `rebalance` policies: what does not fit, or may not move, does
//! not get into it.

use crate::rebalance::{RebalanceInput, SlotMove, SlotRange};
use crate::slots;

/// Moves so far, and what they leave. Shards are named by their place in the input.
pub struct Plan<'a> {
    input: &'a RebalanceInput,
    /// Slots that may still get into it.
    left: u32,
    /// What each shard may still give.
    free: Vec<Vec<SlotRange>>,
    /// What each shard may still take.
    room: Vec<u64>,
    moves: Vec<SlotMove>,
}

impl<'a> Plan<'a> {
    /// Without a move.
    pub fn new(input: &'a RebalanceInput) -> Self {
        let shards = input.shards.iter();
        Self {
            input,
            left: input.limits.slots,
            free: shards.clone().map(|shard| input.movable(shard)).collect(),
            room: shards.map(|shard| shard.room(&input.limits)).collect(),
            moves: vec![],
        }
    }

    /// The slots that a shard may still give.
    pub fn free(&self, source: usize) -> &[SlotRange] {
        let free = self.free.get(source);
        free.map(Vec::as_slice).unwrap_or_default()
    }

    /// Bytes that a shard may still take; `u64::MAX` if nothing limits it.
    pub fn room(&self, target: usize) -> u64 {
        self.room.get(target).copied().unwrap_or(0)
    }

    /// Lets these slots stay where they are, whatever is asked for later.
    pub fn keep(&mut self, source: usize, slots: &[SlotRange]) {
        if let Some(free) = self.free.get_mut(source) {
            *free = slots::without(free, slots);
        }
    }

    /// Moves the first so many slots that a shard may give, or as many as may and fit. Tells how many.
    pub fn shift(&mut self, source: usize, target: usize, most: u32) -> u32 {
        let free = self.free(source);
        let mut most = most.min(self.left).min(slots::count(free));
        let fits = |count| {
            self.bytes(source, target, &slots::first(free, count))
                .is_some()
        };
        if most > 0 && !fits(most) {
            // So many fit, so many do not: what is between is halved.
            let mut least = 0;
            while least + 1 < most {
                let middle = least + (most - least) / 2;
                match fits(middle) {
                    true => least = middle,
                    false => most = middle,
                }
            }
            most = least;
        }
        let slots = slots::first(free, most);
        match self.give(source, target, slots) {
            true => most,
            false => 0,
        }
    }

    /// Moves these very slots, or, if one of them may not or they do not fit, none of them and tells so.
    pub fn give(&mut self, source: usize, target: usize, slots: Vec<SlotRange>) -> bool {
        let count = slots::count(&slots);
        let rest = slots::without(self.free(source), &slots);
        let all_may = slots::count(self.free(source)) == slots::count(&rest) + count;
        let input = self.input;
        let (Some(giver), Some(taker)) = (input.shards.get(source), input.shards.get(target))
        else {
            return false;
        };
        let Some(bytes) = self.bytes(source, target, &slots) else {
            return false;
        };
        let (Some(free), Some(room)) = (self.free.get_mut(source), self.room.get_mut(target))
        else {
            return false;
        };
        if count == 0 || count > self.left || !all_may || source == target || !taker.takes() {
            return false;
        }
        *free = rest;
        *room -= bytes;
        self.left -= count;
        self.moves.push(SlotMove {
            source: giver.id,
            target: taker.id,
            slots,
        });
        true
    }

    /// What these slots take of the room of a shard; none if it has not so much, or none at all.
    fn bytes(&self, source: usize, target: usize, slots: &[SlotRange]) -> Option<u64> {
        let room = self.room(target);
        if room == u64::MAX {
            return Some(0);
        }
        let bytes = self.input.shards.get(source)?.bytes_of(slots)?;
        (room > 0 && bytes <= room).then_some(bytes)
    }

    /// What it came to.
    pub fn into_moves(self) -> Vec<SlotMove> {
        self.moves
    }
}
