//! `backup status`: how the backups of an instance are, or one of them.

use anyhow::{Context as _, bail};
use hera_api::conditions::available;
use hera_api::{BackupPhase, LogMode, LogSpec, RedisBackup, RedisBackupStore, RedisInstance};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::log::{self, LogSeen};
use super::{About, latest_first, no_cluster, text};
use crate::Verdict;
use crate::named::{NotFound, Object};
use crate::output::Output;

/// Backups that are shown of an instance.
const SHOWN: usize = 5;

/// An instance, its store, its log, and its last backups.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfInstance {
    pub namespace: String,
    pub name: String,
    /// None if its spec names none.
    pub store: Option<StoreSeen>,
    /// None if its spec asks for none.
    pub log: Option<LogSeen>,
    /// The last one that the store holds the whole of, as far as there are objects of it.
    pub last_completed: Option<RedisBackup>,
    /// The last ones, the latest first.
    pub backups: Vec<RedisBackup>,
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
        About::Backup(name) => {
            let found = backups.get_opt(name).await?;
            let missing = || format!("there is no RedisBackup {name} in namespace {namespace}");
            Found::Backup(Box::new(found.with_context(missing)?))
        }
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
    Ok(seen(instance, store, log, all))
}

fn seen(
    instance: &RedisInstance,
    store: Option<StoreSeen>,
    log: Option<LogSeen>,
    all: Vec<RedisBackup>,
) -> OfInstance {
    let name = instance.name_any();
    let mut backups = latest_first(all, Some(&name));
    let mut whole = backups.iter();
    let last_completed = whole.find(|backup| backup.phase() == BackupPhase::Completed);
    let last_completed = last_completed.cloned();
    backups.truncate(SHOWN);
    OfInstance {
        namespace: instance.namespace().unwrap_or_default(),
        name,
        store,
        log,
        last_completed,
        backups,
    }
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

/// There is a store that nobody says is away, nothing is wrong with the log, and the last backup that is over is whole.
fn is_good(seen: &OfInstance) -> bool {
    let store = seen.store.as_ref();
    let is_usable = |store: &StoreSeen| {
        let known = store.available.as_ref();
        store.at.is_some() && known.is_none_or(|condition| condition.status != "False")
    };
    let health = seen.log.as_ref().and_then(|log| log.health.as_ref());
    let is_logged = health.is_none_or(|condition| condition.status != "False");
    let last = seen.backups.iter().find(|backup| backup.is_over());
    let is_whole = |backup: &RedisBackup| backup.phase() == BackupPhase::Completed;
    store.is_some_and(is_usable) && is_logged && last.is_none_or(is_whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{backup, logged, store};
    use super::*;
    use crate::named::tests::instance;

    fn cart(store: Option<StoreSeen>, backups: Vec<RedisBackup>) -> OfInstance {
        let Object::Instance(cart) = instance(json!({})) else {
            panic!("no instance");
        };
        seen(&cart, store, None, backups)
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
            seen.log = Some(logged(status, "StoreUnreachable", "no answer"));
            assert_eq!(is_good(&seen), good, "the log is healthy: {status}");
        }
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
