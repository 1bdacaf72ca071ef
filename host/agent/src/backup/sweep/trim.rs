//! The log that nothing needs goes: all of a history, or its oldest pieces.

use std::collections::BTreeSet;

use hera_core::backup::Failure;
use hera_core::backup::log::{ALIVE, Alive, PieceName};
use hera_core::backup::retention::{Floor, Head, Heads, Needed};

use super::removing::Removing;
use crate::backup::files;
use crate::backup::log::stored;
use crate::backup::log::swept::Swept;
use crate::backup::recovery::names;

/// Pieces of a history that are looked at together: some MiB of names.
const MOST_KNOWN: usize = 50_000;

/// A log of which pieces go.
pub struct Trim<'a> {
    /// Where it lies.
    pub folder: &'a str,
    /// How its histories begin and end.
    pub heads: &'a Heads,
    /// What stays of them.
    pub needed: &'a Needed,
}

impl Trim<'_> {
    /// Removes what nothing needs, one history after the other: what of one stays keeps those behind it. Answers how
    /// many pieces went.
    ///
    /// # Errors
    /// The store does not answer, or does not do it.
    pub async fn run(&self, removing: &mut Removing<'_>) -> Result<u64, Failure> {
        let (mut pieces, mut gone) = (0, BTreeSet::new());
        for id in &self.needed.order {
            let Some(floor) = self.needed.floors.get(id) else {
                break;
            };
            if *floor == Floor::All || !self.prepares(removing, id, floor, &gone).await? {
                break;
            }
            let (count, is_gone) = self.sweep(removing, id, floor).await?;
            pieces += count;
            if !is_gone {
                break;
            }
            gone.insert(id.as_str());
        }
        Ok(pieces)
    }

    /// Notes what is to be known before anything of a history goes. False if nothing of it may go.
    async fn prepares(
        &self,
        removing: &mut Removing<'_>,
        id: &str,
        floor: &Floor,
        gone: &BTreeSet<&str>,
    ) -> Result<bool, Failure> {
        if !matches!(floor, Floor::Nothing { .. }) {
            return Ok(true);
        }
        let store = removing.store;
        let head = self.heads.histories.get(id);
        let mut marks = Vec::new();
        for (heir, history, at) in heirs(self.heads, id, gone) {
            let behind = self.needed.floors.get(heir);
            let begins = goes_on(head, history, at).or_else(|| lost_before(history, behind));
            if let Some(at) = begins {
                marks.push((heir, at));
            } else if Swept::read(store, self.folder, heir).await?.is_none() {
                // What is missing between the two may come still, and is looked for from where this one ends.
                return Ok(false);
            }
        }
        for (heir, at) in marks {
            Swept::note(store, self.folder, heir, at).await?;
        }
        let is_named = self
            .heads
            .alive
            .as_ref()
            .is_some_and(|alive| alive.id == id);
        if is_named {
            let path = format!("{}/{ALIVE}", self.folder);
            // It may be of the present one by now.
            let alive = files::read::<Alive>(store, &path).await?;
            if alive.is_some_and(|alive| alive.id == id) && removing.remove(&[path]).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes what goes of a history. Answers how many pieces went, and whether nothing is left.
    async fn sweep(
        &self,
        removing: &mut Removing<'_>,
        id: &str,
        floor: &Floor,
    ) -> Result<(u64, bool), Failure> {
        let within = format!("{}/{id}", self.folder);
        let mut pieces: u64 = 0;
        let (mut known, mut after) = (Vec::<PieceName>::new(), within.clone());
        loop {
            let next = names::next_pieces(removing.store, self.folder, id, &after);
            let (page, is_end) = next.await?;
            known.extend(page);
            let going = floor.goes(&known, is_end);
            let is_short = going.pieces.is_empty() && !is_end && known.len() < MOST_KNOWN;
            if is_short && floor.may_go_on(&known) {
                match known.last().map(|piece| self.path(piece)) {
                    Some(last) if last > after => {
                        after = last;
                        continue;
                    }
                    _ => return Ok((pieces, false)),
                }
            }
            let paths: Vec<String> = going.pieces.iter().map(|of| self.path(of)).collect();
            if let Some(at) = stored_to(&going.pieces)
                && matches!(floor, Floor::From { .. })
            {
                // First: they go many at a time.
                Swept::note(removing.store, self.folder, id, at).await?;
            }
            // The last one once all others are gone.
            let (last, others) = match paths.split_last() {
                Some((last, others)) => (std::slice::from_ref(last), others),
                None => (paths.as_slice(), paths.as_slice()),
            };
            for paths in [others, last] {
                let count = removing.remove(paths).await?;
                pieces = pieces.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            if removing.has_more() {
                return Ok((pieces, false));
            }
            if going.is_whole {
                for path in [
                    Swept::path(self.folder, id),
                    stored::parent(self.folder, id),
                ] {
                    removing.remove(&[path]).await?;
                }
                return Ok((pieces, !removing.has_more()));
            }
            if is_end || paths.is_empty() {
                return Ok((pieces, false));
            }
            known.clear();
            after.clone_from(&within);
        }
    }

    fn path(&self, piece: &PieceName) -> String {
        format!("{}/{}/{}", self.folder, piece.id, piece.file_name())
    }
}

/// Up to where a history counts as stored once these pieces of it are gone; none if there are none.
fn stored_to(going: &[PieceName]) -> Option<u64> {
    going.iter().map(|piece| piece.to).max()
}

/// The first histories with pieces behind this one, and from which offset of it they go on. None is in a circle: such a
/// log is in doubt as a whole.
fn heirs<'a>(heads: &'a Heads, id: &str, gone: &BTreeSet<&str>) -> Vec<(&'a str, &'a Head, u64)> {
    let mut heirs = Vec::new();
    let mut next = vec![(id, u64::MAX)];
    while let Some((id, until)) = next.pop() {
        let left = heads.histories.iter();
        for (child, head) in left.filter(|(id, _)| !gone.contains(id.as_str())) {
            let parent = head.parent.as_ref().filter(|parent| parent.id == id);
            let Some(at) = parent.map(|parent| parent.at.min(until)) else {
                continue;
            };
            match head.first.is_empty() {
                true => next.push((child.as_str(), at)),
                false => heirs.push((child.as_str(), head, at)),
            }
        }
    }
    heirs
}

/// Where a history begins that goes on from another at an offset, if nothing is missing between the two.
fn goes_on(parent: Option<&Head>, child: &Head, at: u64) -> Option<u64> {
    let pieces = parent.map(|head| head.first.iter().chain(&head.last));
    let end = pieces?.map(|piece| piece.to).max()?;
    let begins = child.first.first()?.from;
    (begins <= end.min(at)).then_some(begins)
}

/// Where a history begins if nothing before that is needed: what is missing there may stay so.
fn lost_before(child: &Head, floor: Option<&Floor>) -> Option<u64> {
    let begins = child.first.first()?.from;
    let is_behind = matches!(floor, Some(Floor::From { offset, .. }) if *offset >= begins);
    is_behind.then_some(begins)
}

#[cfg(test)]
mod tests {
    use hera_core::backup::log::Parent;

    use super::*;

    fn head(pieces: &[(u64, u64)], parent: Option<(&str, u64)>) -> Head {
        let pieces = pieces.iter().map(|(from, to)| PieceName {
            id: "a".to_owned(),
            from: *from,
            to: *to,
            t0: 1,
            t1: 1,
        });
        let pieces: Vec<PieceName> = pieces.collect();
        Head {
            first: pieces.clone(),
            last: pieces,
            parent: parent.map(|(id, at)| Parent {
                v: 1,
                id: id.to_owned(),
                at,
                unix_ms: 1,
            }),
        }
    }

    #[test]
    fn a_history_goes_on_from_another_if_nothing_is_missing_between_the_two() {
        let parent = head(&[(0, 50), (50, 90)], None);
        let begins = |pieces: &[(u64, u64)], at| goes_on(Some(&parent), &head(pieces, None), at);
        assert_eq!(begins(&[(80, 100), (100, 120)], 80), Some(80));
        assert_eq!(begins(&[(90, 100)], 95), Some(90));
        assert_eq!(begins(&[(91, 100)], 95), None);
        assert_eq!(begins(&[(81, 100)], 80), None);
        assert_eq!(begins(&[], 80), None, "it has nothing");
        assert_eq!(goes_on(Some(&head(&[], None)), &parent, 80), None);
        assert_eq!(goes_on(None, &parent, 80), None);
    }

    #[test]
    fn what_is_missing_before_a_history_holds_nothing_up_once_nothing_needs_it() {
        let child = head(&[(91, 100), (100, 120)], None);
        let floor = |offset| Floor::From { offset, unix_ms: 1 };
        assert_eq!(lost_before(&child, Some(&floor(91))), Some(91));
        assert_eq!(lost_before(&child, Some(&floor(90))), None);
        assert_eq!(lost_before(&child, Some(&Floor::All)), None);
        assert_eq!(lost_before(&child, None), None);
        assert_eq!(lost_before(&head(&[], None), Some(&floor(91))), None);
    }

    #[test]
    fn a_history_without_pieces_leaves_it_to_those_behind_it() {
        let mut heads = Heads::default();
        let mut add = |id: &str, pieces: &[(u64, u64)], parent| {
            heads.histories.insert(id.to_owned(), head(pieces, parent));
        };
        add("a", &[(0, 9)], None);
        add("b", &[], Some(("a", 7)));
        add("c", &[(6, 9)], Some(("b", 9)));
        add("d", &[(5, 9)], Some(("a", 5)));
        add("e", &[], Some(("d", 9)));
        let of = |id: &str, gone: &[&str]| {
            let gone = gone.iter().copied().collect();
            let mut heirs: Vec<(&str, u64)> = heirs(&heads, id, &gone)
                .into_iter()
                .map(|(id, _, at)| (id, at))
                .collect();
            heirs.sort_unstable();
            heirs
        };
        assert_eq!(of("a", &[]), [("c", 7), ("d", 5)]);
        assert_eq!(of("a", &["d"]), [("c", 7)]);
        assert_eq!(of("d", &[]), []);
    }

    #[test]
    fn a_history_counts_as_stored_up_to_the_end_of_what_goes() {
        assert_eq!(stored_to(&head(&[(0, 9), (3, 5)], None).first), Some(9));
        assert_eq!(stored_to(&[]), None);
    }
}
