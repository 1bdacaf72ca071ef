//! What the store has of a log already.

use std::collections::BTreeMap;

use hera_core::backup::log::{PARENT, Parent, PieceName, Reached, ServerHistory};
use hera_core::backup::{BaseManifest, FORMAT, Failure, FailureReason, Paths, UNBROKEN, Unbroken};
use hera_store::{Entry, Store};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::swept::Swept;
use crate::backup::{failed, files};

/// Name of [`Since`] in the folder of a log.
const SINCE: &str = "since.json";
/// Files that are listed at once: what a store tells in one answer.
const PAGE: usize = 1_000;
/// Histories that are looked at: those of a server, and what they go on from.
const HISTORIES: usize = 4;
/// With so many pieces a hole is seen that is left of those that were on their way: those behind it are fewer.
pub const FEW: usize = 4;
/// Where the last piece of a history begins is looked for from so many bytes before its end on first.
const NEAR: u64 = 64 << 10;
/// Then from so many times as many.
const WIDER: u64 = 16;
/// Lists, of which each halves what is left at least: more than an offset has bits.
const LISTS: usize = 100;

/// `since.json`: from where on a log has no gap. Written over, before the first piece behind a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// [`FORMAT`].
    pub v: u32,
    /// The history.
    pub id: String,
    /// From behind this offset on.
    pub at: u64,
    /// When that was, in milliseconds since 1970.
    pub unix_ms: u64,
    /// There was a log before.
    pub after_gap: bool,
}

impl Since {
    /// From here on.
    pub fn now(id: &str, at: u64, unix_ms: u64, after_gap: bool) -> Self {
        Self {
            v: FORMAT,
            id: id.to_owned(),
            at,
            unix_ms,
            after_gap,
        }
    }

    /// What the log has of this history, if it was read up to `to`: none of its own bytes before it began.
    pub fn read_to(&self, id: &str, to: u64, unix_ms: u64) -> PieceName {
        let from = if self.id == id { self.at } else { 0 };
        PieceName {
            id: id.to_owned(),
            // One without a byte is none.
            from: from.min(to.saturating_sub(1)),
            to,
            t0: unix_ms,
            t1: unix_ms,
        }
    }

    /// True if a history that shares all up to `at` with `id` has nothing of what the log has since then.
    pub fn is_lost(&self, id: &str, at: u64) -> bool {
        self.id == id && at < self.at
    }

    /// Where it lies.
    pub fn path(folder: &str) -> String {
        format!("{folder}/{SINCE}")
    }

    /// What is stored; none before the log has begun. One that is damaged says nothing, and is written anew.
    ///
    /// # Errors
    /// It is of a later release, or the store does not answer.
    pub async fn read(store: &Store, folder: &str) -> Result<Option<Self>, Failure> {
        match files::read(store, &Self::path(folder)).await {
            Err(failure) if failure.reason == FailureReason::Corrupt => {
                warn!(why = %failure.message, "where the log has no gap is not known");
                Ok(None)
            }
            read => read,
        }
    }
}

/// Path of the file that says what a history goes on from.
pub fn parent(folder: &str, id: &str) -> String {
    format!("{folder}/{id}/{PARENT}")
}

