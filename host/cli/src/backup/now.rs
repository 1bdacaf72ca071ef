//! `backup now`: a RedisBackup, and how it ends.

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use hera_api::{
    BackupPhase, BackupTarget, RedisBackup, RedisBackupSpec, RedisInstance, TargetKind,
};
use jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::runtime::watcher::watch_object;
use kube::{Client, ResourceExt as _};

use super::{no_cluster, text};
use crate::Verdict;
use crate::named::{Object, Target};
use crate::output::{Output, good};

/// Which backup, and whether somebody waits for it.
pub struct Asked<'a> {
    pub target: &'a Target,
    pub name: Option<&'a str>,
    pub wait: bool,
}

/// Makes it.
///
/// # Errors
/// When the cluster cannot be asked, there is no such instance, or none of which a backup can be made.
pub async fn run(
    asked: &Asked<'_>,
    client: &Client,
    namespace: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    let target = asked.target;
    let object = target.find(client, namespace).await?;
    let Object::Instance(instance) = &object else {
        return Err(no_cluster(target));
    };
    let wanted = wanted(target, instance, asked.name, Timestamp::now())?;
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let name = wanted.name_any();
    let made = match backups.create(&PostParams::default(), &wanted).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            bail!("there is a RedisBackup {name} already: give this one another name with --name")
        }
        made => made.with_context(|| format!("RedisBackup {name} is not taken"))?,
    };
    if !asked.wait {
        output.print(&made, |_| {
            format!(
                "{} a backup of {target}, {name}; kubectl hera backup status rdb/{name} shows how it goes\n",
                good("asked:")
            )
        })?;
        return Ok(Verdict::Yes);
    }
    let ended = ended(backups, &name).await?;
    output.print(&ended, text::backup)?;
    Ok(Verdict::from(ended.phase() == BackupPhase::Completed))
}

/// The object that is made.
fn wanted(
    target: &Target,
    instance: &RedisInstance,
    name: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<RedisBackup> {
    if instance.spec.backup.is_none() {
        bail!(
            "spec.backup of {target} names no store: set spec.backup.storeRef.name to a RedisBackupStore of this \
             namespace (docs/backup.md)"
        );
    }
    let of = instance.name_any();
    let name = match name {
        Some(name) => name.to_owned(),
        None => format!("{of}-{}", now.strftime("%Y%m%d-%H%M%S")),
    };
    let target = BackupTarget {
        kind: TargetKind::RedisInstance,
        name: of,
    };
    let spec = RedisBackupSpec {
        target,
        source: None,
    };
    Ok(RedisBackup::new(&name, spec))
}

/// The backup once it is over. Who waits is told what it waits for meanwhile.
async fn ended(backups: Api<RedisBackup>, name: &str) -> anyhow::Result<RedisBackup> {
    let mut seen = Box::pin(watch_object(backups, name));
    let mut told = String::new();
    while let Some(backup) = seen.try_next().await.with_context(|| {
        format!("the backup goes on; kubectl hera backup status rdb/{name} shows how")
    })? {
        let backup = backup.with_context(|| format!("RedisBackup {name} was deleted meanwhile"))?;
        if backup.is_over() {
            return Ok(backup);
        }
        let progress = text::progress(&backup);
        if progress != told {
            anstream::eprintln!("{progress}");
            told = progress;
        }
    }
    bail!("the API server tells no more of RedisBackup {name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::named::tests::{instance, target};

    fn cart(backup: serde_json::Value) -> Box<RedisInstance> {
        let Object::Instance(mut cart) = instance(json!({})) else {
            panic!("no instance");
        };
        cart.spec.backup = serde_json::from_value(backup).unwrap();
        cart
    }

    fn made(name: Option<&str>) -> RedisBackup {
        let cart = cart(json!({"storeRef": {"name": "s3"}}));
        let now = "2026-11-28T03:04:05.6Z".parse().unwrap();
        wanted(&target("ri/cart"), &cart, name, now).unwrap()
    }

    #[test]
    fn a_backup_is_named_after_its_instance_and_the_time_unless_it_has_a_name() {
        assert_eq!(made(None).name_any(), "cart-20261128-030405");
        assert_eq!(made(Some("before-sale")).name_any(), "before-sale");
        let spec = serde_json::to_value(made(None).spec).unwrap();
        let target = json!({"kind": "RedisInstance", "name": "cart"});
        assert_eq!(spec, json!({"target": target}));
    }

    #[test]
    fn an_instance_without_a_store_is_told_what_to_set() {
        let cart = cart(json!(null));
        let refused = wanted(&target("cart"), &cart, None, Timestamp::now());
        let words = refused.unwrap_err().to_string();
        assert!(words.contains("spec.backup.storeRef.name"), "{words}");
    }
}
