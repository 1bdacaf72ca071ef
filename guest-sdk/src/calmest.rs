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
    begin(context, input).dropping(drop)
}

/// What the built-in says of the backup that is wanted, and of no other: it begins, or it waits a minute for a copy
/// that can be read.
pub fn begin(context: &Context, input: &BackupInput) -> BackupAnswer {
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
