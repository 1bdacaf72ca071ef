//! What a store may look like, and what is recovered from it.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::backup::BaseManifest;
use hera_core::backup::log::{
    Alive, Cut, Evidence, Index, Mark, NotCovered, Parent, PieceName, Quiet, Refusal, Wanted, plan,
};

use crate::store::Store;

/// A store, with what the headers of its pieces say.
#[derive(Default)]
struct Shelf {
    store: Store,
    headers: BTreeMap<PieceName, Evidence>,
}

fn marks(pairs: &[(u64, u64)]) -> Vec<Mark> {
    let mark = |&(offset, unix_ms): &(u64, u64)| Mark { offset, unix_ms };
    pairs.iter().map(mark).collect()
}

impl Shelf {
    fn piece(
        &mut self,
        id: &str,
        offsets: (u64, u64),
        of_marks: &[(u64, u64)],
        of_looks: &[(u64, u64)],
    ) -> PieceName {
        let evidence = Evidence {
            marks: marks(of_marks),
            looks: marks(of_looks),
            quiet: Vec::new(),
        };
        let name = PieceName {
            id: id.to_owned(),
            from: offsets.0,
            to: offsets.1,
            t0: evidence.first_unix_ms().unwrap(),
            t1: evidence.last_unix_ms().unwrap(),
        };
        self.headers.insert(name.clone(), evidence);
        name
    }

    fn parent(&mut self, id: &str, parent: &str, at: u64, unix_ms: u64) {
        let parent = Parent {
            v: 1,
            id: parent.to_owned(),
            at,
            unix_ms,
        };
        self.store.parents.insert(id.to_owned(), parent);
    }

    fn index(&self) -> Index {
        let (bases, parents) = (self.store.bases.clone(), self.store.parents.clone());
        let pieces = self.headers.keys().cloned();
        Index::new(bases, pieces, parents, self.store.alive.clone())
    }

    fn cut(&self, wanted: &Wanted) -> Result<Cut, NotCovered> {
        let plan = plan(&self.index(), wanted).unwrap();
        let names = plan.headers(10_000).into_iter();
        let read = names.map(|name| {
            let evidence = self.headers[&name].clone();
            (name, evidence)
        });
        plan.cut(&read.collect())
    }

    fn at(&self, unix_ms: u64) -> Result<Cut, NotCovered> {
        self.cut(&Wanted {
            unix_ms: Some(unix_ms),
            branch: None,
        })
    }

    fn latest(&self) -> Cut {
        self.cut(&Wanted::default()).unwrap()
    }
}

fn base_of(cut: &Cut) -> &BaseManifest {
    &cut.loads[0].base
}

/// Offsets are hundreds, times are seconds: a write each second, a piece each ten.
fn ten_seconds(shelf: &mut Shelf, id: &str, from: u64) -> PieceName {
    let pairs: Vec<(u64, u64)> = (from..=from + 10)
        .map(|second| (second * 100, second * 1_000))
        .collect();
    shelf.piece(id, (from * 100, from * 100 + 1_000), &pairs, &pairs[1..])
}

#[test]
fn the_newest_base_before_the_instant_is_taken_and_older_ones_are_kept_in_mind() {
    let mut shelf = Shelf::default();
    for from in [10, 20, 30] {
        ten_seconds(&mut shelf, "a", from);
    }
    for second in [12, 25, 38] {
        shelf.store.add_base("a", second * 100, second * 1_000);
    }
    let cut = shelf.at(27_400).unwrap();
    assert_eq!(cut.until, 2_700);
    let bases: Vec<u64> = cut.loads.iter().map(|load| load.base.offset).collect();
    assert_eq!(bases, [2_500, 1_200]);
    let first = &cut.loads[0];
    assert_eq!((first.log_bytes(), first.stretches.len()), (200, 1));
    let pieces = |load: usize| cut.loads[load].stretches[0].pieces.len();
    assert_eq!((pieces(0), pieces(1)), (1, 2));
    assert_eq!(shelf.at(11_900).unwrap_err().after, Some(12_000));
    let latest = shelf.latest();
    assert_eq!((latest.until, latest.unix_ms), (4_000, 40_000));
    assert_eq!(base_of(&latest).offset, 3_800);
}

