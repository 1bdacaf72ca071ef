use super::*;
use crate::backup::FORMAT;

const MINUTE: u64 = 60_000;
/// The window begins at minute 1 000 − `FOR`.
const NOW: u64 = 1_000 * MINUTE;
const FOR: u64 = 100;

/// A base of a history, with so much of it, taken at a minute. Its backup is named by that.
fn base(id: &str, offset: u64, minute: u64) -> HeldBase {
    HeldBase {
        path: format!("{id}-{offset}"),
        id: id.to_owned(),
        offset,
        taken_unix_ms: minute * MINUTE,
        backup: Some(format!("b{minute}")),
    }
}

fn piece(id: &str, from: u64, to: u64, minutes: (u64, u64)) -> PieceName {
    PieceName {
        id: id.to_owned(),
        from,
        to,
        t0: minutes.0 * MINUTE,
        t1: minutes.1 * MINUTE,
    }
}

/// A history from one minute to another, and what it goes on from.
type History<'a> = (&'a str, (u64, u64), Option<(&'a str, u64)>);

fn heads(histories: &[History<'_>]) -> Heads {
    let head = |(id, (first, last), parent): &History<'_>| {
        let head = Head {
            first: vec![piece(id, 0, 10, (*first, *first))],
            last: vec![piece(id, 900, 910, (*last, *last))],
            parent: parent.map(|(id, at)| Parent {
                v: FORMAT,
                id: id.to_owned(),
                at,
                unix_ms: first * MINUTE,
            }),
        };
        ((*id).to_owned(), head)
    };
    Heads {
        histories: histories.iter().map(head).collect(),
        ..Heads::default()
    }
}

fn within(minutes: u64, bases: &[HeldBase], heads: &Heads) -> Needed {
    let keep = Keep {
        for_ms: Some(minutes * MINUTE),
        last: 1,
    };
    needed(bases, heads, &keep, &BTreeSet::new(), NOW).unwrap()
}

fn last(count: u32, bases: &[HeldBase], heads: &Heads) -> Needed {
    let keep = Keep {
        for_ms: None,
        last: count,
    };
    needed(bases, heads, &keep, &BTreeSet::new(), NOW).unwrap()
}

fn from(offset: u64, minute: u64) -> Floor {
    Floor::From {
        offset,
        unix_ms: minute * MINUTE,
    }
}

fn nothing(before: u64) -> Floor {
    Floor::Nothing {
        before_unix_ms: before * MINUTE,
    }
}

/// What stays of each history, in the order in which they are swept.
fn floors(needed: &Needed) -> Vec<(&str, Floor)> {
    assert_eq!(needed.order.len(), needed.floors.len());
    let order = needed.order.iter();
    order.map(|id| (id.as_str(), needed.floors[id])).collect()
}

#[test]
fn the_newest_base_before_the_window_stays_with_all_behind_it() {
    let log = heads(&[("a", (10, 1_000), None)]);
    let bases = [
        base("a", 100, 500),
        base("a", 200, 880),
        base("a", 300, 895),
        base("a", 400, 950),
    ];
    let stays = within(FOR, &bases, &log);
    // That of minute 895 is only just before it, by clocks that may differ.
    let paths: Vec<&str> = stays.bases.iter().map(String::as_str).collect();
    assert_eq!(paths, ["a-200", "a-300", "a-400"]);
    assert_eq!(stays.backups.len(), 3);
    assert_eq!(floors(&stays), [("a", from(200, 870))]);
    assert_eq!(stays.first_unix_ms, Some(880 * MINUTE));
}

#[test]
fn without_a_base_before_the_window_all_of_the_log_stays() {
    let log = heads(&[("a", (10, 1_000), None)]);
    let bases = [base("a", 100, 895), base("a", 200, 950)];
    let stays = within(FOR, &bases, &log);
    assert_eq!(stays.bases.len(), 2);
    assert_eq!(floors(&stays), [("a", Floor::All)]);
    assert_eq!(floors(&within(FOR, &[], &log)), [("a", Floor::All)]);
    // One by a clock that is ahead says nothing of those behind it.
    let bases = [base("a", 100, 895), base("a", 200, 600)];
    assert_eq!(floors(&within(FOR, &bases, &log)), [("a", Floor::All)]);
}

#[test]
fn what_lies_before_a_failover_is_needed_as_far_as_a_base_of_it_is() {
    let fork = Some(("a", 500));
    let log = heads(&[("a", (10, 800), None), ("b", (800, 1_000), fork)]);
    let of_parent = within(FOR, &[base("a", 300, 700)], &log);
    let all_behind = [("a", from(300, 690)), ("b", Floor::All)];
    assert_eq!(floors(&of_parent), all_behind);
    // A replica that was behind has a base before the fork.
    let of_child = within(FOR, &[base("b", 400, 810)], &log);
    assert_eq!(
        floors(&of_child),
        [("a", from(400, 800)), ("b", Floor::All)]
    );
    let behind = within(FOR, &[base("a", 300, 700), base("b", 600, 850)], &log);
    assert_eq!(
        floors(&behind),
        [("a", nothing(840)), ("b", from(600, 840))]
    );
    assert!(!behind.bases.contains("a-300"));
    // What the failover lost is a branch of its own.
    let lost = within(FOR, &[base("a", 600, 700)], &log);
    assert_eq!(floors(&lost), [("a", Floor::All), ("b", Floor::All)]);
}

#[test]
fn a_branch_stays_while_its_end_is_in_the_window() {
    let fork = Some(("a", 500));
    let bases = [base("a", 300, 700), base("b", 600, 850)];
    let ends = |minute| {
        let log = heads(&[("a", (10, minute), None), ("b", (800, 1_000), fork)]);
        within(FOR, &bases, &log)
    };
    let lives = ends(890);
    assert!(lives.bases.contains("a-300"));
    assert_eq!(floors(&lives), [("a", from(300, 690)), ("b", Floor::All)]);
    // It is over, but was not yet when the base behind it was taken.
    let beside = ends(845);
    assert!(!beside.bases.contains("a-300"));
    assert_eq!(floors(&beside), [("a", Floor::All), ("b", Floor::All)]);
    assert_eq!(floors(&ends(839))[0], ("a", nothing(840)));
}

#[test]
fn what_is_older_goes_first_and_what_lost_a_failover_before_what_it_goes_on_from() {
    let log = heads(&[
        ("d", (10, 20), None),
        ("z", (30, 40), None),
        ("y", (35, 50), Some(("z", 100))),
        ("x", (36, 52), Some(("z", 90))),
        ("w", (37, 55), Some(("y", 200))),
        ("c", (60, 1_000), None),
    ]);
    let stays = within(FOR, &[base("c", 100, 70)], &log);
    assert_eq!(stays.order, ["d", "x", "z", "y", "w", "c"]);
    let floors = floors(&stays);
    assert!(floors[..5].iter().all(|(_, floor)| *floor == nothing(890)));
    assert_eq!(floors[5..], [("c", from(100, 60))]);
}

#[test]
fn nothing_goes_behind_what_stays() {
    let log = heads(&[
        ("a", (10, 895), None),
        ("b", (500, 800), None),
        ("c", (600, 1_000), None),
    ]);
    let bases = [base("a", 300, 400), base("c", 600, 700)];
    let stays = within(FOR, &bases, &log);
    // Not even the beginning of the first: that tells that the others are newer.
    assert_eq!(stays.order, ["a", "b", "c"]);
    assert!(stays.bases.contains("a-300"));
    assert!(stays.floors.values().all(|floor| *floor == Floor::All));
}

#[test]
fn the_end_of_what_is_stored_stays() {
    let fork = Some(("a", 910));
    let mut log = heads(&[("a", (10, 20), None), ("b", (30, 30), fork)]);
    let bases = [base("b", 950, 100)];
    assert_eq!(floors(&within(FOR, &bases, &log))[0], ("a", nothing(90)));
    // Nothing was written since the failover: who goes on with the log begins where the parent ends.
    let of_child = log.histories.get_mut("b").unwrap();
    of_child.first.clear();
    of_child.last.clear();
    assert_eq!(floors(&within(FOR, &bases, &log))[0], ("a", Floor::All));
    // Alone it stays though it ended long ago.
    log.histories.remove("b");
    let alone = within(FOR, &[base("a", 900, 15), base("a", 905, 19)], &log);
    assert_eq!(floors(&alone), [("a", from(905, 9))]);
}

#[test]
fn what_a_server_has_may_go_on_though_another_history_is_newer() {
    // Somebody was made the primary in between, and wrote nothing that lasted.
    let mut log = heads(&[
        ("a", (10, 20), None),
        ("b", (30, 40), Some(("a", 500))),
        ("x", (50, 60), Some(("a", 500))),
    ]);
    let bases = [base("x", 600, 100), base("b", 600, 100)];
    let stays = within(FOR, &bases, &log);
    assert_eq!(stays.order, ["b", "a", "x"]);
    assert_eq!(floors(&stays)[0], ("b", nothing(890)));
    log.server = vec!["c".to_owned(), "b".to_owned()];
    let stays = within(FOR, &bases, &log);
    // Of a line that others say has not gone on nothing goes.
    assert!(stays.floors.values().all(|floor| *floor == Floor::All));
    assert!(stays.bases.contains("b-600"));
}

#[test]
fn without_a_window_the_log_stays_from_the_oldest_backup_that_does() {
    let log = heads(&[("a", (10, 500), None), ("b", (510, 1_000), None)]);
    let bases = [
        base("a", 100, 100),
        base("a", 300, 400),
        base("b", 200, 600),
        base("b", 400, 900),
    ];
    let two = last(2, &bases, &log);
    assert_eq!(two.backups.len(), 2);
    assert_eq!(floors(&two), [("a", nothing(590)), ("b", from(200, 590))]);
    let three = last(3, &bases, &log);
    assert!(three.floors.values().all(|floor| *floor == Floor::All));
    assert_eq!(three.first_unix_ms, Some(400 * MINUTE));
    let keep = Keep {
        for_ms: None,
        last: 1,
    };
    let kept = BTreeSet::from(["b100".to_owned()]);
    let kept = needed(&bases, &log, &keep, &kept, NOW).unwrap();
    assert_eq!(kept.backups.len(), 2);
    assert!(kept.floors.values().all(|floor| *floor == Floor::All));
    let alone = heads(&[("a", (10, 500), None)]);
    assert_eq!(
        floors(&last(2, &bases[..2], &alone)),
        [("a", from(100, 90))]
    );
}

#[test]
fn without_a_window_the_log_stays_for_a_backup_that_nobody_named() {
    let log = heads(&[("a", (10, 1_000), None)]);
    let bases = [100, 200, 300, 400].map(|minute| base("a", minute, minute));
    let keep = Keep {
        for_ms: None,
        last: 1,
    };
    let without = |named: &[&str]| {
        let named = named.iter().map(|id| (*id).to_owned()).collect();
        let left = needed_without(&named, &bases, &log, &keep, &BTreeSet::new(), NOW);
        left.unwrap()
    };
    assert_eq!(floors(&without(&["b200"])), [("a", from(100, 90))]);
    let first = without(&["b100"]);
    assert_eq!(floors(&first), [("a", from(200, 190))]);
    assert_eq!(first.first_unix_ms, Some(200 * MINUTE));
    assert!(!first.bases.contains("a-100") && first.bases.len() == 3);
    // The last one stays, whoever names it.
    let all = without(&["b100", "b200", "b300", "b400"]);
    assert_eq!(floors(&all), [("a", from(400, 390))]);
    assert_eq!(all, last(1, &bases, &log));
}

#[test]
fn without_a_log_the_backups_of_the_window_stay_and_what_is_being_made() {
    let unnamed = |offset, minute| HeldBase {
        backup: None,
        ..base("a", offset, minute)
    };
    let none = Heads::default();
    let bases = [
        base("a", 100, 500),
        base("b", 200, 880),
        base("c", 300, 895),
        base("d", 400, 950),
        unnamed(500, 990),
    ];
    let stays = within(FOR, &bases, &none);
    let backups: Vec<&str> = stays.backups.iter().map(String::as_str).collect();
    assert_eq!(backups, ["b895", "b950"]);
    assert_eq!(stays.bases.len(), 3);
    assert!(stays.bases.contains("a-500") && stays.floors.is_empty());
    assert_eq!(stays.first_unix_ms, Some(895 * MINUTE));
    let keep = Keep {
        for_ms: Some(0),
        last: 1,
    };
    let later = NOW + MADE_MS;
    let later = needed(&bases, &none, &keep, &BTreeSet::new(), later).unwrap();
    assert!(!later.bases.contains("a-500"));
}

#[test]
fn a_base_without_a_backup_is_one_to_begin_with() {
    let log = heads(&[("a", (10, 1_000), None)]);
    let unnamed = HeldBase {
        backup: None,
        ..base("a", 200, 880)
    };
    let stays = within(FOR, &[base("a", 100, 500), unnamed], &log);
    assert!(stays.bases.contains("a-200"));
    assert_eq!(floors(&stays), [("a", from(200, 870))]);
    // The last backup stays, as it may be asked for by its name.
    assert_eq!(stays.backups, BTreeSet::from(["b500".to_owned()]));
    assert_eq!(stays.first_unix_ms, Some(880 * MINUTE));
}

#[test]
fn what_the_operator_reckons_from_backups_alone_is_part_of_it() {
    let log = heads(&[("a", (10, 850), None), ("b", (860, 1_000), None)]);
    let bases = [
        base("a", 100, 500),
        base("a", 200, 840),
        base("b", 50, 899),
        base("b", 60, 900),
    ];
    for (minutes, last) in [(1, 1), (1, 3), (100, 1), (101, 2), (200, 1), (600, 1)] {
        let keep = Keep {
            for_ms: Some(minutes * MINUTE),
            last,
        };
        let kept = BTreeSet::from(["b500".to_owned()]);
        let stays = needed(&bases, &log, &keep, &kept, NOW).unwrap();
        let simple = needed_simple(&held(&bases), &keep, &kept, NOW).unwrap();
        assert!(simple.is_subset(&stays.backups), "{keep:?}: {simple:?}");
    }
}

#[test]
fn in_doubt_nothing_goes() {
    let keep = Keep::default();
    let asks = |bases: &[HeldBase], heads: &Heads| {
        needed(bases, heads, &keep, &BTreeSet::new(), NOW).unwrap_err()
    };
    let behind = Doubt::ClockBehind { seconds: 120 };
    assert_eq!(asks(&[base("a", 1, 1_002)], &Heads::default()), behind);
    let log = heads(&[("a", (10, 1_002), None)]);
    assert_eq!(asks(&[], &log), behind);
    let circle = heads(&[
        ("a", (10, 20), Some(("b", 5))),
        ("b", (10, 20), Some(("a", 5))),
    ]);
    assert!(matches!(asks(&[], &circle), Doubt::Circle { .. }));
}
