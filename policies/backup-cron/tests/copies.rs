//! Which copies the built-in reads, and when.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hera_policy_backup_cron::{Cron, Settings};
use hera_policy_sdk::backup::{
    BackupAnswer, BackupInput, BackupPolicy, Cause, Choice, Copy, Next, Role, Source,
};
use hera_policy_sdk::calmest;
use hera_policy_sdk::testing::{backup_input, context, copy, demand, past};

const GIB: u64 = 1 << 30;
const MINUTE_MS: u64 = 60_000;

fn primary() -> Copy {
    copy(0, Role::Primary)
}

fn replica(id: u32) -> Copy {
    copy(id, Role::Replica)
}

fn answer(input: &BackupInput) -> BackupAnswer {
    Cron::decide(&context(), &Settings {}, input).unwrap()
}

/// The copy that is read of an object with these.
fn read(copies: Vec<Copy>) -> u32 {
    calmest::choices(&backup_input(copies)).unwrap()[0].copy
}

#[test]
fn replicas_come_before_the_primary_as_the_spec_says() {
    let with = |source: Source, replica_fits: bool| {
        let only = match replica_fits {
            true => replica(1),
            false => replica(1).unfit(),
        };
        let mut input = backup_input(vec![primary().memory(GIB, 8 * GIB), only]);
        input.limits.source = source;
        calmest::choices(&input).map(|choices| choices[0].copy)
    };
    assert_eq!(with(Source::PreferReplica, true), Some(1));
    assert_eq!(with(Source::PreferReplica, false), Some(0));
    assert_eq!(with(Source::Replica, true), Some(1));
    assert_eq!(with(Source::Replica, false), None);
    assert_eq!(with(Source::Primary, true), Some(0));
    let mut input = backup_input(vec![primary().unfit(), replica(1)]);
    input.limits.source = Source::Primary;
    assert!(calmest::choices(&input).is_none());
}

#[test]
fn memory_to_spare_counts_first_then_commands() {
    let roomy = replica(2).memory(GIB, 4 * GIB).ops(9_000, 9_000);
    let busy = replica(1).memory(GIB, 2 * GIB).ops(100, 100);
    assert_eq!(read(vec![primary(), busy, roomy.clone()]), 2);
    // About as much memory is as much.
    let calm = replica(1)
        .memory(GIB, 4 * GIB - 300 * (1 << 20))
        .ops(4_000, 4_000);
    assert_eq!(read(vec![primary(), calm, roomy]), 1);
}

#[test]
fn what_is_not_known_is_the_worst() {
    let known = replica(2).memory(GIB, 1).ops(90_000, 90_000);
    assert_eq!(read(vec![replica(1), known]), 2);
    let mut silent = replica(1).memory(GIB, GIB);
    silent.ops_per_second = None;
    let busy = replica(2).memory(GIB, GIB).ops(90_000, 90_000);
    assert_eq!(read(vec![silent, busy]), 2);
}

#[test]
fn of_copies_alike_another_is_read_than_last_time_and_in_another_zone() {
    let last = replica(1).zone("a").read_last();
    assert_eq!(read(vec![primary(), last.clone(), replica(2)]), 2);
    let copies = vec![last.clone(), replica(2).zone("a"), replica(3).zone("b")];
    assert_eq!(read(copies), 3);
    assert_eq!(read(vec![last, replica(2).zone("a")]), 2);
    assert_eq!(read(vec![replica(3), replica(4)]), 3);
    // The load of two idle servers says nothing.
    let idle = |id: u32, ops: u64| replica(id).memory(GIB, GIB).ops(ops, ops);
    assert_eq!(read(vec![idle(1, 20).read_last(), idle(2, 60)]), 2);
}

#[test]
fn each_shard_is_read_once_or_none_is() {
    let mut input = backup_input(vec![primary(), replica(1)]);
    let mut other = input.shards[0].clone();
    other.id = 7;
    input.shards.push(other);
    let both = [0, 7].map(|shard| Choice { shard, copy: 1 });
    assert!(answer(&input).next == Next::Start(both.to_vec()));
    input.shards[1].copies = vec![primary().unfit()];
    assert!(matches!(answer(&input).next, Next::WaitUntil(_)));
}

#[test]
fn without_a_copy_it_looks_again_in_a_minute_and_no_later_than_it_may() {
    let now = context().now_unix_ms;
    let mut input = backup_input(vec![primary().unfit()]);
    assert!(answer(&input).next == Next::WaitUntil(now + MINUTE_MS));
    input.limits.max_age_seconds = Some(3_600);
    input.shards[0].base_unix_ms = Some(now + 1_000 - 60 * MINUTE_MS);
    assert!(answer(&input).next == Next::WaitUntil(now + 1_000));
    let mut at_once = demand(Cause::Age);
    at_once.latest_unix_ms = now;
    input.demand = Some(at_once);
    assert!(answer(&input).next == Next::WaitUntil(now));
}

#[test]
fn what_nothing_needs_goes_whether_a_backup_is_wanted_or_not() {
    let mut input = backup_input(vec![primary()]);
    input.history = vec![past("c", 1, true), past("b", 2, false), past("a", 3, false)];
    let with_demand = answer(&input);
    assert_eq!(with_demand.drop, ["b", "a"]);
    assert!(matches!(with_demand.next, Next::Start(_)));
    input.demand = None;
    let without = answer(&input);
    assert_eq!(without.drop, ["b", "a"]);
    assert!(without.next == Next::Skip);
}
