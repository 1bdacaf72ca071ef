//! `policy list`: who decides.

use hera_api::conditions::policy_healthy;
use serde::Serialize;

use crate::args::Cluster;
use crate::named::{Object, all};
use crate::output::{Output, faint, short, table};
use crate::{Verdict, cluster};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: &'static str,
    namespace: String,
    name: String,
    decision: String,
    source: Option<String>,
    digest: Option<String>,
    api: Option<String>,
    shadow: Option<String>,
    healthy: String,
    error: Option<String>,
}

/// Prints a line for each object and decision.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn run(everywhere: bool, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let namespace = (!everywhere).then_some(connected.namespace.as_str());
    let objects = all(&connected.client, namespace).await?;
    let rows: Vec<Row> = objects.iter().flat_map(rows).collect();
    output.print(&rows, |rows| describe(rows))?;
    Ok(Verdict::Yes)
}

fn rows(object: &Object) -> Vec<Row> {
    let status = object.status();
    let healthy = status
        .condition(policy_healthy::TYPE)
        .map_or("-".to_owned(), |condition| {
            format!("{} {}", condition.status, condition.reason)
        });
    let row = |policy: &hera_api::PolicyStatus| Row {
        kind: object.kind().name(),
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
        decision: policy.decision.clone(),
        source: policy.source.as_ref().map(ToString::to_string),
        digest: policy.digest.clone(),
        api: policy.api.clone(),
        shadow: policy
            .shadow
            .as_ref()
            .map(|shadow| format!("{:?}", shadow.verdict)),
        healthy: healthy.clone(),
        error: policy.error.clone(),
    };
    status.policies.iter().map(row).collect()
}

fn describe(rows: &[Row]) -> String {
    if rows.is_empty() {
        return faint("no decision was made yet\n");
    }
    let head = [
        "NAMESPACE",
        "KIND",
        "NAME",
        "DECISION",
        "SOURCE",
        "DIGEST",
        "API",
        "SHADOW",
        "HEALTHY",
    ];
    let cells = |row: &Row| {
        let some = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
        vec![
            row.namespace.clone(),
            row.kind.to_owned(),
            row.name.clone(),
            row.decision.clone(),
            some(&row.source),
            short(&some(&row.digest)).to_owned(),
            some(&row.api),
            some(&row.shadow),
            row.healthy.clone(),
        ]
    };
    table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}
