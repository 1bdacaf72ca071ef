//! What is known of when the bytes of a history were written, and of which instants that says all.

use thiserror::Error;

use super::settle::{settled, without_noise};

/// So long before an instant a write may have been acknowledged and not be in what is loaded for it; in milliseconds.
/// Looks come each second: one may be lost.
pub const SLACK_MS: u64 = 2_500;

/// An offset and a time that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// How much of the history.
    pub offset: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// Bytes of a history that write nothing: those behind `from` up to and with `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quiet {
    /// Offset before them.
    pub from: u64,
    /// Offset with the last of them.
    pub to: u64,
}

/// When bytes of a history were written. Its methods are about evidence in order: what [`Self::joined`] or a builder
/// gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// All bytes up to the offset had been written by then: upper bounds, each of which holds alone.
    pub marks: Vec<Mark>,
    /// Every write that was acknowledged before then is at or before the offset. Each holds alone too.
    pub looks: Vec<Mark>,
    /// Where nothing but noise is: an offset in it is as good as the one before it.
    pub quiet: Vec<Quiet>,
}

/// What of a history is of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Nothing up to this offset was written after the instant.
    pub offset: u64,
    /// The instant, in milliseconds since 1970: what was acknowledged [`SLACK_MS`] before it is at or before the
    /// offset.
    pub unix_ms: u64,
}

/// Nothing says what the data was at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Error)]
#[error("what is stored does not say what the data was at that instant")]
pub struct NotCovered {
    /// The nearest earlier instant that is covered, in milliseconds since 1970.
    pub before: Option<u64>,
    /// The nearest later one.
    pub after: Option<u64>,
}

impl Evidence {
    /// What several pieces of one history say together. Where clocks contradict one another, nothing is covered.
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.marks.extend(part.marks);
            all.looks.extend(part.looks);
            all.quiet.extend(part.quiet);
        }
        settled(all)
    }

    /// What of the history is of this instant.
    ///
    /// # Errors
    /// It is not covered.
    pub fn cut(&self, unix_ms: u64) -> Result<Until, NotCovered> {
        let covered = self.covered();
        let offset = self.until(unix_ms).filter(|_| contains(&covered, unix_ms));
        let until = offset.map(|offset| Until { offset, unix_ms });
        until.ok_or_else(|| nearest(&covered, unix_ms))
    }

    /// The latest instant that is covered.
    pub fn latest(&self) -> Option<Until> {
        self.latest_in(*self.covered().last()?)
    }

    /// The latest instant of an interval in which all are covered, without the slack: the instants of the slack after
    /// it have the same data.
    pub(super) fn latest_in(&self, (first, last): (u64, u64)) -> Option<Until> {
        let offset = self.until(last)?;
        let written = self.stamp(offset)?;
        let looked = last.saturating_sub(SLACK_MS);
        let unix_ms = written.max(looked).max(first);
        Some(Until { offset, unix_ms })
    }

    /// Where what was written up to an instant ends: the largest offset with a mark at or before it.
    pub fn until(&self, unix_ms: u64) -> Option<u64> {
        let end = self.marks.partition_point(|mark| mark.unix_ms <= unix_ms);
        let last = self.marks.get(..end)?.last()?;
        Some(last.offset)
    }

    /// The first instant at which [`Self::until`] is at or beyond this offset.
    pub fn stamp(&self, offset: u64) -> Option<u64> {
        let at = self.marks.partition_point(|mark| mark.offset < offset);
        self.marks.get(at).map(|mark| mark.unix_ms)
    }

    /// The instants that are covered: first and last of each interval, in order.
    pub fn covered(&self) -> Vec<(u64, u64)> {
        let intervals = self.looks.iter().filter_map(|look| {
            let first = self.stamp(look.offset)?;
            let last = look.unix_ms.saturating_add(SLACK_MS);
            (first <= last).then_some((first, last))
        });
        union(intervals)
    }

    /// The offset that this one is as good as: where the noise begins that it is in.
    pub(super) fn without_noise(&self, offset: u64) -> u64 {
        without_noise(&self.quiet, offset)
    }

    /// Time of the first mark: the first part of a piece's name.
    pub fn first_unix_ms(&self) -> Option<u64> {
        self.marks.first().map(|mark| mark.unix_ms)
    }

    /// The latest time in it.
    pub fn last_unix_ms(&self) -> Option<u64> {
        let times = self.marks.iter().chain(&self.looks);
        times.map(|mark| mark.unix_ms).max()
    }
}

