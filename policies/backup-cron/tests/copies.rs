//! What the built-in says of an object with shards, and of copies of which little is known. How it chooses among copies
//! is tested beside `hera_policy_sdk::calmest`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hera_policy_backup_cron::{Cron, Settings};
use hera_policy_sdk::backup::{BackupInput, BackupPolicy, Cause, Choice, Copy, Next, Role};
use hera_policy_sdk::testing::{backup_input, context, copy, demand};

fn replica(id: u32) -> Copy {
    copy(id, Role::Replica)
}

fn next(input: &BackupInput) -> Next {
    Cron::decide(&context(), &Settings {}, input).unwrap().next
}

#[test]
fn each_shard_is_read_once_or_none_is() {
    let mut input = backup_input(vec![copy(0, Role::Primary), replica(1)]);
    let mut other = input.shards[0].clone();
    other.id = 7;
    input.shards.push(other);
    let both = [0, 7].map(|shard| Choice { shard, copy: 1 });
    assert!(next(&input) == Next::Start(both.to_vec()));
    input.shards[1].copies = vec![replica(1).unfit()];
    assert!(matches!(next(&input), Next::WaitUntil(_)));
}

#[test]
fn what_is_not_known_is_the_worst() {
    let reads = |copies: Vec<Copy>, copy: u32| {
        next(&backup_input(copies)) == Next::Start(vec![Choice { shard: 0, copy }])
    };
    let known = replica(2).memory(1, 1).ops(90_000, 90_000);
    assert!(reads(vec![replica(1), known.clone()], 2));
    let mut silent = known.clone();
    silent.id = 1;
    silent.ops_per_second = None;
    assert!(reads(vec![silent, known], 2));
}

#[test]
fn what_cannot_wait_and_has_no_copy_is_put_off_no_further() {
    let now = context().now_unix_ms;
    let mut at_once = demand(Cause::Age);
    at_once.latest_unix_ms = now;
    let mut input = backup_input(vec![replica(1).unfit()]);
    input.demand = Some(at_once);
    assert!(next(&input) == Next::WaitUntil(now));
}
