//! Which slots of the server have most to do, as a mean over minutes: for who decides which of them move.

use std::collections::BTreeMap;
use std::time::Duration;

use hera_core::cluster::{HeavySlot, MOST_HEAVY, SLOT_STATS};
use hera_redis::{Server, SlotStats};

use super::rate::Rate;
use super::state::Cluster;
use crate::agent::Agent;

/// Between two looks, in milliseconds: the server sorts all its slots for one.
const EACH: u64 = 10_000;
/// What else is due at a look waits no longer for it.
const ANSWERS: Duration = Duration::from_millis(500);
const MILLION: u128 = 1_000_000;

/// What is known of the slots that took most time since the server began to count.
#[derive(Debug, Default)]
pub struct SlotLoads {
    /// When they were looked at last.
    looked: Option<u64>,
    /// Microseconds that all commands take.
    all: Rate,
    slots: BTreeMap<u16, Load>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Microseconds that its commands take.
    rate: Rate,
    used_bytes: Option<u64>,
}

impl SlotLoads {
    /// True if it is time for another look, at a time in milliseconds.
    pub fn is_due(&self, now: u64) -> bool {
        let passed = |at: u64| now.saturating_sub(at);
        self.looked.is_none_or(|at| passed(at) >= EACH)
    }

    /// The server tells this; none if it does not count, or does not answer.
    pub fn sees(&mut self, told: Option<&SlotStats>, now: u64) {
        let mut before = std::mem::take(self);
        self.looked = Some(now);
        let Some(told) = told else {
            return;
        };
        self.all = before.all;
        self.all.sees(told.micros, now);
        for stat in &told.slots {
            let mut load = before.slots.remove(&stat.slot).unwrap_or_default();
            load.rate.sees(stat.micros, now);
            load.used_bytes = stat.used_bytes;
            self.slots.insert(stat.slot, load);
        }
    }

    /// Those of them that have something to do, the heaviest first. One that is new among them is not told before
    /// there is a mean.
    pub fn heaviest(&self) -> Vec<HeavySlot> {
        let known = self.slots.iter();
        let known = known.filter_map(|(slot, load)| Some((*slot, load, load.rate.per_second()?)));
        let known: Vec<_> = known.collect();
        let sum = known
            .iter()
            .fold(0_u64, |sum, (.., rate)| sum.saturating_add(*rate));
        // A slot that had nothing to do before it was among them has a mean over less time than all have.
        let all = u128::from(self.all.per_second().unwrap_or(0).max(sum).max(1));
        let heavy = known.into_iter().map(|(slot, load, rate)| HeavySlot {
            slot,
            load_ppm: u32::try_from(u128::from(rate) * MILLION / all).unwrap_or(0),
            used_bytes: load.used_bytes,
        });
        let mut heavy: Vec<HeavySlot> = heavy.filter(|slot| slot.load_ppm > 0).collect();
        heavy.sort_unstable_by_key(|heavy| (u32::MAX - heavy.load_ppm, heavy.slot));
        heavy.truncate(MOST_HEAVY);
        heavy
    }
}

/// Looks at the slots of a primary when that is due, if its server was told to count.
pub async fn attend(agent: &Agent, cluster: &Cluster, server: &Server) {
    if !cluster.is_to_look_at_slots() {
        return;
    }
    let work = agent.work.lock().await;
    // One that has not taken the directive may not know the command.
    let counts = work
        .in_force
        .get(SLOT_STATS)
        .is_some_and(|value| value != "no");
    drop(work);
    let told = match counts {
        true => {
            let server = server.with_response_timeout(ANSWERS);
            server.slot_stats(MOST_HEAVY).await.ok()
        }
        false => None,
    };
    cluster.looks_at_slots(told.as_ref());
}

#[cfg(test)]
mod tests {
    use hera_redis::SlotStat;

    use super::*;

    fn told(slots: &[(u16, u64)], micros: u64) -> SlotStats {
        let slots = slots.iter().map(|(slot, micros)| SlotStat {
            slot: *slot,
            micros: *micros,
            used_bytes: Some(72),
        });
        SlotStats {
            slots: slots.collect(),
            micros,
        }
    }

    fn heaviest(loads: &SlotLoads) -> Vec<(u16, u32)> {
        let heaviest = loads.heaviest().into_iter();
        heaviest.map(|heavy| (heavy.slot, heavy.load_ppm)).collect()
    }

    #[test]
    fn slots_are_looked_at_once_in_ten_seconds() {
        let mut loads = SlotLoads::default();
        assert!(loads.is_due(5));
        loads.sees(Some(&told(&[], 0)), 5);
        assert!(!loads.is_due(5 + EACH - 1) && loads.is_due(5 + EACH));
        // As one that does not count is asked whether it does.
        loads.sees(None, 5 + EACH);
        assert!(!loads.is_due(6 + EACH));
    }

    /// What counts is what was done between looks, not what was done before the first one.
    #[test]
    fn a_slot_has_the_share_of_the_time_that_its_commands_take() {
        let mut loads = SlotLoads::default();
        loads.sees(Some(&told(&[(7, 9_000_000), (8, 100)], 10_000_000)), 0);
        assert!(heaviest(&loads).is_empty());
        let next = told(&[(7, 9_100_000), (8, 300_100)], 11_000_000);
        loads.sees(Some(&next), EACH);
        assert_eq!(heaviest(&loads), [(8, 300_000), (7, 100_000)]);
        assert_eq!(loads.heaviest()[0].used_bytes, Some(72));
    }

    #[test]
    fn a_slot_without_load_is_not_told_and_one_that_is_no_more_listed_is_forgotten() {
        let mut loads = SlotLoads::default();
        loads.sees(Some(&told(&[(7, 100), (8, 100)], 1_000)), 0);
        loads.sees(Some(&told(&[(7, 100), (9, 200)], 500_000)), EACH);
        assert!(heaviest(&loads).is_empty());
        loads.sees(Some(&told(&[(9, 250_200), (8, 100)], 1_000_000)), 2 * EACH);
        assert_eq!(heaviest(&loads).len(), 1);
        assert_eq!(heaviest(&loads)[0].0, 9);
    }

    /// Means over different times may add up to more than there is.
    #[test]
    fn all_together_have_no_more_than_all() {
        let mut loads = SlotLoads::default();
        loads.sees(Some(&told(&[(7, 0)], 0)), 0);
        loads.sees(Some(&told(&[(7, 0), (8, 0)], 0)), 20 * EACH);
        let next = told(&[(7, 0), (8, 5_000_000)], 5_000_000);
        loads.sees(Some(&next), 21 * EACH);
        assert_eq!(heaviest(&loads), [(8, 1_000_000)]);
    }

    #[test]
    fn a_server_that_does_not_count_any_more_has_no_heavy_slot() {
        let mut loads = SlotLoads::default();
        loads.sees(Some(&told(&[(7, 0)], 0)), 0);
        loads.sees(Some(&told(&[(7, 500_000)], 500_000)), EACH);
        assert_eq!(heaviest(&loads), [(7, 1_000_000)]);
        loads.sees(None, 2 * EACH);
        assert!(heaviest(&loads).is_empty());
    }
}
