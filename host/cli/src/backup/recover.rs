//! `recover`: a new instance that begins with the data of a backup, or with what another held at an instant.

use anyhow::{Context as _, bail};
use hera_api::meta::API_VERSION;
use hera_api::names::ObjectName;
use hera_api::{BackupPhase, Kind, RedisBackup, RedisInstance, ServerVersion};
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::{Client, CustomResourceExt as _};
use serde_json::{Map, Value, json};

use super::origin::Origin;
use super::{latest_first, no_cluster, why};
use crate::args::{Cluster, Recover};
use crate::output::{Output, faint, good};
use crate::{Verdict, cluster};

/// A server has 70 % of its container's memory, and data that comes from a backup five sixths of that.
const OF_MEMORY: u64 = 2;
const MEBIBYTE: u64 = 1 << 20;
/// However little the data is.
const LEAST_MEBIBYTES: u64 = 128;

/// Prints its manifest, or creates it.
///
/// # Errors
/// When the cluster cannot be asked, there is no such backup or it is not whole, the instant is to come, nothing says
/// where the data is stored, or there is an instance of the new name already.
pub async fn run(asked: &Recover, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let (client, namespace) = (connected.client, connected.namespace);
    ObjectName::new(Kind::RedisInstance, &asked.new)?;
    let to = asked.to.map(|when| when.until(Timestamp::now()));
    let to = to.transpose()?;
    let target = &asked.target;
    if !target.may_be(Kind::RedisInstance) {
        return Err(no_cluster(target));
    }
    // As it stands there, with what a later operator knows beyond this program.
    let instances = instances(&client, &namespace);
    if instances.get_opt(&asked.new).await?.is_some() {
        bail!(there_is(&asked.new));
    }
    let live = instances.get_opt(target.name()).await?;
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), &namespace);
    let backup = match &asked.from {
        Some(from) => Some(named(asked, from, &backups, &namespace).await?),
        None if live.is_none() => Some(last_whole(asked, &backups, &namespace).await?),
        None => None,
    };
    if let (None, Some(backup)) = (&live, &backup) {
        let gone = gone(asked, backup);
        if asked.apply {
            bail!("{gone}; print the manifest, complete it, and apply that");
        }
        anstream::eprintln!("{}", faint(&gone));
    }
    let origin = Origin {
        asked,
        to,
        live: live.as_ref(),
        backup: backup.as_ref(),
    };
    if origin.is_without_log() {
        let words = format!(
            "{target} keeps no log now (spec.backup.log): only what one covered before can be had"
        );
        anstream::eprintln!("{}", faint(&words));
    }
    let (recovery, words) = (origin.recovery()?, origin.words());
    let manifest = manifest(asked, &namespace, spec(live, backup.as_ref())?, recovery);
    if !asked.apply {
        let text = serde_saphyr::to_string(&manifest)?;
        output.print(&manifest, |_| text)?;
        return Ok(Verdict::Yes);
    }
    create(asked, &instances, manifest, &words, output).await
}

async fn create(
    asked: &Recover,
    instances: &Api<DynamicObject>,
    manifest: Value,
    words: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    let object: DynamicObject = serde_json::from_value(manifest)?;
    let made = match instances.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => bail!(there_is(&asked.new)),
        made => made.with_context(|| format!("RedisInstance {} is not taken", asked.new))?,
    };
    output.print(&made, |_| {
        let (new, asked) = (&asked.new, good("asked:"));
        format!(
            "{asked} {new} begins with {words}; kubectl hera status ri/{new} shows how it goes\n"
        )
    })?;
    Ok(Verdict::Yes)
}

/// The backup of this name, whole and of this instance.
async fn named(
    asked: &Recover,
    from: &str,
    backups: &Api<RedisBackup>,
    namespace: &str,
) -> anyhow::Result<RedisBackup> {
    let backup = backups.get_opt(from).await?.with_context(|| {
        format!(
            "there is no RedisBackup {from} in namespace {namespace}: kubectl hera backup ls {} lists those that there are",
            asked.target
        )
    })?;
    fits(asked, from, &backup)?;
    Ok(backup)
}

