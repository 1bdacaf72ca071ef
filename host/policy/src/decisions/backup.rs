use std::path::Path;

use hera_core::backup::Source;
use hera_core::backup::decision::{
    BackupAnswer, BackupInput, Cause, Copy as DataCopy, CopyRole, Decided, Demand, Limits as Spec,
    MOST_HISTORY, Past, ShardCopies, diff, guard,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Answered, Decision, GuardRefused};
use crate::cases::{self, CaseResult, NOW_UNIX_MS};
use crate::sandbox::Ran;
use crate::{CallError, Context, Limits, Policy, v0_1};

/// When a backup that is due begins, from which copies it is read, and which ones go.
pub struct Backup(v0_1::Backup);

impl Decision for Backup {
    type Input = BackupInput;
    type Answer = BackupAnswer;

    const NAME: &'static str = "backup";
    const VERSIONS: &'static [(u64, u64)] = &[(0, 1)];
    const BUILT_IN_STEPS_IN: bool = true;

    fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        v0_1::Backup::link(engine, component).map(Self)
    }

    fn api(&self) -> &'static str {
        v0_1::API
    }

    fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        self.0.trial(limits)
    }

    fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &BackupInput,
    ) -> Ran<Answered<BackupAnswer>> {
        self.0.decide(limits, context, input)
    }

    fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        self.0.validate_settings(limits, settings)
    }

    fn guard(input: &BackupInput, answer: &BackupAnswer) -> Result<(), GuardRefused> {
        guard(input, answer).map_err(|violation| GuardRefused {
            rule: violation.rule.name().to_owned(),
            words: violation.to_string(),
        })
    }

    fn diff(one: &BackupAnswer, two: &BackupAnswer) -> Vec<String> {
        diff(one, two)
    }

    fn show(answer: &BackupAnswer) -> Vec<String> {
        let mut lines: Vec<String> = match &answer.next {
            Decided::Start(choices) => choices
                .iter()
                .map(|choice| format!("shard {} from copy {}", choice.shard, choice.copy))
                .collect(),
            next => vec![cases::next_line(next).unwrap_or_else(|words| words)],
        };
        lines.extend(answer.drop.iter().map(|id| format!("drop {id}")));
        lines.push(format!("because: {}", answer.reason));
        lines
    }

    fn example(random: &mut StdRng, number: usize) -> BackupInput {
        // Mostly an object without shards, else as many as there may well be, and everything between.
        let count = match number % 8 {
            0 => 64,
            1 | 2 => random.random_range(2..16),
            _ => 1,
        };
        let limits = Spec {
            source: match number % 3 {
                0 => Source::PreferReplica,
                1 => Source::Replica,
                _ => Source::Primary,
            },
            max_age_seconds: random.random_bool(0.7).then_some(26 * HOUR_MS / 1_000),
            keep_seconds: random.random_bool(0.7).then_some(168 * HOUR_MS / 1_000),
            keep_last: random.random_range(1..8),
        };
        let shards = (0..count).map(|id| shard(random, id, limits.source));
        let shards = shards.collect();
        // Every fifth only asks what goes.
        let demands = match number % 5 {
            0 => 0,
            _ => random.random_range(1..4),
        };
        let mut demands = (0..demands).map(|at| demand(random, at));
        let (demand, others) = (demands.next(), demands.collect());
        let history = match number % 7 {
            3 => MOST_HISTORY,
            _ => random.random_range(0..20),
        };
        BackupInput {
            demand,
            others,
            next_due_unix_ms: random
                .random_bool(0.8)
                .then(|| NOW_UNIX_MS + random.random_range(0..48 * HOUR_MS)),
            shards,
            history: (0..history).map(|at| past(at, random.random())).collect(),
            log_kept: random.random(),
            limits,
        }
    }

    fn example_of(size: usize) -> BackupInput {
        let copy = |id: u32| DataCopy {
            id,
            role: match id {
                0 => CopyRole::Primary,
                _ => CopyRole::Replica,
            },
            fits: true,
            used_bytes: Some(1 << 30),
            free_bytes: Some(1 << 30),
            ops_per_second: Some(20_000),
            usual_ops_per_second: Some(30_000),
            zone: format!("zone-{id}"),
            keeps_log: id == 1,
            read_last: id == 2,
        };
        let shard = |id: u32| ShardCopies {
            id,
            copies: (0..3).map(copy).collect(),
            base_unix_ms: Some(NOW_UNIX_MS - 24 * HOUR_MS),
            log_bytes: 1 << 30,
            replay_seconds: 40,
        };
        let shards = u32::try_from(size).unwrap_or(u32::MAX);
        let history = size.saturating_mul(4).min(MOST_HISTORY);
        BackupInput {
            demand: Some(Demand {
                name: "cache-20260101-0000".to_owned(),
                cause: Cause::Schedule,
                schedule: "nightly".to_owned(),
                since_unix_ms: NOW_UNIX_MS,
                latest_unix_ms: NOW_UNIX_MS + HOUR_MS,
            }),
            others: Vec::new(),
            next_due_unix_ms: Some(NOW_UNIX_MS + 24 * HOUR_MS),
            shards: (0..shards).map(shard).collect(),
            history: (0..history).map(|at| past(at, at < 8)).collect(),
            log_kept: true,
            limits: Spec {
                source: Source::PreferReplica,
                max_age_seconds: Some(26 * HOUR_MS / 1_000),
                keep_seconds: Some(168 * HOUR_MS / 1_000),
                keep_last: 3,
            },
        }
    }

    fn case(text: &str) -> Result<(Context, BackupInput), String> {
        let case: cases::BackupCase =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(case.question())
    }

    fn cases(policy: &Policy<Self>, folder: &Path) -> std::io::Result<Vec<CaseResult>> {
        cases::run(policy, folder, cases::run_backup)
    }
}

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// A shard with one to five copies, one of which takes writes; not always can one of them be read.
fn shard(random: &mut StdRng, id: u32, source: Source) -> ShardCopies {
    let count = random.random_range(1..6);
    let (primary, last, keeper) = (
        random.random_range(0..count),
        random.random_range(0..count + 1),
        random.random_range(0..count + 1),
    );
    let copies = (0..count).map(|id| {
        let role = match id == primary {
            true => CopyRole::Primary,
            false => CopyRole::Replica,
        };
        DataCopy {
            fits: may_be_read(role, source) && random.random_bool(0.8),
            keeps_log: id == keeper,
            read_last: id == last,
            ..copy(random, id, role)
        }
    });
    ShardCopies {
        id,
        copies: copies.collect(),
        base_unix_ms: random
            .random_bool(0.8)
            .then(|| NOW_UNIX_MS - random.random_range(0..30 * HOUR_MS)),
        log_bytes: random.random_range(0..4 << 30),
        replay_seconds: random.random_range(0..160),
    }
}

