//! The log that nothing needs goes: of each history its oldest pieces, or all of it.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::backup::Failure;
use hera_core::backup::log::{History, Index, PieceName};
use hera_core::backup::retention::Floor;

use super::removing::Removing;
use crate::backup::log::stored;
use crate::backup::log::swept::Swept;
use crate::backup::recovery::names;

/// A log of which pieces go.
pub struct Trim<'a> {
    /// Where it lies.
    pub folder: &'a str,
    /// How its histories begin.
    pub index: &'a Index,
    /// What stays of them. Of one that is not in it all does.
    pub floors: &'a BTreeMap<String, Floor>,
}

/// What goes of some pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// So many, the first ones.
    count: usize,
    /// The history counts as stored up to this offset once they are gone.
    at: u64,
    /// So many would go if as many might.
    all: usize,
}

impl Trim<'_> {
    /// Removes what nothing needs. Answers how many pieces.
    ///
    /// # Errors
    /// The store does not answer, or does not do it.
    pub async fn run(&self, removing: &mut Removing<'_>) -> Result<u64, Failure> {
        let (mut pieces, mut gone) = (0, BTreeSet::new());
        for id in in_order(self.index) {
            if removing.has_more() {
                break;
            }
            match self.floors.get(id) {
                Some(Floor::From { offset, unix_ms }) => {
                    let goes = |piece: &PieceName| piece.to <= *offset && piece.t1 < *unix_ms;
                    pieces += self.shorten(removing, id, goes).await?;
                }
                Some(Floor::Nothing { before_unix_ms }) if may_go(self.index, &gone, id) => {
                    if let Some(marks) = self.all_may_go(removing, id, *before_unix_ms).await? {
                        for (child, at) in marks {
                            Swept::note(removing.store, self.folder, &child, at).await?;
                        }
                        let (count, is_gone) = self.remove(removing, id).await?;
                        pieces += count;
                        if is_gone {
                            gone.insert(id);
                        }
                    }
                }
                Some(Floor::All | Floor::Nothing { .. }) | None => {}
            }
        }
        Ok(pieces)
    }

    /// Removes the oldest pieces of a history as long as they go, and never the last. It is noted first that they are
    /// no hole: they go many at a time.
    async fn shorten(
        &self,
        removing: &mut Removing<'_>,
        id: &str,
        goes: impl Fn(&PieceName) -> bool,
    ) -> Result<u64, Failure> {
        let (mut pieces, mut after) = (0, format!("{}/{id}", self.folder));
        loop {
            let next = names::next_pieces(removing.store, self.folder, id, &after);
            let (page, is_end) = next.await?;
            let Some(cut) = cut(&page, &goes, removing.left()) else {
                return Ok(pieces);
            };
            if cut.count > 0 {
                Swept::note(removing.store, self.folder, id, cut.at).await?;
            }
            let paths: Vec<String> = page.iter().take(cut.all).map(|of| self.path(of)).collect();
            let count = removing.remove(&paths).await?;
            pieces += u64::try_from(count).unwrap_or(u64::MAX);
            let goes_on = !is_end && !removing.has_more() && page.iter().all(&goes);
            match paths.last() {
                Some(last) if goes_on => after.clone_from(last),
                _ => return Ok(pieces),
            }
        }
    }

    /// Whether nothing is in a history that may not go: its last piece is older, and who goes on with the log finds where
    /// that is without it. Answers up to where the histories that go on from it count as stored; none if it stays.
    async fn all_may_go(
        &self,
        removing: &Removing<'_>,
        id: &str,
        before_unix_ms: u64,
    ) -> Result<Option<Vec<(String, u64)>>, Failure> {
        let (store, folder) = (removing.store, self.folder);
        let children: Vec<(&String, &History, u64)> = children(self.index, id).collect();
        // About there it ends.
        let near = children.iter().map(|(_, _, at)| *at).max();
        let within = format!("{folder}/{id}");
        let last = stored::last_pieces(store, &within, id, near.unwrap_or(u64::MAX));
        let (last, _) = last.await?;
        if last.iter().any(|piece| piece.t1 >= before_unix_ms) {
            return Ok(None);
        }
        let end = last.iter().map(|piece| piece.to).max();
        let mut marks = Vec::new();
        for (child, history, at) in children {
            let Some(first) = history.pieces.first() else {
                return Ok(None);
            };
            // What is missing between the two may come still.
            let goes_on = end.is_some_and(|end| first.from <= end.min(at));
            if !goes_on && Swept::read(store, folder, child).await?.is_none() {
                return Ok(None);
            }
            if goes_on {
                marks.push((child.clone(), first.from));
            }
        }
        Ok(Some(marks))
    }

    /// Removes all of a history: its oldest pieces first, and what it goes on from last. Answers how many pieces, and
    /// whether all is gone.
    async fn remove(&self, removing: &mut Removing<'_>, id: &str) -> Result<(u64, bool), Failure> {
        let pieces = self.shorten(removing, id, |_| true).await?;
        let within = format!("{}/{id}", self.folder);
        let next = names::next_pieces(removing.store, self.folder, id, &within);
        let (last, is_end) = next.await?;
        if removing.has_more() || !is_end {
            return Ok((pieces, false));
        }
        removing.remove(&[Swept::path(self.folder, id)]).await?;
        let paths: Vec<String> = last.iter().map(|of| self.path(of)).collect();
        let count = removing.remove(&paths).await?;
        removing.remove(&[stored::parent(self.folder, id)]).await?;
        let pieces = pieces + u64::try_from(count).unwrap_or(u64::MAX);
        Ok((pieces, !removing.has_more()))
    }

    fn path(&self, piece: &PieceName) -> String {
        format!("{}/{}/{}", self.folder, piece.id, piece.file_name())
    }
}

