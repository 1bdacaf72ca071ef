//! Connections to the agents of data pods: one event stream each, and requests.

mod client;
mod stream;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hera_core::shard::AgentView;
use hera_kube::Leadership;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

pub use client::{AgentClient, AgentError};
pub use stream::FIRST_ROUND;

use crate::groups::Groups;
use crate::object::ObjectKey;

/// A pod whose agent is to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance that is woken by news.
    pub instance: ObjectKey,
    /// The pod's uid.
    pub pod_uid: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// The name in the agent's certificate.
    pub server_name: String,
}

/// Listens to agents and keeps the last that each said.
pub struct AgentPool {
    wake: UnboundedSender<ObjectKey>,
    leadership: Leadership,
    groups: Arc<Groups>,
    streams: Mutex<HashMap<String, Stream>>,
}

struct Stream {
    target: Target,
    client: AgentClient,
    view: Arc<Mutex<AgentView>>,
    since: Instant,
    /// The pod object is gone: once the agent is not heard either, nobody listens any more.
    gone: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Stream {
    fn view(&self) -> AgentView {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AgentPool {
    /// A pool that reports news to `wake`.
    pub fn new(
        wake: UnboundedSender<ObjectKey>,
        leadership: Leadership,
        groups: Arc<Groups>,
    ) -> Self {
        Self {
            wake,
            leadership,
            groups,
            streams: Mutex::default(),
        }
    }

    /// What is known of an agent.
    pub fn view(&self, pod_uid: &str) -> AgentView {
        self.lock()
            .get(pod_uid)
            .map_or(AgentView::Absent, Stream::view)
    }

    /// True while it is too early to say anything about an agent: it is listened to since a moment,
    /// as after a start of the operator, and was not heard yet.
    pub fn is_too_early(&self, pod_uid: &str) -> bool {
        self.lock().get(pod_uid).is_some_and(|stream| {
            matches!(stream.view(), AgentView::Absent)
                && stream.since.elapsed() < stream::FIRST_WORD
        })
    }

    /// True while this process has only just begun to listen to an instance's agents, and has not heard
    /// all of them: what is not heard is no news then.
    pub fn is_new_to(&self, instance: &ObjectKey) -> bool {
        let streams = self.lock();
        let of_instance = || streams.values().filter(|s| s.target.instance == *instance);
        of_instance().any(|s| matches!(s.view(), AgentView::Absent))
            && of_instance().all(|s| s.since.elapsed() < stream::FIRST_ROUND)
    }

    /// The client of an agent that is listened to.
    pub fn client(&self, pod_uid: &str) -> Option<AgentClient> {
        self.lock().get(pod_uid).map(|stream| stream.client.clone())
    }

    /// Those of an instance's agents that wait for another pod to take over before theirs ends.
    pub fn leaving(&self, instance: &ObjectKey) -> Vec<AgentClient> {
        let streams = self.lock();
        let of_instance = streams.values().filter(|s| s.target.instance == *instance);
        let waiting = of_instance.filter(|s| {
            let view = s.view.lock().unwrap_or_else(PoisonError::into_inner);
            view.status().is_some_and(|status| status.leaving)
        });
        waiting.map(|stream| stream.client.clone()).collect()
    }

    /// True if `target` is listened to already, so that no client needs to be made for it.
    pub fn knows(&self, target: &Target) -> bool {
        self.lock()
            .get(&target.pod_uid)
            .is_some_and(|stream| stream.target == *target && !stream.client.is_ageing())
    }

    /// Listens to `target` with `client`, instead of whatever was there for the pod.
    pub fn listen(&self, target: Target, client: AgentClient) {
        let view: Arc<Mutex<AgentView>> = Arc::default();
        let gone = Arc::<AtomicBool>::default();
        let listener = stream::Listener {
            client: client.clone(),
            instance: target.instance.clone(),
            view: view.clone(),
            wake: self.wake.clone(),
            leadership: self.leadership.clone(),
            groups: self.groups.clone(),
            gone: gone.clone(),
        };
        let task = tokio::spawn(listener.listen());
        let stream = Stream {
            target: target.clone(),
            client,
            view,
            since: Instant::now(),
            gone,
            task,
        };
        self.lock().insert(target.pod_uid, stream);
    }

    /// Stops listening to every pod of an instance but those of `pod_uids`, and primaries that are
    /// heard although their pod object is gone: it proves nothing.
    pub fn keep_only(&self, instance: &ObjectKey, pod_uids: &[&str]) {
        self.lock().retain(|uid, stream| {
            stream.target.instance != *instance
                || pod_uids.contains(&uid.as_str())
                || stream.view().serves()
        });
    }

    /// A pod object is gone: stops listening to its agent, unless a primary is heard there.
    pub fn drop_pod(&self, pod_uid: &str) {
        let mut streams = self.lock();
        if let Some(stream) = streams.get(pod_uid) {
            stream.gone.store(true, Ordering::Relaxed);
        }
        streams.retain(|uid, stream| {
            let dropped = uid == pod_uid && !stream.view().serves();
            !dropped && !stream.task.is_finished()
        });
    }

    /// Agents of an instance that are heard and whose pod is none of `pod_uids`.
    pub fn heard_beside(&self, instance: &ObjectKey, pod_uids: &[&str]) -> Vec<Target> {
        let streams = self.lock();
        let beside = streams.iter().filter(|(uid, stream)| {
            stream.target.instance == *instance
                && !pod_uids.contains(&uid.as_str())
                && stream.view().status().is_some()
        });
        beside.map(|(_, stream)| stream.target.clone()).collect()
    }

    /// Agents that are connected now.
    pub fn connected(&self) -> usize {
        self.lock()
            .values()
            .filter(|stream| stream.view().status().is_some())
            .count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
