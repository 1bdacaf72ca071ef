//! Cases of the `rebalance` decision in files. The same files hold for the module in the sandbox.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::cases::{check_folder, circumstances, until};
use crate::PolicyError;
use crate::export::decide_rebalance;
use crate::rebalance::{
    Limits, Moved, RebalanceAnswer, RebalanceInput, RebalancePolicy, Shard, ShardState, SlotLoad,
    SlotMove, SlotRange,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    now: Option<Timestamp>,
    input: Input,
    moves: Option<Vec<String>>,
    again_at: Option<Timestamp>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    shards: Vec<AskedShard>,
    #[serde(default)]
    stays: Ranges,
    #[serde(default)]
    history: Vec<AskedMoved>,
    limits: AskedLimits,
}

/// From first to last each.
type Ranges = Vec<(u16, u16)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedShard {
    id: u32,
    state: String,
    slots: Ranges,
    used_bytes: Option<u64>,
    max_bytes: Option<u64>,
    ops_per_second: Option<u64>,
    #[serde(default)]
    heaviest: Vec<AskedLoad>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedLoad {
    slot: u16,
    load_ppm: u32,
    used_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedMoved {
    source: u32,
    target: u32,
    slots: Ranges,
    age_seconds: u64,
    ops_per_second: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskedLimits {
    slots: u32,
    cooldown_seconds: u64,
    fill_percent: u32,
}

/// Runs a policy on every case of a folder: files `*.json` with `input` (as a decision log has it), optional
/// `settings`, `engine`, `version` and `now` (`2026-01-01T00:00:00Z`), and either `moves` (a line for each
/// step, as `0 to 2: 0-99 120`; with `againAt` if the answer holds until a time only) or `error`.
///
/// # Panics
///
/// When a case comes out otherwise, cannot be read, or when there is none.
pub fn check_rebalance_cases<P: RebalancePolicy>(folder: impl AsRef<Path>) {
    check_folder(folder.as_ref(), check::<P>);
}

fn check<P: RebalancePolicy>(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let case: Case = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let wanted = match (case.moves, case.error) {
        (Some(moves), None) => Ok((moves, case.again_at)),
        (None, Some(words)) if case.again_at.is_none() => Err(words),
        _ => return Err("say either moves, perhaps with againAt, or error".to_owned()),
    };
    let context = circumstances(case.engine, case.version, case.settings, case.now);
    let found = match decide_rebalance::<P>(context, question(case.input)?) {
        Ok(RebalanceAnswer {
            moves, again_at, ..
        }) => Ok((
            moves.into_iter().map(line).collect::<Vec<String>>(),
            again_at.map(until).transpose()?,
        )),
        Err(PolicyError::InvalidSettings(words) | PolicyError::Undecided(words)) => Err(words),
    };
    if found == wanted {
        Ok(())
    } else {
        Err(format!("\n  wanted {wanted:?}\n  found  {found:?}"))
    }
}

fn question(asked: Input) -> Result<RebalanceInput, String> {
    let moved = |moved: AskedMoved| Moved {
        source: moved.source,
        target: moved.target,
        slots: ranges(moved.slots),
        age_seconds: moved.age_seconds,
        ops_per_second: moved.ops_per_second,
    };
    Ok(RebalanceInput {
        shards: asked
            .shards
            .into_iter()
            .map(shard)
            .collect::<Result<_, _>>()?,
        stays: ranges(asked.stays),
        history: asked.history.into_iter().map(moved).collect(),
        limits: Limits {
            slots: asked.limits.slots,
            cooldown_seconds: asked.limits.cooldown_seconds,
            fill_percent: asked.limits.fill_percent,
        },
    })
}

fn shard(asked: AskedShard) -> Result<Shard, String> {
    let load = |load: AskedLoad| SlotLoad {
        slot: load.slot,
        load_ppm: load.load_ppm,
        used_bytes: load.used_bytes,
    };
    Ok(Shard {
        id: asked.id,
        state: match asked.state.as_str() {
            "Serving" => ShardState::Serving,
            "Joining" => ShardState::Joining,
            "Leaving" => ShardState::Leaving,
            "Unhealthy" => ShardState::Unhealthy,
            other => return Err(format!("no state {other}")),
        },
        slots: ranges(asked.slots),
        used_bytes: asked.used_bytes,
        max_bytes: asked.max_bytes,
        ops_per_second: asked.ops_per_second,
        heaviest: asked.heaviest.into_iter().map(load).collect(),
    })
}

fn ranges(said: Ranges) -> Vec<SlotRange> {
    said.into_iter()
        .map(|(first, last)| SlotRange { first, last })
        .collect()
}

/// A step as cases say it, its ranges in order and those that touch as one.
fn line(step: SlotMove) -> String {
    let mut slots: Ranges = step
        .slots
        .iter()
        .map(|range| (range.first, range.last))
        .collect();
    slots.sort_unstable();
    slots.dedup_by(|next, before| {
        let touch = u32::from(next.0) <= u32::from(before.1) + 1;
        if touch {
            before.1 = before.1.max(next.1);
        }
        touch
    });
    let slots = slots.iter().map(|(first, last)| match first == last {
        true => format!(" {first}"),
        false => format!(" {first}-{last}"),
    });
    let slots: String = slots.collect();
    format!("{} to {}:{slots}", step.source, step.target)
}
