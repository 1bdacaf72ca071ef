//! Evidence as it comes while a stream is read.

use super::settle::settled;
use super::{Evidence, Mark, Quiet};

/// What is read within so many milliseconds has one mark.
const GRAIN_MS: u64 = 10;
/// A clock that is further back than this, in milliseconds, was wrong before: it is followed. One that is less far back
/// is waited for.
const STEP_MS: u64 = 3_600_000;

/// What was seen of a stream and is in no piece yet.
#[derive(Clone, Debug)]
pub struct EvidenceBuilder {
    /// In order; the first one is what the last piece ended with, so that each piece can be understood alone.
    marks: Vec<Mark>,
    looks: Vec<Mark>,
    quiet: Vec<Quiet>,
    /// Where the last write ends.
    written: u64,
    unix_ms: u64,
    /// The clock was set back, and is waited for.
    behind: bool,
    last_look: Option<Mark>,
}

impl EvidenceBuilder {
    /// Reading begins behind `at`, now. `stored_unix_ms` is the latest time that the store has of this history or its
    /// parent (0 if it has none): a clock that is a little behind it waits for it.
    pub fn new(at: u64, unix_ms: u64, stored_unix_ms: u64) -> Self {
        let unix_ms = after(stored_unix_ms, unix_ms);
        let mark = Mark {
            offset: at,
            unix_ms,
        };
        Self {
            marks: vec![mark],
            looks: Vec::new(),
            quiet: Vec::new(),
            written: at,
            unix_ms,
            behind: false,
            last_look: None,
        }
    }

    /// Bytes were read by now: whole commands up to `boundary`, of which the last that is no noise ends at `written`,
    /// as a [`Walker`](super::Walker) tells. To be called after each read, before [`Self::note_look`] of what that read
    /// brought.
    pub fn note_read(&mut self, written: u64, boundary: u64, unix_ms: u64) {
        self.unix_ms = after(self.unix_ms, unix_ms);
        self.behind = unix_ms < self.unix_ms;
        if written > self.written {
            self.mark(written);
        }
        if boundary > self.written {
            self.extend_quiet(boundary);
        }
    }

    /// The primary was asked at `asked_unix_ms` and answered by `answered_unix_ms` that it had written up to `offset`,
    /// which has been read since (the boundary is at or beyond it). Times are those of the clock, as they are.
    pub fn note_look(&mut self, offset: u64, asked_unix_ms: u64, answered_unix_ms: u64) {
        // Behind the last write is nothing but noise: it may go on for hours, and this stays one look.
        let offset = offset.min(self.written);
        if !self.behind {
            self.tighten(offset, answered_unix_ms);
        }
        let look = Mark {
            offset,
            unix_ms: asked_unix_ms,
        };
        match self.looks.last_mut() {
            Some(last) if last.offset == offset => last.unix_ms = last.unix_ms.max(asked_unix_ms),
            _ => self.looks.push(look),
        }
        // While a clock that was set back is waited for, no look says more than the last one.
        if self
            .last_look
            .is_none_or(|last| last.unix_ms < look.unix_ms)
        {
            self.last_look = Some(look);
        }
    }

    /// What belongs to a piece that ends at `to`; the rest stays. There is at least one mark in it.
    pub fn take_up_to(&mut self, to: u64) -> Evidence {
        let later = self.marks.partition_point(|mark| mark.offset <= to).max(1);
        let kept = self.marks.split_off(later.min(self.marks.len()));
        let marks = std::mem::take(&mut self.marks);
        self.marks.extend(marks.last().copied());
        self.marks.extend(kept);
        let looks = std::mem::take(&mut self.looks).into_iter();
        let (looks, kept) = looks.partition(|look| look.offset <= to);
        self.looks = kept;
        let quiet = std::mem::take(&mut self.quiet).into_iter();
        let (quiet, kept) = quiet.partition(|quiet| quiet.to <= to);
        self.quiet = kept;
        settled(Evidence {
            marks,
            looks,
            quiet,
        })
    }

    /// The latest look, whatever became of it: what [`Alive`](super::Alive) says once the store has all up to its
    /// offset.
    pub fn last_look(&self) -> Option<Mark> {
        self.last_look
    }

    /// A write ended here, now.
    fn mark(&mut self, written: u64) {
        let mark = Mark {
            offset: written,
            unix_ms: self.unix_ms,
        };
        let before = std::mem::replace(&mut self.written, written);
        let same_grain = |last: &Mark| last.unix_ms / GRAIN_MS == mark.unix_ms / GRAIN_MS;
        match self.marks.as_mut_slice() {
            [_, .., last] if same_grain(last) => {
                *last = mark;
                // As many stretches of noise as marks: a stream may have some after each write.
                if self.quiet.last().is_some_and(|quiet| quiet.from == before) {
                    self.quiet.pop();
                }
            }
            _ => self.marks.push(mark),
        }
    }