/// What goes of these pieces, which are in order: those at their beginning that all go, and not the one that reaches
/// furthest. None if there is none of them.
fn cut(pieces: &[PieceName], goes: impl Fn(&PieceName) -> bool, most: usize) -> Option<Cut> {
    let end = pieces.iter().map(|piece| piece.to).max()?;
    let furthest = pieces.iter().position(|piece| piece.to == end)?;
    let going = pieces.iter().take_while(|piece| goes(piece)).count();
    let all = going.min(furthest);
    let count = all.min(most);
    let next = pieces.get(count)?.from;
    let gone = pieces.iter().take(count).map(|piece| piece.to).max();
    // Where a piece is missing behind them, it may come still.
    let at = gone.map_or(next, |gone| gone.min(next));
    Some(Cut { count, at, all })
}

/// Histories, each after the one that it goes on from.
fn in_order(index: &Index) -> Vec<&str> {
    let ids = index.histories.keys();
    let mut ids: Vec<(usize, &str)> = ids.map(|id| (generation(index, id), id.as_str())).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, id)| id).collect()
}

fn generation(index: &Index, id: &str) -> usize {
    let mut seen = BTreeSet::new();
    let mut next = Some(id);
    while let Some(id) = next.filter(|id| seen.insert(*id)) {
        let history = index.histories.get(id);
        let parent = history.and_then(|history| history.parent.as_ref());
        next = parent.map(|parent| parent.id.as_str());
    }
    seen.len()
}

/// Those that go on from a history, and from which offset.
fn children<'a>(
    index: &'a Index,
    id: &str,
) -> impl Iterator<Item = (&'a String, &'a History, u64)> {
    index.histories.iter().filter_map(move |(child, history)| {
        let parent = history.parent.as_ref()?;
        (parent.id == id).then_some((child, history, parent.at))
    })
}

/// Whether all of a history may go, as far as the others tell: none is there that it goes on from, which would be taken
/// for another log without it, and it is not the one that is read while nothing is written.
fn may_go(index: &Index, gone: &BTreeSet<&str>, id: &str) -> bool {
    let is_read = index.alive.as_ref().is_some_and(|alive| alive.id == id);
    let history = index.histories.get(id);
    let parent = history.and_then(|history| history.parent.as_ref());
    let is_there = |id: &str| index.histories.contains_key(id) && !gone.contains(id);
    !is_read && !parent.is_some_and(|parent| is_there(&parent.id))
}

