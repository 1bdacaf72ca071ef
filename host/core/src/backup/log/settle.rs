//! Evidence in order: of several agents' clocks, and each offset without the noise before it.

use std::collections::BTreeMap;

use super::{Evidence, Mark, Quiet};

/// Evidence in order: offsets without noise, and times that rise with them. Marks and looks of one clock never
/// contradict one another. Where those of several do, each of the two says less than it did, so that less is covered:
/// - a look that was made after something behind it had been read is no later than that,
/// - what is behind a look was written no earlier than that look.
pub(super) fn settled(evidence: Evidence) -> Evidence {
    let quiet = joined(evidence.quiet);
    let clean = |mark: Mark| Mark {
        offset: without_noise(&quiet, mark.offset),
        ..mark
    };
    let mut marks: Vec<Mark> = evidence.marks.into_iter().map(clean).collect();
    let mut looks: Vec<Mark> = evidence.looks.into_iter().map(clean).collect();
    marks.sort_unstable();
    looks.sort_unstable();
    let lowered = lowered(&looks, &marks);
    raise(&mut marks, &looks);
    Evidence {
        marks: falling(marks),
        looks: rising(lowered),
        quiet,
    }
}

/// Where the noise begins that an offset is in; the offset itself if it is in none.
pub(super) fn without_noise(quiet: &[Quiet], offset: u64) -> u64 {
    let after = quiet.partition_point(|quiet| quiet.from < offset);
    let before = quiet.get(..after).and_then(<[Quiet]>::last);
    match before {
        Some(quiet) if offset <= quiet.to => quiet.from,
        _ => offset,
    }
}

/// Noise in order, and as one where it goes on.
fn joined(mut quiet: Vec<Quiet>) -> Vec<Quiet> {
    quiet.retain(|quiet| quiet.from < quiet.to);
    quiet.sort_unstable();
    let mut apart: Vec<Quiet> = Vec::new();
    for next in quiet {
        match apart.last_mut() {
            Some(before) if next.from <= before.to => before.to = before.to.max(next.to),
            _ => apart.push(next),
        }
    }
    apart
}

/// Looks that are no later than any mark behind them.
fn lowered(looks: &[Mark], marks: &[Mark]) -> Vec<Mark> {
    let mut behind = marks.iter().rev().peekable();
    let mut earliest = u64::MAX;
    let mut lowered: Vec<Mark> = Vec::new();
    for look in looks.iter().rev() {
        while let Some(mark) = behind.next_if(|mark| mark.offset > look.offset) {
            earliest = earliest.min(mark.unix_ms);
        }
        lowered.push(Mark {
            unix_ms: look.unix_ms.min(earliest),
            ..*look
        });
    }
    lowered.reverse();
    lowered
}

/// Lets no mark be earlier than a look before it.
fn raise(marks: &mut [Mark], looks: &[Mark]) {
    let mut before = looks.iter().peekable();
    let mut latest = 0;
    for mark in marks {
        while let Some(look) = before.next_if(|look| look.offset < mark.offset) {
            latest = latest.max(look.unix_ms);
        }
        mark.unix_ms = mark.unix_ms.max(latest);
    }
}

/// What had been written by a time had been written before it too: the earliest that holds for each offset.
fn falling(marks: Vec<Mark>) -> Vec<Mark> {
    let mut earliest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut time = u64::MAX;
    for mark in marks.into_iter().rev() {
        time = time.min(mark.unix_ms);
        earliest.insert(mark.offset, time);
    }
    of(earliest)
}

/// A look that is no later than one before it says nothing that this does not.
fn rising(looks: Vec<Mark>) -> Vec<Mark> {
    let mut latest: BTreeMap<u64, u64> = BTreeMap::new();
    let mut time = None;
    for look in looks {
        if time.is_none_or(|time| time < look.unix_ms) {
            time = Some(look.unix_ms);
            latest.insert(look.offset, look.unix_ms);
        }
    }
    of(latest)
}

fn of(times: BTreeMap<u64, u64>) -> Vec<Mark> {
    let mark = |(offset, unix_ms)| Mark { offset, unix_ms };
    times.into_iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(pairs: &[(u64, u64)]) -> Vec<Mark> {
        let mark = |&(offset, unix_ms): &(u64, u64)| Mark { offset, unix_ms };
        pairs.iter().map(mark).collect()
    }

    fn evidence(
        of_marks: &[(u64, u64)],
        of_looks: &[(u64, u64)],
        of_quiet: &[(u64, u64)],
    ) -> Evidence {
        let quiet = |&(from, to): &(u64, u64)| Quiet { from, to };
        settled(Evidence {
            marks: marks(of_marks),
            looks: marks(of_looks),
            quiet: of_quiet.iter().map(quiet).collect(),
        })
    }

    #[test]
    fn an_offset_in_noise_is_as_good_as_the_one_before_it() {
        let settled = evidence(
            &[(10, 100), (24, 150), (90, 200)],
            &[(24, 160)],
            &[(10, 24), (24, 38), (50, 50)],
        );
        assert_eq!(settled.marks, marks(&[(10, 100), (90, 200)]));
        assert_eq!(settled.looks, marks(&[(10, 160)]));
        assert_eq!(settled.quiet, [Quiet { from: 10, to: 38 }]);
        let clean = |offset| settled.without_noise(offset);
        assert_eq!([9, 10, 11, 38, 39].map(clean), [9, 10, 10, 10, 39]);
    }

    #[test]
    fn what_was_read_late_has_the_earlier_time_of_what_is_behind_it() {
        let settled = evidence(&[(10, 900), (20, 300), (20, 250), (30, 400)], &[], &[]);
        assert_eq!(settled.marks, marks(&[(10, 250), (20, 250), (30, 400)]));
    }

    #[test]
    fn clocks_that_contradict_one_another_cover_less() {
        // A clock that is 500 ahead looked at 10, one that is right read 20.
        let settled = evidence(&[(10, 600), (20, 200)], &[(10, 700)], &[]);
        assert_eq!(settled.marks, marks(&[(10, 600), (20, 700)]));
        assert_eq!(settled.looks, marks(&[(10, 200)]));
        assert!(settled.latest().is_some());
        let again = super::settled(settled.clone());
        assert_eq!(again, settled);
    }

    #[test]
    fn a_look_that_says_nothing_new_is_left_out() {
        let settled = evidence(&[], &[(10, 500), (20, 400), (30, 600), (30, 550)], &[]);
        assert_eq!(settled.looks, marks(&[(10, 500), (30, 600)]));
    }
}
