//! `backup drop`: a backup and its data in the store go, unless something needs it.

use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use hera_api::RedisBackup;
use hera_api::conditions::dropped;
use hera_api::meta::ANNOTATION_BACKUP_DROP;
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::watcher::watch_object;
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use super::list::summary;
use super::{annotate, condition, get, words};
use crate::Verdict;
use crate::output::{Output, bad, good};
use crate::requests::approved;

/// Which backup, and how.
pub struct Asked<'a> {
    pub name: &'a str,
    /// Nobody is asked first.
    pub yes: bool,
    pub wait: bool,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    name: String,
    dropped: bool,
    /// Why it is still there.
    why: Option<String>,
}

/// Asks for it.
///
/// # Errors
/// When the cluster cannot be asked, there is no such backup, or the request is not taken.
pub async fn run(
    asked: &Asked<'_>,
    client: &Client,
    namespace: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    let name = asked.name;
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let found = get(&backups, name, namespace).await?;
    if !asked.yes {
        confirm(&found)?;
    }
    let now = Timestamp::now().to_string();
    let wanted = annotate(&backups, &found, ANNOTATION_BACKUP_DROP, Some(&now)).await?;
    if !asked.wait {
        output.print(&wanted, |_| {
            format!(
                "{} {name} goes, unless something needs it; kubectl hera backup status rdb/{name} says so then\n",
                good("asked:")
            )
        })?;
        return Ok(Verdict::Yes);
    }
    let ended = ended(backups, name).await?;
    output.print(&ended, |ended| match &ended.why {
        None => format!("{} {name}\n", good("dropped:")),
        Some(why) => format!("{} {name}: {why}\n", bad("not dropped:")),
    })?;
    Ok(Verdict::from(ended.dropped))
}

/// Somebody at a terminal says yes.
fn confirm(backup: &RedisBackup) -> anyhow::Result<()> {
    let what = summary(backup);
    if !std::io::stdin().is_terminal() {
        bail!("{what} goes for good, its data in the store with it: say --yes if it is to");
    }
    approved(&format!(
        "{what}: it goes for good, and its data in the store with it."
    ))
}

/// Waits until it is gone, or the operator took the wish away.
async fn ended(backups: Api<RedisBackup>, name: &str) -> anyhow::Result<Ended> {
    let mut seen = Box::pin(watch_object(backups, name));
    while let Some(backup) = seen.try_next().await.with_context(|| {
        format!("it goes on; kubectl hera backup status rdb/{name} says whether it is refused")
    })? {
        if let Some(ended) = end(name, backup.as_ref()) {
            return Ok(ended);
        }
    }
    bail!("the API server tells no more of RedisBackup {name}")
}

/// How it ended; none while the wish stands.
fn end(name: &str, backup: Option<&RedisBackup>) -> Option<Ended> {
    let why = match backup {
        None => None,
        Some(backup) if backup.annotations().contains_key(ANNOTATION_BACKUP_DROP) => return None,
        Some(backup) => {
            let refused = condition(backup, dropped::TYPE).map(words);
            Some(refused.unwrap_or_else(|| "somebody took the request away".to_owned()))
        }
    };
    Some(Ended {
        name: name.to_owned(),
        dropped: why.is_none(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::backup;
    use super::*;

    fn ended(why: Option<&str>) -> Option<Ended> {
        Some(Ended {
            name: "b1".to_owned(),
            dropped: why.is_none(),
            why: why.map(str::to_owned),
        })
    }

    #[test]
    fn it_is_dropped_once_it_is_gone_and_refused_once_the_wish_is() {
        assert_eq!(end("b1", None), ended(None));
        let refused = json!({"phase": "Completed", "conditions": [{
            "type": "Dropped", "status": "False", "reason": "Needed", "message": "the last one",
            "lastTransitionTime": "2026-11-28T05:00:00Z",
        }]});
        let mut wanted = backup("b1", 3, refused);
        let why = "Needed: the last one";
        assert_eq!(end("b1", Some(&wanted)), ended(Some(why)));
        // What was said of a wish before.
        let wish = (ANNOTATION_BACKUP_DROP.to_owned(), "now".to_owned());
        wanted.annotations_mut().extend([wish]);
        assert_eq!(end("b1", Some(&wanted)), None);
        let nothing = end("b1", Some(&backup("b1", 3, json!({})))).unwrap();
        assert!(!nothing.dropped, "{nothing:?}");
    }
}
