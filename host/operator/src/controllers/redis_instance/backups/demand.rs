//! What is due becomes a RedisBackup. Its name comes from its time, so that it is made once, whoever leads.

use std::collections::BTreeMap;

use hera_api::meta::{
    ANNOTATION_BACKUP_DUE, ANNOTATION_BACKUP_LATEST, LABEL_BACKUP_CAUSE, LABEL_BACKUP_SCHEDULE,
};
use hera_api::{BackupPhase, BackupTarget, RedisBackup, RedisBackupSpec, TargetKind};
use hera_core::backup::decision::Cause;
use kube::Api;
use kube::api::PostParams;
use tracing::info;

use super::Site;
use crate::controllers::backups::known::{Guarded, is_of};
use crate::controllers::backups::record::{self, time};
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;

/// So many names are tried.
const NAMES: u32 = 99;

/// A backup that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub cause: Cause,
    /// Name of the schedule; empty for any other cause.
    pub schedule: &'a str,
    /// Since when it is wanted, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Then it begins, whatever a policy says.
    pub latest_unix_ms: u64,
}

/// Makes it, unless it is there.
///
/// # Errors
/// When the API server does not take it, or another replica leads.
pub async fn make(site: &Site<'_>, wanted: &Wanted<'_>) -> Result<(), PassError> {
    let (client, object) = (&site.shared.client, site.instance());
    let namespace = object.namespace.as_str();
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let read: Api<Guarded> = Api::namespaced(client.clone(), namespace);
    for number in 1..=NAMES {
        if site.shared.leadership.term() != Some(site.term) {
            return Err(PassError::LeadershipLost);
        }
        let backup = build(&object, wanted, number);
        let name = backup.metadata.name.as_deref().unwrap_or_default();
        match backups.create(&PostParams::default(), &backup).await {
            Ok(_) => {
                info!(%object, name, cause = ?wanted.cause, "a backup is due");
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
        let taken = read.get_opt(name).await?;
        if taken.is_some_and(|taken| stands_for(&taken, &object, site.owner.uid, wanted)) {
            return Ok(());
        }
    }
    let first = build(&object, wanted, 1).metadata.name;
    Err(PassError::NamesTaken(first.unwrap_or_default()))
}

/// True of one that was made of the same: by another leader, or of another schedule that is due at the same time. One
/// that was over before that has the name by chance, or because somebody wants none to be made; and of one that was
/// wanted for something else, and of which nothing came, a schedule has nothing.
fn stands_for(taken: &Guarded, object: &ObjectKey, uid: &str, wanted: &Wanted<'_>) -> bool {
    let Ok(taken) = &taken.0 else {
        return false;
    };
    let is_its = record::target_uid(taken).is_none_or(|of| of == uid);
    if !is_of(taken, object) || !is_its {
        return false;
    }
    match (wanted.cause, taken.phase()) {
        (_, BackupPhase::Pending | BackupPhase::Running) => true,
        (Cause::Schedule, phase) => {
            let over = record::over_unix_ms(taken);
            let has_come =
                phase == BackupPhase::Completed || record::cause(taken) == Cause::Schedule;
            has_come && over.is_none_or(|over| over >= wanted.since_unix_ms)
        }
        _ => false,
    }
}

fn build(object: &ObjectKey, wanted: &Wanted<'_>, number: u32) -> RedisBackup {
    let spec = RedisBackupSpec {
        target: BackupTarget {
            kind: TargetKind::RedisInstance,
            name: object.name.clone(),
        },
        source: None,
    };
    let name = name(&object.name, wanted.since_unix_ms, number);
    let mut backup = RedisBackup::new(&name, spec);
    let cause = record::label(wanted.cause).map(|cause| (LABEL_BACKUP_CAUSE, cause));
    let schedule = Some((LABEL_BACKUP_SCHEDULE, wanted.schedule));
    let schedule = schedule.filter(|(_, name)| !name.is_empty());
    let labels = cause.into_iter().chain(schedule);
    let annotations = [
        (ANNOTATION_BACKUP_DUE, wanted.since_unix_ms),
        (ANNOTATION_BACKUP_LATEST, wanted.latest_unix_ms),
    ];
    let annotations = annotations.map(|(key, at)| (key.to_owned(), time(at).to_string()));
    backup.metadata.namespace = Some(object.namespace.clone());
    backup.metadata.labels = Some(
        labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    );
    backup.metadata.annotations = Some(BTreeMap::from(annotations));
    backup
}

/// `cache-20270115-0300`, in UTC; `-2` and so on behind it where that is taken.
fn name(object: &str, since_unix_ms: u64, number: u32) -> String {
    let at = time(since_unix_ms).strftime("%Y%m%d-%H%M").to_string();
    match number {
        1 => format!("{object}-{at}"),
        _ => format!("{object}-{at}-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;

    use super::super::view::tests::{NOW, backup};
    use super::*;

    fn cache() -> ObjectKey {
        ObjectKey::instance("shop", "cache")
    }

    #[test]
    fn a_backup_of_a_time_has_one_name_and_says_why_it_is_there() {
        let wanted = Wanted {
            cause: Cause::Schedule,
            schedule: "nightly",
            since_unix_ms: NOW,
            latest_unix_ms: NOW + 3_600_000,
        };
        let made = build(&cache(), &wanted, 1);
        assert_eq!(made.metadata.name.as_deref(), Some("cache-20270115-0800"));
        let demand = record::demand(&made);
        assert_eq!(
            (demand.cause, demand.schedule.as_str()),
            (Cause::Schedule, "nightly")
        );
        assert_eq!(demand.since_unix_ms, NOW);
        assert_eq!(demand.latest_unix_ms, NOW + 3_600_000);
        let next = build(&cache(), &wanted, 2);
        assert_eq!(next.metadata.name.as_deref(), Some("cache-20270115-0800-2"));
        let gap = Wanted {
            cause: Cause::Gap,
            schedule: "",
            ..wanted
        };
        let labels = build(&cache(), &gap, 1).metadata.labels.unwrap();
        assert_eq!(labels.len(), 1, "{labels:?}");
    }

    /// True if a backup of another cause, which was over so long after now, stands for one that is wanted since now.
    fn stands(of: Option<&str>, phase: &str, over: i64, cause: Cause, uid: &str) -> bool {
        let wanted = Wanted {
            cause,
            schedule: "",
            since_unix_ms: NOW,
            latest_unix_ms: NOW,
        };
        let over = NOW.checked_add_signed(over).unwrap();
        let taken = DeserializeGuard(Ok(backup("a", of, phase, over)));
        stands_for(&taken, &cache(), uid, &wanted)
    }

    #[test]
    fn of_one_time_there_is_one_backup_and_of_an_age_another_after_one_that_is_over() {
        let schedule = Some("schedule");
        for phase in ["Pending", "Running", "Completed", "Skipped", "Failed"] {
            assert!(stands(schedule, phase, 0, Cause::Schedule, "u"), "{phase}");
            let another = stands(schedule, phase, 0, Cause::Schedule, "v");
            assert!(!another, "it is of an object that had the name before");
        }
        assert!(stands(Some("age"), "Pending", 0, Cause::Age, "u"));
        assert!(!stands(Some("age"), "Failed", 0, Cause::Age, "u"));
        let wanted = Wanted {
            cause: Cause::Schedule,
            schedule: "",
            since_unix_ms: NOW,
            latest_unix_ms: NOW,
        };
        let other = ObjectKey::instance("shop", "other");
        let taken = DeserializeGuard(Ok(backup("a", schedule, "Pending", NOW)));
        assert!(!stands_for(&taken, &other, "u", &wanted));
    }

    #[test]
    fn one_that_was_over_before_or_that_another_cause_wanted_in_vain_stands_for_no_time() {
        for phase in ["Completed", "Skipped", "Failed"] {
            assert!(!stands(
                Some("schedule"),
                phase,
                -1_000,
                Cause::Schedule,
                "u"
            ));
        }
        assert!(stands(Some("gap"), "Completed", 0, Cause::Schedule, "u"));
        assert!(!stands(Some("gap"), "Failed", 0, Cause::Schedule, "u"));
        assert!(!stands(None, "Failed", 0, Cause::Schedule, "u"));
    }
}
