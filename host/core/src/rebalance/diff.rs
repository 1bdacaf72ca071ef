//! How two plans differ, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::RebalanceAnswer;
use crate::cluster::SlotSet;

/// A line for each pair of shards between which something else moves, and one for another reason.
pub fn diff(one: &RebalanceAnswer, two: &RebalanceAnswer) -> Vec<String> {
    let (first, second) = (by_pair(one), by_pair(two));
    let pairs: BTreeSet<&(u32, u32)> = first.keys().chain(second.keys()).collect();
    let words = |slots: Option<&SlotSet>| match slots {
        Some(slots) if !slots.is_empty() => slots.to_string(),
        _ => "nothing".to_owned(),
    };
    let mut lines = Vec::new();
    for pair in pairs {
        let (before, after) = (first.get(pair), second.get(pair));
        if before != after {
            let (source, target) = pair;
            lines.push(format!(
                "shard {source} to {target}: {} instead of {}",
                words(after),
                words(before)
            ));
        }
    }
    if lines.is_empty() && one.moves != two.moves {
        lines.push("the same slots in other steps".to_owned());
    }
    if one.reason != two.reason {
        lines.push(format!(
            "it says '{}' instead of '{}'",
            two.reason, one.reason
        ));
    }
    lines
}

/// What moves between two shards, all steps together.
fn by_pair(answer: &RebalanceAnswer) -> BTreeMap<(u32, u32), SlotSet> {
    let mut ranges: BTreeMap<(u32, u32), Vec<(u16, u16)>> = BTreeMap::new();
    for step in &answer.moves {
        let pair = (step.source, step.target);
        ranges.entry(pair).or_default().extend(&step.slots);
    }
    let pairs = ranges.into_iter();
    pairs
        .map(|(pair, ranges)| (pair, SlotSet::of(ranges)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::SlotMove;

    /// Source, target and slots.
    type Step<'a> = (u32, u32, &'a [(u16, u16)]);

    fn answer(moves: &[Step<'_>], reason: &str) -> RebalanceAnswer {
        let step = |(source, target, slots): &Step<'_>| SlotMove {
            source: *source,
            target: *target,
            slots: slots.to_vec(),
        };
        RebalanceAnswer {
            moves: moves.iter().map(step).collect(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let one = answer(&[(0, 1, &[(0, 9)]), (0, 2, &[(10, 19)])], "even");
        let two = answer(&[(0, 1, &[(0, 9)]), (0, 3, &[(10, 12)])], "load");
        let expected = [
            "shard 0 to 2: nothing instead of 10-19",
            "shard 0 to 3: 10-12 instead of nothing",
            "it says 'load' instead of 'even'",
        ];
        assert_eq!(diff(&one, &two), expected);
        let split = answer(
            &[(0, 1, &[(0, 4)]), (0, 2, &[(10, 19)]), (0, 1, &[(5, 9)])],
            "even",
        );
        assert_eq!(diff(&one, &split), ["the same slots in other steps"]);
        assert_eq!(diff(&one, &one), [""; 0]);
    }
}