/// The last backup of an instance that is gone which the store holds the whole of.
async fn last_whole(
    asked: &Recover,
    backups: &Api<RedisBackup>,
    namespace: &str,
) -> anyhow::Result<RedisBackup> {
    let all = backups.list(&ListParams::default()).await?.items;
    let all = latest_first(all, Some(asked.target.name())).into_iter();
    let mut whole = all.filter(|backup| backup.phase() == BackupPhase::Completed);
    whole.next().with_context(|| {
        format!(
            "namespace {namespace} has neither a RedisInstance {of} nor a whole RedisBackup of one, so nothing says in \
             which store its data is: write bootstrap.recovery.source yourself (docs/backup.md)",
            of = asked.target.name()
        )
    })
}

fn instances(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &RedisInstance::api_resource())
}

fn there_is(new: &str) -> String {
    format!(
        "there is a RedisInstance {new} already: a backup is never put over data, only a new instance begins with it"
    )
}

/// It is of this instance, and whole.
fn fits(asked: &Recover, from: &str, backup: &RedisBackup) -> anyhow::Result<()> {
    let target = &asked.target;
    let of = &backup.spec.target.name;
    if of != target.name() {
        bail!("RedisBackup {from} is of RedisInstance {of}, and not of {target}");
    }
    match backup.phase() {
        BackupPhase::Completed => Ok(()),
        BackupPhase::Pending | BackupPhase::Running => bail!(
            "RedisBackup {from} is not whole yet: kubectl hera backup status rdb/{from} shows how it goes"
        ),
        BackupPhase::Failed | BackupPhase::Skipped => bail!(
            "nothing came of RedisBackup {from}, so that it holds nothing: {}",
            why(backup)
        ),
    }
}

/// That of the instance as it is; of one that is gone, what the backup knows of it.
fn spec(
    live: Option<DynamicObject>,
    backup: Option<&RedisBackup>,
) -> anyhow::Result<Map<String, Value>> {
    let Some(mut live) = live else {
        return Ok(backup.map(known).unwrap_or_default());
    };
    match live.data.get_mut("spec").map(Value::take) {
        Some(Value::Object(spec)) => Ok(spec),
        _ => bail!("a RedisInstance without a spec"),
    }
}

/// What of a spec is in the status of a backup.
fn known(backup: &RedisBackup) -> Map<String, Value> {
    let status = backup.status.clone().unwrap_or_default();
    let mut spec = Map::new();
    let version = status.version.as_deref().map(branch);
    spec.extend(version.map(|version| ("version".to_owned(), json!(version))));
    spec.extend(
        status
            .engine
            .map(|engine| ("engine".to_owned(), json!(engine))),
    );
    let store = status.store.map(|name| json!({"storeRef": {"name": name}}));
    spec.extend(store.map(|store| ("backup".to_owned(), store)));
    let used: Option<i64> = status.shards.iter().map(|shard| shard.used_memory).sum();
    if let Some(used) = used.and_then(|used| u64::try_from(used).ok()) {
        let mebibytes = (used.saturating_mul(OF_MEMORY)).div_ceil(MEBIBYTE);
        let limit = format!("{}Mi", mebibytes.max(LEAST_MEBIBYTES));
        spec.insert("resources".to_owned(), json!({"limits": {"memory": limit}}));
    }
    spec
}

/// Major and minor number: `7.2` of `7.2.4`.
fn branch(version: &str) -> String {
    match version.parse::<ServerVersion>() {
        Ok(version) => {
            let (major, minor) = version.branch();
            format!("{major}.{minor}")
        }
        Err(_) => version.to_owned(),
    }
}

/// What to tell who has no spec to begin with.
fn gone(asked: &Recover, backup: &RedisBackup) -> String {
    let path = backup
        .status
        .as_ref()
        .and_then(|status| status.path.as_deref());
    let path = path.map(|path| format!(" ({path} in the store has them)"));
    format!(
        "RedisInstance {} is gone: its replicas, users and settings are not in this manifest{}",
        asked.target.name(),
        path.unwrap_or_default()
    )
}

fn manifest(
    asked: &Recover,
    namespace: &str,
    mut spec: Map<String, Value>,
    recovery: Value,
) -> Value {
    // What is paused makes no pods.
    spec.remove("paused");
    spec.insert("bootstrap".to_owned(), json!({"recovery": recovery}));
    json!({
        "apiVersion": API_VERSION,
        "kind": Kind::RedisInstance.name(),
        "metadata": {"name": asked.new, "namespace": namespace},
        "spec": spec,
    })
}

#[cfg(test)]
pub mod tests {
    use hera_api::conditions::completed;

    use super::super::tests::backup;
    use super::*;
    use crate::named::tests::target;

