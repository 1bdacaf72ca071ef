//! `backup` and `recover`: the data of instances in a store, and instances that begin with it.

mod about;
mod drop;
mod keep;
mod list;
mod log;
mod now;
mod origin;
pub mod recover;
mod schedules;
mod status;
mod stays;
mod text;
mod when;

pub use about::{About, BackupName};
pub use when::When;

use std::fmt::Display;

use anyhow::{Context as _, anyhow};
use hera_api::RedisBackup;
use hera_api::conditions::completed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::args::{BackupCommand, Cluster};
use crate::output::Output;
use crate::{Verdict, cluster};

/// Makes a backup, shows those that there are, or asks something of one.
///
/// # Errors
/// When the cluster cannot be asked, there is nothing of the name, or the request is not taken.
pub async fn run(
    command: &BackupCommand,
    wanted: &Cluster,
    output: Output,
) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let (client, namespace) = (connected.client, connected.namespace);
    match command {
        BackupCommand::Now { target, name, wait } => {
            let asked = now::Asked {
                target,
                name: name.as_deref(),
                wait: *wait,
            };
            now::run(&asked, &client, &namespace, output).await
        }
        BackupCommand::Ls { target } => {
            list::run(target.as_ref(), &client, &namespace, output).await
        }
        BackupCommand::Status { about } => status::run(about, &client, &namespace, output).await,
        BackupCommand::Drop { name, yes, wait } => {
            let asked = drop::Asked {
                name: name.as_str(),
                yes: *yes,
                wait: *wait,
            };
            drop::run(&asked, &client, &namespace, output).await
        }
        BackupCommand::Keep { name, undo } => {
            keep::run(name.as_str(), *undo, &client, &namespace, output).await
        }
    }
}

/// The backup of a name.
///
/// # Errors
/// When the cluster cannot be asked, or there is none.
async fn get(
    backups: &Api<RedisBackup>,
    name: &str,
    namespace: &str,
) -> anyhow::Result<RedisBackup> {
    let found = backups.get_opt(name).await?;
    found.with_context(|| format!("there is no RedisBackup {name} in namespace {namespace}"))
}

/// Writes an annotation on a backup, or takes it away, if it is still the one that was read.
///
/// # Errors
/// When that is not taken.
async fn annotate(
    backups: &Api<RedisBackup>,
    backup: &RedisBackup,
    annotation: &str,
    value: Option<&str>,
) -> anyhow::Result<RedisBackup> {
    let metadata = json!({"uid": backup.metadata.uid, "annotations": {annotation: value}});
    let patch = json!({"metadata": metadata});
    let (name, patch) = (backup.name_any(), Patch::Merge(&patch));
    let params = PatchParams::default();
    let patched = backups.patch(&name, &params, &patch);
    patched.await.context("the request is not taken")
}

/// Backups are asked for of what has none.
fn no_cluster(named: impl Display) -> anyhow::Error {
    anyhow!("{named} is a RedisCluster, of which no backups can be made yet")
}

/// What is said of a backup in the condition of this type.
fn condition<'a>(backup: &'a RedisBackup, type_: &str) -> Option<&'a Condition> {
    let mut all = backup.status.iter().flat_map(|status| &status.conditions);
    all.find(|condition| condition.type_ == type_)
}

/// `Reason: message` of how far it is; empty before anything is said.
fn why(backup: &RedisBackup) -> String {
    condition(backup, completed::TYPE).map_or_else(String::new, words)
}

/// `Reason: message`.
fn words(condition: &Condition) -> String {
    match condition.message.as_str() {
        "" => condition.reason.clone(),
        message => format!("{}: {message}", condition.reason),
    }
}

/// Those of an instance, or all; the latest first.
fn latest_first(mut backups: Vec<RedisBackup>, of: Option<&str>) -> Vec<RedisBackup> {
    backups.retain(|backup| of.is_none_or(|name| backup.spec.target.name == name));
    let made = |backup: &RedisBackup| backup.metadata.creation_timestamp.clone();
    // Two of one second by their names, which have the time in them.
    backups.sort_by_key(|backup| std::cmp::Reverse((made(backup), backup.name_any())));
    backups
}

#[cfg(test)]
mod tests;
