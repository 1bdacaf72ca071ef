//! How two answers differ, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::{BackupAnswer, Decided};

/// A line for what becomes of the backup, where that is another; one for each backup that goes by one of them only; and
/// one for another reason.
pub fn diff(one: &BackupAnswer, two: &BackupAnswer) -> Vec<String> {
    let mut lines = Vec::new();
    let (before, after) = (words(&one.next), words(&two.next));
    if before != after {
        lines.push(format!("{after} instead of {before}"));
    }
    let [first, second] = [one, two].map(|answer| answer.drop.iter().collect::<BTreeSet<_>>());
    let stays = first.difference(&second);
    lines.extend(stays.map(|id| format!("{id} stays instead of going")));
    let goes = second.difference(&first);
    lines.extend(goes.map(|id| format!("{id} goes instead of staying")));
    if one.reason != two.reason {
        lines.push(format!(
            "it says '{}' instead of '{}'",
            two.reason, one.reason
        ));
    }
    lines
}

/// The same for choices in another order.
fn words(next: &Decided) -> String {
    match next {
        Decided::Start(choices) => {
            let copies: BTreeMap<u32, u32> = choices
                .iter()
                .map(|choice| (choice.shard, choice.copy))
                .collect();
            let copies = copies.iter();
            let copies: Vec<String> = copies
                .map(|(shard, copy)| format!("shard {shard} from copy {copy}"))
                .collect();
            format!("a start ({})", copies.join(", "))
        }
        Decided::WaitUntil(unix_ms) => format!("a wait until {unix_ms}"),
        Decided::Skip => "no backup".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::decision::Choice;

    fn answer(next: Decided, drop: &[&str], reason: &str) -> BackupAnswer {
        BackupAnswer {
            next,
            drop: drop.iter().map(|id| (*id).to_owned()).collect(),
            reason: reason.to_owned(),
        }
    }

    fn start(choices: &[(u32, u32)]) -> Decided {
        let choice = |&(shard, copy): &(u32, u32)| Choice { shard, copy };
        Decided::Start(choices.iter().map(choice).collect())
    }

    #[test]
    fn only_what_differs_is_told() {
        let one = answer(start(&[(0, 1), (1, 2)]), &["a", "b"], "now");
        let two = answer(Decided::WaitUntil(7), &["b", "c"], "later");
        let expected = [
            "a wait until 7 instead of a start (shard 0 from copy 1, shard 1 from copy 2)",
            "a stays instead of going",
            "c goes instead of staying",
            "it says 'later' instead of 'now'",
        ];
        assert_eq!(diff(&one, &two), expected);
        let same = answer(start(&[(1, 2), (0, 1)]), &["b", "a"], "now");
        assert_eq!(diff(&one, &same), [""; 0]);
        let none = answer(Decided::Skip, &["a", "b"], "now");
        let found = diff(&none, &one);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with(" instead of no backup"), "{found:?}");
    }
}
