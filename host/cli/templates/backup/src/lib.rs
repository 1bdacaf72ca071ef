//! The answers of the built-in policy, but what a schedule wants begins only during some hours of the day, or once it
//! may wait no longer.

use hera_policy_sdk::backup::{BackupAnswer, BackupInput, BackupPolicy, Cause};
use hera_policy_sdk::{Context, PolicyError, calmest, export_backup_policy};
use serde::Deserialize;

const HOUR_MS: u64 = 3_600_000;

/// The policy.
pub struct PolicyName;

/// What stands beside the policy under `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// The hours of the day in which schedules' backups begin, in UTC: `[2, 3, 4]`. None are all.
    pub hours: Vec<u64>,
}

impl BackupPolicy for PolicyName {
    type Settings = Settings;

    fn decide(
        context: &Context,
        settings: &Settings,
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        let answer = calmest::answer(context, input);
        let hour = context.now_unix_ms / HOUR_MS;
        let open = settings.hours.is_empty() || settings.hours.contains(&(hour % 24));
        let demand = input.demand.as_ref();
        let scheduled = demand.is_some_and(|demand| demand.cause == Cause::Schedule);
        match input.may_wait_until() {
            Some(latest) if scheduled && !open && context.now_unix_ms < latest => {
                let next = ((hour + 1) * HOUR_MS).min(latest);
                let later = BackupAnswer::wait_until(next, "it begins at another hour");
                Ok(later.dropping(answer.drop))
            }
            _ => Ok(answer),
        }
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        match settings.hours.iter().all(|hour| *hour < 24) {
            true => Ok(()),
            false => Err("hours are 0 to 23".to_owned()),
        }
    }
}

export_backup_policy!(PolicyName);
