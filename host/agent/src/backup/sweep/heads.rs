//! How the histories in the log of an object begin and end, and which of them go on from which.

use std::collections::BTreeMap;

use futures::future::join_all;
use hera_core::backup::log::{ALIVE, Parent, PieceName};
use hera_core::backup::retention::{Head, Heads};
use hera_core::backup::{Failure, FailureReason, Paths};
use hera_store::Store;

use super::SHARD;
use crate::backup::log::stored;
use crate::backup::recovery::names;
use crate::backup::recovery::patient::patiently;
use crate::backup::{failed, files};

/// Histories that are looked at at once.
const AT_ONCE: usize = 16;
/// Pieces at the end of a history that are kept in mind, whatever they tell.
const LAST: usize = 4;

/// What there is of the log; nothing where there is none. `offsets` are some that histories have: they make it quicker.
///
/// # Errors
/// Something cannot be understood, or the store does not answer.
pub async fn find(
    store: &Store,
    paths: &Paths,
    mut offsets: BTreeMap<String, u64>,
) -> Result<Heads, Failure> {
    let all = format!("{}/log", paths.root());
    let shards = patiently(|| store.folders(&all)).await?;
    if let Some(other) = shards.iter().find(|shard| *shard != SHARD) {
        let words = format!(
            "{all} has a log of shard {other}, of which this release knows nothing: nothing is removed"
        );
        return Err(failed(FailureReason::VersionIncompatible, words));
    }
    if shards.is_empty() {
        return Ok(Heads::default());
    }
    let folder = paths.log(SHARD);
    let ids = patiently(|| store.folders(&folder)).await?;
    let mut heads = Heads {
        alive: files::read(store, &format!("{folder}/{ALIVE}")).await?,
        ..Heads::default()
    };
    for lot in ids.chunks(AT_ONCE) {
        let came = join_all(lot.iter().map(|id| parent(store, &folder, id))).await;
        for (id, parent) in lot.iter().zip(came) {
            let parent = parent?;
            if let Some(parent) = &parent {
                let known = offsets.entry(parent.id.clone()).or_default();
                *known = parent.at.max(*known);
            }
            let head = Head {
                parent,
                ..Head::default()
            };
            heads.histories.insert(id.clone(), head);
        }
    }
    for lot in ids.chunks(AT_ONCE) {
        let near = |id: &String| offsets.get(id).copied().unwrap_or(u64::MAX);
        let came = join_all(lot.iter().map(|id| ends(store, &folder, id, near(id)))).await;
        for (id, ends) in lot.iter().zip(came) {
            let (first, last) = ends?;
            let head = heads.histories.entry(id.clone()).or_default();
            (head.first, head.last) = (first, last);
        }
    }
    Ok(heads)
}

/// The latest time that any of it has, in milliseconds since 1970; 0 if there is none.
pub fn newest_unix_ms(heads: &Heads) -> u64 {
    let times = heads.histories.values().flat_map(|head| {
        let pieces = head.first.iter().chain(&head.last);
        let pieces = pieces.map(|piece| piece.t0.max(piece.t1));
        pieces.chain(head.parent.as_ref().map(|parent| parent.unix_ms))
    });
    let alive = heads.alive.as_ref().map(|alive| alive.unix_ms);
    times.chain(alive).max().unwrap_or(0)
}

async fn parent(store: &Store, folder: &str, id: &str) -> Result<Option<Parent>, Failure> {
    files::read(store, &stored::parent(folder, id)).await
}

/// The first pieces of a history, and the last.
async fn ends(
    store: &Store,
    folder: &str,
    id: &str,
    near: u64,
) -> Result<(Vec<PieceName>, Vec<PieceName>), Failure> {
    let within = format!("{folder}/{id}");
    let (first, is_end) = names::next_pieces(store, folder, id, &within).await?;
    let last = match is_end {
        true => telling(&first),
        false => telling(&stored::last_pieces(store, &within, id, near).await?.0),
    };
    Ok((telling(&first), last))
}

/// Those of some pieces that tell as much as all: by which their history begins and ends, and when.
fn telling(pieces: &[PieceName]) -> Vec<PieceName> {
    let last = pieces.iter().rev().take(LAST);
    let ends = [
        pieces.first(),
        pieces.iter().min_by_key(|piece| piece.t0),
        pieces.iter().max_by_key(|piece| piece.t1),
        pieces.iter().max_by_key(|piece| piece.to),
    ];
    let mut telling: Vec<PieceName> = ends.into_iter().flatten().chain(last).cloned().collect();
    telling.sort_unstable();
    telling.dedup();
    telling
}

#[cfg(test)]
mod tests {
    use hera_core::backup::log::Alive;

    use super::*;

    fn piece(from: u64, to: u64, t0: u64, t1: u64) -> PieceName {
        PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0,
            t1,
        }
    }

    #[test]
    fn the_latest_time_of_a_log_may_stand_in_any_of_its_files() {
        let newest = |in_piece: u64, in_parent: u64, in_alive: u64| {
            let head = Head {
                last: vec![piece(0, 9, 1, in_piece)],
                parent: Some(Parent {
                    v: 1,
                    id: "a".to_owned(),
                    at: 9,
                    unix_ms: in_parent,
                }),
                ..Head::default()
            };
            newest_unix_ms(&Heads {
                histories: BTreeMap::from([("b".to_owned(), head)]),
                alive: Some(Alive {
                    v: 1,
                    id: "b".to_owned(),
                    offset: 9,
                    read: 9,
                    unix_ms: in_alive,
                }),
                ..Heads::default()
            })
        };
        assert_eq!([newest(9, 2, 3), newest(2, 9, 3), newest(2, 3, 9)], [9; 3]);
        assert_eq!(newest_unix_ms(&Heads::default()), 0);
    }

    #[test]
    fn few_pieces_tell_when_many_begin_and_end() {
        let mut many: Vec<PieceName> = (10..1_000).map(|at| piece(at, at + 1, at, at)).collect();
        many[400].t0 = 3;
        many[500].t1 = 5_000;
        many[600].to = 9_000;
        let few = telling(&many);
        assert_eq!(few.len(), 4 + LAST);
        assert_eq!(few.iter().map(|piece| piece.t0).min(), Some(3));
        assert_eq!(few.iter().map(|piece| piece.t1).max(), Some(5_000));
        assert_eq!(few.iter().map(|piece| piece.to).max(), Some(9_000));
        assert_eq!((few[0].from, few[7].from), (10, 999));
        assert_eq!(telling(&many[..2]), many[..2]);
        assert_eq!(telling(&[]), Vec::new());
    }
}
