//! What no policy gets past. The rules are explained in `docs/guards.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{
    BackupAnswer, BackupInput, Cause, Choice, Copy, CopyRole, Decided, Demand, ShardCopies,
};
use crate::backup::Source;

/// A rule of the guard. Its name is part of the API: conditions, metrics and docs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardRule {
    /// A start names not every shard, or one twice, or one that there is not.
    EveryShardOnce,
    /// A start names a copy that there is not.
    UnknownCopy,
    /// A start names a copy that may not be read.
    CopyUnfit,
    /// It waits until after the latest time.
    WaitBeyondLatest,
    /// It waits until after the newest backup is too old.
    WaitBeyondAge,
    /// It leaves out a backup, and before another is due the newest one is too old.
    SkipBeyondAge,
    /// It leaves out what is not a schedule's.
    SkipNotAllowed,
    /// It begins or waits, and no backup is wanted.
    NothingDemanded,
    /// A backup is to go that cannot.
    DropNeeded,
    /// A backup is to go that there is not.
    DropUnknown,
}

impl GuardRule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::EveryShardOnce,
        Self::UnknownCopy,
        Self::CopyUnfit,
        Self::WaitBeyondLatest,
        Self::WaitBeyondAge,
        Self::SkipBeyondAge,
        Self::SkipNotAllowed,
        Self::NothingDemanded,
        Self::DropNeeded,
        Self::DropUnknown,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EveryShardOnce => "every-shard-once",
            Self::UnknownCopy => "unknown-copy",
            Self::CopyUnfit => "copy-unfit",
            Self::WaitBeyondLatest => "wait-beyond-latest",
            Self::WaitBeyondAge => "wait-beyond-age",
            Self::SkipBeyondAge => "skip-beyond-age",
            Self::SkipNotAllowed => "skip-not-allowed",
            Self::NothingDemanded => "nothing-demanded",
            Self::DropNeeded => "drop-needed",
            Self::DropUnknown => "drop-unknown",
        }
    }
}

impl fmt::Display for GuardRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An answer that breaks a rule; nothing of it is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Violation {
    /// The rule.
    pub rule: GuardRule,
    /// What is wrong, in a short sentence for people; nothing in it is a policy's text.
    pub what: String,
}

fn refused(rule: GuardRule, what: String) -> Result<(), Violation> {
    Err(Violation { rule, what })
}

/// Holds an answer against what was asked.
///
/// # Guarantees
///
/// What passes begins a backup that is wanted on one copy of each shard that may be read now; or puts it off, no longer
/// than it may and than the newest backup is young enough; or leaves out what a schedule wants, if another is due in
/// time. What goes is in the history, and nothing needs it.
///
/// # Errors
///
/// The first [`Violation`].
pub fn guard(input: &BackupInput, answer: &BackupAnswer) -> Result<(), Violation> {
    match (&input.demand, &answer.next) {
        (None, Decided::Skip) => {}
        (None, Decided::Start(_) | Decided::WaitUntil(_)) => {
            let what = "no backup is wanted that could begin or wait".to_owned();
            refused(GuardRule::NothingDemanded, what)?;
        }
        (Some(_), Decided::Start(choices)) => check_start(input, choices)?,
        (Some(demand), Decided::WaitUntil(unix_ms)) => check_wait(input, demand, *unix_ms)?,
        (Some(demand), Decided::Skip) => check_skip(input, demand)?,
    }
    check_drop(input, &answer.drop)
}

fn check_start(input: &BackupInput, choices: &[Choice]) -> Result<(), Violation> {
    let shards: BTreeMap<u32, &ShardCopies> = input.shards.iter().map(|s| (s.id, s)).collect();
    let mut named = BTreeSet::new();
    for Choice { shard: id, copy } in choices {
        let Some(shard) = shards.get(id) else {
            return refused(GuardRule::EveryShardOnce, format!("there is no shard {id}"));
        };
        if !named.insert(*id) {
            return refused(
                GuardRule::EveryShardOnce,
                format!("shard {id} is named twice"),
            );
        }
        check_copy(input.limits.source, shard, *copy)?;
    }
    match shards.keys().find(|id| !named.contains(id)) {
        Some(id) => refused(GuardRule::EveryShardOnce, format!("shard {id} is left out")),
        None => Ok(()),
    }
}

