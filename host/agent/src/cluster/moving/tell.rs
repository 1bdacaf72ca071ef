//! In how many goes a server is told of slots.

use hera_core::cluster::SlotSet;

use crate::agent::Agent;

/// The slots, in parts that this pod's server is told of in one go each: see [`split`].
pub fn parts(agent: &Agent, slots: &SlotSet) -> Vec<SlotSet> {
    split(agent.board.status().engine.as_deref(), slots)
}

/// Redis writes what it is told in one go to its disk at once. Valkey from 8.0 on waits for its replicas at each slot,
/// for two seconds where one is silent: what it was told of the others would happen once nobody expects it any more.
fn split(engine: Option<&str>, slots: &SlotSet) -> Vec<SlotSet> {
    match engine {
        Some("redis") => vec![slots.clone()],
        _ => slots
            .iter()
            .map(|slot| SlotSet::of([(slot, slot)]))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_waits_for_its_replicas_is_told_of_one_slot_at_a_time() {
        let slots = SlotSet::of([(1, 2), (9, 9)]);
        assert_eq!(split(Some("redis"), &slots), std::slice::from_ref(&slots));
        for engine in [Some("valkey"), None] {
            let parts = split(engine, &slots);
            assert_eq!(parts.len(), 3);
            assert_eq!(
                parts.iter().flat_map(SlotSet::iter).collect::<SlotSet>(),
                slots
            );
        }
    }
}