    /// Behind the last write is noise up to here.
    fn extend_quiet(&mut self, to: u64) {
        match self.quiet.last_mut() {
            Some(last) if last.from == self.written => last.to = to,
            _ => self.quiet.push(Quiet {
                from: self.written,
                to,
            }),
        }
    }

    /// What was written up to this offset had been written by this time, though it may have been read later.
    fn tighten(&mut self, offset: u64, unix_ms: u64) {
        let at = self.marks.partition_point(|mark| mark.offset < offset);
        let Some(before) = at.checked_sub(1).and_then(|at| self.marks.get(at)) else {
            return;
        };
        let mark = Mark {
            offset,
            unix_ms: unix_ms.max(before.unix_ms),
        };
        match self.marks.get_mut(at) {
            Some(same) if same.offset == offset => same.unix_ms = same.unix_ms.min(mark.unix_ms),
            Some(later) if later.unix_ms > mark.unix_ms => self.marks.insert(at, mark),
            _ => {}
        }
    }
}

/// The time after another one: no earlier, unless the clock was wrong.
fn after(last: u64, now: u64) -> u64 {
    if now.saturating_add(STEP_MS) < last {
        now
    } else {
        now.max(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(marks: &[Mark]) -> Vec<(u64, u64)> {
        let pair = |mark: &Mark| (mark.offset, mark.unix_ms);
        marks.iter().map(pair).collect()
    }

    #[test]
    fn what_is_read_within_ten_milliseconds_has_one_mark() {
        let mut builder = EvidenceBuilder::new(100, 1_000, 0);
        for (offset, unix_ms) in [(110, 1_001), (120, 1_003), (130, 1_009), (140, 1_010)] {
            builder.note_read(offset, offset, unix_ms);
        }
        let evidence = builder.take_up_to(140);
        let expected = [(100, 1_000), (130, 1_009), (140, 1_010)];
        assert_eq!(pairs(&evidence.marks), expected);
    }

    #[test]
    fn hours_of_noise_are_one_look() {
        let mut builder = EvidenceBuilder::new(100, 1_000, 0);
        builder.note_read(110, 110, 1_500);
        for second in 2..1_000 {
            builder.note_read(110, 110 + second, second * 1_000);
            builder.note_look(109 + second, second * 1_000 - 5, second * 1_000);
        }
        let evidence = builder.take_up_to(1_109);
        assert_eq!(pairs(&evidence.marks), [(100, 1_000), (110, 1_500)]);
        assert_eq!(pairs(&evidence.looks), [(110, 998_995)]);
        let noise = Quiet {
            from: 110,
            to: 1_109,
        };
        assert_eq!(evidence.quiet, [noise]);
        assert_eq!(builder.last_look().unwrap().unix_ms, 998_995);
    }

    #[test]
    fn each_piece_begins_with_the_mark_before_it() {
        let mut builder = EvidenceBuilder::new(100, 1_000, 0);
        builder.note_read(110, 110, 2_000);
        builder.note_look(110, 2_100, 2_101);
        builder.note_read(120, 120, 3_000);
        let first = builder.take_up_to(110);
        assert_eq!(pairs(&first.marks), [(100, 1_000), (110, 2_000)]);
        assert_eq!(pairs(&first.looks), [(110, 2_100)]);
        let second = builder.take_up_to(120);
        assert_eq!(pairs(&second.marks), [(110, 2_000), (120, 3_000)]);
        assert!(second.looks.is_empty());
        assert_eq!(pairs(&builder.take_up_to(130).marks), [(120, 3_000)]);
    }

    #[test]
    fn what_is_read_late_has_the_time_at_which_the_primary_told_of_it() {
        let mut builder = EvidenceBuilder::new(100, 1_000, 0);
        builder.note_read(150, 150, 9_000);
        builder.note_look(130, 5_000, 5_010);
        builder.note_look(150, 6_000, 6_010);
        let evidence = builder.take_up_to(150);
        let expected = [(100, 1_000), (130, 5_010), (150, 6_010)];
        assert_eq!(pairs(&evidence.marks), expected);
        assert_eq!(evidence.cut(5_500).unwrap().offset, 130);
    }

    #[test]
    fn a_clock_that_is_set_back_is_waited_for_unless_it_was_far_ahead() {
        let mut builder = EvidenceBuilder::new(100, 10_000, 11_000);
        builder.note_read(110, 110, 10_500);
        builder.note_read(120, 120, 12_000);
        builder.note_look(120, 12_000, 12_001);
        builder.note_read(130, 130, 11_000);
        builder.note_look(130, 11_000, 11_001);
        let evidence = builder.take_up_to(130);
        let expected = [(100, 11_000), (110, 11_000), (130, 12_000)];
        assert_eq!(pairs(&evidence.marks), expected);
        assert_eq!(pairs(&evidence.looks), [(120, 12_000)]);
        let far = EvidenceBuilder::new(100, 10_000, 10_000 + STEP_MS + 1);
        assert_eq!(far.unix_ms, 10_000);
    }
}
