//! Which pieces of a history go.

use super::Floor;
use crate::backup::log::PieceName;

/// What goes of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Going {
    /// These pieces, in the order in which they go: the last of them once all others are gone.
    pub pieces: Vec<PieceName>,
    /// Once they are gone, nothing is left of it but what tells of it: that goes then, and what comes behind it in
    /// [`Needed::order`](super::Needed::order) is swept next. If it is false, nothing behind it is.
    pub is_whole: bool,
}

impl Floor {
    /// What goes of a history with these pieces: its first ones, by their offsets, and no others if `are_all`. Where
    /// they are not all, those behind them are looked at once these are gone.
    pub fn goes(&self, pieces: &[PieceName], are_all: bool) -> Going {
        match *self {
            Self::All => Going::default(),
            Self::From { offset, unix_ms } => Going {
                pieces: before(pieces, offset, unix_ms),
                is_whole: false,
            },
            Self::Nothing { before_unix_ms } => all_of(pieces, are_all, before_unix_ms),
        }
    }

    /// Whether some of these pieces may go once those behind them are known too, though none of them does by
    /// themselves: a write behind long noise leaves that behind.
    pub fn may_go_on(&self, pieces: &[PieceName]) -> bool {
        let Self::From { offset, .. } = *self else {
            return false;
        };
        pieces.last().is_some_and(|last| last.from < offset)
    }
}

/// Those whose bytes all are before an offset, and that are older than a time; without a hole between those that stay.
fn before(pieces: &[PieceName], offset: u64, unix_ms: u64) -> Vec<PieceName> {
    // Of the last one it is not known what lies behind it.
    let Some(last) = pieces.iter().map(|piece| piece.from).max() else {
        return Vec::new();
    };
    let offset = offset.min(last);
    let stays = |piece: &&PieceName| piece.to > offset || piece.t1 >= unix_ms;
    // Each begins with the time of the last write before it. If that is long ago, all since is noise, and that it is
    // must be known still: else nobody would seem to have looked at what was written then.
    let written = pieces.iter().filter(stays).map(|piece| piece.t0).min();
    let unix_ms = written.map_or(unix_ms, |written| written.min(unix_ms));
    let late = pieces.iter().filter(|piece| piece.t1 >= unix_ms);
    let end = late.map(|piece| piece.from).chain([offset]).min();
    let end = end.unwrap_or(offset);
    let mut going: Vec<&PieceName> = pieces.iter().filter(|piece| piece.to <= end).collect();
    // The newest of them stays: it tells that the history is older than what began since.
    let newest = going.iter().map(|piece| piece.to).max();
    if let Some(at) = going.iter().position(|piece| Some(piece.to) == newest) {
        going.remove(at);
    }
    going.into_iter().cloned().collect()
}

