//! A plan as it stands in the status: truth about how far it is are the servers alone.

use hera_api::{MoveStatus, MovedStatus, RebalanceStatus};
use hera_core::cluster::{Observation, SlotSet};
use hera_core::digest::short_hex;
use hera_core::rebalance::{RebalanceAnswer, RebalanceInput, SlotMove, Table};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Moves of one plan in a status: what is beyond is asked about again.
const MOST_MOVES: usize = 512;
/// What moved of late, in entries and in bytes of their text: a slot that is not in it may move at once, so
/// those of the largest plan have room.
const MOST_MOVED: usize = MOST_MOVES;
const MOVED_BYTES: usize = 128 << 10;

/// Slots that are to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Stands for the moves.
    pub digest: String,
    /// Why, in the words of the policy.
    pub reason: String,
    /// How many shards the spec asked for when it was made.
    pub masters: u32,
    /// What moves.
    pub moves: Vec<SlotMove>,
    /// Commands a second of each move when it was made.
    ops: Vec<Option<i64>>,
    /// When the first slot was ordered to move.
    pub begun: Option<Time>,
}

impl Plan {
    /// The one that stands in a status, if one does.
    pub fn of(status: &RebalanceStatus) -> Option<Self> {
        let number = |number: i32| u32::try_from(number).ok();
        let moves = status.moves.iter().filter_map(|step| {
            Some(SlotMove {
                source: number(step.source)?,
                target: number(step.target)?,
                slots: SlotSet::read(&step.slots).ranges().to_vec(),
            })
        });
        let moves: Vec<SlotMove> = moves.collect();
        (!moves.is_empty()).then(|| Self {
            digest: status.digest.clone().unwrap_or_default(),
            reason: status.reason.clone().unwrap_or_default(),
            masters: status.masters.and_then(number).unwrap_or(0),
            moves,
            ops: status
                .moves
                .iter()
                .map(|step| step.ops_per_second)
                .collect(),
            begun: status.started_at.clone(),
        })
    }

    /// What a policy answered; none if nothing is to move.
    pub fn made(input: &RebalanceInput, answer: &RebalanceAnswer, masters: u32) -> Option<Self> {
        let mut moves: Vec<SlotMove> = Vec::new();
        for step in &answer.moves {
            match moves.last_mut() {
                Some(last) if (last.source, last.target) == (step.source, step.target) => {
                    last.slots.extend(&step.slots);
                }
                _ => moves.push(step.clone()),
            }
        }
        moves.truncate(MOST_MOVES);
        let text = serde_json::to_vec(&moves).unwrap_or_default();
        (!moves.is_empty()).then(|| Self {
            digest: short_hex(&text),
            reason: answer.reason.clone(),
            masters,
            ops: moves.iter().map(|step| ops(input, step)).collect(),
            moves,
            begun: None,
        })
    }

    /// True if it is of the shards that there are, and that the spec wants.
    pub fn fits(&self, masters: u32, there: u32) -> bool {
        let is_there = |step: &SlotMove| step.source < there && step.target < there;
        self.masters == masters && self.moves.iter().all(is_there)
    }

    /// How many slots it moves.
    pub fn slots(&self) -> usize {
        self.moves.iter().map(|step| set(step).len()).sum()
    }

    /// The slots that have not moved yet, but for those that `stay`. One that nobody is heard with has not.
    pub fn left(&self, owners: &Table, stay: &SlotSet) -> SlotSet {
        let own = |shard: u32| owners.get(&shard).cloned().unwrap_or_default();
        let all = owners.values();
        let all = all.fold(SlotSet::default(), |all, some| all.with(some));
        let left = self.moves.iter().map(|step| {
            let away = all.without(&own(step.source)).with(&own(step.target));
            set(step).without(&away).without(stay)
        });
        left.fold(SlotSet::default(), |all, some| all.with(&some))
    }

    /// What has moved, and what moved before, the latest first.
    pub fn history(&self, owners: &Table, before: &[MovedStatus], at: &Time) -> Vec<MovedStatus> {
        let steps = self.moves.iter().zip(&self.ops);
        let moved = steps.filter_map(|(step, ops)| {
            let slots = set(step).shared(owners.get(&step.target)?);
            (!slots.is_empty()).then(|| MovedStatus {
                source: number(step.source),
                target: number(step.target),
                slots: slots.to_string(),
                ops_per_second: *ops,
                at: at.clone(),
            })
        });
        let mut bytes = 0;
        let all = moved.chain(before.iter().cloned()).take(MOST_MOVED);
        let within = |moved: &MovedStatus| {
            bytes += moved.slots.len();
            bytes <= MOVED_BYTES
        };
        all.take_while(within).collect()
    }

    /// As it stands in a status.
    pub fn told(&self) -> Vec<MoveStatus> {
        let steps = self.moves.iter().zip(&self.ops);
        let told = steps.map(|(step, ops)| MoveStatus {
            source: number(step.source),
            target: number(step.target),
            slots: set(step).to_string(),
            ops_per_second: *ops,
        });
        told.collect()
    }
}