/// True if a base of the parent's history has more than what the child shares with it.
///
/// # Errors
/// The store does not answer.
pub async fn is_beyond(store: &Store, folder: &str, parent: &Parent) -> Result<bool, Failure> {
    for entry in store.list(folder).await? {
        if offset_of_base(&entry.path).is_none_or(|offset| offset <= parent.at) {
            continue;
        }
        match files::read::<BaseManifest>(store, &entry.path).await {
            Ok(Some(base)) if base.replication_id == parent.id => return Ok(true),
            Err(failure) if failure.reason != FailureReason::Corrupt => return Err(failure),
            // One that is damaged is none.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(false)
}

/// How much a base has, by where its manifest lies; none of other files.
fn offset_of_base(path: &str) -> Option<u64> {
    let (folder, _) = path.rsplit_once('/')?;
    let (_, offset) = folder.rsplit_once('-')?;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    (path == Paths::base_manifest(folder)).then_some(offset)
}

/// What the store has of the history of a server; and of what it goes on from, unless it has gone on for long.
///
/// # Errors
/// The store does not answer.
pub async fn histories(
    store: &Store,
    folder: &str,
    server: &ServerHistory,
    since: Option<&Since>,
) -> Result<BTreeMap<String, Reached>, Failure> {
    let mut stored: BTreeMap<String, Reached> = BTreeMap::new();
    let mut wanted = vec![server.id.clone()];
    while let Some(id) = wanted.pop() {
        if stored.contains_key(&id) || stored.len() >= HISTORIES {
            continue;
        }
        let (reached, before) = reached(store, folder, &id, server.offset, since).await?;
        if let Before::All(parent) = before {
            wanted.extend(parent.map(|parent| parent.id));
            wanted.extend(server.id2.clone().filter(|_| stored.is_empty()));
        }
        stored.insert(id, reached);
    }
    Ok(stored)
}

/// The histories of a log without a gap, up to this one.
///
/// # Errors
/// The store does not answer.
pub async fn unbroken(
    store: &Store,
    folder: &str,
    since: &Since,
    id: &str,
) -> Result<Vec<Unbroken>, Failure> {
    let mut parents = Vec::new();
    let mut next = id.to_owned();
    while next != since.id && parents.len() + 1 < UNBROKEN {
        let Some(noted) = files::read::<Parent>(store, &parent(folder, &next)).await? else {
            break;
        };
        next.clone_from(&noted.id);
        parents.push(noted);
    }
    Ok(Unbroken::line(since.at, id, &parents))
}

/// What was not looked at of a history.
enum Before {
    /// What comes before its last pieces.
    More,
    /// Nothing but what it goes on from, if that was noted.
    All(Option<Parent>),
}

/// What the store has of a history whose server is at `near`. It ends at a hole, which is of an agent that ended with
/// pieces on their way: what is missing is read again.
async fn reached(
    store: &Store,
    folder: &str,
    id: &str,
    near: u64,
    since: Option<&Since>,
) -> Result<(Reached, Before), Failure> {
    let parent: Option<Parent> = files::read(store, &parent(folder, id)).await?;
    let (pieces, are_all) = last_pieces(store, &format!("{folder}/{id}"), id, near).await?;
    let swept = Swept::read(store, folder, id).await?;
    let begun = begun(id, since, swept.as_ref());
    // What is before a gap that was noted is not gone on from, and neither is what was removed.
    let is_begun = begun.is_some();
    let reached = Reached::new(&without_holes(pieces, begun), parent.as_ref());
    let before = match are_all && !is_begun {
        true => Before::All(parent),
        false => Before::More,
    };
    Ok((reached, before))
}

/// What a history counts as stored up to, whatever pieces there are: to where it begins behind a gap, or to where they
/// were removed.
fn begun(id: &str, since: Option<&Since>, swept: Option<&Swept>) -> Option<PieceName> {
    let since = since.filter(|since| since.id == id);
    let since = since.map(|since| since.read_to(id, since.at, since.unix_ms));
    let swept = swept.and_then(|swept| swept.last(id));
    since.into_iter().chain(swept).max_by_key(|piece| piece.to)
}

/// The last pieces of a history whose folder this is, in order: a page of them at most. And whether there are no others.
/// They are looked for where the last one is likely to begin, from a little before `near` on.
///
/// # Errors
/// The store does not answer.
pub async fn last_pieces(
    store: &Store,
    folder: &str,
    id: &str,
    near: u64,
) -> Result<(Vec<PieceName>, bool), Failure> {
    let mut span = Span::new(near);
    for _ in 0..LISTS {
        let after = format!("{folder}/{:016x}", span.probe);
        let page = store.list_after(folder, &after, PAGE).await?;
        let pieces = names(id, &page);
        let begins: Vec<u64> = pieces.iter().map(|piece| piece.from).collect();
        if span.is_found(&begins, page.len() < PAGE) {
            return Ok((pieces, span.probe == 0));
        }
    }
    let words = format!("the files below {folder} are another each time that they are listed");
    Err(failed(FailureReason::StoreUnreachable, words))
}

fn names(id: &str, page: &[Entry]) -> Vec<PieceName> {
    let name = |entry: &Entry| {
        let (_, file) = entry.path.rsplit_once('/')?;
        PieceName::parse(id, file)
    };
    page.iter().filter_map(name).collect()
}

/// Where to list from, so that the page has the last piece, and a few before it.
struct Span {
    /// Where the server is: the last piece is likely to begin a little before.
    near: u64,
    width: u64,
    /// A few pieces begin here or later.
    low: Option<u64>,
    /// Fewer do here.
    high: u64,
    /// What begins here or later is listed next.
    probe: u64,
}

impl Span {
    fn new(near: u64) -> Self {
        Self {
            near,
            width: NEAR,
            low: None,
            high: u64::MAX,
            probe: near.saturating_sub(NEAR),
        }
    }

    /// Takes where the pieces of a page begin that is listed from the probe, and whether it is the last page. True if
    /// it is the one that is looked for.
    fn is_found(&mut self, begins: &[u64], is_end: bool) -> bool {
        let few = begins.len().checked_sub(FEW);
        let few = few.and_then(|at| begins.get(at)).copied();
        match (few, is_end) {
            (Some(_), true) => return true,
            (None, true) if self.probe == 0 => return true,
            (None, true) => self.high = self.probe,
            // There are more behind them.
            (Some(few), false) if few > self.probe => self.low = Some(few),
            // What is there is no log's.
            (_, false) => return true,
        }
        self.probe = match self.low {
            None => {
                self.width = self.width.saturating_mul(WIDER);
                self.near.saturating_sub(self.width)
            }
            Some(low) if self.high == u64::MAX && self.near > low => self.near,
            Some(low) => low + self.high.saturating_sub(low) / 2,
        };
        false
    }
}

/// Pieces up to the first hole behind the last known one. The history has what is before the end of `begun`, whether
/// there are pieces of it or not.
fn without_holes(pieces: Vec<PieceName>, begun: Option<PieceName>) -> Vec<PieceName> {
    let first = pieces.first().map(|piece| piece.from);
    // The page may begin later.
    let begun = begun.filter(|begun| first.is_none_or(|first| first <= begun.to));
    let floor = begun.as_ref().map_or(0, |begun| begun.to);
    let behind = pieces.into_iter().filter(|piece| piece.to > floor);
    let mut reached: Option<u64> = None;
    let goes_on = |piece: &PieceName| {
        let is = reached.is_none_or(|reached| piece.from <= reached);
        if is {
            reached = reached.max(Some(piece.to));
        }
        is
    };
    begun
        .into_iter()
        .chain(behind)
        .take_while(goes_on)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from: u64, to: u64) -> PieceName {
        PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0: 1,
            t1: 2,
        }
    }

    fn ends(pieces: &[(u64, u64)], since: Option<u64>) -> Option<u64> {
        let pieces = pieces.iter().map(|(from, to)| piece(*from, *to));
        let since = since.map(|at| Since::now("a", at, 1, false));
        let kept = without_holes(pieces.collect(), begun("a", since.as_ref(), None));
        kept.iter().map(|piece| piece.to).max()
    }

    #[test]
    fn a_hole_that_is_left_is_read_again_and_one_that_was_noted_is_not() {
        assert_eq!(ends(&[], None), None);
        assert_eq!(ends(&[(0, 5), (5, 9), (7, 12)], None), Some(12));
        assert_eq!(ends(&[(0, 5), (6, 9)], None), Some(5));
        assert_eq!(ends(&[(0, 5), (6, 9), (9, 11)], Some(6)), Some(11));
        assert_eq!(ends(&[(0, 5), (6, 9), (10, 11)], Some(6)), Some(9));
        // Nothing was written since it began.
        assert_eq!(ends(&[(0, 5)], Some(6)), Some(6));
        assert_eq!(ends(&[], Some(6)), Some(6));
        // A page of a long log.
        assert_eq!(ends(&[(70, 80), (80, 90)], Some(6)), Some(90));
        // A piece that another agent stored reaches over where this one began.
        assert_eq!(ends(&[(0, 8), (8, 9)], Some(6)), Some(9));
    }

    #[test]
    fn what_was_removed_is_no_hole_and_a_gap_behind_it_is() {
        let since = |id: &str, at| Since::now(id, at, 1, true);
        let swept = |at| Swept { v: FORMAT, at };
        let ends = |since: Option<&Since>, at: u64| {
            // Those between 5 and 50 were removed, but for one.
            let pieces = [(20, 30), (50, 60), (60, 70)].map(|(from, to)| piece(from, to));
            let kept = without_holes(pieces.to_vec(), begun("a", since, Some(&swept(at))));
            kept.iter().map(|piece| piece.to).max()
        };
        assert_eq!(ends(None, 0), Some(30));
        assert_eq!(ends(None, 50), Some(70));
        assert_eq!(ends(Some(&since("a", 5)), 50), Some(70));
        assert_eq!(ends(Some(&since("b", 90)), 50), Some(70));
        assert_eq!(ends(Some(&since("a", 90)), 50), Some(90));
    }

    #[test]
    fn how_much_a_base_has_is_in_its_path() {
        let folder = Paths::new("shop", "cache", "u-1").base("0", "r-7", 0x1f4);
        let manifest = Paths::base_manifest(&folder);
        assert_eq!(offset_of_base(&manifest), Some(500));
        for other in [Paths::data(&folder), folder, "base.json".to_owned()] {
            assert_eq!(offset_of_base(&other), None, "{other}");
        }
    }

    /// Lists a log whose pieces begin there; answers where the last one that is found begins, and how often it listed.
    fn finds(begins: &[u64], near: u64, page: usize) -> (Option<u64>, usize) {
        let mut span = Span::new(near);
        for lists in 1..=LISTS {
            let behind = begins.iter().filter(|from| **from >= span.probe);
            let behind: Vec<u64> = behind.take(page).copied().collect();
            if span.is_found(&behind, behind.len() < page) {
                assert!(span.probe == 0 || behind.len() >= FEW, "{behind:?}");
                return (behind.last().copied(), lists);
            }
        }
        panic!("it is not found");
    }

    #[test]
    fn the_last_piece_of_a_long_log_is_found_without_listing_all_of_it() {
        let dense: Vec<u64> = (0..200_000).map(|number| number * 100).collect();
        let last = dense.last().copied();
        for near in [19_999_900, 20_500_000, 900_000_000, 5, 0] {
            let (found, lists) = finds(&dense, near, 1_000);
            assert_eq!(found, last, "near {near}");
            assert!(lists <= 70, "{lists} lists near {near}");
        }
        let near = finds(&dense, 20_000_000, 1_000);
        assert!(near.1 <= 5, "{near:?}");
        assert_eq!(finds(&[], 1 << 40, 1_000).0, None);
        assert_eq!(finds(&[0], 1 << 40, 1_000).0, Some(0));
        assert_eq!(finds(&[7, 8], u64::MAX, 9).0, Some(8));
        // A large piece may be missing before one that is small.
        let sparse = [0, 1 << 22, 1 << 23, 1 << 24, 1 << 30];
        assert_eq!(finds(&sparse, (1 << 30) + 9, 1_000).0, Some(1 << 30));
    }
}
