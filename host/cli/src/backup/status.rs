//! `backup status`: how the backups of an instance are, or one of them.

use std::collections::BTreeSet;

use anyhow::bail;
use hera_api::conditions::{available, backup_healthy, completed};
use hera_api::{
    BackupOverview, BackupPhase, KeepSpec, LogMode, LogSpec, RedisBackup, RedisBackupStore,
    RedisInstance,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::log::{self, LogSeen};
use super::schedules::{self, ScheduleSeen};
use super::{About, condition, get, latest_first, no_cluster, stays, text};
use crate::Verdict;
use crate::named::{NotFound, Object};
use crate::output::Output;

/// Backups that are shown of an instance.
const SHOWN: usize = 5;

/// An instance, its store, its schedules, its log, and its last backups.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfInstance {
    pub namespace: String,
    pub name: String,
    /// None if its spec names none.
    pub store: Option<StoreSeen>,
    /// `BackupHealthy`, as the operator last found it; none where nothing is to be made or kept, or nobody has looked.
    pub health: Option<Condition>,
    /// None if its spec asks for none.
    pub log: Option<LogSeen>,
    pub schedules: Vec<ScheduleSeen>,
    /// How old the last backup may get.
    pub max_age: Option<String>,
    /// None if all backups stay.
    pub keep: Option<KeepSpec>,
    /// `status.backup`.
    pub overview: Option<BackupOverview>,
    /// Those that the policy lets wait.
    pub waiting: Vec<Waiting>,
    /// Names of those that stay by the spec, as far as there are objects of them.
    pub needed: BTreeSet<String>,
    /// The last one that the store holds the whole of, as far as there are objects of it.
    pub last_completed: Option<RedisBackup>,
    /// The last ones, the latest first.
    pub backups: Vec<RedisBackup>,
}

/// A backup that a policy lets wait.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub name: String,
    /// Until when, and why.
    pub message: String,
}

/// A store, as the spec names it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSeen {
    pub name: String,
    /// None if there is no such RedisBackupStore.
    pub at: Option<String>,
    /// None before an agent has used it.
    pub available: Option<Condition>,
}

