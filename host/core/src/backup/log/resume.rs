//! Where the reading of a server's stream begins: where the store ends, if the server goes on from there.

use std::collections::BTreeMap;

use super::{Parent, PieceName};
use crate::backup::FORMAT;

/// So many parents of parents are followed.
const GENERATIONS: usize = 64;

/// What a server says of its history (INFO).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHistory {
    /// `master_replid`.
    pub id: String,
    /// `master_repl_offset`.
    pub offset: u64,
    /// `master_replid2`, unless it is all zeros.
    pub id2: Option<String>,
    /// `second_repl_offset`, unless it is negative: the first offset that the two do not share.
    pub second_offset: Option<u64>,
    /// `repl_backlog_first_byte_offset`, if `repl_backlog_active` is 1: the first byte that the server can send still.
    pub backlog_from: Option<u64>,
}

/// What the store has of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// What its pieces have, apart from one another: from behind the first offset up to and with the last.
    ranges: Vec<(u64, u64)>,
    parent: Option<Parent>,
    latest_unix_ms: u64,
}

/// Where reading begins: `PSYNC <id> <at + 1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The store has this history up to `at`.
    GoOn {
        /// The history.
        id: String,
        /// From behind this offset on.
        at: u64,
    },
    /// The store has the history that this one goes on from: `parent` is written before the first piece.
    Child {
        /// The history.
        id: String,
        /// From behind this offset on: it may be before `parent.at`, as far as the store has the parent.
        at: u64,
        /// What is to be written.
        parent: Parent,
    },
    /// The store has nothing that this history goes on from, or the server cannot send it any more.
    Anew {
        /// The history. A server without a backlog begins another one when it is asked.
        id: String,
        /// From behind this offset on.
        at: u64,
        /// There is a log already.
        after_gap: bool,
    },
}

impl Reached {
    /// What the store has of a history whose folder lists these pieces and this parent.
    pub fn new<'a>(
        pieces: impl IntoIterator<Item = &'a PieceName>,
        parent: Option<&Parent>,
    ) -> Self {
        let mut latest_unix_ms = 0;
        let mut ranges = Vec::new();
        for piece in pieces {
            latest_unix_ms = latest_unix_ms.max(piece.t1);
            ranges.push((piece.from, piece.to));
        }
        Self {
            ranges: merged(ranges),
            parent: parent.cloned(),
            latest_unix_ms,
        }
    }

    /// The largest offset that the store has; none if it has nothing.
    pub fn end(&self) -> Option<u64> {
        self.ranges.last().map(|(_, to)| *to)
    }

    /// The latest time in its pieces, in milliseconds since 1970; 0 if there are none.
    pub fn latest_unix_ms(&self) -> u64 {
        self.latest_unix_ms
    }
}

impl Start {
    /// The history that is asked for.
    pub fn id(&self) -> &str {
        match self {
            Self::GoOn { id, .. } | Self::Child { id, .. } | Self::Anew { id, .. } => id,
        }
    }

    /// The offset that is known.
    pub fn at(&self) -> u64 {
        match self {
            Self::GoOn { at, .. } | Self::Child { at, .. } | Self::Anew { at, .. } => *at,
        }
    }
}

/// Where reading begins. `stored` has the histories `id` and `id2` of the server and their parents, where the store has
/// a folder of them, and any other that shows that there was a log. One of which the store has nothing counts as none.
pub fn resume(server: &ServerHistory, stored: &BTreeMap<String, Reached>, unix_ms: u64) -> Start {
    let id = server.id.clone();
    let is_known = stored
        .get(&id)
        .is_some_and(|own| *own != Reached::default());
    if is_known {
        return match going_on(server, lineage(stored, &id)) {
            Some(at) => Start::GoOn { id, at },
            None => anew(server, stored),
        };
    }
    let Some(parent) = parent(server, unix_ms) else {
        return anew(server, stored);
    };
    match going_on(server, before(lineage(stored, &parent.id), parent.at)) {
        Some(at) => Start::Child { id, at, parent },
        None => anew(server, stored),
    }
}

