//! Lists of slots as a question has them: ascending ranges that do not touch.

use crate::rebalance::SlotRange;

/// How many slots there are in them.
pub fn count(ranges: &[SlotRange]) -> u32 {
    ranges.iter().map(length).sum()
}

/// True if one of them has this slot.
pub fn contains(ranges: &[SlotRange], slot: u16) -> bool {
    ranges
        .iter()
        .any(|range| range.first <= slot && slot <= range.last)
}

/// This slot alone.
pub fn one(slot: u16) -> SlotRange {
    SlotRange {
        first: slot,
        last: slot,
    }
}

/// The first so many of them, or all.
pub fn first(ranges: &[SlotRange], mut count: u32) -> Vec<SlotRange> {
    let mut found = vec![];
    for range in ranges {
        let taken = length(range).min(count);
        count -= taken;
        if let Some(more) = taken.checked_sub(1) {
            let last = u32::from(range.first) + more;
            found.push(SlotRange {
                first: range.first,
                last: u16::try_from(last).unwrap_or(range.last),
            });
        }
    }
    found
}

/// Those that are not among the others, which may come in any order.
pub fn without(ranges: &[SlotRange], others: &[SlotRange]) -> Vec<SlotRange> {
    let mut left = ranges.to_vec();
    for other in others {
        let apart = |range: &SlotRange| other.last < range.first || range.last < other.first;
        if left.iter().all(apart) {
            continue;
        }
        let mut rest = Vec::with_capacity(left.len() + 1);
        for range in left {
            if apart(&range) {
                rest.push(range);
                continue;
            }
            if range.first < other.first {
                rest.push(SlotRange {
                    first: range.first,
                    last: other.first - 1,
                });
            }
            if other.last < range.last {
                rest.push(SlotRange {
                    first: other.last + 1,
                    last: range.last,
                });
            }
        }
        left = rest;
    }
    left
}

fn length(range: &SlotRange) -> u32 {
    u32::from(range.last.saturating_sub(range.first)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(u16, u16)]) -> Vec<SlotRange> {
        let range = |(first, last): &(u16, u16)| SlotRange {
            first: *first,
            last: *last,
        };
        of.iter().map(range).collect()
    }

    #[test]
    fn slots_are_counted_taken_and_left_out() {
        let all = ranges(&[(0, 9), (20, 20), (30, 39)]);
        assert_eq!(count(&all), 21);
        assert!(contains(&all, 20) && !contains(&all, 21));
        assert!(first(&all, 0).is_empty());
        assert!(first(&all, 11) == ranges(&[(0, 9), (20, 20)]));
        assert!(first(&all, 12) == ranges(&[(0, 9), (20, 20), (30, 30)]));
        assert!(first(&all, 99) == all);
        let left = without(&all, &ranges(&[(35, 50), (20, 20), (4, 5)]));
        assert!(left == ranges(&[(0, 3), (6, 9), (30, 34)]));
        assert!(without(&all, &all).is_empty());
    }
}
