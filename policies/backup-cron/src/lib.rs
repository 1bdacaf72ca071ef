//! The built-in `backup` policy: a backup that is wanted begins at once, on the copies that can best bear it, and what
//! nothing needs goes.
//!
//! How it chooses is in [`hera_policy_sdk::calmest`], so that other policies can start from it;
//! `docs/guards.md` has the limits that hold for all of them.

use hera_policy_sdk::backup::{BackupAnswer, BackupInput, BackupPolicy};
use hera_policy_sdk::{Context, PolicyError, calmest, export_backup_policy};
use serde::Deserialize;

/// When the spec's schedules say.
pub struct Cron;

/// It has none; a misspelt one is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl BackupPolicy for Cron {
    type Settings = Settings;

    fn decide(
        context: &Context,
        _settings: &Settings,
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        Ok(calmest::answer(context, input))
    }
}

export_backup_policy!(Cron);
