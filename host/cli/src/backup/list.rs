//! `backup ls`: a line for each backup.

use hera_api::{Kind, RedisBackup};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::{latest_first, no_cluster, why};
use crate::Verdict;
use crate::named::Target;
use crate::output::{Output, cut, faint, table};

/// A backup in one line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    name: String,
    target: String,
    phase: String,
    instant: Option<String>,
    size: Option<String>,
    store: Option<String>,
    why: String,
}

impl Row {
    /// Its name, instant and size.
    pub fn summary(&self) -> String {
        let parts = [Some(&self.name), self.instant.as_ref(), self.size.as_ref()];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join(", ")
    }
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
    let all = backups.list(&ListParams::default()).await?.items;
    let all = latest_first(all, target.map(Target::name));
    let rows: Vec<Row> = all.iter().map(row).collect();
    output.print(&rows, |rows| match (rows.as_slice(), target) {
        ([], Some(target)) => faint(&format!("there is no backup of {target}\n")),
        ([], None) => faint("there is no backup here\n"),
        (rows, _) => lines(rows),
    })?;
    Ok(Verdict::Yes)
}

/// What a line says of a backup.
pub fn row(backup: &RedisBackup) -> Row {
    let status = backup.status.as_ref();
    let instant = status.and_then(|status| status.instant.as_ref());
    Row {
        name: backup.name_any(),
        target: backup.spec.target.name.clone(),
        phase: format!("{:?}", backup.phase()),
        instant: instant.map(|instant| instant.0.to_string()),
        size: status.and_then(|status| status.stored_size.clone()),
        store: status.and_then(|status| status.store.clone()),
        why: why(backup),
    }
}

/// As a table.
pub fn lines(rows: &[Row]) -> String {
    let head = ["NAME", "TARGET", "PHASE", "INSTANT", "SIZE", "STORE", "WHY"];
    let some = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
    let cells = |row: &Row| {
        vec![
            row.name.clone(),
            row.target.clone(),
            row.phase.clone(),
            some(&row.instant),
            some(&row.size),
            some(&row.store),
            cut(&row.why),
        ]
    };
    table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}
