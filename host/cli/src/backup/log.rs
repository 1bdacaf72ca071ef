//! How far the log of an instance is: its pods are asked, as no status tells what changes all the time.

use std::time::Duration;

use hera_core::agent::METRICS_PORT;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::cluster::ask_pod;
use crate::named::Object;

/// A server is scraped within two seconds; the port may lead nowhere.
const LIMIT: Duration = Duration::from_secs(5);

/// Who keeps the log has these.
const QUEUE: &str = "hera_backup_queue_bytes";
const COVERED: &str = "hera_backup_covered_timestamp_seconds";

/// The log beside the backups of an instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSeen {
    /// Who keeps it; none if no pod says that it does.
    pub kept: Option<Kept>,
    /// Why pods could not be asked, the first of them; none if all answered.
    pub unasked: Option<String>,
}

/// What the pod says that keeps the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its name.
    pub pod: String,
    /// What was acknowledged before is in the store; none while that is not known.
    pub covered: Option<Timestamp>,
    /// What waits for the store.
    pub queue_bytes: Option<u64>,
}

/// Looks at the log of an object that keeps one. Who may not look at pods is told so in what it gives.
pub async fn look(object: &Object, client: &Client) -> LogSeen {
    let answers = match object.children::<Pod>(client).await {
        Ok(pods) => ask(object, client, pods).await,
        Err(error) => vec![(String::new(), Err(error.to_string()))],
    };
    heard(answers)
}

/// What a pod of a name answered, or why it did not.
type Answer = (String, Result<String, String>);

async fn ask(object: &Object, client: &Client, pods: Vec<Pod>) -> Vec<Answer> {
    let api: Api<Pod> = Api::namespaced(client.clone(), object.namespace());
    let mut asked = JoinSet::new();
    for pod in pods {
        let (api, name) = (api.clone(), pod.name_any());
        asked.spawn(async move {
            let answer = ask_pod(&api, &name, METRICS_PORT, "/metrics");
            let text = match tokio::time::timeout(LIMIT, answer).await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(error)) => Err(format!("{error:#}")),
                Err(_) => Err(format!("pod {name} does not answer in time")),
            };
            (name, text)
        });
    }
    asked.join_all().await
}

/// What pods answered. Two of them may keep it for a moment: the one that is further counts.
fn heard(answers: Vec<Answer>) -> LogSeen {
    let mut all: Vec<Kept> = Vec::new();
    let mut unasked: Vec<String> = Vec::new();
    for (pod, answer) in answers {
        match answer {
            Ok(text) => all.extend(kept(pod, &text)),
            Err(error) => unasked.push(error),
        }
    }
    LogSeen {
        kept: all.into_iter().max_by_key(|kept| kept.covered),
        unasked: unasked.into_iter().min(),
    }
}

/// What the metrics of a pod say; none if it keeps no log.
fn kept(pod: String, metrics: &str) -> Option<Kept> {
    let queue = metric(metrics, QUEUE);
    let covered = metric(metrics, COVERED);
    let keeps = queue.is_some() || covered.is_some();
    keeps.then(|| Kept {
        pod,
        covered: covered.and_then(moment),
        queue_bytes: queue.and_then(|text| text.parse().ok()),
    })
}

/// Value of the first metric of a name.
fn metric<'a>(metrics: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = metrics.lines();
    lines.find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with([' ', '{']);
        rest.split_ascii_whitespace().next_back().filter(|_| is_it)
    })
}

/// The time of so many seconds since 1970, to the millisecond; none of 0, which is no time that anything covers.
fn moment(seconds: &str) -> Option<Timestamp> {
    let seconds: f64 = seconds.parse().ok()?;
    let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
    let at = Timestamp::from_duration(since).ok()?;
    // Seconds in a float are not exact.
    let millis = Timestamp::from_nanosecond(at.as_nanosecond() + 500_000).ok()?;
    let at = Timestamp::from_millisecond(millis.as_millisecond()).ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(covered: &str) -> Result<String, String> {
        Ok(format!(
            "# HELP {QUEUE} Bytes.\n# TYPE {QUEUE} gauge\n{QUEUE} 4096\n{COVERED}_other 7\n\
             # TYPE {COVERED} gauge\n{COVERED}{{shard=\"0\"}} {covered}\n"
        ))
    }

    #[test]
    fn the_pod_that_keeps_the_log_says_how_far_it_is() {
        let answers = vec![
            ("cart-0".to_owned(), Ok("redis_up 1\n".to_owned())),
            ("cart-1".to_owned(), metrics("1795874584.123")),
            ("cart-2".to_owned(), Err("refused".to_owned())),
        ];
        let seen = heard(answers);
        let kept = Kept {
            pod: "cart-1".to_owned(),
            covered: Some("2026-11-28T14:03:04.123Z".parse().unwrap()),
            queue_bytes: Some(4096),
        };
        assert_eq!(seen.kept, Some(kept));
        assert_eq!(seen.unasked.as_deref(), Some("refused"));
    }

    #[test]
    fn of_two_the_one_that_is_further_counts_and_no_time_is_none() {
        let answers = |first, second| {
            let first = ("cart-0".to_owned(), metrics(first));
            heard(vec![first, ("cart-1".to_owned(), metrics(second))])
        };
        let further = answers("1795874584.123", "1795874583").kept.unwrap();
        assert_eq!(further.pod, "cart-0");
        let unknown = answers("0", "0").kept.unwrap();
        assert_eq!(unknown.covered, None);
    }
}
