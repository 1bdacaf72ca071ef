//! RedisBackups that came by themselves and of which nothing came: they hold nothing, and the last ones say enough.

use hera_api::{BackupPhase, RedisBackup};

use super::Site;
use super::view::View;
use crate::controllers::backups::record;
use crate::controllers::backups::remove::{self, Which};
use crate::controllers::outcome::PassError;

/// So many stay, and beside them the last one that failed: until there is a backup, `BackupHealthy` goes by it.
const STAY: usize = 3;

/// Deletes the others.
///
/// # Errors
/// When the API server does not, or another replica leads.
pub async fn look(site: &Site<'_>, view: &View<'_>) -> Result<(), PassError> {
    for backup in superfluous(view) {
        if site.shared.leadership.term() != Some(site.term) {
            return Err(PassError::LeadershipLost);
        }
        remove::object(&site.shared.client, backup, Which::AsRead).await?;
    }
    Ok(())
}

fn superfluous<'a>(view: &View<'a>) -> Vec<&'a RedisBackup> {
    let backups = view.backups.iter().copied().filter(|backup| {
        matches!(backup.phase(), BackupPhase::Failed | BackupPhase::Skipped)
            && record::is_automatic(backup)
            && !record::is_kept(*backup)
            && backup.metadata.deletion_timestamp.is_none()
    });
    let mut backups: Vec<&RedisBackup> = backups.collect();
    backups.sort_by_key(|backup| std::cmp::Reverse(record::over_unix_ms(backup)));
    let mut gone = backups.split_off(STAY.min(backups.len()));
    let has_failed = |backup: &&RedisBackup| backup.phase() == BackupPhase::Failed;
    if !backups.iter().any(has_failed)
        && let Some(last) = gone.iter().position(has_failed)
    {
        gone.remove(last);
    }
    gone
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;

    #[test]
    fn the_last_three_stay_and_so_does_what_a_person_asked_for() {
        let plan = plan(json!({}));
        let at = |name: &str, cause, phase, minute: u64| {
            backup(name, cause, phase, NOW + minute * 60_000)
        };
        let backups = [
            at("a", Some("age"), "Failed", 1),
            at("b", Some("schedule"), "Skipped", 2),
            at("c", Some("schedule"), "Failed", 5),
            at("d", Some("schedule"), "Failed", 4),
            at("e", Some("schedule"), "Skipped", 3),
            at("f", None, "Failed", 0),
            at("g", Some("schedule"), "Completed", 0),
        ];
        let view = view(&plan, &backups);
        let names: Vec<String> = superfluous(&view).iter().map(|b| b.name_any()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn the_last_one_that_failed_stays_whatever_was_left_out_since() {
        let plan = plan(json!({}));
        let at = |name: &str, phase, minute: u64| {
            backup(name, Some("schedule"), phase, NOW + minute * 60_000)
        };
        let backups = [
            at("a", "Failed", 0),
            at("b", "Failed", 1),
            at("c", "Skipped", 2),
            at("d", "Skipped", 3),
            at("e", "Skipped", 4),
            at("f", "Skipped", 5),
        ];
        let view = view(&plan, &backups);
        let names: Vec<String> = superfluous(&view).iter().map(|b| b.name_any()).collect();
        assert_eq!(names, ["c", "a"]);
    }
}