/// Shows it; the answer is no if the last backup did not come to a good end, the store cannot be used, or something is
/// wrong with the log.
///
/// # Errors
/// When the cluster cannot be asked, or nothing has the name.
pub async fn run(
    about: &About,
    client: &Client,
    namespace: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let found = match about {
        About::Backup(name) => Found::Backup(Box::new(get(&backups, name, namespace).await?)),
        About::Object(target) => Found::Object(target.find(client, namespace).await?),
        About::Either(target) => {
            let backup = backups.get_opt(target.name()).await?;
            let object = match target.find(client, namespace).await {
                Ok(object) => Some(object),
                Err(NotFound::Nothing { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            which(target.name(), namespace, backup, object)?
        }
    };
    match found {
        Found::Backup(backup) => {
            output.print(&*backup, text::backup)?;
            Ok(Verdict::from(backup.phase() == BackupPhase::Completed))
        }
        Found::Object(object) => {
            let seen = of_instance(&object, client, &backups).await?;
            output.print(&seen, text::instance)?;
            Ok(Verdict::from(is_good(&seen)))
        }
    }
}

/// What a name leads to.
#[derive(Debug)]
enum Found {
    Backup(Box<RedisBackup>),
    Object(Object),
}

/// The one that there is.
///
/// # Errors
/// There are both, or neither.
fn which(
    name: &str,
    namespace: &str,
    backup: Option<RedisBackup>,
    object: Option<Object>,
) -> anyhow::Result<Found> {
    match (backup, object) {
        (Some(backup), None) => Ok(Found::Backup(Box::new(backup))),
        (None, Some(object)) => Ok(Found::Object(object)),
        (Some(_), Some(_)) => bail!(
            "namespace {namespace} has a backup and an instance called {name}: say rdb/{name} or ri/{name}"
        ),
        (None, None) => {
            bail!("there is no RedisInstance and no RedisBackup {name} in namespace {namespace}")
        }
    }
}

async fn of_instance(
    object: &Object,
    client: &Client,
    backups: &Api<RedisBackup>,
) -> anyhow::Result<OfInstance> {
    let Object::Instance(instance) = object else {
        return Err(no_cluster(object.name()));
    };
    let named = instance.spec.backup.as_ref();
    let store = match named.map(|backup| &backup.store_ref.name) {
        Some(name) => {
            let stores: Api<RedisBackupStore> = Api::namespaced(client.clone(), object.namespace());
            Some(store_seen(name, stores.get_opt(name).await?))
        }
        None => None,
    };
    let is_kept = |log: &LogSpec| log.mode == LogMode::Enabled;
    let log = match named.and_then(|backup| backup.log.as_ref()) {
        Some(wanted) if is_kept(wanted) => Some(log::look(object, client).await),
        _ => None,
    };
    let all = backups.list(&ListParams::default()).await?.items;
    Ok(seen(instance, store, log, all, Timestamp::now()))
}

fn seen(
    instance: &RedisInstance,
    store: Option<StoreSeen>,
    log: Option<LogSeen>,
    all: Vec<RedisBackup>,
    now: Timestamp,
) -> OfInstance {
    let name = instance.name_any();
    let needed = stays::needed(instance, &all, now);
    let mut backups = latest_first(all, Some(&name));
    let waiting = backups.iter().rev().filter_map(waiting).collect();
    let mut whole = backups.iter();
    let last_completed = whole.find(|backup| backup.phase() == BackupPhase::Completed);
    let last_completed = last_completed.cloned();
    backups.truncate(SHOWN);
    let (spec, status) = (instance.spec.backup.as_ref(), instance.status.as_ref());
    OfInstance {
        namespace: instance.namespace().unwrap_or_default(),
        name,
        store,
        health: health(instance).cloned(),
        log,
        schedules: spec.map_or_else(Vec::new, |spec| schedules::seen(&spec.schedules, now)),
        max_age: spec.and_then(|spec| spec.max_age.clone()),
        keep: spec.and_then(|spec| spec.keep.clone()),
        overview: status.and_then(|status| status.backup.clone()),
        waiting,
        needed,
        last_completed,
        backups,
    }
}

fn health(instance: &RedisInstance) -> Option<&Condition> {
    let mut all = instance.status.iter().flat_map(|status| &status.conditions);
    all.find(|condition| condition.type_ == backup_healthy::TYPE)
}

fn waiting(backup: &RedisBackup) -> Option<Waiting> {
    let said = condition(backup, completed::TYPE)?;
    let waits = !backup.is_over() && said.reason == completed::POLICY_WAITS;
    waits.then(|| Waiting {
        name: backup.name_any(),
        message: said.message.clone(),
    })
}

fn store_seen(name: &str, store: Option<RedisBackupStore>) -> StoreSeen {
    let conditions = store.iter().flat_map(|store| store.status.iter());
    let mut conditions = conditions.flat_map(|status| &status.conditions);
    let available = conditions.find(|condition| condition.type_ == available::TYPE);
    StoreSeen {
        name: name.to_owned(),
        available: available.cloned(),
        at: store.as_ref().map(text::place),
    }
}

/// There is a store that nobody says is away, nothing is wrong with the log or the age of backups, and the last one that
/// is over, and that no policy left out, is whole.
fn is_good(seen: &OfInstance) -> bool {
    let store = seen.store.as_ref();
    let is_usable = |store: &StoreSeen| {
        let known = store.available.as_ref();
        store.at.is_some() && known.is_none_or(|condition| condition.status != "False")
    };
    let health = seen.health.as_ref();
    let is_healthy = health.is_none_or(|condition| condition.status != "False");
    let mut over = seen.backups.iter().filter(|backup| backup.is_over());
    let last = over.find(|backup| backup.phase() != BackupPhase::Skipped);
    let is_whole = |backup: &RedisBackup| backup.phase() == BackupPhase::Completed;
    store.is_some_and(is_usable) && is_healthy && last.is_none_or(is_whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{backup, health as said, store};
    use super::*;
    use crate::named::tests::instance;

    fn cart(store: Option<StoreSeen>, backups: Vec<RedisBackup>) -> OfInstance {
        let Object::Instance(cart) = instance(json!({})) else {
            panic!("no instance");
        };
        seen(&cart, store, None, backups, Timestamp::UNIX_EPOCH)
    }

    fn s3(conditions: Value) -> Option<StoreSeen> {
        Some(store_seen("s3", Some(store(conditions))))
    }

    fn unavailable() -> Value {
        json!([{
            "type": "Available", "status": "False", "reason": "CredentialsRefused", "message": "wrong key",
            "lastTransitionTime": "2026-11-28T03:00:00Z",
        }])
    }

    #[test]
    fn the_answer_is_no_without_a_store_that_can_be_used_or_after_a_failure() {
        let whole = || vec![backup("b1", 1, json!({"phase": "Completed"}))];
        assert!(is_good(&cart(s3(json!([])), whole())));
        assert!(is_good(&cart(s3(json!([])), Vec::new())), "nothing yet");
        assert!(!is_good(&cart(None, whole())), "no store");
        let gone = Some(store_seen("s3", None));
        assert!(!is_good(&cart(gone, whole())), "no such store");
        assert!(!is_good(&cart(s3(unavailable()), whole())));
        let failed = backup("b2", 2, json!({"phase": "Failed"}));
        let running = backup("b3", 3, json!({"phase": "Running"}));
        let then = [whole(), vec![failed, running]].concat();
        assert!(!is_good(&cart(s3(json!([])), then)), "the last one failed");
        for (status, good) in [("True", true), ("Unknown", true), ("False", false)] {
            let mut seen = cart(s3(json!([])), whole());
            seen.health = Some(said(status, "StoreUnreachable", "no answer"));
            assert_eq!(is_good(&seen), good, "healthy: {status}");
        }
        let skipped = backup("b2", 2, json!({"phase": "Skipped"}));
        let then = [whole(), vec![skipped]].concat();
        assert!(is_good(&cart(s3(json!([])), then)), "a policy left one out");
    }

    #[test]
    fn the_last_whole_backup_is_known_behind_later_ones_that_are_not() {
        let mut all = vec![backup("b0", 0, json!({"phase": "Completed"}))];
        all.extend((1..9).map(|hour| backup(&format!("b{hour}"), hour, json!({}))));
        let mut other = backup("b9", 9, json!({"phase": "Completed"}));
        other.spec.target.name = "shop".to_owned();
        all.push(other);
        let seen = cart(s3(json!([])), all);
        let names: Vec<String> = seen.backups.iter().map(|one| one.name_any()).collect();
        assert_eq!(names, ["b8", "b7", "b6", "b5", "b4"]);
        assert_eq!(seen.last_completed.unwrap().name_any(), "b0");
    }

    #[test]
    fn those_that_the_policy_lets_wait_are_named_and_no_others() {
        let of = |name: &str, hour: u8, phase: &str, reason: &str| {
            let condition = json!({
                "type": "Completed", "status": "False", "reason": reason, "message": "until 03:00: busy",
                "lastTransitionTime": "2026-11-28T03:00:00Z",
            });
            backup(
                name,
                hour,
                json!({"phase": phase, "conditions": [condition]}),
            )
        };
        let all = vec![
            of("b1", 1, "Pending", "PolicyWaits"),
            of("b2", 2, "Pending", "Pending"),
            of("b3", 3, "Failed", "PolicyWaits"),
        ];
        let waiting = Waiting {
            name: "b1".to_owned(),
            message: "until 03:00: busy".to_owned(),
        };
        assert_eq!(cart(s3(json!([])), all).waiting, [waiting]);
    }

    #[test]
    fn a_name_of_both_or_of_nothing_is_said_to_be_that() {
        let backup = || Some(backup("cart", 1, json!({})));
        let cart = || Some(instance(json!({})));
        let said = |backup, object| which("cart", "shop", backup, object);
        let both = said(backup(), cart()).unwrap_err().to_string();
        assert!(both.ends_with("say rdb/cart or ri/cart"), "{both}");
        let none = said(None, None).unwrap_err().to_string();
        assert!(none.starts_with("there is no RedisInstance"), "{none}");
        assert!(matches!(said(backup(), None), Ok(Found::Backup(_))));
        assert!(matches!(said(None, cart()), Ok(Found::Object(_))));
    }
}
