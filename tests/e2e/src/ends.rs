//! How the operator's containers ended. Kubernetes keeps the last end of each and no other, so they are looked at all
//! along: a crash before an end that a scenario asked for counts as well.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinHandle;

/// Exit codes of SIGABRT and SIGSEGV: nobody asks for those.
const CRASHES: [i32; 2] = [134, 139];

/// Looks at the containers of a namespace for as long as it lives.
pub struct EndsWatch {
    pods: Api<Pod>,
    ends: Arc<Mutex<Ends>>,
    looking: JoinHandle<()>,
}

impl EndsWatch {
    /// Begins to look; ends of before `since` are not told.
    pub(crate) fn begin(pods: Api<Pod>, since: Timestamp) -> Self {
        let ends = Arc::new(Mutex::new(Ends::since(since)));
        let looking = tokio::spawn(look(pods.clone(), ends.clone()));
        Self {
            pods,
            ends,
            looking,
        }
    }

    /// Fails if a container has ended by an abort or a fault of its memory: the next leader may hide it. Nothing is
    /// said where there are no pods.
    ///
    /// # Errors
    /// One has.
    pub async fn ensure_no_crash(self) -> Result<()> {
        // What the watch has not told yet.
        if let Ok(pods) = self.pods.list(&ListParams::default()).await {
            pods.items.iter().for_each(|pod| lock(&self.ends).see(pod));
        }
        let ends = lock(&self.ends);
        if ends.unseen > 0 {
            println!(
                "{} ends of operators' containers were not seen",
                ends.unseen
            );
        }
        let crashes: Vec<&str> = ends.crashes.iter().map(String::as_str).collect();
        ensure!(crashes.is_empty(), "{}", crashes.join("; "));
        Ok(())
    }
}

impl Drop for EndsWatch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look(pods: Api<Pod>, ends: Arc<Mutex<Ends>>) {
    let pods = watcher(pods, watcher::Config::default());
    let pods = pods.default_backoff().touched_objects();
    // While the API server is down, another attempt follows.
    pods.filter_map(|pod| ready(pod.ok()))
        .for_each(|pod| {
            lock(&ends).see(&pod);
            ready(())
        })
        .await;
}

fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was seen so far.
#[derive(Debug)]
struct Ends {
    since: Timestamp,
    /// How often each container was started again, by the pod's uid and the container's name.
    restarts: BTreeMap<(String, String), i32>,
    /// For people, each once.
    crashes: BTreeSet<String>,
    /// Ends of which nothing is known but that they were.
    unseen: i32,
}

impl Ends {
    fn since(since: Timestamp) -> Self {
        Self {
            since,
            restarts: BTreeMap::new(),
            crashes: BTreeSet::new(),
            unseen: 0,
        }
    }

    fn see(&mut self, pod: &Pod) {
        let status = pod.status.iter();
        let containers = status.flat_map(|status| &status.container_statuses);
        for container in containers.flatten() {
            let key = (pod.uid().unwrap_or_default(), container.name.clone());
            let count = container.restart_count;
            let before = self.restarts.insert(key, count);
            // Of several between two looks only the last is told.
            self.unseen += before.map_or(0, |before| (count - before - 1).max(0));
            let states = [&container.state, &container.last_state];
            let ended = states.into_iter().flatten();
            for ended in ended.filter_map(|state| state.terminated.as_ref()) {
                let at = ended.finished_at.as_ref().map(|at| at.0);
                let code = ended.exit_code;
                if let Some(at) = at.filter(|at| *at >= self.since)
                    && CRASHES.contains(&code)
                {
                    let name = pod.name_any();
                    self.crashes
                        .insert(format!("{name} crashed at {at}: exit code {code}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ended(code: i32, second: u32) -> Value {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        json!({"terminated": {"exitCode": code, "finishedAt": at}})
    }

    fn pod(restarts: i32, last: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "hera-operator-a", "uid": "a"},
            "status": {"containerStatuses": [{
                "name": "operator", "image": "", "imageID": "", "ready": true,
                "restartCount": restarts, "state": {"running": {}}, "lastState": last,
            }]},
        }))
        .unwrap()
    }

    fn seen(pods: &[Pod]) -> Ends {
        let mut ends = Ends::since("2026-01-01T00:00:10Z".parse().unwrap());
        pods.iter().for_each(|pod| ends.see(pod));
        ends
    }

    #[test]
    fn a_crash_counts_though_the_container_ended_otherwise_later() {
        let ends = seen(&[
            pod(0, &json!({})),
            pod(1, &ended(134, 20)),
            pod(1, &ended(134, 20)),
            pod(2, &ended(137, 30)),
        ]);
        assert_eq!((ends.crashes.len(), ends.unseen), (1, 0));
        assert!(ends.crashes.first().unwrap().contains("exit code 134"));
        let two = seen(&[pod(1, &ended(139, 20)), pod(2, &ended(139, 30))]);
        assert_eq!(two.crashes.len(), 2);
    }

    #[test]
    fn what_ended_before_or_was_asked_to_is_no_crash() {
        let ends = seen(&[pod(1, &ended(134, 9)), pod(2, &ended(143, 20))]);
        assert!(ends.crashes.is_empty(), "{ends:?}");
    }

    #[test]
    fn ends_between_two_looks_are_counted() {
        let ends = seen(&[pod(1, &json!({})), pod(4, &ended(143, 20))]);
        assert_eq!(ends.unseen, 2);
    }
}
