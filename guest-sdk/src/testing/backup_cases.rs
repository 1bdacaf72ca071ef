//! Cases of the `backup` decision in files. The same files hold for the module in the sandbox.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::cases::{check_folder, circumstances, until};
use crate::PolicyError;
use crate::backup::{
    BackupAnswer, BackupInput, BackupPolicy, Cause, Choice, Copy, Demand, Limits, Next, Past, Role,
    Shard, Source,
};
use crate::export::decide_backup;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    now: Option<Timestamp>,
    input: Input,
    next: Option<String>,
    #[serde(default)]
    drop: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    demand: Option<AskedDemand>,
    #[serde(default)]
    others: Vec<AskedDemand>,
    next_due_unix_ms: Option<u64>,
    shards: Vec<AskedShard>,
    #[serde(default)]
    history: Vec<AskedPast>,
    #[serde(default)]
    log_kept: bool,
    limits: AskedLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedDemand {
    name: String,
    cause: String,
    #[serde(default)]
    schedule: String,
    since_unix_ms: u64,
    latest_unix_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedShard {
    id: u32,
    copies: Vec<AskedCopy>,
    base_unix_ms: Option<u64>,
    #[serde(default)]
    log_bytes: u64,
    #[serde(default)]
    replay_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedCopy {
    id: u32,
    role: String,
    fits: bool,
    used_bytes: Option<u64>,
    free_bytes: Option<u64>,
    ops_per_second: Option<u64>,
    usual_ops_per_second: Option<u64>,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    keeps_log: bool,
    #[serde(default)]
    read_last: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedPast {
    id: String,
    instant_unix_ms: u64,
    stored_bytes: u64,
    cause: String,
    needed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedLimits {
    source: String,
    max_age_seconds: Option<u64>,
    keep_seconds: Option<u64>,
    keep_last: u32,
}

/// Runs a policy on every case of a folder: files `*.json` with `input` (as a decision log has it), optional
/// `settings`, `engine`, `version` and `now` (`2026-01-01T00:00:00Z`), and either `next` (`start 0/1`: shard 0 is read
/// from copy 1; `wait until 2026-01-01T01:00:00Z`; or `skip`; with `drop`, ids, if backups go) or `error`.
///
/// # Panics
///
/// When a case comes out otherwise, cannot be read, or when there is none.
pub fn check_backup_cases<P: BackupPolicy>(folder: impl AsRef<Path>) {
    check_folder(folder.as_ref(), check::<P>);
}

fn check<P: BackupPolicy>(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let case: Case = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let wanted = match (case.next, case.error) {
        (Some(next), None) => Ok((next, case.drop)),
        (None, Some(words)) if case.drop.is_empty() => Err(words),
        _ => return Err("say either next, perhaps with drop, or error".to_owned()),
    };
    let context = circumstances(case.engine, case.version, case.settings, case.now);
    let found = match decide_backup::<P>(context, question(case.input)?) {
        Ok(BackupAnswer { next, drop, .. }) => Ok((line(&next)?, drop)),
        Err(PolicyError::InvalidSettings(words) | PolicyError::Undecided(words)) => Err(words),
    };
    if found == wanted {
        Ok(())
    } else {
        Err(format!("\n  wanted {wanted:?}\n  found  {found:?}"))
    }
}

fn question(asked: Input) -> Result<BackupInput, String> {
    Ok(BackupInput {
        demand: asked.demand.map(demand).transpose()?,
        others: asked
            .others
            .into_iter()
            .map(demand)
            .collect::<Result<_, _>>()?,
        next_due_unix_ms: asked.next_due_unix_ms,
        shards: asked
            .shards
            .into_iter()
            .map(shard)
            .collect::<Result<_, _>>()?,
        history: asked
            .history
            .into_iter()
            .map(past)
            .collect::<Result<_, _>>()?,
        log_kept: asked.log_kept,
        limits: Limits {
            source: match asked.limits.source.as_str() {
                "PreferReplica" => Source::PreferReplica,
                "Replica" => Source::Replica,
                "Primary" => Source::Primary,
                other => return Err(format!("no source {other}")),
            },
            max_age_seconds: asked.limits.max_age_seconds,
            keep_seconds: asked.limits.keep_seconds,
            keep_last: asked.limits.keep_last,
        },
    })
}

fn demand(asked: AskedDemand) -> Result<Demand, String> {
    Ok(Demand {
        cause: cause(&asked.cause)?,
        name: asked.name,
        schedule: asked.schedule,
        since_unix_ms: asked.since_unix_ms,
        latest_unix_ms: asked.latest_unix_ms,
    })
}

fn cause(said: &str) -> Result<Cause, String> {
    Ok(match said {
        "Schedule" => Cause::Schedule,
        "Person" => Cause::Person,
        "Age" => Cause::Age,
        "Replay" => Cause::Replay,
        "Gap" => Cause::Gap,
        other => return Err(format!("no cause {other}")),
    })
}

fn shard(asked: AskedShard) -> Result<Shard, String> {
    Ok(Shard {
        id: asked.id,
        copies: asked
            .copies
            .into_iter()
            .map(copy)
            .collect::<Result<_, _>>()?,
        base_unix_ms: asked.base_unix_ms,
        log_bytes: asked.log_bytes,
        replay_seconds: asked.replay_seconds,
    })
}

fn copy(asked: AskedCopy) -> Result<Copy, String> {
    Ok(Copy {
        id: asked.id,
        role: match asked.role.as_str() {
            "Primary" => Role::Primary,
            "Replica" => Role::Replica,
            other => return Err(format!("no role {other}")),
        },
        fits: asked.fits,
        used_bytes: asked.used_bytes,
        free_bytes: asked.free_bytes,
        ops_per_second: asked.ops_per_second,
        usual_ops_per_second: asked.usual_ops_per_second,
        zone: asked.zone,
        keeps_log: asked.keeps_log,
        read_last: asked.read_last,
    })
}

fn past(asked: AskedPast) -> Result<Past, String> {
    Ok(Past {
        id: asked.id,
        instant_unix_ms: asked.instant_unix_ms,
        stored_bytes: asked.stored_bytes,
        cause: cause(&asked.cause)?,
        needed: asked.needed,
    })
}

/// What becomes of a demand, as cases say it.
fn line(next: &Next) -> Result<String, String> {
    Ok(match next {
        Next::Start(choices) => {
            let copies = choices.iter();
            let copies = copies.map(|Choice { shard, copy }| format!(" {shard}/{copy}"));
            format!("start{}", copies.collect::<String>())
        }
        Next::WaitUntil(unix_ms) => format!("wait until {}", until(*unix_ms)?),
        Next::Skip => "skip".to_owned(),
    })
}