fn all_of(pieces: &[PieceName], are_all: bool, before_unix_ms: u64) -> Going {
    if pieces.iter().any(|piece| piece.t1 >= before_unix_ms) {
        return Going::default();
    }
    // The first one tells when it began, so it goes last.
    let Some((first, rest)) = pieces.split_first() else {
        return Going {
            pieces: Vec::new(),
            is_whole: are_all,
        };
    };
    let first = are_all.then_some(first);
    Going {
        pieces: rest.iter().chain(first).cloned().collect(),
        is_whole: are_all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From, to, and the latest time.
    type Piece = (u64, u64, u64);

    fn goes(floor: Floor, pieces: &[Piece], are_all: bool) -> (Vec<Piece>, bool) {
        let name = |&(from, to, t1): &Piece| PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0: t1,
            t1,
        };
        let names: Vec<PieceName> = pieces.iter().map(name).collect();
        let Going { pieces, is_whole } = floor.goes(&names, are_all);
        let going = pieces.iter().map(|piece| (piece.from, piece.to, piece.t1));
        (going.collect(), is_whole)
    }

    fn from(offset: u64, pieces: &[Piece]) -> Vec<Piece> {
        let floor = Floor::From {
            offset,
            unix_ms: 50,
        };
        goes(floor, pieces, true).0
    }

    const NONE: [Piece; 0] = [];
    const ROW: [Piece; 4] = [(0, 10, 1), (10, 20, 2), (20, 30, 3), (30, 40, 4)];

    #[test]
    fn what_is_before_the_offset_goes_but_for_one() {
        assert_eq!(from(30, &ROW), ROW[..2]);
        assert_eq!(from(29, &ROW), ROW[..1]);
        assert_eq!(from(19, &ROW), NONE);
        assert_eq!(from(0, &ROW), NONE);
        assert_eq!(from(u64::MAX, &ROW), ROW[..2], "the last one stays");
        assert_eq!(from(u64::MAX, &[]), NONE);
        assert_eq!(goes(Floor::All, &ROW, true), (vec![], false));
    }

    #[test]
    fn what_is_not_old_enough_keeps_all_that_is_beside_it_or_behind_it() {
        let late = [
            (0, 10, 1),
            (10, 20, 1),
            (15, 18, 99),
            (20, 30, 3),
            (30, 40, 4),
        ];
        assert_eq!(from(40, &late), NONE);
        assert_eq!(from(40, &late[3..]), NONE);
        let later = [(0, 10, 1), (10, 20, 1), (20, 30, 50), (30, 40, 4)];
        assert_eq!(from(40, &later), later[..1]);
    }

    #[test]
    fn those_that_stay_have_all_without_a_hole() {
        let overlapping = [(0, 90, 1), (10, 20, 2), (85, 95, 3), (95, 99, 4)];
        assert_eq!(from(94, &overlapping), NONE);
        assert_eq!(from(95, &overlapping), overlapping[..2]);
    }

    #[test]
    fn noise_stays_as_far_back_as_the_last_write_before_it() {
        let piece = |(from, to, t0, t1)| PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0,
            t1,
        };
        // Nothing was written since 10, and somebody looked all the time.
        let pieces = [
            (0, 10, 1, 2),
            (10, 20, 2, 5),
            (20, 38, 5, 10),
            (38, 80, 10, 20),
            (80, 120, 10, 30),
            (120, 130, 30, 31),
        ];
        let pieces = pieces.map(piece);
        let floor = Floor::From {
            offset: 80,
            unix_ms: 50,
        };
        assert_eq!(floor.goes(&pieces, true).pieces, pieces[..1]);
        let later = Floor::From {
            offset: 125,
            unix_ms: 50,
        };
        assert_eq!(later.goes(&pieces, true).pieces, pieces[..3]);
    }

    #[test]
    fn long_noise_goes_once_a_write_behind_it_is_known() {
        let piece = |(from, to, t0, t1)| PieceName {
            id: "a".to_owned(),
            from,
            to,
            t0,
            t1,
        };
        // Published, and not written, from 3 to 8.
        let pieces = [
            (0, 10, 1, 3),
            (10, 20, 3, 5),
            (20, 30, 3, 6),
            (30, 40, 3, 7),
            (40, 50, 3, 8),
            (50, 60, 9, 10),
            (60, 70, 11, 12),
        ];
        let pieces = pieces.map(piece);
        let floor = Floor::From {
            offset: 62,
            unix_ms: 50,
        };
        for known in 1..=5 {
            let page = &pieces[..known];
            assert_eq!(floor.goes(page, false), Going::default(), "{known}");
            assert!(floor.may_go_on(page));
        }
        let going = floor.goes(&pieces, true).pieces;
        assert_eq!(going, pieces[..5]);
        let nearer = Floor::From {
            offset: 35,
            unix_ms: 50,
        };
        assert!(!nearer.may_go_on(&pieces[..5]));
        let whole = Floor::Nothing { before_unix_ms: 50 };
        assert!(!whole.may_go_on(&pieces[..5]) && !Floor::All.may_go_on(&pieces[..5]));
    }

    #[test]
    fn a_history_goes_wholly_with_its_first_piece_last() {
        let floor = Floor::Nothing { before_unix_ms: 50 };
        let order = vec![ROW[1], ROW[2], ROW[3], ROW[0]];
        assert_eq!(goes(floor, &ROW, true), (order, true));
        assert_eq!(goes(floor, &ROW, false), (ROW[1..].to_vec(), false));
        assert_eq!(goes(floor, &[], true), (vec![], true));
        let alive = [ROW[0], (10, 20, 50)];
        assert_eq!(goes(floor, &alive, true), (vec![], false));
    }
}