    /// The data of the backup `b1`.
    pub fn asked(of: &str) -> Recover {
        Recover {
            target: target(of),
            from: Some("b1".to_owned()),
            to: None,
            new: "cart-2".to_owned(),
            apply: false,
        }
    }

    /// The instance `shop/cart` with this spec.
    pub fn live(spec: Value) -> DynamicObject {
        let object = json!({
            "apiVersion": API_VERSION, "kind": "RedisInstance",
            "metadata": {"name": "cart", "namespace": "shop", "uid": "u-1", "labels": {"team": "a"}},
            "spec": spec, "status": {"primary": "cart-0"},
        });
        serde_json::from_value(object).unwrap()
    }

    fn made(live: Option<DynamicObject>, status: Value) -> Value {
        let (asked, backup) = (asked("cart"), backup("b1", 1, status));
        let origin = Origin {
            asked: &asked,
            to: None,
            live: live.as_ref(),
            backup: Some(&backup),
        };
        let recovery = origin.recovery().unwrap();
        let spec = spec(live, Some(&backup)).unwrap();
        manifest(&asked, "shop", spec, recovery)
    }

    #[test]
    fn a_new_instance_has_the_whole_spec_of_the_old_one_and_begins_with_the_backup() {
        let users = json!([{
            "name": "worker", "preset": "ReadOnly", "keys": ["*"],
            "passwordSecretRef": {"name": "worker"},
        }]);
        let old = live(json!({
            "version": "7.2", "replicas": 3, "users": users, "paused": true,
            "backup": {"storeRef": {"name": "s3"}}, "ofALaterOperator": {"a": 1},
            "bootstrap": {"recovery": {"backupRef": {"name": "b0"}}},
        }));
        let made = made(Some(old), json!({"phase": "Completed"}));
        let wanted = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
            "metadata": {"name": "cart-2", "namespace": "shop"},
            "spec": {
                "version": "7.2", "replicas": 3, "users": users,
                "backup": {"storeRef": {"name": "s3"}}, "ofALaterOperator": {"a": 1},
                "bootstrap": {"recovery": {"backupRef": {"name": "b1"}}},
            },
        });
        assert_eq!(made, wanted);
        let printed = serde_saphyr::to_string(&made).unwrap();
        let read: Value = serde_saphyr::from_str(&printed).unwrap();
        assert_eq!(read, wanted, "a version stays a text:\n{printed}");
    }

    #[test]
    fn of_an_instance_that_is_gone_the_backup_knows_server_store_and_size() {
        let status = json!({
            "phase": "Completed", "engine": "valkey", "version": "8.1.1", "store": "s3",
            "path": "shop.cart/u-1/backups/b1.json",
            "shards": [{"shard": "0", "pod": "cart-1", "podUid": "p", "usedMemory": 100 << 20}],
        });
        let made = made(None, status.clone());
        let spec = json!({
            "engine": "valkey", "version": "8.1", "backup": {"storeRef": {"name": "s3"}},
            "resources": {"limits": {"memory": "200Mi"}},
            "bootstrap": {"recovery": {"backupRef": {"name": "b1"}}},
        });
        assert_eq!(made.get("spec"), Some(&spec));
        let words = gone(&asked("cart"), &backup("b1", 1, status));
        assert!(words.contains("shop.cart/u-1/backups/b1.json"), "{words}");
    }

    #[test]
    fn only_a_whole_backup_of_this_instance_is_taken() {
        let refused = |of: &str, status: Value| {
            let fits = fits(&asked(of), "b1", &backup("b1", 1, status));
            fits.err().map(|error| error.to_string())
        };
        let whole = || json!({"phase": "Completed"});
        assert_eq!(refused("cart", whole()), None);
        assert_eq!(refused("ri/cart", whole()), None);
        let words = refused("shop", whole()).unwrap();
        assert!(words.contains("is of RedisInstance cart"), "{words}");
        for status in [json!({}), json!({"phase": "Running"})] {
            let words = refused("cart", status).unwrap();
            assert!(words.contains("backup status rdb/b1"), "{words}");
        }
        let failed = json!({"phase": "Failed", "conditions": [{
            "type": completed::TYPE, "status": "False", "reason": "NoHeadroom", "message": "too little memory",
            "lastTransitionTime": "2026-11-28T03:00:00Z",
        }]});
        let words = refused("cart", failed).unwrap();
        assert!(words.ends_with("NoHeadroom: too little memory"), "{words}");
    }
}
