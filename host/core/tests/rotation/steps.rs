//! Step by step.

use hera_core::agent::AclState;
use hera_core::digest::sha256_hex;
use hera_core::rotation::{Phase, Spread};

use crate::world::{OTHER, OVERLAP_MS, USER, World, confirmed, member};

/// A whole pass, and what follows of it at the servers.
fn pass(world: &mut World) {
    world.pass(3, false);
    world.push();
}

#[test]
fn where_nobody_asks_nothing_is_written() {
    let mut world = World::new();
    let step = world.decide();
    assert!(step.rotation.is_none() && !step.moved && step.due_ms.is_none());
    assert_eq!(step.show, "first");
}

#[test]
fn a_password_is_shown_once_all_have_it_and_the_one_before_goes_after_the_overlap() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    pass(&mut world);
    let Phase::Spreading { next } = world.phase() else {
        panic!("{world:?}");
    };
    assert_eq!(world.shown, "first");
    assert!(!world.written.as_ref().unwrap().has_done("now"));
    assert!(world.all_accept("first") && world.all_accept(&next));
    pass(&mut world);
    assert_eq!(world.shown, next);
    pass(&mut world);
    assert!(matches!(world.phase(), Phase::Overlap { .. }));
    assert_eq!(world.decide().due_ms, Some(world.now_ms + OVERLAP_MS));
    assert!(world.all_accept("first"));
    world.now_ms += OVERLAP_MS;
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Withdrawing);
    assert!(!world.all_accept("first"));
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Settled);
    let step = world.decide();
    assert!(!step.moved, "the same request makes another");
    let written = step.rotation.unwrap();
    assert!(written.has_done("now") && !written.has_done("then"));
}

#[test]
fn a_pod_that_is_away_holds_the_old_one_open() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    world.servers[1].away = true;
    for _ in 0..5 {
        pass(&mut world);
        world.now_ms += OVERLAP_MS;
    }
    assert!(matches!(world.phase(), Phase::Spreading { .. }));
    assert_eq!(world.shown, "first");
    world.servers[1].away = false;
    world.push();
    pass(&mut world);
    assert_ne!(world.shown, "first");
}

#[test]
fn a_pod_that_is_away_keeps_the_old_one_from_being_told_gone() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    for _ in 0..3 {
        pass(&mut world);
    }
    world.servers[2].away = true;
    for _ in 0..3 {
        world.now_ms += OVERLAP_MS;
        pass(&mut world);
    }
    assert_eq!(world.phase(), Phase::Withdrawing);
    world.servers[2].away = false;
    world.push();
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Settled);
}

#[test]
fn a_request_while_the_next_one_spreads_is_served_by_it_and_one_after_waits() {
    let mut world = World::new();
    world.request = Some("one".to_owned());
    pass(&mut world);
    let first = world.phase();
    world.request = Some("two".to_owned());
    world.servers[0].away = true;
    pass(&mut world);
    assert_eq!(world.phase(), first);
    assert_eq!(
        world.written.as_ref().unwrap().request.as_deref(),
        Some("two")
    );
    world.servers[0].away = false;
    world.push();
    pass(&mut world);
    pass(&mut world);
    world.request = Some("three".to_owned());
    pass(&mut world);
    let written = world.written.clone().unwrap();
    assert!(matches!(written.phase, Phase::Overlap { .. }));
    assert_eq!(written.request.as_deref(), Some("two"));
    world.now_ms += OVERLAP_MS;
    for _ in 0..3 {
        pass(&mut world);
    }
    let written = world.written.clone().unwrap();
    assert!(matches!(written.phase, Phase::Spreading { .. }));
    assert_eq!(written.request.as_deref(), Some("three"));
}

#[test]
fn a_password_is_replaced_when_it_is_old_enough() {
    let mut world = World::new();
    world.rotate_after_ms = Some(5_000);
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Settled);
    assert_eq!(
        world.decide().due_ms,
        Some(5_000),
        "since its Secret was made"
    );
    world.now_ms = 5_000;
    pass(&mut world);
    assert!(matches!(world.phase(), Phase::Spreading { .. }));
}

#[test]
fn one_that_is_made_anew_in_an_old_secret_is_as_old_as_itself() {
    let mut world = World::new();
    world.rotate_after_ms = Some(5_000);
    world.now_ms = 10_000;
    world.made_ms = None;
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Settled);
    let written = world.written.clone();
    world.now_ms += 1;
    assert_eq!(world.decide().rotation, written, "it is written once");
    world.made_ms = Some(0);
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Settled);
    assert_eq!(world.decide().due_ms, Some(15_000));
}