/// The log begins anew at the server's offset, though the store may have what came before: the server refused to go on
/// from there.
pub fn anew(server: &ServerHistory, stored: &BTreeMap<String, Reached>) -> Start {
    Start::Anew {
        id: server.id.clone(),
        at: server.offset,
        after_gap: stored
            .values()
            .any(|reached| *reached != Reached::default()),
    }
}

/// What the server's history goes on from: it shares all before the second offset.
fn parent(server: &ServerHistory, unix_ms: u64) -> Option<Parent> {
    Some(Parent {
        v: FORMAT,
        id: server.id2.clone()?,
        at: server.second_offset?.checked_sub(1)?,
        unix_ms,
    })
}

/// What the store has of a history and of what it goes on from. Pieces behind a hole at its beginning do not count:
/// they are of an agent that ended before it had stored what is in the hole.
fn lineage(stored: &BTreeMap<String, Reached>, id: &str) -> Vec<(u64, u64)> {
    let mut generations = Vec::new();
    let (mut next, mut until) = (Some(id), u64::MAX);
    for _ in 0..GENERATIONS {
        let Some(reached) = next.and_then(|id| stored.get(id)) else {
            break;
        };
        generations.push(before(reached.ranges.clone(), until));
        let parent = reached.parent.as_ref();
        next = parent.map(|parent| parent.id.as_str());
        until = parent.map_or(until, |parent| until.min(parent.at));
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for own in generations.into_iter().rev() {
        let ended = ranges.last().map(|(_, to)| *to);
        let begins = own.first().map(|(from, _)| *from);
        if ended.is_none_or(|ended| begins.is_some_and(|begins| begins <= ended)) {
            ranges = merged([ranges, own].concat());
        }
    }
    ranges
}

/// What of the ranges is up to an offset.
fn before(ranges: Vec<(u64, u64)>, until: u64) -> Vec<(u64, u64)> {
    let ranges = ranges.into_iter().filter(|(from, _)| *from <= until);
    ranges.map(|(from, to)| (from, to.min(until))).collect()
}

/// Ranges apart from one another: two that touch are one.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

/// The first place from which the server can go on: where what the store has ends, or has a hole. A piece may be
/// missing before others that are there.
fn going_on(server: &ServerHistory, ranges: Vec<(u64, u64)>) -> Option<u64> {
    let first = server.backlog_from?.saturating_sub(1);
    // A replica may be behind what another one had sent.
    let ends = ranges.into_iter().map(|(_, to)| to.min(server.offset));
    ends.filter(|end| *end >= first).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(id: &str, from: u64, to: u64) -> PieceName {
        PieceName {
            id: id.to_owned(),
            from,
            to,
            t0: to,
            t1: to + 5,
        }
    }

    fn parent_at(id: &str, at: u64) -> Parent {
        Parent {
            v: FORMAT,
            id: id.to_owned(),
            at,
            unix_ms: 7,
        }
    }

    fn reached(ranges: &[(u64, u64)], parent: Option<Parent>) -> Reached {
        let pieces = ranges.iter().map(|(from, to)| piece("x", *from, *to));
        let pieces: Vec<PieceName> = pieces.collect();
        Reached::new(&pieces, parent.as_ref())
    }

    fn store<const N: usize>(histories: [(&str, Reached); N]) -> BTreeMap<String, Reached> {
        let named = histories.map(|(id, reached)| (id.to_owned(), reached));
        named.into_iter().collect()
    }

    /// A server of history `b`, which shares all up to 500 with `a`.
    fn promoted() -> ServerHistory {
        ServerHistory {
            id: "b".to_owned(),
            offset: 900,
            id2: Some("a".to_owned()),
            second_offset: Some(501),
            backlog_from: Some(301),
        }
    }

    fn go_on(at: u64) -> Start {
        let id = "b".to_owned();
        Start::GoOn { id, at }
    }

    fn child(at: u64) -> Start {
        Start::Child {
            id: "b".to_owned(),
            at,
            parent: parent_at("a", 500),
        }
    }

    fn begun(at: u64, after_gap: bool) -> Start {
        let id = "b".to_owned();
        Start::Anew { id, at, after_gap }
    }

    #[test]
    fn it_goes_on_where_the_store_ends() {
        let start = |ranges| resume(&promoted(), &store([("b", reached(ranges, None))]), 7);
        assert_eq!(start(&[(100, 400), (400, 700)]), go_on(700));
        assert_eq!(start(&[(100, 400), (600, 700)]), go_on(400), "a hole");
        assert_eq!(
            start(&[(100, 250), (600, 700)]),
            go_on(700),
            "it cannot be filled"
        );
        assert_eq!(start(&[(100, 250)]), begun(900, true));
        assert_eq!(start(&[(100, 950)]), go_on(900), "a replica is behind");
        let start = resume(&promoted(), &store([("b", reached(&[(9, 300)], None))]), 7);
        assert_eq!((start.id(), start.at()), ("b", 300));
    }

    #[test]
    fn a_child_goes_on_where_the_store_has_its_parent_until() {
        let start = |ranges| resume(&promoted(), &store([("a", reached(ranges, None))]), 7);
        assert_eq!(start(&[(100, 400)]), child(400));
        assert_eq!(start(&[(100, 500)]), child(500));
        assert_eq!(start(&[(100, 800)]), child(500), "the tail was lost");
        assert_eq!(start(&[(100, 299)]), begun(900, true));
        assert_eq!(start(&[(600, 800)]), begun(900, true));
    }

    #[test]
    fn a_child_whose_parent_is_written_goes_on_from_that() {
        let own = |ranges| reached(ranges, Some(parent_at("a", 500)));
        let with = |ranges, of_parent| {
            let stored = store([("b", own(ranges)), ("a", reached(of_parent, None))]);
            resume(&promoted(), &stored, 7)
        };
        assert_eq!(with(&[], &[(100, 800)]), go_on(500));
        assert_eq!(with(&[], &[(100, 400)]), go_on(400));
        assert_eq!(with(&[(400, 600)], &[(100, 400)]), go_on(600));
        assert_eq!(with(&[(550, 600)], &[(100, 800)]), go_on(500));
    }

    #[test]
    fn a_hole_at_the_beginning_of_a_child_that_cannot_be_filled_is_a_gap() {
        let server = ServerHistory {
            backlog_from: Some(451),
            ..promoted()
        };
        let own = reached(&[(550, 600)], Some(parent_at("a", 500)));
        let with = |of_parent| {
            let stored = store([("b", own.clone()), ("a", reached(of_parent, None))]);
            resume(&server, &stored, 7)
        };
        assert_eq!(with(&[(100, 400)]), begun(900, true));
        assert_eq!(with(&[(100, 500)]), go_on(500), "it can be filled");
        assert_eq!(with(&[]), go_on(600), "nothing is known of it");
    }

    #[test]
    fn without_anything_to_go_on_from_it_begins_anew() {
        let empty = store([]);
        assert_eq!(resume(&promoted(), &empty, 7), begun(900, false));
        let other = store([("c", reached(&[(0, 400)], None))]);
        assert_eq!(resume(&promoted(), &other, 7), begun(900, true));
        let folder = store([("b", Reached::default())]);
        assert_eq!(resume(&promoted(), &folder, 7), begun(900, false));
        let without_backlog = ServerHistory {
            backlog_from: None,
            ..promoted()
        };
        let stored = store([("b", reached(&[(0, 900)], None))]);
        assert_eq!(resume(&without_backlog, &stored, 7), begun(900, true));
    }

    #[test]
    fn the_latest_time_of_the_store_is_known() {
        let reached = reached(&[(0, 400), (400, 700)], None);
        assert_eq!((reached.end(), reached.latest_unix_ms()), (Some(700), 705));
        let nothing = Reached::default();
        assert_eq!((nothing.end(), nothing.latest_unix_ms()), (None, 0));
    }
}
