//! Which histories follow one another. An era is a line of histories, each of which goes on from the one before. Where
//! the log began anew, another era begins.

use std::collections::{BTreeMap, BTreeSet};

use super::Index;

/// A line of histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backup) struct Era {
    /// Its histories, the first one first. There is at least one.
    pub stages: Vec<Stage>,
    /// When it began, in milliseconds since 1970.
    pub begin_ms: u64,
}

/// A history as part of an era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backup) struct Stage {
    /// Its replication id.
    pub id: String,
    /// Up to where it is part of the era: the next one goes on from there.
    pub to: u64,
    /// When the next one began: somebody may have been made the primary by force, so what this one's primary told later
    /// does not count.
    pub until_ms: u64,
}

/// The era whose last history this is.
pub(in crate::backup) fn ending_with(index: &Index, leaf: &str) -> Era {
    let (mut to, mut until_ms) = (u64::MAX, u64::MAX);
    let mut begin_ms = u64::MAX;
    let mut stages = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(leaf);
    while let Some(id) = next.filter(|id| seen.insert(*id)) {
        stages.push(Stage {
            id: id.to_owned(),
            to,
            until_ms,
        });
        let first = index.first_unix_ms(id).unwrap_or(u64::MAX);
        until_ms = until_ms.min(first);
        begin_ms = begin_ms.min(first);
        let history = index.histories.get(id);
        let parent = history.and_then(|history| history.parent.as_ref());
        to = parent.map_or(to, |parent| to.min(parent.at));
        next = parent.map(|parent| parent.id.as_str());
    }
    stages.reverse();
    Era { stages, begin_ms }
}

/// All eras, the newest first: of the histories that went on from one, the newest. The others lost a failover.
pub(in crate::backup) fn all(index: &Index) -> Vec<Era> {
    let histories = index.histories.values();
    let parents = histories.filter_map(|history| history.parent.as_ref());
    let went_on: BTreeSet<&str> = parents.map(|parent| parent.id.as_str()).collect();
    let ids = index.histories.keys().map(String::as_str);
    let leaves = ids.filter(|id| !went_on.contains(id));

    // By the first history of each: what began last.
    let mut newest: BTreeMap<String, (Option<u64>, Era)> = BTreeMap::new();
    for leaf in leaves {
        let began = index.first_unix_ms(leaf);
        let era = ending_with(index, leaf);
        let Some(root) = era.stages.first().map(|stage| stage.id.clone()) else {
            continue;
        };
        let other = newest.get(&root).map(|(other, _)| *other);
        if other.is_none_or(|other| other < began) {
            newest.insert(root, (began, era));
        }
    }
    let mut eras: Vec<(Option<u64>, Era)> = newest.into_values().collect();
    eras.sort_by_key(|(began, _)| std::cmp::Reverse(*began));
    eras.into_iter().map(|(_, era)| era).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::log::{Parent, PieceName};

    /// Name of a history, when it began, and what it goes on from.
    type History<'a> = (&'a str, u64, Option<(&'a str, u64)>);

    fn index(histories: &[History<'_>]) -> Index {
        let piece = |(id, t0, _): &History<'_>| PieceName {
            id: (*id).to_owned(),
            from: 0,
            to: 1_000,
            t0: *t0,
            t1: *t0,
        };
        let parents = histories.iter().filter_map(|(id, t0, parent)| {
            let (parent, at) = (*parent)?;
            let parent = Parent {
                v: 1,
                id: parent.to_owned(),
                at,
                unix_ms: *t0,
            };
            Some(((*id).to_owned(), parent))
        });
        let pieces = histories.iter().map(piece);
        Index::new(Vec::new(), pieces, parents.collect(), None)
    }

    fn lines(index: &Index) -> Vec<String> {
        let line = |era: &Era| {
            let ids: Vec<&str> = era.stages.iter().map(|stage| stage.id.as_str()).collect();
            ids.concat()
        };
        all(index).iter().map(line).collect()
    }

    #[test]
    fn the_newest_history_and_what_it_goes_on_from_are_an_era() {
        let index = index(&[
            ("a", 10, None),
            ("b", 20, Some(("a", 500))),
            ("c", 30, Some(("b", 700))),
            ("d", 25, Some(("a", 400))),
        ]);
        assert_eq!(lines(&index), ["abc"]);
        let era = ending_with(&index, "c");
        let ends: Vec<(u64, u64)> = era
            .stages
            .iter()
            .map(|stage| (stage.to, stage.until_ms))
            .collect();
        assert_eq!(ends, [(500, 20), (700, 30), (u64::MAX, u64::MAX)]);
        assert_eq!(era.begin_ms, 10);
        assert_eq!(ending_with(&index, "d").stages.len(), 2, "a branch");
    }

    #[test]
    fn a_log_that_began_anew_is_another_era() {
        let index = index(&[
            ("a", 10, None),
            ("b", 20, Some(("a", 500))),
            ("c", 30, None),
            ("d", 40, Some(("c", 600))),
        ]);
        assert_eq!(lines(&index), ["cd", "ab"]);
    }

    #[test]
    fn a_parent_that_is_gone_is_named_and_a_circle_ends() {
        let index = index(&[
            ("b", 20, Some(("a", 500))),
            ("x", 1, Some(("y", 1))),
            ("y", 1, Some(("x", 1))),
        ]);
        assert_eq!(lines(&index), ["ab"]);
        assert_eq!(ending_with(&index, "x").stages.len(), 2);
    }
}
