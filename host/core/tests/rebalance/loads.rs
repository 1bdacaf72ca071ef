use hera_core::cluster::SlotSet;
use hera_core::rebalance::{Shard, SlotLoad};

use crate::fixtures::shard;

/// A hundred slots, of which one has half of the load.
fn with_a_hot_slot() -> Shard {
    let mut shard = shard(0, &[(0, 99)]);
    shard.ops_per_second = Some(10_000);
    shard.heaviest = vec![SlotLoad {
        slot: 7,
        load_ppm: 500_000,
        used_bytes: None,
    }];
    shard
}

#[test]
fn a_slot_of_which_the_server_tells_takes_its_own_load_with_it() {
    let shard = with_a_hot_slot();
    let ops = |first, last| shard.ops_of(&SlotSet::of([(first, last)]));
    assert_eq!(ops(7, 7), Some(5_000));
    assert_eq!(ops(0, 99), Some(10_000));
    // The others have the other half together.
    assert_eq!(ops(8, 8), Some(50));
    assert_eq!(ops(7, 8), Some(5_050));
}

#[test]
fn without_statistics_all_slots_have_as_much_to_do() {
    let mut shard = with_a_hot_slot();
    shard.heaviest.clear();
    assert_eq!(shard.ops_of(&SlotSet::of([(7, 7)])), Some(100));
    shard.ops_per_second = None;
    assert_eq!(shard.ops_of(&SlotSet::of([(7, 7)])), None);
}

/// What it says of all its slots may be more than there is: that is no reason to reckon with less than nothing.
#[test]
fn a_server_that_says_too_much_leaves_nothing_for_the_others() {
    let mut shard = with_a_hot_slot();
    shard.heaviest[0].load_ppm = 2_000_000;
    assert_eq!(shard.ops_of(&SlotSet::of([(8, 99)])), Some(0));
}
