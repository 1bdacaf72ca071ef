//! `backup ls`: a line for each backup.

use std::collections::BTreeSet;

use hera_api::meta::{LABEL_BACKUP_CAUSE, LABEL_BACKUP_SCHEDULE};
use hera_api::{Kind, RedisBackup};
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::{latest_first, no_cluster, stays, why};
use crate::Verdict;
use crate::named::{Object, Target, all};
use crate::output::{Output, cut, faint, table};

/// A backup in one line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    name: String,
    target: String,
    phase: String,
    cause: String,
    instant: Option<String>,
    size: Option<String>,
    /// Somebody keeps it.
    kept: bool,
    /// It stays by the spec of its instance.
    needed: bool,
    store: Option<String>,
    why: String,
}

/// Prints them.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn run(
    target: Option<&Target>,
    client: &Client,
    namespace: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    if let Some(target) = target.filter(|target| !target.may_be(Kind::RedisInstance)) {
        return Err(no_cluster(target));
    }
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let found = backups.list(&ListParams::default()).await?.items;
    // Who may not look at instances is not told what these need.
    let objects = all(client, Some(namespace)).await.unwrap_or_default();
    let needed = needed(&objects, &found, Timestamp::now());
    let found = latest_first(found, target.map(Target::name));
    let rows: Vec<Row> = found.iter().map(|backup| row(backup, &needed)).collect();
    output.print(&rows, |rows| match (rows.as_slice(), target) {
        ([], Some(target)) => faint(&format!("there is no backup of {target}\n")),
        ([], None) => faint("there is no backup here\n"),
        (rows, _) => lines(rows),
    })?;
    Ok(Verdict::Yes)
}

/// Names of those that stay by the specs of their instances.
fn needed(objects: &[Object], backups: &[RedisBackup], now: Timestamp) -> BTreeSet<String> {
    let of = |object: &Object| match object {
        Object::Instance(instance) => stays::needed(instance, backups, now),
        Object::Cluster(_) => BTreeSet::new(),
    };
    objects.iter().flat_map(of).collect()
}

/// What a line says of a backup; `needed` has the names of those that are.
pub fn row(backup: &RedisBackup, needed: &BTreeSet<String>) -> Row {
    let status = backup.status.as_ref();
    let name = backup.name_any();
    Row {
        target: backup.spec.target.name.clone(),
        phase: format!("{:?}", backup.phase()),
        cause: cause(backup),
        instant: instant(backup),
        size: status.and_then(|status| status.stored_size.clone()),
        kept: stays::is_kept(backup),
        needed: needed.contains(&name),
        name,
        store: status.and_then(|status| status.store.clone()),
        why: why(backup),
    }
}

fn instant(backup: &RedisBackup) -> Option<String> {
    let instant = backup.status.as_ref()?.instant.as_ref()?;
    Some(instant.0.to_string())
}

/// Why it was made: a word, and the name of a schedule.
pub fn cause(backup: &RedisBackup) -> String {
    let labels = backup.labels();
    let words = [LABEL_BACKUP_CAUSE, LABEL_BACKUP_SCHEDULE].map(|label| labels.get(label));
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    match words.as_slice() {
        [] => "person".to_owned(),
        words => words.join(" "),
    }
}

/// Its name, instant and size.
pub fn summary(backup: &RedisBackup) -> String {
    let size = backup.status.as_ref();
    let size = size.and_then(|status| status.stored_size.clone());
    let parts = [Some(backup.name_any()), instant(backup), size];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// As a table.
pub fn lines(rows: &[Row]) -> String {
    let head = [
        "NAME", "TARGET", "PHASE", "CAUSE", "INSTANT", "SIZE", "STAYS", "STORE", "WHY",
    ];
    let some = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
    let stays = |row: &Row| match (row.kept, row.needed) {
        (true, _) => "kept",
        (false, true) => "needed",
        (false, false) => "-",
    };
    let cells = |row: &Row| {
        vec![
            row.name.clone(),
            row.target.clone(),
            row.phase.clone(),
            row.cause.clone(),
            some(&row.instant),
            some(&row.size),
            stays(row).to_owned(),
            some(&row.store),
            cut(&row.why),
        ]
    };
    table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}
