//! `backup` and `recover`: the data of instances in a store, and instances that begin with it.

mod about;
mod list;
mod log;
mod now;
mod origin;
pub mod recover;
mod status;
mod text;
mod when;

pub use about::About;
pub use when::When;

use std::fmt::Display;

use anyhow::anyhow;
use hera_api::RedisBackup;
use hera_api::conditions::completed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use crate::args::{BackupCommand, Cluster};
use crate::output::Output;
use crate::{Verdict, cluster};

/// Makes a backup, or shows those that there are.
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
    }
}

/// Backups are asked for of what has none.
fn no_cluster(named: impl Display) -> anyhow::Error {
    anyhow!("{named} is a RedisCluster, of which no backups can be made yet")
}

/// What is said of how far it is.
fn condition(backup: &RedisBackup) -> Option<&Condition> {
    let mut all = backup.status.iter().flat_map(|status| &status.conditions);
    all.find(|condition| condition.type_ == completed::TYPE)
}

/// `Reason: message` of how far it is; empty before anything is said.
fn why(backup: &RedisBackup) -> String {
    let Some(condition) = condition(backup) else {
        return String::new();
    };
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
