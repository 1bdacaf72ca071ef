//! What stays in a store, so that every instant of the recovery window can be had, and what may go. Operator and agent
//! both evaluate it; only what both let go is deleted.

mod backups;
mod going;
mod lines;
mod queue;

use std::collections::{BTreeMap, BTreeSet};

pub use backups::needed_simple;
pub use going::Going;
use thiserror::Error;

use self::lines::{Line, Span};
use self::queue::Queue;
use super::Keep;
use super::log::{Alive, Index, Parent, PieceName};

/// So much before what is needed stays too, in milliseconds: what a piece says of when bytes were written matters for
/// what is behind it, and clocks differ.
pub const BESIDE_MS: u64 = 600_000;
/// A base without a backup may get one within this, in milliseconds.
const MADE_MS: u64 = 86_400_000;
/// Clocks may differ by so much, in milliseconds.
const CLOCKS_MS: u64 = 60_000;

/// A base in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBase {
    /// [`BaseManifest::path`](super::BaseManifest::path).
    pub path: String,
    /// [`BaseManifest::replication_id`](super::BaseManifest::replication_id).
    pub id: String,
    /// How much of that history it has.
    pub offset: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_unix_ms: u64,
    /// The backup that it is part of; none while there is none.
    pub backup: Option<String>,
}

/// A log, without a list of all its files. It has every history of which there is a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// Its histories.
    pub histories: BTreeMap<String, Head>,
    /// `alive.json`.
    pub alive: Option<Alive>,
    /// What a server of the shard has now: its `master_replid`, and then its `master_replid2`. The log goes on from the
    /// first of them of which there is a folder. Empty if no server tells.
    pub server: Vec<String>,
}

/// What is known of a history without a list of all its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its first pieces, by their offsets: as many as a store tells in one answer. They tell when it began.
    pub first: Vec<PieceName>,
    /// Its last pieces, by their offsets: four at least, if it has as many. They tell when it ended, so without them it
    /// counts as over though it may not be. They may be among the first.
    pub last: Vec<PieceName>,
    /// What it goes on from.
    pub parent: Option<Parent>,
}

/// What stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// [`HeldBase::path`] of those that stay.
    pub bases: BTreeSet<String>,
    /// The backups that stay: all those of which a base does.
    pub backups: BTreeSet<String>,
    /// What stays of each history.
    pub floors: BTreeMap<String, Floor>,
    /// All histories, in the order in which they are swept: the oldest lines first, and each from its beginning.
    /// Nothing of a history goes while one before it is in the store still, even if a sweep ends half way: what is left
    /// is then understood as before.
    pub order: Vec<String>,
    /// The earliest instant that can be recovered, as far as names tell, in milliseconds since 1970.
    pub first_unix_ms: Option<u64>,
}

/// What stays of a history. [`Self::goes`] says which pieces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Every piece.
    All,
    /// What is behind an offset, or is not older than a time. The last piece stays in any case.
    From {
        /// The bytes behind it are needed.
        offset: u64,
        /// A piece whose latest time is this or later stays, in milliseconds since 1970.
        unix_ms: u64,
    },
    /// Nothing, if all of its pieces are older: then the whole of it goes. First `alive.json`, if that names this
    /// history; then its pieces as [`Self::goes`] says, then all else in its folder, `parent.json` last.
    Nothing {
        /// A piece whose latest time is this or later keeps all of it, in milliseconds since 1970.
        before_unix_ms: u64,
    },
}

/// It cannot be told what is needed: nothing may go.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Doubt {
    /// The clock is behind, or that of who stored was ahead.
    #[error(
        "the clock is {seconds} s behind the newest of what is stored, so how old that is cannot be told: nothing is \
         deleted before clocks agree"
    )]
    ClockBehind {
        /// By so much.
        seconds: u64,
    },
    /// Histories go on from one another.
    #[error(
        "history {id} goes on from itself by what its parent.json and those of others say: nothing is deleted while \
         they are there"
    )]
    Circle {
        /// One of them.
        id: String,
    },
}