fn check_copy(source: Source, shard: &ShardCopies, copy: u32) -> Result<(), Violation> {
    let id = shard.id;
    let Some(found) = shard.copies.iter().find(|other| other.id == copy) else {
        let what = format!("shard {id} has no copy {copy}");
        return refused(GuardRule::UnknownCopy, what);
    };
    match may_be_read(source, found) {
        true => Ok(()),
        false => {
            let what = format!("copy {copy} of shard {id} may not be read now");
            refused(GuardRule::CopyUnfit, what)
        }
    }
}

fn may_be_read(source: Source, copy: &Copy) -> bool {
    let is_of_source = match source {
        Source::PreferReplica => true,
        Source::Replica => copy.role == CopyRole::Replica,
        Source::Primary => copy.role == CopyRole::Primary,
    };
    copy.fits && is_of_source
}

fn check_wait(input: &BackupInput, demand: &Demand, unix_ms: u64) -> Result<(), Violation> {
    let latest = demand.latest_unix_ms;
    if unix_ms > latest {
        let late = seconds(unix_ms, latest);
        let what = format!("it waits until {late} s after the backup begins at the latest");
        return refused(GuardRule::WaitBeyondLatest, what);
    }
    let too_old = input.shards.iter().filter_map(|shard| {
        let at = too_old_unix_ms(input, shard)?;
        (unix_ms > at).then_some((shard.id, at))
    });
    match too_old.min_by_key(|(_, at)| *at) {
        Some((id, at)) => {
            let late = seconds(unix_ms, at);
            let what =
                format!("it waits until the newest backup of shard {id} is too old by {late} s");
            refused(GuardRule::WaitBeyondAge, what)
        }
        None => Ok(()),
    }
}

fn check_skip(input: &BackupInput, demand: &Demand) -> Result<(), Violation> {
    if demand.cause != Cause::Schedule {
        let what = "only a backup that a schedule wants may be left out".to_owned();
        return refused(GuardRule::SkipNotAllowed, what);
    }
    if input.limits.max_age_seconds.is_none() {
        return Ok(());
    }
    let is_due_in_time = |shard: &&ShardCopies| {
        let too_old = too_old_unix_ms(input, shard);
        let due = input.next_due_unix_ms;
        too_old.is_some_and(|at| due.is_some_and(|due| due <= at))
    };
    match input.shards.iter().find(|shard| !is_due_in_time(shard)) {
        Some(shard) => {
            let what = format!(
                "no schedule is due before the newest backup of shard {} is too old",
                shard.id
            );
            refused(GuardRule::SkipBeyondAge, what)
        }
        None => Ok(()),
    }
}

/// When the newest backup of a shard is as old as it may get; none if there is none, or no such age.
fn too_old_unix_ms(input: &BackupInput, shard: &ShardCopies) -> Option<u64> {
    let age_ms = input.limits.max_age_seconds?.saturating_mul(1_000);
    Some(shard.base_unix_ms?.saturating_add(age_ms))
}

fn check_drop(input: &BackupInput, drop: &[String]) -> Result<(), Violation> {
    let history: BTreeMap<&str, bool> = input
        .history
        .iter()
        .map(|past| (past.id.as_str(), past.needed))
        .collect();
    for (at, id) in drop.iter().enumerate() {
        match history.get(id.as_str()) {
            Some(false) => {}
            Some(true) => {
                let what = format!("backup {id} is needed and cannot go");
                return refused(GuardRule::DropNeeded, what);
            }
            // Its name is the policy's text.
            None => {
                let what = format!("no. {} of those that are to go is no backup", at + 1);
                return refused(GuardRule::DropUnknown, what);
            }
        }
    }
    Ok(())
}

/// How long one time is after another, in whole seconds, rounded up.
fn seconds(later_unix_ms: u64, unix_ms: u64) -> u64 {
    later_unix_ms.saturating_sub(unix_ms).div_ceil(1_000)
}
