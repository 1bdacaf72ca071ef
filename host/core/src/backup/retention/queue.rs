//! In which order histories go. Which of them went on, and when each began, is told by those that are there: one after
//! the other they go so that what is left is understood as before.

use std::collections::{BTreeMap, BTreeSet};

use super::Floor;
use super::lines::{Line, Part, Span};
use crate::backup::log::Index;
use crate::backup::log::eras::{self, Era};

/// All histories, the first to go first.
pub(super) struct Queue {
    order: Vec<String>,
    /// The line that goes on.
    line: BTreeSet<String>,
    /// The newest history, and the one that a server has: they may go on.
    leaves: Vec<String>,
    /// Where what is stored of them ends: they, and if they have nothing what they go on from.
    ends: BTreeSet<String>,
}

impl Queue {
    pub fn new(index: &Index, server: &[String]) -> Self {
        let eras = eras::all(index);
        let newest = eras.first().map(|era| era.stages.as_slice());
        let newest = newest.unwrap_or_default();
        let line = newest.iter().map(|stage| stage.id.clone()).collect();
        let newest = newest.last().map(|stage| &stage.id);
        let mut server = server.iter();
        let server = server.find(|id| index.histories.contains_key(*id));
        let leaves: Vec<String> = newest.into_iter().chain(server).cloned().collect();
        let mut ends = BTreeSet::new();
        for leaf in &leaves {
            for stage in eras::ending_with(index, leaf).stages.into_iter().rev() {
                let history = index.histories.get(&stage.id);
                let has_any = history.is_some_and(|history| !history.pieces.is_empty());
                ends.insert(stage.id);
                if has_any {
                    break;
                }
            }
        }
        // By the first history of their line: how many it goes on from, and which.
        let mut families: BTreeMap<String, Vec<(usize, &str)>> = BTreeMap::new();
        for id in index.histories.keys() {
            let line = eras::ending_with(index, id).stages;
            if let Some(first) = line.first() {
                let family = families.entry(first.id.clone()).or_default();
                family.push((line.len(), id.as_str()));
            }
        }
        let mut order = Vec::new();
        for era in eras.iter().rev() {
            let first = era.stages.first().map(|stage| stage.id.as_str());
            let family = first.and_then(|id| families.remove(id));
            order.extend(in_order(era, family.unwrap_or_default()));
        }
        Self {
            order,
            line,
            leaves,
            ends,
        }
    }

    /// The histories that may go on.
    pub fn leaves(&self) -> &[String] {
        &self.leaves
    }

    pub fn into_order(self) -> Vec<String> {
        self.order
    }

    /// What stays of each. Behind the first that stays, all do.
    pub fn floors(&self, index: &Index, lines: &[Line<'_>], span: Span) -> BTreeMap<String, Floor> {
        let mut floors: BTreeMap<String, Floor> = BTreeMap::new();
        let mut is_open = true;
        for id in &self.order {
            let floor = match is_open {
                true => self.floor(index, lines, span, id),
                false => Floor::All,
            };
            let floor = match floor {
                // Without its first pieces it would seem to have begun later than it did, and than others.
                Floor::From { .. } if !self.line.contains(id) => Floor::All,
                _ => floor,
            };
            is_open = matches!(floor, Floor::Nothing { .. });
            floors.insert(id.clone(), floor);
        }
        floors
    }

    fn floor(&self, index: &Index, lines: &[Line<'_>], span: Span, id: &str) -> Floor {
        let mut unix_ms = span.since_ms();
        let mut behind: Option<u64> = None;
        for part in lines.iter().filter_map(|line| line.part(id)) {
            match part {
                Part::All => return Floor::All,
                Part::Behind(offset, since) => {
                    behind = Some(behind.map_or(offset, |other| other.min(offset)));
                    unix_ms = unix_ms.min(since);
                }
                Part::Nothing(since) => unix_ms = unix_ms.min(since),
            }
        }
        let is_over = index.last_unix_ms(id).is_none_or(|last| last < unix_ms);
        match behind {
            Some(offset) => Floor::From { offset, unix_ms },
            None if is_over && !self.ends.contains(id) => Floor::Nothing {
                before_unix_ms: unix_ms,
            },
            None => Floor::All,
        }
    }
}

/// Those of one family: first the ones that lost a failover, each before what it goes on from, else they would count
/// as lines of their own. Then the line that went on, from its beginning.
fn in_order(era: &Era, family: Vec<(usize, &str)>) -> Vec<String> {
    let line = era.stages.iter().map(|stage| stage.id.as_str());
    let line: Vec<&str> = line
        .filter(|id| family.iter().any(|(_, other)| other == id))
        .collect();
    let mut lost = family;
    lost.retain(|(_, id)| !line.contains(id));
    lost.sort_unstable();
    let lost = lost.into_iter().rev().map(|(_, id)| id);
    lost.chain(line).map(str::to_owned).collect()
}
