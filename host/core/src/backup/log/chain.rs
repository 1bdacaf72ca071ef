//! From what the store has to what is loaded for an instant. In two steps, as names have no evidence: [`plan`] names
//! the pieces whose headers decide, [`Plan::cut`] takes what they say.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::evidence::{contains, nearest};
use super::track::Track;
use super::{Evidence, Index, NotCovered, PieceName, Until, eras};
use crate::backup::BaseManifest;

/// How far around the instant headers are read, in milliseconds: the next of these where the one before gave no answer
/// or not both nearest instants.
pub const AROUND_MS: [u64; 3] = [10_000, 600_000, u64::MAX];

/// What somebody wants to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The instant, in milliseconds since 1970; none for the latest that is covered, unless that is before a gap.
    pub unix_ms: Option<u64>,
    /// The history that ends there, instead of the one that went on.
    pub branch: Option<String>,
}

/// Nothing can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no log.
    #[error("the store has no log of it: name a backup, without an instant")]
    NoLog,
    /// There is no such history.
    #[error("the log has no history {id}: it has {}", .known.join(", "))]
    NoBranch {
        /// What was asked for.
        id: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no base that the log goes on from.
    #[error("the store has no base that its log goes on from: name a backup, without an instant")]
    NoBase,
}

/// What decides about an instant.
#[derive(Clone, Debug)]
pub struct Plan {
    unix_ms: Option<u64>,
    /// The newest one first.
    tracks: Vec<Track>,
}

/// What is loaded for an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log is loaded up to this offset.
    pub until: u64,
    /// The instant that this is, in milliseconds since 1970: the one that was asked for, or the latest.
    pub unix_ms: u64,
    /// From which base, and with which pieces: that of the newest base first. The others are for when that is damaged.
    /// At least one.
    pub loads: Vec<Load>,
}

/// A base and the log from it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The base.
    pub base: BaseManifest,
    /// The bytes behind its offset up to [`Cut::until`], in order, without a gap. Empty if the base has all.
    pub stretches: Vec<Stretch>,
}

/// Part of a log in one history: the bytes behind `from` up to and with `to`. Offsets go on from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The history.
    pub id: String,
    /// Offset before its first byte.
    pub from: u64,
    /// Offset with its last byte.
    pub to: u64,
    /// All pieces that have some of it, by their offsets. They overlap where several agents read.
    pub pieces: Vec<PieceName>,
}

/// What decides about an instant.
///
/// # Errors
/// There is nothing to decide about.
pub fn plan(index: &Index, wanted: &Wanted) -> Result<Plan, Refusal> {
    if index.histories.is_empty() {
        return Err(Refusal::NoLog);
    }
    let eras = match &wanted.branch {
        None => eras::all(index),
        Some(id) if index.histories.contains_key(id) => vec![eras::ending_with(index, id)],
        Some(id) => {
            return Err(Refusal::NoBranch {
                id: id.clone(),
                known: index.histories.keys().cloned().collect(),
            });
        }
    };
    let mut limit_ms = u64::MAX;
    let mut tracks = Vec::new();
    for era in eras {
        let begin_ms = era.begin_ms;
        tracks.push(Track::new(index, era, limit_ms));
        limit_ms = limit_ms.min(begin_ms);
    }
    if !tracks.iter().any(Track::has_base) {
        return Err(Refusal::NoBase);
    }
    Ok(Plan {
        unix_ms: wanted.unix_ms,
        tracks,
    })
}

impl Plan {
    /// The pieces whose headers are to be read, so far around the instant (one of [`AROUND_MS`]).
    pub fn headers(&self, around_ms: u64) -> Vec<PieceName> {
        let begun = |track: &Track| self.unix_ms.is_none_or(|unix_ms| track.begin_ms <= unix_ms);
        let of_instant = self.tracks.iter().position(begun);
        let of_instant = of_instant.unwrap_or(self.tracks.len());
        // Those beside it have the nearest instants, if it has none.
        let is_near = |at: usize| around_ms == u64::MAX || at.abs_diff(of_instant) <= 1;
        let tracks = self.tracks.iter().enumerate();
        let near = tracks.filter(|(at, _)| is_near(*at));
        let headers = near.flat_map(|(_, track)| track.headers(self.unix_ms, around_ms));
        let once: BTreeSet<PieceName> = headers.collect();
        once.into_iter().collect()
    }

    /// What is loaded, by the evidence in these headers. Headers that are missing never make a wrong answer, only none:
    /// the latest instant is told only if no other header may know a later one.
    ///
    /// # Errors
    /// The instant is not covered, or no base leads to it. The nearest instants are those that these headers know.
    pub fn cut(&self, headers: &BTreeMap<PieceName, Evidence>) -> Result<Cut, NotCovered> {
        let known = self.tracks.iter().map(|track| {
            let evidence = track.evidence(headers);
            let instants = track.instants(&evidence);
            (track, evidence, instants)
        });
        let known: Vec<Known<'_>> = known.collect();
        let found = match self.unix_ms {
            Some(unix_ms) => at(&known, unix_ms),
            None => latest(&known).filter(|cut| {
                // A header that was not read may know a later one.
                let newest = self.tracks.first();
                newest.is_some_and(|track| track.is_known_after(cut.unix_ms, headers))
            }),
        };
        found.ok_or_else(|| {
            let all = known.iter().flat_map(|(_, _, instants)| instants);
            let all: Vec<(u64, u64)> = all.copied().collect();
            nearest(&all, self.unix_ms.unwrap_or(u64::MAX))
        })
    }
}

/// An era, what is known of it, and the instants of it that can be loaded.
type Known<'a> = (&'a Track, Evidence, Vec<(u64, u64)>);

fn at(known: &[Known<'_>], unix_ms: u64) -> Option<Cut> {
    let has = |(_, _, instants): &&Known<'_>| contains(instants, unix_ms);
    let (track, evidence, _) = known.iter().find(has)?;
    let offset = evidence.until(unix_ms)?;
    cut(track, evidence, Until { offset, unix_ms })
}

/// Of the newest era only: what was before a gap may be old, and is to be asked for by its time.
fn latest(known: &[Known<'_>]) -> Option<Cut> {
    let (track, evidence, instants) = known.first()?;
    let until = evidence.latest_in(*instants.last()?)?;
    cut(track, evidence, until)
}

fn cut(track: &Track, evidence: &Evidence, until: Until) -> Option<Cut> {
    let loads = track.loads(evidence, until.offset);
    (!loads.is_empty()).then_some(Cut {
        until: until.offset,
        unix_ms: until.unix_ms,
        loads,
    })
}

impl Load {
    /// Bytes of the log that are loaded.
    pub fn log_bytes(&self) -> u64 {
        let bytes = self.stretches.iter();
        bytes
            .map(|stretch| stretch.to.saturating_sub(stretch.from))
            .sum()
    }
}

impl Stretch {
    /// The piece that has the byte behind `at` and the most after it, of those that are not `damaged`. None if there is
    /// none: that byte is lost.
    pub fn next(&self, at: u64, damaged: &BTreeSet<PieceName>) -> Option<&PieceName> {
        let pieces = self.pieces.iter();
        let fit = pieces.filter(|piece| piece.from <= at && at < piece.to);
        fit.filter(|piece| !damaged.contains(piece))
            .max_by_key(|piece| piece.to)
    }
}