/// What stays of the bases and the log of a shard. `heads` is empty where there is no log. `kept` are backups that stay
/// whatever their age. `now_unix_ms`: the clock, in milliseconds since 1970.
///
/// # Guarantees
///
/// With [`Keep::for_ms`], what can be recovered to an instant of so long before now, on any branch, can still be once
/// all else is gone, and gives the same. Without it, of the log nothing goes behind the oldest backup that stays. The
/// last backup stays in any case, and so does the end of the newest history: who keeps the log goes on from there.
///
/// # Errors
///
/// [`Doubt`]: nothing may go.
pub fn needed(
    bases: &[HeldBase],
    heads: &Heads,
    keep: &Keep,
    kept: &BTreeSet<String>,
    now_unix_ms: u64,
) -> Result<Needed, Doubt> {
    let index = heads.index();
    let of_bases = bases.iter().map(|base| base.taken_unix_ms);
    let of_log = index.histories.keys();
    let of_log = of_log.filter_map(|id| index.last_unix_ms(id));
    check_clock(of_bases.chain(of_log), now_unix_ms)?;
    check_circles(&index)?;

    let mut backups = backups::stay(&held(bases), keep, kept, now_unix_ms);
    let pinned = of_backups(bases, &backups);
    let span = match keep.for_ms {
        Some(for_ms) => {
            let begins = now_unix_ms.saturating_sub(for_ms);
            Span::Since(begins.saturating_sub(BESIDE_MS))
        }
        None => Span::FromOldest(oldest(&pinned).unwrap_or(0).saturating_sub(BESIDE_MS)),
    };
    let queue = Queue::new(&index, &heads.server);
    let lines = lines::all(&index, queue.leaves(), bases, &pinned, span);
    let on_lines: Vec<&HeldBase> = lines.iter().flat_map(Line::needed).collect();

    backups.extend(on_lines.iter().filter_map(|base| base.backup.clone()));
    let is_made = |base: &&HeldBase| {
        base.backup.is_none() && base.taken_unix_ms > now_unix_ms.saturating_sub(MADE_MS)
    };
    let stay = of_backups(bases, &backups);
    let first = oldest(&on_lines).or(oldest(&stay));
    let stay = stay.into_iter().chain(on_lines.iter().copied());
    let stay = stay.chain(bases.iter().filter(is_made));
    Ok(Needed {
        bases: stay.map(|base| base.path.clone()).collect(),
        backups,
        floors: queue.floors(&index, &lines, span),
        order: queue.into_order(),
        first_unix_ms: first,
    })
}

/// What stays if of the backups that may go only those `named` do: what [`needed`] says, and all others as if somebody
/// kept them. Where no window says how much of the log stays, it stays from the oldest of them on.
///
/// # Errors
///
/// [`Doubt`]: nothing may go.
pub fn needed_without(
    named: &BTreeSet<String>,
    bases: &[HeldBase],
    heads: &Heads,
    keep: &Keep,
    kept: &BTreeSet<String>,
    now_unix_ms: u64,
) -> Result<Needed, Doubt> {
    let others = bases.iter().filter_map(|base| base.backup.as_ref());
    let others = others.filter(|id| !named.contains(*id));
    let kept = kept.iter().chain(others).cloned().collect();
    needed(bases, heads, keep, &kept, now_unix_ms)
}

impl Heads {
    /// What is known of it, as an index.
    fn index(&self) -> Index {
        let histories = self.histories.values();
        let pieces = histories.flat_map(|head| head.first.iter().chain(&head.last).cloned());
        let parents = self.histories.iter().filter_map(|(id, head)| {
            let parent = head.parent.clone()?;
            Some((id.clone(), parent))
        });
        let (pieces, parents) = (pieces.collect::<Vec<_>>(), parents.collect());
        let mut index = Index::new(Vec::new(), pieces, parents, self.alive.clone());
        // A folder may have neither, as that of one that is half deleted.
        for id in self.histories.keys() {
            index.histories.entry(id.clone()).or_default();
        }
        index
    }
}

/// When the backups were taken that there are: the last base of each counts.
fn held(bases: &[HeldBase]) -> Vec<(String, u64)> {
    let mut held: BTreeMap<String, u64> = BTreeMap::new();
    for base in bases {
        if let Some(backup) = &base.backup {
            let taken = held.entry(backup.clone()).or_default();
            *taken = base.taken_unix_ms.max(*taken);
        }
    }
    held.into_iter().collect()
}

fn of_backups<'a>(bases: &'a [HeldBase], backups: &BTreeSet<String>) -> Vec<&'a HeldBase> {
    let is_of = |base: &&HeldBase| base.backup.as_ref().is_some_and(|id| backups.contains(id));
    bases.iter().filter(is_of).collect()
}

fn oldest(bases: &[&HeldBase]) -> Option<u64> {
    bases.iter().map(|base| base.taken_unix_ms).min()
}

fn check_clock(times: impl Iterator<Item = u64>, now_unix_ms: u64) -> Result<(), Doubt> {
    let behind_ms = times.max().unwrap_or(0).saturating_sub(now_unix_ms);
    match behind_ms > CLOCKS_MS {
        true => Err(Doubt::ClockBehind {
            seconds: behind_ms / 1_000,
        }),
        false => Ok(()),
    }
}

fn check_circles(index: &Index) -> Result<(), Doubt> {
    for id in index.histories.keys() {
        let mut seen = BTreeSet::new();
        let mut next = Some(id);
        while let Some(id) = next {
            if !seen.insert(id) {
                return Err(Doubt::Circle { id: id.clone() });
            }
            let history = index.histories.get(id);
            let parent = history.and_then(|history| history.parent.as_ref());
            next = parent.map(|parent| &parent.id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
