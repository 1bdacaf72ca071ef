use serde::{Deserialize, Serialize};

use crate::cluster::SlotSet;

/// What a shard is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardState {
    /// It serves, and may give and take slots.
    Serving,
    /// It is new and waits for its share.
    Joining,
    /// It is to go once it has no slot left.
    Leaving,
    /// It has lacked a replica in sync for a minute: it gives and takes nothing.
    Unhealthy,
}

impl ShardState {
    /// True if slots may move to it.
    pub const fn takes(self) -> bool {
        matches!(self, Self::Serving | Self::Joining)
    }
}

/// What a server tells of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotLoad {
    /// The slot.
    pub slot: u16,
    /// Its share of the time that the commands of its shard take, in millionths.
    pub load_ppm: u32,
    /// What its keys take; none where the server does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// A shard, as its primary tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// Its number, which it keeps.
    pub id: u32,
    /// What it is good for.
    pub state: ShardState,
    /// The slots that it serves.
    pub slots: SlotSet,
    /// Memory that its primary uses; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Memory that its primary may use; none if nothing limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Commands a second of its primary, a mean over minutes; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_per_second: Option<u64>,
    /// Its heaviest slots, each once, where the server keeps statistics of slots; not all of its slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heaviest: Vec<SlotLoad>,
}

impl Shard {
    /// What these of its slots take, as far as it can be told: what the server says of a slot, and of the
    /// others the mean. None if it is not known how much the shard uses.
    pub fn bytes_of(&self, slots: &SlotSet) -> Option<u64> {
        let told = |within: &SlotSet| {
            let listed = self
                .heaviest
                .iter()
                .filter(|load| within.contains(load.slot));
            listed
                .filter_map(|load| load.used_bytes)
                .fold((0_u64, 0_u64), |(bytes, count), more| {
                    (bytes.saturating_add(more), count + 1)
                })
        };
        let ((all_bytes, all), (bytes, some)) = (told(&self.slots), told(slots));
        let rest = self.used_bytes?.saturating_sub(all_bytes);
        let (owned, asked) = (count(&self.slots), count(slots));
        let others = owned.saturating_sub(all).max(1);
        let mean = rest
            .saturating_mul(asked.saturating_sub(some))
            .div_ceil(others);
        Some(bytes.saturating_add(mean))
    }

    /// What the largest of these of its slots takes, by the same reckoning.
    pub fn largest_of(&self, slots: &SlotSet) -> Option<u64> {
        let listed = self
            .heaviest
            .iter()
            .filter(|load| load.used_bytes.is_some() && slots.contains(load.slot));
        let known: Vec<u16> = listed.map(|load| load.slot).collect();
        let unknown = slots.without(&SlotSet::of(known.iter().map(|slot| (*slot, *slot))));
        let any = unknown.ranges().first().map(|(first, _)| *first);
        let each = known.into_iter().chain(any);
        let mut largest = self.used_bytes.map(|_| 0);
        for slot in each {
            largest = largest.max(self.bytes_of(&SlotSet::of([(slot, slot)])));
        }
        largest
    }

    /// Commands a second that these of its slots have together, as far as it can be told: what the server says of a
    /// slot, and of the others the mean. None if it is not known how many the shard has.
    pub fn ops_of(&self, slots: &SlotSet) -> Option<u64> {
        let told = |within: &SlotSet| {
            let listed = self
                .heaviest
                .iter()
                .filter(|load| within.contains(load.slot));
            listed.fold((0_u64, 0_u64), |(ppm, count), load| {
                (ppm.saturating_add(u64::from(load.load_ppm)), count + 1)
            })
        };
        let ((all_ppm, all), (ppm, some)) = (told(&self.slots), told(slots));
        let others = u128::from(count(&self.slots).saturating_sub(all).max(1));
        let asked = u128::from(count(slots).saturating_sub(some));
        let rest = u128::from(MILLION.saturating_sub(all_ppm));
        let parts = u128::from(ppm) * others + rest * asked;
        let ops = u128::from(self.ops_per_second?) * parts / (others * u128::from(MILLION));
        u64::try_from(ops).ok()
    }

    /// What it may still take until it is this full; nothing if it is not known what it uses.
    pub fn room(&self, limits: &Limits) -> u64 {
        let Some(max) = self.max_bytes else {
            return u64::MAX;
        };
        let most = (max / 100).saturating_mul(u64::from(limits.fill_percent));
        self.used_bytes.map_or(0, |used| most.saturating_sub(used))
    }
}

/// The load of a shard, in its millionths.
const MILLION: u64 = 1_000_000;

fn count(slots: &SlotSet) -> u64 {
    u64::try_from(slots.len()).unwrap_or(u64::MAX)
}

/// Slots that moved before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moved {
    /// Who gave them.
    pub source: u32,
    /// Who took them.
    pub target: u32,
    /// Which.
    pub slots: SlotSet,
    /// How long ago.
    pub age_seconds: u64,
    /// Commands a second that they had together; none if that was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_per_second: Option<u64>,
}

/// Within what a plan must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Most slots that one plan may move.
    pub slots: u32,
    /// A slot that moved less than this ago stays, unless its shard leaves.
    pub cooldown_seconds: u64,
    /// How full a shard may be once it took what it is given, in percent of its memory.
    pub fill_percent: u32,
}

/// The input of the `rebalance` decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebalanceInput {
    /// Every shard, in the order of their ids.
    pub shards: Vec<Shard>,
    /// Slots that cannot move now: a key in them is too large to be sent.
    #[serde(default)]
    pub stays: SlotSet,
    /// The moves of the last time, the latest first.
    #[serde(default)]
    pub history: Vec<Moved>,
    /// Within what a plan must stay.
    pub limits: Limits,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotMove {
    /// The shard that gives.
    pub source: u32,
    /// The shard that takes.
    pub target: u32,
    /// Ranges of slots, each from first to last, as the policy said them.
    pub slots: Vec<(u16, u16)>,
}

/// The output of the `rebalance` decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceAnswer {
    /// What moves, in this order; nothing if all is well.
    pub moves: Vec<SlotMove>,
    /// Why, for people.
    pub reason: String,
}
