//! How the histories in the log of an object begin, and which of them go on from which.

use std::collections::BTreeMap;

use futures::future::join_all;
use hera_core::backup::log::{ALIVE, Index, Parent};
use hera_core::backup::{Failure, FailureReason, Paths};
use hera_store::Store;

use super::SHARD;
use crate::backup::log::stored;
use crate::backup::recovery::names::{self, Names};
use crate::backup::recovery::patient::patiently;
use crate::backup::{failed, files};

/// Files that come at once.
const AT_ONCE: usize = 16;

/// Each history with its first piece, and what it goes on from; none where no log is.
///
/// # Errors
/// Something cannot be understood, or the store does not answer.
pub async fn find(store: &Store, paths: &Paths) -> Result<Index, Failure> {
    let all = format!("{}/log", paths.root());
    let shards = patiently(|| store.folders(&all)).await?;
    if let Some(other) = shards.iter().find(|shard| *shard != SHARD) {
        let words = format!(
            "{all} has a log of shard {other}, of which this release knows nothing: nothing is removed"
        );
        return Err(failed(FailureReason::VersionIncompatible, words));
    }
    if shards.is_empty() {
        return Ok(Index::default());
    }
    let folder = paths.log(SHARD);
    let Names {
        pieces, children, ..
    } = names::beginnings(store, &folder).await?;
    let mut parents = BTreeMap::new();
    for lot in children.chunks(AT_ONCE) {
        let came = join_all(lot.iter().map(|id| parent(store, &folder, id))).await;
        for (id, parent) in lot.iter().zip(came) {
            if let Some(parent) = parent? {
                parents.insert(id.clone(), parent);
            }
        }
    }
    let alive = files::read(store, &format!("{folder}/{ALIVE}")).await?;
    Ok(Index::new(Vec::new(), pieces, parents, alive))
}

/// The latest time that any of it has, in milliseconds since 1970; 0 if there is none.
pub fn newest_unix_ms(index: &Index) -> u64 {
    let histories = index.histories.values();
    let times = histories.flat_map(|history| {
        let pieces = history.pieces.iter().map(|piece| piece.t0.max(piece.t1));
        pieces.chain(history.parent.as_ref().map(|parent| parent.unix_ms))
    });
    let alive = index.alive.as_ref().map(|alive| alive.unix_ms);
    times.chain(alive).max().unwrap_or(0)
}

async fn parent(store: &Store, folder: &str, id: &str) -> Result<Option<Parent>, Failure> {
    files::read(store, &stored::parent(folder, id)).await
}

#[cfg(test)]
mod tests {
    use hera_core::backup::log::{Alive, PieceName};

    use super::*;

    #[test]
    fn the_latest_time_of_a_log_may_stand_in_any_of_its_files() {
        let newest = |piece: u64, began: u64, alive: u64| {
            let piece = PieceName {
                id: "a".to_owned(),
                from: 0,
                to: 9,
                t0: 1,
                t1: piece,
            };
            let parent = Parent {
                v: 1,
                id: "a".to_owned(),
                at: 9,
                unix_ms: began,
            };
            let alive = Alive {
                v: 1,
                id: "b".to_owned(),
                offset: 9,
                read: 9,
                unix_ms: alive,
            };
            let parents = BTreeMap::from([("b".to_owned(), parent)]);
            newest_unix_ms(&Index::new(Vec::new(), [piece], parents, Some(alive)))
        };
        assert_eq!([newest(9, 2, 3), newest(2, 9, 3), newest(2, 3, 9)], [9; 3]);
        assert_eq!(newest_unix_ms(&Index::default()), 0);
    }
}
