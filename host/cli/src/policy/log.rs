//! `policy log`: what was decided.

use anyhow::Context as _;
use serde_json::Value;

use super::replay::records;
use crate::Verdict;
use crate::args::Cluster;
use crate::cluster;
use crate::named::Target;
use crate::output::{Output, faint, moment, short, table};

/// Prints the last decisions about an object, which may be gone by now, or about all. The log tells no kinds
/// apart.
///
/// # Errors
/// When no operator can be asked.
pub async fn run(
    target: Option<&Target>,
    limit: usize,
    wanted: &Cluster,
    output: Output,
) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let path = match target {
        Some(target) => format!("/decisions/{}/{}", connected.namespace, target.name()),
        None => "/decisions".to_owned(),
    };
    let text = connected.ask_leader(&path).await?;
    let all = records(&text).context("the operator's answer")?;
    let last: Vec<Value> = all
        .iter()
        .skip(all.len().saturating_sub(limit))
        .cloned()
        .collect();
    output.print(&last, |last| describe(last))?;
    Ok(Verdict::Yes)
}

/// Decisions for people, a line each.
pub fn describe(records: &[Value]) -> String {
    if records.is_empty() {
        return faint(
            "the leading operator remembers no decision: it makes one when something changes\n",
        );
    }
    let head = [
        "TIME", "OBJECT", "DECISION", "SOURCE", "DIGEST", "OUTCOME", "UNTIL", "FUEL", "MICROS",
        "SHADOW",
    ];
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    table(&head, &rows)
}

fn row(record: &Value) -> Vec<String> {
    let at = |path: &str| match record.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let time = |path: &str| {
        let millis = record.pointer(path).and_then(Value::as_u64);
        millis.and_then(moment).unwrap_or_else(|| "-".to_owned())
    };
    let outcome = |call: &str| match at(&format!("/{call}/outcome")).as_str() {
        "guardRefused" => at(&format!("/{call}/refused/rule")),
        "fault" => at(&format!("/{call}/reason")),
        other => other.to_owned(),
    };
    let answer = |call: &str| record.pointer(&format!("/{call}/answer"));
    let shadow = match (
        outcome("shadow").as_str(),
        answer("call") == answer("shadow"),
    ) {
        ("-", _) => "-".to_owned(),
        ("ok", true) => "same".to_owned(),
        ("ok", false) => "differs".to_owned(),
        (other, _) => other.to_owned(),
    };
    vec![
        time("/context/nowUnixMs"),
        format!("{}/{}", at("/context/namespace"), at("/context/name")),
        at("/decision"),
        at("/call/source"),
        short(&at("/call/digest")).to_owned(),
        outcome("call"),
        time("/call/againAtUnixMs"),
        at("/call/fuel"),
        at("/call/micros"),
        shadow,
    ]
}