#[test]
fn a_base_that_has_more_than_the_instant_is_not_taken() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    shelf.store.add_base("a", 1_100, 11_000);
    shelf.store.add_base("a", 1_800, 17_900);
    let cut = shelf.at(17_850).unwrap();
    assert_eq!((cut.until, base_of(&cut).offset), (1_700, 1_100));
}

#[test]
fn over_a_failover_the_parent_counts_up_to_the_fork() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    shelf.parent("b", "a", 1_600, 20_000);
    shelf.piece(
        "b",
        (1_600, 3_000),
        &[(1_600, 20_000), (2_000, 21_000), (3_000, 22_000)],
        &[(2_000, 21_000), (3_000, 22_000)],
    );
    shelf.store.add_base("a", 1_100, 11_000);
    let cut = shelf.at(21_500).unwrap();
    let stretches = &cut.loads[0].stretches;
    let ranges: Vec<(&str, u64, u64)> = stretches
        .iter()
        .map(|stretch| (stretch.id.as_str(), stretch.from, stretch.to))
        .collect();
    assert_eq!(ranges, [("a", 1_100, 1_600), ("b", 1_600, 2_000)]);

    // What the failover lost is in a branch, and nowhere else.
    let lost = shelf.at(18_900).unwrap_err();
    assert_eq!((lost.before, lost.after), (Some(18_500), Some(21_000)));
    let branch = Wanted {
        unix_ms: Some(18_900),
        branch: Some("a".to_owned()),
    };
    assert_eq!(shelf.cut(&branch).unwrap().until, 1_800);
    let unknown = Wanted {
        branch: Some("c".to_owned()),
        ..branch
    };
    let refusal = plan(&shelf.index(), &unknown).unwrap_err();
    let named = Refusal::NoBranch {
        id: "c".to_owned(),
        known: vec!["a".to_owned(), "b".to_owned()],
    };
    assert_eq!(refusal, named);
}

#[test]
fn what_a_parent_told_once_its_child_had_begun_does_not_count() {
    let mut shelf = Shelf::default();
    shelf.piece(
        "a",
        (0, 500),
        &[(0, 10_000), (500, 11_000)],
        &[(500, 30_000)],
    );
    shelf.store.add_base("a", 0, 10_000);
    assert_eq!(shelf.at(25_000).unwrap().until, 500);
    shelf.parent("b", "a", 500, 20_000);
    assert_eq!(shelf.at(25_000).unwrap_err(), NotCovered::default());
}

#[test]
fn a_log_that_began_anew_needs_a_base_and_what_was_before_can_be_had() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    ten_seconds(&mut shelf, "b", 50);
    shelf.store.add_base("a", 1_500, 15_000);
    assert_eq!(shelf.at(18_000).unwrap().until, 1_800);
    let (before, after) = (Some(22_500), None);
    let refused = Err(NotCovered { before, after });
    assert_eq!(shelf.at(55_000), refused);
    // The latest is not what was before the gap, unless that is asked for.
    assert_eq!(shelf.cut(&Wanted::default()), refused);
    assert_eq!(shelf.at(22_500).unwrap().until, 2_000);
    shelf.store.add_base("b", 5_300, 53_000);
    assert_eq!(shelf.at(55_000).unwrap().until, 5_500);
    let after = Some(53_000);
    assert_eq!(shelf.at(40_000), Err(NotCovered { before, after }));
    assert_eq!(shelf.latest().unix_ms, 60_000);
}

#[test]
fn a_hole_in_a_history_is_not_stepped_over() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    ten_seconds(&mut shelf, "a", 30);
    shelf.store.add_base("a", 1_100, 11_000);
    let refused = shelf.at(35_000).unwrap_err();
    assert_eq!((refused.before, refused.after), (Some(22_500), None));
    shelf.store.add_base("a", 3_200, 32_000);
    assert_eq!(shelf.at(35_000).unwrap().loads.len(), 1);
    assert_eq!(shelf.at(15_000).unwrap().loads.len(), 1);
}