#[test]
fn an_overlap_that_is_lowered_ends_sooner_and_one_that_is_raised_as_it_was_told() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    for _ in 0..3 {
        pass(&mut world);
    }
    let since = world.now_ms;
    world.overlap_ms = 10 * OVERLAP_MS;
    assert_eq!(world.decide().due_ms, Some(since + OVERLAP_MS));
    world.overlap_ms = OVERLAP_MS / 2;
    assert_eq!(world.decide().due_ms, Some(since + OVERLAP_MS / 2));
    world.now_ms += OVERLAP_MS / 2;
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Withdrawing);
    assert!(!world.all_accept("first"));
}

#[test]
fn a_further_user_with_the_same_password_is_waited_for_and_one_that_is_not_written_is_not() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    world.others = vec![OTHER];
    pass(&mut world);
    let Phase::Spreading { next } = world.phase() else {
        panic!("{world:?}");
    };
    // Its own users do not have the next one.
    let mut other = world.set.users[0].clone();
    other.name = OTHER.to_owned();
    other.password_sha256 = vec![sha256_hex(b"first")];
    world.set.users.push(other);
    world.push();
    assert_eq!(world.decide().show, "first");
    let same = world.set.users[0].password_sha256.clone();
    world.set.users[1].password_sha256 = same;
    assert_eq!(world.decide().show, next);
    world.set.users.truncate(1);
    assert_eq!(world.decide().show, next);
}

#[test]
fn the_former_one_is_gone_once_no_further_user_has_it() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    world.others = vec![OTHER];
    for _ in 0..3 {
        pass(&mut world);
    }
    let both = world.set.users[0].password_sha256.clone();
    world.now_ms += OVERLAP_MS;
    pass(&mut world);
    assert_eq!(world.phase(), Phase::Withdrawing);
    let mut other = world.set.users[0].clone();
    other.name = OTHER.to_owned();
    other.password_sha256 = both;
    world.set.users.push(other);
    let phase = |world: &mut World| world.decide().rotation.unwrap().phase;
    assert_eq!(phase(&mut world), Phase::Withdrawing);
    let same = world.set.users[0].password_sha256.clone();
    world.set.users[1].password_sha256 = same;
    assert_eq!(phase(&mut world), Phase::Settled);
}

#[test]
fn one_that_somebody_writes_counts_at_once_and_ends_a_rotation() {
    for passes in 1..5 {
        let mut world = World::new();
        world.request = Some("now".to_owned());
        for _ in 0..passes {
            pass(&mut world);
        }
        world.show("by hand");
        pass(&mut world);
        assert_eq!(world.phase(), Phase::Settled, "after {passes}");
        assert_eq!(world.shown, "by hand");
        assert_eq!(world.decide().accept, [sha256_hex(b"by hand")]);
    }
}

#[test]
fn a_pod_counts_if_it_is_wanted_or_there() {
    let world = World::new();
    let hash = sha256_hex(b"first");
    let accepts = |members: &[hera_core::shard::Member], wanted| {
        Spread::of(Some(&world.set), members, wanted).all_accept(USER, &hash)
    };
    let here = || member(0, Some(confirmed(1)));
    assert!(accepts(&[here()], 1));
    let mut gone = member(1, None);
    gone.pod = None;
    assert!(!accepts(&[here(), gone.clone()], 2), "it is wanted");
    assert!(accepts(&[here(), gone], 1), "it is not");
    assert!(!accepts(&[here(), member(1, None)], 1), "it is there");
    assert!(!accepts(&[], 0), "nobody is there");
}

#[test]
fn a_server_has_a_user_once_it_has_confirmed_it_as_it_is_written() {
    let world = World::new();
    let accepts = |acl: AclState| {
        let members = [member(0, Some(acl))];
        Spread::of(Some(&world.set), &members, 1).all_accept(USER, &sha256_hex(b"first"))
    };
    assert!(accepts(confirmed(1)));
    assert!(!accepts(confirmed(0)) && !accepts(confirmed(2)));
    assert!(!accepts(AclState {
        confirmed: false,
        ..confirmed(1)
    }));
    let rejects = |user: &str| AclState {
        rejected: [(user.to_owned(), "no".to_owned())].into(),
        ..confirmed(1)
    };
    assert!(!accepts(rejects(USER)) && accepts(rejects("other")));
}

#[test]
fn what_is_written_down_is_read_again_and_prints_no_password() {
    let mut world = World::new();
    world.request = Some("now".to_owned());
    pass(&mut world);
    let written = world.written.clone().unwrap();
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(
        serde_json::from_str::<hera_core::rotation::Rotation>(&text).unwrap(),
        written
    );
    let printed = format!("{written:?}");
    assert!(text.contains("made-") && !printed.contains("made-"));
    assert!(text.contains(&written.current) && !printed.contains(&written.current));
}