/// Which shard has which slots, by the words of those who have them.
pub fn owners(seen: &Observation) -> Table {
    let mut owners = Table::new();
    for node in &seen.nodes {
        let Some(server) = node.server.as_ref().filter(|s| s.replica_of().is_none()) else {
            continue;
        };
        let own = owners.entry(node.shard).or_default();
        *own = own.with(&server.slots());
    }
    owners
}

fn set(step: &SlotMove) -> SlotSet {
    SlotSet::of(step.slots.iter().copied())
}

/// The share that a move has of what its source has to do.
fn ops(input: &RebalanceInput, step: &SlotMove) -> Option<i64> {
    let mut shards = input.shards.iter();
    let source = shards.find(|shard| shard.id == step.source)?;
    i64::try_from(source.ops_of(&set(step))?).ok()
}

fn number(shard: u32) -> i32 {
    i32::try_from(shard).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use hera_core::rebalance::{Limits, Shard, ShardState};
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn input() -> RebalanceInput {
        let shard = |id, slots: (u16, u16)| Shard {
            id,
            state: ShardState::Serving,
            slots: SlotSet::of([slots]),
            used_bytes: None,
            max_bytes: None,
            ops_per_second: Some(100),
            heaviest: Vec::new(),
        };
        RebalanceInput {
            shards: vec![shard(0, (0, 99)), shard(1, (100, 199))],
            stays: SlotSet::default(),
            history: Vec::new(),
            limits: Limits {
                slots: 100,
                cooldown_seconds: 60,
                fill_percent: 90,
            },
        }
    }

    fn plan(moves: &[(u32, u32, (u16, u16))]) -> Option<Plan> {
        let moves = moves.iter().map(|(source, target, slots)| SlotMove {
            source: *source,
            target: *target,
            slots: vec![*slots],
        });
        let answer = RebalanceAnswer {
            moves: moves.collect(),
            reason: "even".to_owned(),
        };
        Plan::made(&input(), &answer, 2)
    }

    fn table(zero: (u16, u16), one: (u16, u16)) -> Table {
        [(0, SlotSet::of([zero])), (1, SlotSet::of([one]))].into()
    }

    #[test]
    fn a_plan_is_read_from_the_status_as_it_was_written() {
        let plan = plan(&[(0, 1, (80, 89)), (0, 1, (90, 99)), (1, 0, (100, 109))]).unwrap();
        assert_eq!(plan.moves.len(), 2, "one after the other they are one");
        let status = RebalanceStatus {
            digest: Some(plan.digest.clone()),
            reason: Some(plan.reason.clone()),
            masters: Some(2),
            moves: plan.told(),
            ..RebalanceStatus::default()
        };
        let read = Plan::of(&status).unwrap();
        assert_eq!(
            (
                read.left(&table((0, 99), (100, 199)), &SlotSet::default())
                    .len(),
                read.slots()
            ),
            (30, 30)
        );
        assert_eq!(read.told(), plan.told());
        assert_eq!(read.told()[0].ops_per_second, Some(20));
        assert_eq!(Plan::of(&RebalanceStatus::default()), None);
    }

    #[test]
    fn what_nobody_is_heard_with_has_not_moved() {
        let plan = plan(&[(0, 1, (80, 99))]).unwrap();
        let silent = [(1, SlotSet::of([(100, 199)]))].into();
        assert_eq!(plan.left(&silent, &SlotSet::default()).len(), 20);
    }

    /// What servers say counts, not what was ordered.
    #[test]
    fn what_its_source_no_longer_has_or_its_target_has_is_done() {
        let plan = plan(&[(0, 1, (80, 99))]).unwrap();
        let none = SlotSet::default();
        assert_eq!(plan.left(&table((0, 99), (100, 199)), &none).len(), 20);
        assert_eq!(plan.left(&table((0, 89), (90, 199)), &none).len(), 10);
        assert_eq!(plan.left(&table((0, 79), (80, 199)), &none).len(), 0);
        let stays = SlotSet::of([(80, 84)]);
        assert_eq!(plan.left(&table((0, 89), (90, 199)), &stays).len(), 5);
        let at = Time(Timestamp::UNIX_EPOCH);
        let history = plan.history(&table((0, 89), (90, 199)), &[], &at);
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].slots, "90-99");
        assert!(
            plan.history(&table((0, 99), (100, 199)), &[], &at)
                .is_empty()
        );
    }

    #[test]
    fn history_keeps_the_latest() {
        let plan = plan(&[(0, 1, (80, 99))]).unwrap();
        let at = |second| Time(Timestamp::from_second(second).unwrap());
        let after = table((0, 79), (80, 199));
        let mut history = Vec::new();
        for second in 0..600 {
            history = plan.history(&after, &history, &at(second));
        }
        assert_eq!(history.len(), MOST_MOVED);
        assert_eq!(history[0].at, at(599));
    }

    #[test]
    fn a_plan_of_other_shards_than_there_are_is_none_any_more() {
        let plan = plan(&[(0, 1, (80, 99))]).unwrap();
        assert!(plan.fits(2, 2) && !plan.fits(3, 2) && !plan.fits(2, 1));
    }
}