#[test]
fn the_latest_instant_is_not_told_while_a_header_may_know_a_later_one() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    // An agent that was cut off read, and did not know how much there was.
    for second in 20..40 {
        let pairs = [
            (second * 100, second * 1_000),
            (second * 100 + 100, second * 1_000 + 1_000),
        ];
        shelf.piece("a", (second * 100, second * 100 + 100), &pairs, &[]);
    }
    shelf.store.add_base("a", 1_000, 10_000);
    let plan = plan(&shelf.index(), &Wanted::default()).unwrap();
    let read = |around_ms| {
        let names = plan.headers(around_ms).into_iter();
        let read = names.map(|name| (name.clone(), shelf.headers[&name].clone()));
        plan.cut(&read.collect())
    };
    assert_eq!(read(10_000), Err(NotCovered::default()));
    let cut = read(600_000).unwrap();
    assert_eq!((cut.until, cut.unix_ms), (2_200, 22_000));
}

#[test]
fn an_object_to_which_nothing_is_written_can_be_recovered() {
    let mut shelf = Shelf::default();
    shelf.store.add_base("a", 1_028, 10_000);
    let without = plan(&shelf.index(), &Wanted::default()).unwrap_err();
    assert_eq!(without, Refusal::NoLog);
    shelf.store.alive = Some(Alive {
        v: 1,
        id: "a".to_owned(),
        offset: 1_000,
        read: 1_200,
        unix_ms: 90_000,
    });
    let cut = shelf.at(60_000).unwrap();
    assert_eq!((cut.until, cut.loads[0].log_bytes()), (1_000, 0));
    assert_eq!(shelf.latest().unix_ms, 90_000);
    assert!(shelf.at(9_000).is_err() && shelf.at(93_000).is_err());
}

#[test]
fn a_base_in_noise_is_as_good_as_one_at_the_write_before_it() {
    let mut shelf = Shelf::default();
    let name = shelf.piece(
        "a",
        (900, 2_000),
        &[(900, 9_000), (1_000, 10_000), (2_000, 70_000)],
        &[(1_000, 69_000), (2_000, 70_500)],
    );
    let noise = Quiet {
        from: 1_000,
        to: 1_500,
    };
    shelf.headers.get_mut(&name).unwrap().quiet.push(noise);
    shelf.store.add_base("a", 1_210, 30_000);
    let cut = shelf.at(40_000).unwrap();
    assert_eq!((cut.until, cut.loads[0].log_bytes()), (1_000, 0));
    let later = shelf.at(70_000).unwrap();
    assert_eq!((later.until, later.loads[0].log_bytes()), (2_000, 790));
}

#[test]
fn a_piece_that_is_damaged_is_replaced_by_one_that_overlaps() {
    let mut shelf = Shelf::default();
    let long = ten_seconds(&mut shelf, "a", 10);
    let pairs = [(1_000, 10_000), (1_400, 14_000)];
    let short = shelf.piece("a", (1_000, 1_400), &pairs, &pairs);
    shelf.store.add_base("a", 1_000, 10_000);
    let cut = shelf.at(18_000).unwrap();
    let stretch = &cut.loads[0].stretches[0];
    let mut damaged = BTreeSet::new();
    assert_eq!(stretch.next(1_000, &damaged), Some(&long));
    damaged.insert(long);
    assert_eq!(stretch.next(1_000, &damaged), Some(&short));
    assert_eq!(stretch.next(1_400, &damaged), None);
}

#[test]
fn a_log_without_a_base_is_refused() {
    let mut shelf = Shelf::default();
    ten_seconds(&mut shelf, "a", 10);
    shelf.store.add_base("other", 1_100, 11_000);
    let refusal = plan(&shelf.index(), &Wanted::default()).unwrap_err();
    assert_eq!(refusal, Refusal::NoBase);
}