/// True if the instant is in one of the intervals.
pub(super) fn contains(intervals: &[(u64, u64)], unix_ms: u64) -> bool {
    let mut intervals = intervals.iter();
    intervals.any(|(first, last)| (*first..=*last).contains(&unix_ms))
}

/// The instants nearest to one that is in none of the intervals.
pub(super) fn nearest(intervals: &[(u64, u64)], unix_ms: u64) -> NotCovered {
    let lasts = intervals.iter().map(|(_, last)| *last);
    let firsts = intervals.iter().map(|(first, _)| *first);
    NotCovered {
        before: lasts.filter(|last| *last < unix_ms).max(),
        after: firsts.filter(|first| *first > unix_ms).min(),
    }
}

/// The instants that are in any of the intervals: in order, and apart from one another.
pub(super) fn union(intervals: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut sorted: Vec<(u64, u64)> = intervals.into_iter().collect();
    sorted.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (first, last) in sorted {
        match apart.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    apart
}

/// The instants that are in an interval of both.
pub(super) fn shared(one: &[(u64, u64)], other: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let pairs = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| (one, other)));
    let shared = pairs.filter_map(|(one, other)| {
        let (first, last) = (one.0.max(other.0), one.1.min(other.1));
        (first <= last).then_some((first, last))
    });
    union(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(pairs: &[(u64, u64)]) -> Vec<Mark> {
        let mark = |&(offset, unix_ms): &(u64, u64)| Mark { offset, unix_ms };
        pairs.iter().map(mark).collect()
    }

    fn evidence(of_marks: &[(u64, u64)], of_looks: &[(u64, u64)]) -> Evidence {
        Evidence::joined([Evidence {
            marks: marks(of_marks),
            looks: marks(of_looks),
            quiet: Vec::new(),
        }])
    }

    fn refused(evidence: &Evidence, unix_ms: u64) -> (Option<u64>, Option<u64>) {
        let NotCovered { before, after } = evidence.cut(unix_ms).unwrap_err();
        (before, after)
    }

    #[test]
    fn an_instant_ends_with_the_last_mark_before_it() {
        let evidence = evidence(
            &[(0, 10_000), (50, 11_000), (90, 12_000)],
            &[(50, 11_500), (90, 12_500)],
        );
        let offset = |unix_ms| evidence.cut(unix_ms).unwrap().offset;
        assert_eq!(offset(11_000), 50);
        assert_eq!(offset(11_999), 50);
        assert_eq!(offset(12_000), 90);
        assert_eq!(offset(15_000), 90);
        assert_eq!(refused(&evidence, 15_001), (Some(15_000), None));
        assert_eq!(refused(&evidence, 10_500), (None, Some(11_000)));
        let latest = Until {
            offset: 90,
            unix_ms: 12_500,
        };
        assert_eq!(evidence.latest(), Some(latest));
    }

    #[test]
    fn marks_alone_cover_nothing_as_the_reader_may_have_been_cut_off() {
        let alone = evidence(&[(0, 10_000), (50, 11_000)], &[]);
        assert_eq!(refused(&alone, 11_000), (None, None));
        assert_eq!(alone.latest(), None);
        assert_eq!(Evidence::default().latest(), None);
    }

    #[test]
    fn what_was_read_later_than_the_slack_covers_nothing() {
        let late = evidence(&[(0, 10_000), (50, 14_000)], &[(0, 10_000), (50, 11_000)]);
        assert_eq!(late.covered(), [(10_000, 12_500)]);
        assert_eq!(refused(&late, 13_000), (Some(12_500), None));
    }

    #[test]
    fn what_another_agent_read_in_time_counts_for_what_one_read_late() {
        let late = evidence(&[(20, 20_000), (90, 20_000)], &[(90, 20_100)]);
        let timely = evidence(&[(20, 11_000), (50, 12_000)], &[(50, 12_000)]);
        let both = Evidence::joined([late, timely]);
        assert_eq!(both.cut(11_500).unwrap_err().after, Some(12_000));
        assert_eq!(both.cut(12_000).unwrap().offset, 50);
        assert_eq!(both.cut(20_000).unwrap().offset, 90);
    }

    #[test]
    fn intervals_join_where_they_touch() {
        assert_eq!(union([(5, 6), (1, 2), (3, 4), (8, 9)]), [(1, 6), (8, 9)]);
        assert_eq!(shared(&[(1, 5), (8, 9)], &[(4, 8)]), [(4, 5), (8, 8)]);
    }
}
