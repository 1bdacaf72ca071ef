//! What the built-in `backup` policy does, for policies that want it slightly different: a backup begins at once, on
//! the copies that can best bear it, and what nothing needs goes.

use crate::Context;
use crate::backup::{BackupAnswer, BackupInput, Choice, Copy, Role, Shard, Source};

/// So much later it looks again for a copy that can be read: a minute, in milliseconds.
const LOOK_AGAIN_MS: u64 = 60_000;
/// Commands a second that are no load: agents and probes alone make some dozens.
const IDLE: u64 = 100;

/// The answer of the built-in.
pub fn answer(context: &Context, input: &BackupInput) -> BackupAnswer {
    let drop = input.droppable().map(|past| past.id.clone());
    now(context, input).dropping(drop)
}

/// What the built-in says of the backup that is wanted, and of no other: it begins, or it waits a minute for a copy
/// that can be read.
pub fn now(context: &Context, input: &BackupInput) -> BackupAnswer {
    let Some(until) = input.may_wait_until() else {
        return BackupAnswer::skip("no backup is wanted");
    };
    match choices(input) {
        Some(choices) => BackupAnswer::start(
            choices,
            "it begins at once, on the copies with most memory to spare and least to do",
        ),
        None => {
            let again = context.now_unix_ms.saturating_add(LOOK_AGAIN_MS);
            BackupAnswer::wait_until(again.min(until), "a shard has no copy that can be read")
        }
    }
}

/// The [`best`] copy of each shard; none if one of them has none that can be read.
pub fn choices(input: &BackupInput) -> Option<Vec<Choice>> {
    let choice = |shard: &Shard| {
        let copy = best(input.limits.source, shard)?.id;
        Some(Choice {
            shard: shard.id,
            copy,
        })
    };
    input.shards.iter().map(choice).collect()
}

/// The copy of a shard that can best bear to be read: of those that fit, and that the spec wants first, those with
/// about most memory free, of these those with about the fewest commands a second, and of these rather not the one that
/// was read last, and one in another zone than that. What is not known counts as the worst. An eighth more or less is
/// about the same.
pub fn best(source: Source, shard: &Shard) -> Option<&Copy> {
    let mut copies = fitting(source, shard);
    let free = |copy: &Copy| copy.free_bytes.unwrap_or(0);
    let most = copies.iter().map(|copy| free(copy)).max()?;
    copies.retain(|copy| free(copy) >= most - most / 8);
    let busy = |copy: &Copy| copy.ops_per_second.unwrap_or(u64::MAX).max(IDLE);
    let fewest = copies.iter().map(|copy| busy(copy)).min()?;
    copies.retain(|copy| busy(copy) <= fewest.saturating_add(fewest / 8));
    let last = shard.copies.iter().find(|copy| copy.read_last);
    let zone = last.map(|copy| copy.zone.as_str()).unwrap_or_default();
    let same_zone = |copy: &Copy| !zone.is_empty() && copy.zone == zone;
    copies
        .into_iter()
        .min_by_key(|copy| (copy.read_last, same_zone(copy), copy.id))
}

