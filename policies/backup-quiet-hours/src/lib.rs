//! What a schedule wants waits until it is quiet: for hours of the day, or until the copies that would be read have
//! little to do. Then it begins as the built-in has it:
//! `{"quiet": [{"from": "01:00", "to": "05:00", "utcOffset": "+01:00"}], "calm": 50}`.
//!
//! Why one would write it: a read costs its server memory and time, and nobody knows beforehand when a night is quiet.
//! It shows how a policy waits: it says when it wants to be asked again, and never longer than the operator lets it.

mod hours;

use hera_policy_sdk::backup::{BackupAnswer, BackupInput, BackupPolicy, Cause, Choice, Copy, Next};
use hera_policy_sdk::{Context, PolicyError, calmest, export_backup_policy};
use serde::Deserialize;

pub use hours::Hours;
use hours::Now;

/// So often it looks whether load went down: five minutes, in milliseconds.
const LOOK_MS: u64 = 300_000;
/// So many commands a second are none: agents and probes make some dozens.
const IDLE: u64 = 100;

/// Waiting until it is quiet.
pub struct QuietHours;

/// What stands beside the policy under `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The hours of the day in which a schedule's backup begins whatever the load.
    pub quiet: Vec<Hours>,
    /// It also begins once its copies have at most so many percent of the commands a second that they had in the last
    /// quarter of an hour.
    pub calm: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quiet: vec![],
            calm: 50,
        }
    }
}

impl BackupPolicy for QuietHours {
    type Settings = Settings;

    fn decide(
        context: &Context,
        settings: &Settings,
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        let answer = calmest::answer(context, input);
        let (Some(demand), Next::Start(choices)) = (&input.demand, &answer.next) else {
            return Ok(answer);
        };
        // Anything else cannot wait, or somebody waits for it.
        if demand.cause != Cause::Schedule || is_calm(settings, input, choices) {
            return Ok(answer);
        }
        let now = context.now_unix_ms;
        let quiet = hours::look(&settings.quiet, now).map_err(PolicyError::InvalidSettings)?;
        let latest = input.may_wait_until().unwrap_or(demand.latest_unix_ms);
        match quiet {
            Now::Before(begins) if now < latest => {
                let look = now.saturating_add(LOOK_MS);
                let until = begins.unwrap_or(look).min(look).min(latest);
                let reason = "it waits for quiet hours, or for little load";
                Ok(BackupAnswer::wait_until(until, reason).dropping(answer.drop))
            }
            _ => Ok(answer),
        }
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        if settings.calm > 100 {
            return Err("calm is a part of 100".to_owned());
        }
        settings
            .quiet
            .iter()
            .try_for_each(|hours| hours.read().map(drop))
    }
}

/// Each copy that would be read has little to do. What is not known is not little.
fn is_calm(settings: &Settings, input: &BackupInput, choices: &[Choice]) -> bool {
    let little = |copy: &Copy| {
        let (Some(now), Some(usual)) = (copy.ops_per_second, copy.usual_ops_per_second) else {
            return false;
        };
        let most = u128::from(usual) * u128::from(settings.calm) / 100;
        now <= IDLE || u128::from(now) <= most
    };
    choices.iter().all(|choice| {
        let shard = input.shards.iter().find(|shard| shard.id == choice.shard);
        let copies = shard.map(|shard| shard.copies.as_slice());
        let copy = copies.and_then(|copies| copies.iter().find(|copy| copy.id == choice.copy));
        copy.is_some_and(little)
    })
}

export_backup_policy!(QuietHours);
