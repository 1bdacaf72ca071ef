//! Leaves out whatever is wanted.

use hera_policy_hostile::{Context, PolicyError};
use hera_policy_sdk::backup::{BackupAnswer, BackupInput, BackupPolicy};
use hera_policy_sdk::export_backup_policy;

/// The policy.
pub struct Policy;

impl BackupPolicy for Policy {
    type Settings = hera_policy_sdk::Map<i64>;

    fn decide(
        _: &Context,
        _: &Self::Settings,
        _: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        Ok(BackupAnswer::skip("not today"))
    }
}

export_backup_policy!(Policy);
