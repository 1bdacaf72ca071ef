//! An era with what the store has of it: which instants can be loaded, and from what.

use std::collections::BTreeMap;

use super::chain::{Load, Stretch};
use super::eras::{Era, Stage};
use super::evidence::{shared, union};
use super::{Alive, Evidence, Index, Mark, PieceName, Quiet};
use crate::backup::BaseManifest;

/// So many pieces before and after the one that decides are looked at too.
const BESIDE: usize = 2;

/// An era with what the store has of it.
#[derive(Clone, Debug)]
pub(super) struct Track {
    stages: Vec<Stage>,
    /// When it began.
    pub begin_ms: u64,
    /// When the next one began: this one says nothing of what was then.
    limit_ms: u64,
    /// By their offsets.
    pieces: Vec<Usable>,
    /// The one with the most of the log first.
    bases: Vec<BaseManifest>,
    alive: Option<Alive>,
}

/// What of a piece is part of an era.
#[derive(Clone, Debug)]
struct Usable {
    name: PieceName,
    to: u64,
    /// Which of the histories it is of.
    stage: usize,
}

impl Track {
    /// What the store has of an era that was over by `limit_ms`.
    pub fn new(index: &Index, era: Era, limit_ms: u64) -> Self {
        let Era { stages, begin_ms } = era;
        let mut pieces = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let history = index.histories.get(&stage.id);
            let of_stage = history.map(|history| history.pieces.as_slice());
            let of_stage = of_stage.unwrap_or_default().iter();
            let usable = of_stage.filter(|name| name.from < stage.to);
            pieces.extend(usable.map(|name| Usable {
                name: name.clone(),
                to: name.to.min(stage.to),
                stage: at,
            }));
        }
        pieces.sort_by_key(|piece| (piece.name.from, piece.to));
        let has = |id: &str, offset: u64| {
            let mut stages = stages.iter();
            stages.any(|stage| stage.id == id && offset <= stage.to)
        };
        let bases = index.bases.iter();
        let bases = bases.filter(|base| has(&base.replication_id, base.offset));
        let mut bases: Vec<BaseManifest> = bases.cloned().collect();
        bases.sort_by_key(|base| std::cmp::Reverse((base.offset, base.taken_unix_ms)));
        let alive = index.alive.clone();
        Self {
            alive: alive.filter(|alive| has(&alive.id, alive.offset)),
            stages,
            begin_ms,
            limit_ms,
            pieces,
            bases,
        }
    }

    /// True if there is anything to begin with.
    pub fn has_base(&self) -> bool {
        !self.bases.is_empty()
    }

    /// The pieces whose headers say what was so far around an instant, or around its end.
    pub fn headers(&self, unix_ms: Option<u64>, around_ms: u64) -> Vec<PieceName> {
        let ends = self.pieces.iter().map(|piece| piece.name.t1);
        let Some(unix_ms) = unix_ms.or(ends.max()) else {
            return Vec::new();
        };
        // Each piece begins with the mark before it, so the last one that had begun by then decides.
        let begun = |piece: &Usable| piece.name.t0 <= unix_ms;
        let last = self.pieces.iter().rposition(begun).unwrap_or(0);
        let decides = self.pieces.get(last);
        let near = unix_ms.saturating_sub(around_ms)..=unix_ms.saturating_add(around_ms);
        let is_wanted = |at: usize, piece: &Usable| {
            let overlaps = decides.is_some_and(|decides| {
                piece.name.from < decides.to && piece.to > decides.name.from
            });
            at.abs_diff(last) <= BESIDE || overlaps || near.contains(&piece.name.t0)
        };
        let pieces = self.pieces.iter().enumerate();
        let wanted = pieces.filter(|(at, piece)| is_wanted(*at, piece));
        wanted.map(|(_, piece)| piece.name.clone()).collect()
    }

    /// True if these headers are all that may say something of later instants of this era.
    pub fn is_known_after(&self, unix_ms: u64, headers: &BTreeMap<PieceName, Evidence>) -> bool {
        let mut names = self.pieces.iter().map(|piece| &piece.name);
        names.all(|name| name.t1 <= unix_ms || headers.contains_key(name))
    }

    /// What these headers say, and what bases and `alive.json` do.
    pub fn evidence(&self, headers: &BTreeMap<PieceName, Evidence>) -> Evidence {
        let of_pieces = self.pieces.iter().filter_map(|piece| {
            let evidence = headers.get(&piece.name)?.clone();
            Some(part(evidence, self.stages.get(piece.stage)?))
        });
        let bases = self.bases.iter().map(|base| Mark {
            offset: base.offset,
            unix_ms: base.taken_unix_ms,
        });
        let of_bases = Evidence {
            marks: bases.collect(),
            ..Evidence::default()
        };
        let of_alive = self.alive.as_ref().and_then(|alive| {
            let stage = self.stages.iter().find(|stage| stage.id == alive.id)?;
            Some(part(by(alive), stage))
        });
        Evidence::joined(of_pieces.chain([of_bases]).chain(of_alive))
    }

    /// The instants that can be loaded, by this evidence: they are covered, and a base leads to them without a gap.
    pub fn instants(&self, evidence: &Evidence) -> Vec<(u64, u64)> {
        let reached = self.bases.iter().filter_map(|base| {
            let first = evidence.stamp(evidence.without_noise(base.offset))?;
            let beyond = evidence.stamp(self.end_of_run(base.offset).saturating_add(1));
            let last = beyond.map_or(Some(u64::MAX), |beyond| beyond.checked_sub(1))?;
            Some((first, last.min(self.limit_ms.checked_sub(1)?)))
        });
        let reached = reached.filter(|(first, last)| first <= last);
        shared(&evidence.covered(), &union(reached))
    }

    /// The bases that lead to an offset without a gap, each with what comes after it.
    pub fn loads(&self, evidence: &Evidence, until: u64) -> Vec<Load> {
        let leads = |base: &&BaseManifest| {
            let begins = evidence.without_noise(base.offset);
            begins <= until && until <= self.end_of_run(base.offset)
        };
        let bases = self.bases.iter().filter(leads);
        let load = |base: &BaseManifest| Load {
            base: base.clone(),
            stretches: self.stretches(base.offset, until),
        };
        bases.map(load).collect()
    }

    /// How far the pieces go on from an offset without a gap.
    fn end_of_run(&self, offset: u64) -> u64 {
        let mut end = offset;
        for piece in &self.pieces {
            if piece.name.from > end {
                break;
            }
            end = end.max(piece.to);
        }
        end
    }

    fn stretches(&self, from: u64, until: u64) -> Vec<Stretch> {
        let mut from = from;
        let mut stretches = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            let to = until.min(stage.to);
            if from >= to {
                continue;
            }
            // What a later history has of it is the same.
            let pieces = self
                .pieces
                .iter()
                .filter(|piece| piece.stage >= at && piece.name.from < to && piece.to > from);
            stretches.push(Stretch {
                id: stage.id.clone(),
                from,
                to,
                pieces: pieces.map(|piece| piece.name.clone()).collect(),
            });
            from = to;
        }
        stretches
    }
}

/// What of the evidence about a history counts for an era.
fn part(evidence: Evidence, stage: &Stage) -> Evidence {
    let Evidence {
        mut marks,
        mut looks,
        mut quiet,
    } = evidence;
    marks.retain(|mark| mark.offset <= stage.to);
    looks.retain(|look| look.offset <= stage.to && look.unix_ms <= stage.until_ms);
    for quiet in &mut quiet {
        quiet.to = quiet.to.min(stage.to);
    }
    Evidence {
        marks,
        looks,
        quiet,
    }
}

/// What `alive.json` says.
fn by(alive: &Alive) -> Evidence {
    let look = Mark {
        offset: alive.offset,
        unix_ms: alive.unix_ms,
    };
    let quiet = Quiet {
        from: alive.offset,
        to: alive.read,
    };
    Evidence {
        marks: Vec::new(),
        looks: vec![look],
        quiet: vec![quiet],
    }
}
