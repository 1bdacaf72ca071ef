//! Drops all that there is, waits for ever, and says why at length.

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
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        let reason = format!("\u{1b}[31mlater{}", ", later".repeat(100));
        let answer = match input.demand {
            Some(_) => BackupAnswer::wait_until(u64::MAX, &reason),
            None => BackupAnswer::skip(&reason),
        };
        Ok(answer.dropping(input.history.iter().map(|past| past.id.clone())))
    }
}

export_backup_policy!(Policy);