/// Those that may be read, as the spec wants it: replicas, and the primary where it may be and no replica can.
fn fitting(source: Source, shard: &Shard) -> Vec<&Copy> {
    let of = |role: Role| -> Vec<&Copy> {
        let copies = shard.copies.iter();
        copies
            .filter(|copy| copy.fits && copy.role == role)
            .collect()
    };
    let replicas = match source {
        Source::PreferReplica | Source::Replica => of(Role::Replica),
        Source::Primary => vec![],
    };
    match source {
        Source::PreferReplica | Source::Primary if replicas.is_empty() => of(Role::Primary),
        _ => replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Cause, Next};
    use crate::testing::{backup_input, context, copy, past};

    fn primary(id: u32) -> Copy {
        copy(id, Role::Primary)
    }

    fn replica(id: u32) -> Copy {
        copy(id, Role::Replica)
    }

    fn chosen(source: Source, copies: Vec<Copy>) -> Option<u32> {
        let mut input = backup_input(copies);
        input.limits.source = source;
        let choices = choices(&input)?;
        choices.first().map(|choice| choice.copy)
    }

    fn preferred(copies: Vec<Copy>) -> Option<u32> {
        chosen(Source::PreferReplica, copies)
    }

    #[test]
    fn a_replica_is_read_and_the_primary_only_where_the_spec_says_so() {
        let all = || vec![primary(0).memory(1, 900), replica(1).memory(1, 100)];
        assert_eq!(chosen(Source::PreferReplica, all()), Some(1));
        assert_eq!(chosen(Source::Replica, all()), Some(1));
        assert_eq!(chosen(Source::Primary, all()), Some(0));
        let alone = || vec![primary(0), replica(1).unfit()];
        assert_eq!(chosen(Source::PreferReplica, alone()), Some(0));
        assert_eq!(chosen(Source::Replica, alone()), None);
        assert_eq!(preferred(vec![primary(0).unfit()]), None);
    }

    #[test]
    fn most_memory_counts_and_then_fewest_commands() {
        let busy = replica(1).memory(1, 1_000).ops(9_000, 9_000);
        let calm = replica(2).memory(1, 900).ops(2_000, 2_000);
        assert_eq!(preferred(vec![busy.clone(), calm.clone()]), Some(2));
        let full = calm.memory(1, 800);
        assert_eq!(preferred(vec![busy.clone(), full]), Some(1));
        assert_eq!(preferred(vec![replica(0), busy]), Some(1));
    }

    #[test]
    fn of_alike_ones_another_than_last_time_is_read_and_one_in_another_zone() {
        let last = replica(1).zone("a").ops(20, 20).read_last();
        let beside = replica(2).zone("a").ops(40, 40);
        let apart = replica(3).zone("b").ops(60, 60);
        assert_eq!(preferred(vec![last.clone(), beside.clone()]), Some(2));
        assert_eq!(preferred(vec![last.clone(), beside, apart]), Some(3));
        assert_eq!(preferred(vec![last]), Some(1));
    }

    #[test]
    fn a_copy_that_can_be_read_is_waited_for_no_longer_than_may_be() {
        let now = context().now_unix_ms;
        let mut input = backup_input(vec![primary(0).unfit()]);
        let next = |input: &BackupInput| answer(&context(), input).next;
        assert!(next(&input) == Next::WaitUntil(now + 60_000));
        input.limits.max_age_seconds = Some(3_600);
        for shard in &mut input.shards {
            shard.base_unix_ms = Some(now - 3_590_000);
        }
        assert!(next(&input) == Next::WaitUntil(now + 10_000));
    }

    #[test]
    fn what_nothing_needs_goes_whether_a_backup_is_wanted_or_not() {
        let mut input = backup_input(vec![primary(0)]);
        input.history = vec![past("two", 1, true), past("one", 30, false)];
        assert_eq!(answer(&context(), &input).drop, ["one"]);
        input.demand = None;
        let idle = answer(&context(), &input);
        assert!(idle.next == Next::Skip);
        assert_eq!(idle.drop, ["one"]);
    }

    #[test]
    fn only_what_a_schedule_wants_may_be_left_out_and_only_while_the_next_is_in_time() {
        let mut input = backup_input(vec![primary(0)]);
        assert!(input.may_skip());
        input.limits.max_age_seconds = Some(86_400);
        input.next_due_unix_ms = Some(context().now_unix_ms + 3_600_000);
        assert!(!input.may_skip(), "there is none that is young");
        for shard in &mut input.shards {
            shard.base_unix_ms = Some(context().now_unix_ms - 3_600_000);
        }
        assert!(input.may_skip());
        input.next_due_unix_ms = None;
        assert!(!input.may_skip(), "no other comes");
        input.demand = Some(crate::testing::demand(Cause::Person));
        input.limits.max_age_seconds = None;
        assert!(!input.may_skip(), "somebody wants it");
    }
}