#[cfg(test)]
mod tests {
    use hera_core::backup::log::{Alive, Parent};

    use super::*;

    fn piece(from: u64, to: u64) -> PieceName {
        PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0: from,
            t1: to,
        }
    }

    fn cut_of(pieces: &[(u64, u64)], until: u64, most: usize) -> Option<(usize, u64, usize)> {
        let pieces: Vec<PieceName> = pieces.iter().map(|(from, to)| piece(*from, *to)).collect();
        let cut = cut(&pieces, |piece| piece.to <= until, most)?;
        Some((cut.count, cut.at, cut.all))
    }

    #[test]
    fn the_oldest_pieces_go_and_the_one_that_reaches_furthest_stays() {
        let pieces = [(0, 5), (5, 9), (9, 20), (20, 30)];
        assert_eq!(cut_of(&pieces, 10, 99), Some((2, 9, 2)));
        assert_eq!(cut_of(&pieces, 99, 99), Some((3, 20, 3)));
        assert_eq!(cut_of(&pieces, 99, 1), Some((1, 5, 3)));
        assert_eq!(cut_of(&pieces, 99, 0), Some((0, 0, 3)));
        assert_eq!(cut_of(&pieces, 4, 99), Some((0, 0, 0)));
        assert_eq!(cut_of(&[], 99, 99), None);
        // What another agent stored reaches further, and begins earlier.
        assert_eq!(cut_of(&[(0, 5), (5, 30), (9, 20)], 99, 99), Some((1, 5, 1)));
        assert_eq!(cut_of(&[(0, 30), (5, 20)], 99, 99), Some((0, 0, 0)));
        assert_eq!(cut_of(&[(0, 9), (5, 30)], 9, 99), Some((1, 5, 1)));
    }

    #[test]
    fn a_piece_that_is_missing_behind_those_that_go_may_come_still() {
        assert_eq!(cut_of(&[(0, 5), (5, 9), (12, 20)], 10, 99), Some((2, 9, 2)));
    }

    fn index(histories: &[(&str, Option<&str>)], alive: &str) -> Index {
        let pieces = histories.iter().map(|(id, _)| PieceName {
            id: (*id).to_owned(),
            ..piece(0, 9)
        });
        let parents = histories.iter().filter_map(|(id, parent)| {
            let parent = Parent {
                v: 1,
                id: (*parent)?.to_owned(),
                at: 9,
                unix_ms: 1,
            };
            Some(((*id).to_owned(), parent))
        });
        let alive = Alive {
            v: 1,
            id: alive.to_owned(),
            offset: 9,
            read: 9,
            unix_ms: 1,
        };
        Index::new(Vec::new(), pieces, parents.collect(), Some(alive))
    }

    #[test]
    fn a_history_goes_after_what_it_goes_on_from_and_the_one_that_is_read_stays() {
        let line = [("a", Some("c")), ("b", None), ("c", Some("b"))];
        let index_of_line = index(&line, "a");
        assert_eq!(in_order(&index_of_line), ["b", "c", "a"]);
        let may = |gone: &[&str], id| may_go(&index_of_line, &gone.iter().copied().collect(), id);
        assert!(may(&[], "b"));
        assert!(!may(&[], "c"));
        assert!(may(&["b"], "c"));
        assert!(!may(&["b", "c"], "a"), "it is read");
        let of_b: Vec<&String> = children(&index_of_line, "b").map(|(id, _, _)| id).collect();
        assert_eq!(of_b, ["c"]);
        // What it went on from is gone already.
        assert!(may_go(
            &index(&[("x", Some("w"))], "y"),
            &BTreeSet::new(),
            "x"
        ));
        let circle = index(&[("x", Some("y")), ("y", Some("x"))], "z");
        let may = |id| may_go(&circle, &BTreeSet::new(), id);
        assert!(in_order(&circle).len() == 3 && !may("x") && !may("y"));
    }
}
