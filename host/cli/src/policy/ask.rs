//! `policy ask`: the policies of an object are asked at once.

use std::time::Duration;

use anyhow::Context as _;
use hera_api::meta::ANNOTATION_ASK_POLICIES;
use serde_json::{Value, json};

use super::log::describe;
use super::replay::records;
use crate::Verdict;
use crate::args::Cluster;
use crate::cluster::{self, Connected};
use crate::named::Target;
use crate::output::{Output, good};

/// An operator that leads takes a request in within a moment.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(200);

/// Asks, and shows what is decided.
///
/// # Errors
/// When the cluster cannot be asked, there is no such object, or no decision comes of it in time.
pub async fn run(target: &Target, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let object = target.find(&connected.client, &connected.namespace).await?;
    let name = object.name();
    // Who may edit the object need not be one of those who may read the decision log.
    let before = last(&connected, name).await;
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {ANNOTATION_ASK_POLICIES: now}}});
    object
        .patch(&connected.client, &patch)
        .await
        .with_context(|| format!("asking the policies of {target}"))?;
    let before = match before {
        Ok(before) => before,
        Err(error) => {
            let asked = json!({"name": name, "namespace": connected.namespace, "asked": now});
            output.print(&asked, |_| {
                format!(
                    "{} what they decide is in the decision log, which cannot be read from here: {error:#}\n",
                    good("asked;")
                )
            })?;
            return Ok(Verdict::Yes);
        }
    };
    let decided = tokio::time::timeout(PATIENCE, next(&connected, name, before.as_ref())).await;
    let decided = decided.with_context(|| {
        format!(
            "nothing was decided in {} s: kubectl hera status {target} says what it waits for, or \
             whether it is paused",
            PATIENCE.as_secs()
        )
    })??;
    output.print(&decided, |decided| describe(decided))?;
    let used = decided
        .iter()
        .all(|record| record.pointer("/call/outcome") == Some(&json!("ok")));
    Ok(Verdict::from(used))
}

/// The last decision that is remembered.
async fn last(connected: &Connected, name: &str) -> anyhow::Result<Option<Value>> {
    Ok(decisions(connected, name).await?.pop())
}

async fn decisions(connected: &Connected, name: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/decisions/{}/{name}", connected.namespace);
    let text = connected.ask_leader(&path).await?;
    records(&text).context("the operator's answer")
}

/// What is decided after the last decision of before.
async fn next(
    connected: &Connected,
    name: &str,
    before: Option<&Value>,
) -> anyhow::Result<Vec<Value>> {
    loop {
        let mut all = decisions(connected, name).await?;
        let known = all.iter().rposition(|record| Some(record) == before);
        let new = all.split_off(known.map_or(0, |known| known.saturating_add(1)));
        if !new.is_empty() {
            return Ok(new);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}
