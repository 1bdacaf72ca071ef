//! Lines of histories, each of which goes on from the one before: from which base on each is needed.

use super::{BESIDE_MS, HeldBase};
use crate::backup::log::Index;
use crate::backup::log::eras::{Era, Stage, ending_with};

/// What of a line is needed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    /// The instants since then, in milliseconds since 1970, on any base.
    Since(u64),
    /// What is behind the bases that stay by themselves, the oldest of which was taken about then.
    FromOldest(u64),
}

/// A line, as far as it is needed.
pub(super) struct Line<'a> {
    stages: Vec<Stage>,
    /// By how much they have.
    bases: Vec<&'a HeldBase>,
    /// None: all of the log of this line stays.
    begin: Option<Begin>,
}

/// From where on a line is needed.
struct Begin {
    stage: usize,
    offset: u64,
    unix_ms: u64,
}

/// How much of a history a line needs.
pub(super) enum Part {
    /// All of it, or more than is known.
    All,
    /// What is behind an offset.
    Behind(u64, u64),
    /// Nothing that is older than a time.
    Nothing(u64),
}

/// The lines that have something of the span, and those that end with one of `leaves`: each history is the end of one.
pub(super) fn all<'a>(
    index: &Index,
    leaves: &[String],
    bases: &'a [HeldBase],
    pinned: &[&'a HeldBase],
    span: Span,
) -> Vec<Line<'a>> {
    let since_ms = span.since_ms();
    let lasts = |id: &str| index.last_unix_ms(id).is_some_and(|last| last >= since_ms);
    let ids = index.histories.keys();
    let ids = ids.filter(|id| leaves.contains(id) || lasts(id));
    ids.map(|id| {
        let Era { stages, .. } = ending_with(index, id);
        match span {
            Span::Since(since_ms) => Line::since(stages, bases, since_ms),
            Span::FromOldest(_) => Line::from_oldest(stages, pinned),
        }
    })
    .collect()
}

impl Span {
    /// What was over by then is not part of it, in milliseconds since 1970.
    pub fn since_ms(self) -> u64 {
        match self {
            Self::Since(since_ms) | Self::FromOldest(since_ms) => since_ms,
        }
    }
}

impl<'a> Line<'a> {
    /// With the newest base that was taken by then, and those that have more.
    fn since(stages: Vec<Stage>, bases: &'a [HeldBase], since_ms: u64) -> Self {
        let mut on_line = on(&stages, bases);
        // One that has less and was taken later shows that clocks differ: then none behind it counts as older.
        let old = on_line
            .iter()
            .take_while(|(_, base)| base.taken_unix_ms <= since_ms)
            .count();
        let later = on_line.split_off(old.saturating_sub(1));
        Self::with(stages, later, old > 0)
    }

    fn from_oldest(stages: Vec<Stage>, pinned: &[&'a HeldBase]) -> Self {
        let on_line = on(&stages, pinned.iter().copied());
        let has_any = !on_line.is_empty();
        Self::with(stages, on_line, has_any)
    }

    fn with(stages: Vec<Stage>, on_line: Vec<(usize, &'a HeldBase)>, has_begin: bool) -> Self {
        let taken = on_line.iter().map(|(_, base)| base.taken_unix_ms).min();
        let first = on_line.first().filter(|_| has_begin);
        let begin = first.map(|(stage, base)| Begin {
            stage: *stage,
            offset: base.offset,
            unix_ms: taken.unwrap_or(0).saturating_sub(BESIDE_MS),
        });
        Self {
            stages,
            bases: on_line.into_iter().map(|(_, base)| base).collect(),
            begin,
        }
    }

    /// The bases that it needs.
    pub fn needed(&self) -> impl Iterator<Item = &'a HeldBase> {
        self.bases.iter().copied()
    }

    /// What it needs of a history; none if it has nothing of that.
    pub fn part(&self, id: &str) -> Option<Part> {
        let at = self.stages.iter().position(|stage| stage.id == id)?;
        let to = self.stages.get(at)?.to;
        let Some(begin) = &self.begin else {
            return Some(Part::All);
        };
        // Without this history, a base of an earlier one would not be part of the line.
        let leads = begin.stage < at;
        Some(match leads || begin.offset < to {
            true => Part::Behind(begin.offset, begin.unix_ms),
            false => Part::Nothing(begin.unix_ms),
        })
    }
}

/// The bases of a line, by how much they have, each with the stage that it is of.
fn on<'a>(
    stages: &[Stage],
    bases: impl IntoIterator<Item = &'a HeldBase>,
) -> Vec<(usize, &'a HeldBase)> {
    let on_line = bases.into_iter().filter_map(|base| {
        let at = stages.iter().position(|stage| stage.id == base.id)?;
        let stage = stages.get(at)?;
        (base.offset <= stage.to).then_some((at, base))
    });
    let mut on_line: Vec<(usize, &HeldBase)> = on_line.collect();
    on_line.sort_by_key(|(stage, base)| (base.offset, *stage, base.taken_unix_ms));
    on_line
}
