use std::collections::BTreeMap;

use super::{RebalanceInput, SlotMove};
use crate::cluster::SlotSet;

/// Which shard serves which slots.
pub type Table = BTreeMap<u32, SlotSet>;

/// The table of today.
pub fn table(input: &RebalanceInput) -> Table {
    let shards = input.shards.iter();
    shards
        .map(|shard| (shard.id, shard.slots.clone()))
        .collect()
}

/// The table once these moves are made, one after the other.
///
/// # Guarantees
///
/// No move makes a slot of nobody or of two, whatever the moves say: a slot leaves a shard that has it for
/// another one that there is, or it stays.
#[must_use]
pub fn apply(table: &Table, moves: &[SlotMove]) -> Table {
    let mut after = table.clone();
    for step in moves {
        if step.source == step.target || !after.contains_key(&step.target) {
            continue;
        }
        let Some(source) = after.get_mut(&step.source) else {
            continue;
        };
        let slots = SlotSet::of(step.slots.iter().copied()).shared(source);
        *source = source.without(&slots);
        if let Some(target) = after.get_mut(&step.target) {
            *target = target.with(&slots);
        }
    }
    after
}
