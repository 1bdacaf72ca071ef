//! `status` without a name: a line for each object.

use hera_api::conditions::{degraded, ready};
use serde::Serialize;

use crate::args::Cluster;
use crate::named::{CommonStatus, Object, all};
use crate::output::{Output, cut, faint, table};
use crate::{Verdict, cluster};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    kind: &'static str,
    name: String,
    server: Option<String>,
    phase: Option<String>,
    ready: bool,
    /// Why it is not ready, or else why it is degraded.
    reason: Option<String>,
    message: Option<String>,
}

/// Prints a line for each object of the namespace, or of all; the answer is no while one does not serve.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn run(everywhere: bool, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let namespace = (!everywhere).then_some(connected.namespace.as_str());
    let mut objects = all(&connected.client, namespace).await?;
    objects.sort_by(|one, other| key(one).cmp(&key(other)));
    let rows: Vec<Row> = objects.iter().map(row).collect();
    output.print(&rows, |rows| describe(rows))?;
    Ok(Verdict::from(rows.iter().all(|row| row.ready)))
}

fn key(object: &Object) -> (&str, &'static str, &str) {
    (object.namespace(), object.kind().name(), object.name())
}

fn row(object: &Object) -> Row {
    let status = object.status();
    let server = status.engine.zip(status.version);
    let odd = odd(&status);
    Row {
        namespace: object.namespace().to_owned(),
        kind: object.kind().name(),
        name: object.name().to_owned(),
        server: server.map(|(engine, version)| format!("{engine} {version}")),
        phase: status.phase.map(|phase| format!("{phase:?}")),
        ready: status.is_true(ready::TYPE),
        reason: odd.as_ref().map(|(reason, _)| reason.clone()),
        message: odd.map(|(_, message)| message),
    }
}

/// A reason and a message, where something is not as it should be.
fn odd(status: &CommonStatus<'_>) -> Option<(String, String)> {
    let condition = match status.is_true(ready::TYPE) {
        false => status.condition(ready::TYPE),
        true => status
            .condition(degraded::TYPE)
            .filter(|condition| condition.status == "True"),
    }?;
    Some((condition.reason.clone(), condition.message.clone()))
}

fn describe(rows: &[Row]) -> String {
    if rows.is_empty() {
        return faint("there is no RedisInstance and no RedisCluster here\n");
    }
    let head = ["NAMESPACE", "KIND", "NAME", "SERVER", "PHASE", "WHY"];
    let some = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
    let cells = |row: &Row| {
        let why = match (&row.reason, &row.message) {
            (Some(reason), Some(message)) => format!("{reason}: {}", cut(message)),
            _ => String::new(),
        };
        vec![
            row.namespace.clone(),
            row.kind.to_owned(),
            row.name.clone(),
            some(&row.server),
            some(&row.phase),
            why,
        ]
    };
    table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::named::tests::{cluster, instance};
    use crate::status::text::tests::condition;

    #[test]
    fn a_line_tells_what_an_object_is_and_what_is_wrong_with_it() {
        let good = instance(json!({
            "phase": "Ready", "engine": "redis", "version": "7.2.4",
            "conditions": [
                condition("Ready", "True", "Serving", "writes are accepted"),
                condition("Degraded", "False", "Healthy", ""),
            ],
        }));
        let bad = cluster(json!({
            "phase": "Unavailable",
            "conditions": [condition("Ready", "False", "SlotsUncovered", &"no shard has them ".repeat(9))],
        }));
        let rows: Vec<Row> = [&good, &bad].into_iter().map(row).collect();
        assert!(rows[0].ready && !rows[1].ready);
        let text = anstream::adapter::strip_str(&describe(&rows)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].ends_with("redis 7.2.4   Ready"), "{text}");
        assert!(
            lines[2].contains("-             Unavailable   SlotsUncovered: no shard"),
            "{text}"
        );
        assert!(lines[2].ends_with('…'), "{text}");
    }

    #[test]
    fn who_serves_and_is_degraded_says_why() {
        let object = instance(json!({
            "phase": "Degraded",
            "conditions": [
                condition("Ready", "True", "Serving", ""),
                condition("Degraded", "True", "ReplicaMissing", "one of two is away"),
            ],
        }));
        let row = row(&object);
        assert!(row.ready);
        assert_eq!(row.reason.as_deref(), Some("ReplicaMissing"));
    }
}