fn may_be_read(role: CopyRole, source: Source) -> bool {
    match source {
        Source::PreferReplica => true,
        Source::Replica => role == CopyRole::Replica,
        Source::Primary => role == CopyRole::Primary,
    }
}

fn copy(random: &mut StdRng, id: u32, role: CopyRole) -> DataCopy {
    let mut known = |most: u64| {
        random
            .random_bool(0.9)
            .then(|| random.random_range(0..most))
    };
    DataCopy {
        id,
        role,
        fits: false,
        used_bytes: known(4 << 30),
        free_bytes: known(4 << 30),
        ops_per_second: known(100_000),
        usual_ops_per_second: known(100_000),
        zone: match random.random_range(0..4) {
            0 => String::new(),
            zone => format!("zone-{zone}"),
        },
        keeps_log: false,
        read_last: false,
    }
}

/// A backup that is wanted, since a while and for a while.
fn demand(random: &mut StdRng, at: u32) -> Demand {
    let since_unix_ms = NOW_UNIX_MS - random.random_range(0..600_000);
    let (cause, within_ms) = match random.random_range(0..6) {
        0 => (Cause::Person, HOUR_MS),
        1 => (Cause::Age, 0),
        2 => (Cause::Replay, 0),
        3 => (Cause::Gap, 600_000),
        _ => (Cause::Schedule, random.random_range(0..4 * HOUR_MS)),
    };
    let schedule = match cause {
        Cause::Schedule => format!("schedule-{at}"),
        Cause::Person | Cause::Age | Cause::Replay | Cause::Gap => String::new(),
    };
    Demand {
        name: format!("cache-20260101-000{at}"),
        cause,
        schedule,
        since_unix_ms,
        latest_unix_ms: since_unix_ms + within_ms,
    }
}

/// The backup so many times six hours ago.
fn past(at: usize, needed: bool) -> Past {
    let times = u64::try_from(at).unwrap_or_default();
    Past {
        id: format!("cache-{at:08}"),
        instant_unix_ms: NOW_UNIX_MS.saturating_sub((times + 1) * 6 * HOUR_MS),
        stored_bytes: 1 << 28,
        cause: Cause::Schedule,
        needed,
    }
}
